// The HTTP API itself: who may call it from where, how often, under which host, and what is logged.
// Its routes are in a stack per context (routes-stack.ts): one stack could not hold them all.

import { CfnOutput, Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { AccessLogFormat } from "aws-cdk-lib/aws-apigateway";
import {
  ApiMapping,
  CorsHttpMethod,
  DomainName,
  HttpApi,
  HttpStage,
  LogGroupLogDestination,
  SecurityPolicy,
} from "aws-cdk-lib/aws-apigatewayv2";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";

import type { Catalogue } from "./catalogue.ts";
import type { Deployment } from "./deployment.ts";
import { accessLogName, fullName } from "./names.ts";
import { origins } from "./settings.ts";
import type { Stage } from "./stage.ts";

export interface ApiStackProps {
  readonly catalogue: Catalogue;
  readonly stage: Stage;
  readonly deployment: Deployment;
}

const THROTTLE = { rateLimit: 100, burstLimit: 200 };

/** One line per request. Neither addresses nor paths: a path may hold a user's name. */
const ACCESS_LOG = {
  request_id: "$context.requestId",
  time: "$context.requestTime",
  route: "$context.routeKey",
  status: "$context.status",
  response_bytes: "$context.responseLength",
  latency_ms: "$context.responseLatency",
  integration_latency_ms: "$context.integrationLatency",
  integration_status: "$context.integrationStatus",
  error: "$context.error.responseType",
};

export class ApiStack extends Stack {
  readonly api: HttpApi;

  constructor(scope: Construct, props: ApiStackProps) {
    super(scope, "api");
    const { stage, deployment } = props;
    this.api = this.createApi(stage, deployment, props.catalogue.cors);
    const deployed = this.deploy(stage);
    if (deployment.api !== undefined) {
      this.name(deployment.api, deployed);
    }
    const url = deployment.api ? `https://${deployment.api.host}` : this.api.apiEndpoint;
    new CfnOutput(this, "Url", { value: url });
  }

  private createApi(stage: Stage, deployment: Deployment, cors: Catalogue["cors"]): HttpApi {
    return new HttpApi(this, "Api", {
      apiName: fullName(stage.name, "api"),
      createDefaultStage: false,
      // Under a host of our own it has no other: what stands before it cannot be walked around.
      disableExecuteApiEndpoint: deployment.api !== undefined,
      corsPreflight: {
        // Named origins only: browsers refuse credentials from an API that allows every origin.
        allowOrigins: origins(deployment),
        allowCredentials: true,
        allowMethods: cors.methods.map((method) => CorsHttpMethod[method]),
        allowHeaders: cors.request_headers,
        exposeHeaders: cors.response_headers,
        maxAge: Duration.seconds(cors.max_age_seconds),
      },
    });
  }

  private deploy(stage: Stage): HttpStage {
    const logGroup = new LogGroup(this, "AccessLogs", {
      // AWS lets deliver to groups of this prefix without a policy that grows with every group.
      logGroupName: accessLogName(stage.name),
      retention: stage.logRetention,
      removalPolicy: stage.protectsData
        ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        : RemovalPolicy.DESTROY,
    });
    return new HttpStage(this, "Stage", {
      httpApi: this.api,
      stageName: "$default",
      autoDeploy: true,
      throttle: THROTTLE,
      accessLogSettings: {
        destination: new LogGroupLogDestination(logGroup),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
    });
  }

  /** The API under a host of our own; its owner points the host's name to the output. */
  private name({ host, certificate_arn }: NonNullable<Deployment["api"]>, to: HttpStage): void {
    const domain = new DomainName(this, "Domain", {
      domainName: host,
      certificate: Certificate.fromCertificateArn(this, "Certificate", certificate_arn),
      securityPolicy: SecurityPolicy.TLS_1_2,
    });
    new ApiMapping(this, "Mapping", { api: this.api, domainName: domain, stage: to });
    new CfnOutput(this, "HostIsAliasOf", { value: domain.regionalDomainName });
  }
}
