// What stands before the API and the console: CloudFront with its firewall, one set of security
// headers, and the bucket of files that only CloudFront can read. CloudFront takes certificates and
// firewalls from us-east-1 alone, so the whole stack is there.

import { CfnOutput, Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import {
  AllowedMethods,
  CachePolicy,
  Distribution,
  type BehaviorOptions,
  HeadersFrameOption,
  HeadersReferrerPolicy,
  HttpVersion,
  OriginProtocolPolicy,
  OriginRequestPolicy,
  OriginSslPolicy,
  PriceClass,
  ResponseHeadersPolicy,
  SecurityPolicyProtocol,
  ViewerProtocolPolicy,
} from "aws-cdk-lib/aws-cloudfront";
import { HttpOrigin, S3BucketOrigin } from "aws-cdk-lib/aws-cloudfront-origins";
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type IBucket,
  ObjectOwnership,
} from "aws-cdk-lib/aws-s3";
import { CfnWebACL } from "aws-cdk-lib/aws-wafv2";
import type { Construct } from "constructs";

import { isHttp, type Catalogue } from "./catalogue.ts";
import type { Deployment } from "./deployment.ts";
import { fullName } from "./names.ts";
import type { Stage } from "./stage.ts";

export interface EdgeStackProps {
  readonly stage: Stage;
  readonly catalogue: Catalogue;
  readonly deployment: Deployment;
}

/** The region that CloudFront takes certificates and firewalls from. */
export const EDGE_REGION = "us-east-1";
/** Requests of one address in five minutes; people behind one address of a company are many. */
const REQUESTS_OF_AN_ADDRESS_MAX = 2_000;
/** What CloudFront serves from the bucket; nothing of the API begins so. */
export const FILES = ["assets", "console"] as const;

/** Amazon's rules, and what of them only counts: it refuses what our callers rightly send. */
const MANAGED_RULES: readonly { readonly name: string; readonly onlyCounts: readonly string[] }[] = [
  { name: "AWSManagedRulesAmazonIpReputationList", onlyCounts: [] },
  { name: "AWSManagedRulesKnownBadInputsRuleSet", onlyCounts: [] },
  // Bodies are checked by our own bounds, and what people write may look like markup or code.
  {
    name: "AWSManagedRulesCommonRuleSet",
    onlyCounts: ["SizeRestrictions_BODY", "CrossSiteScripting_BODY", "NoUserAgent_HEADER"],
  },
];

const DAYS_OF_OLD_FILES = 30;

export class EdgeStack extends Stack {
  constructor(scope: Construct, private readonly props: EdgeStackProps) {
    super(scope, "edge", {
      env: { region: EDGE_REGION },
      terminationProtection: props.stage.protectsData,
    });
    const { deployment, stage } = props;
    if (deployment.edge === undefined || deployment.api === undefined) {
      throw new Error("the edge needs a certificate and the API's own host");
    }
    this.checkPaths();
    const site = new URL(deployment.site_url).host;
    const bucket = this.createBucket();
    const files: BehaviorOptions = {
      origin: S3BucketOrigin.withOriginAccessControl(bucket as IBucket),
      viewerProtocolPolicy: ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
      cachePolicy: CachePolicy.CACHING_OPTIMIZED,
      responseHeadersPolicy: this.createHeaders(),
      compress: true,
    };
    const distribution = new Distribution(this, "Distribution", {
      comment: fullName(stage.name, "edge"),
      domainNames: [site],
      certificate: Certificate.fromCertificateArn(
        this,
        "Certificate",
        deployment.edge.certificate_arn,
      ),
      minimumProtocolVersion: SecurityPolicyProtocol.TLS_V1_2_2021,
      httpVersion: HttpVersion.HTTP2_AND_3,
      priceClass: PriceClass.PRICE_CLASS_100,
      webAclId: this.createFirewall().attrArn,
      defaultBehavior: {
        origin: new HttpOrigin(deployment.api.host, {
          protocolPolicy: OriginProtocolPolicy.HTTPS_ONLY,
          originSslProtocols: [OriginSslPolicy.TLS_V1_2],
          readTimeout: Duration.seconds(30),
        }),
        viewerProtocolPolicy: ViewerProtocolPolicy.HTTPS_ONLY,
        allowedMethods: AllowedMethods.ALLOW_ALL,
        // Who may see what is for the API to say: nothing of it is kept on the way.
        cachePolicy: CachePolicy.CACHING_DISABLED,
        originRequestPolicy: OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
        responseHeadersPolicy: this.createApiHeaders(),
      },
      additionalBehaviors: Object.fromEntries(FILES.map((folder) => [`/${folder}/*`, files])),
    });
    new CfnOutput(this, "SiteIsAliasOf", { value: distribution.distributionDomainName });
    new CfnOutput(this, "FilesBucket", { value: bucket.bucketName });
  }

  /** A route under a folder of files would never be reached. */
  private checkPaths(): void {
    const routes = this.props.catalogue.functions.filter(isHttp).flatMap(({ triggers }) => triggers);
    for (const trigger of routes) {
      const first = trigger.kind === "http" ? trigger.path.split("/")[1] : undefined;
      if (FILES.some((folder) => folder === first)) {
        throw new Error(`the edge serves files under /${first}, so no route can be there`);
      }
    }
  }

  private createBucket(): Bucket {
    return new Bucket(this, "Files", {
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      encryption: BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      versioned: true,
      lifecycleRules: [{ noncurrentVersionExpiration: Duration.days(DAYS_OF_OLD_FILES) }],
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }

  /** For pages: what a browser may do with them, and nothing beyond. */
  private createHeaders(): ResponseHeadersPolicy {
    const override = true;
    return new ResponseHeadersPolicy(this, "PageHeaders", {
      responseHeadersPolicyName: fullName(this.props.stage.name, "pages"),
      securityHeadersBehavior: {
        strictTransportSecurity: {
          accessControlMaxAge: Duration.days(365),
          includeSubdomains: true,
          preload: true,
          override,
        },
        contentTypeOptions: { override },
        frameOptions: { frameOption: HeadersFrameOption.DENY, override },
        referrerPolicy: {
          referrerPolicy: HeadersReferrerPolicy.STRICT_ORIGIN_WHEN_CROSS_ORIGIN,
          override,
        },
        contentSecurityPolicy: {
          contentSecurityPolicy:
            "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; " +
            "frame-ancestors 'none'; upgrade-insecure-requests",
          override,
        },
      },
      customHeadersBehavior: {
        customHeaders: [
          {
            header: "permissions-policy",
            value: "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            override,
          },
          { header: "cross-origin-opener-policy", value: "same-origin", override },
        ],
      },
    });
  }

  /** For answers of the API, which says itself what holds for each; TLS holds for all. */
  private createApiHeaders(): ResponseHeadersPolicy {
    return new ResponseHeadersPolicy(this, "ApiHeaders", {
      responseHeadersPolicyName: fullName(this.props.stage.name, "api"),
      securityHeadersBehavior: {
        strictTransportSecurity: {
          accessControlMaxAge: Duration.days(365),
          includeSubdomains: true,
          preload: true,
          override: true,
        },
        contentTypeOptions: { override: true },
      },
    });
  }

  private createFirewall(): CfnWebACL {
    const seen = (metricName: string) => ({
      cloudWatchMetricsEnabled: true,
      metricName,
      // Samples hold what people sent.
      sampledRequestsEnabled: false,
    });
    const managed = MANAGED_RULES.map(({ name, onlyCounts }, priority) => ({
      name,
      priority: priority + 1,
      overrideAction: { none: {} },
      statement: {
        managedRuleGroupStatement: {
          vendorName: "AWS",
          name,
          ruleActionOverrides: onlyCounts.map((rule) => ({ name: rule, actionToUse: { count: {} } })),
        },
      },
      visibilityConfig: seen(name),
    }));
    return new CfnWebACL(this, "Firewall", {
      name: fullName(this.props.stage.name, "edge"),
      scope: "CLOUDFRONT",
      defaultAction: { allow: {} },
      rules: [
        {
          name: "RateOfAnAddress",
          priority: 0,
          action: { block: { customResponse: { responseCode: 429 } } },
          statement: {
            rateBasedStatement: { limit: REQUESTS_OF_AN_ADDRESS_MAX, aggregateKeyType: "IP" },
          },
          visibilityConfig: seen("RateOfAnAddress"),
        },
        ...managed,
      ],
      visibilityConfig: seen(fullName(this.props.stage.name, "edge")),
    });
  }
}
