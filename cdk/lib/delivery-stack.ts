// Who may deploy a stage: jobs of one repository that run in the stage's environment and on one branch.
// GitHub proves that with a token of minutes; there is no key that could be lost.
//
// AWS compares a token's subject and no other claim of GitHub's. So that the subject names environment
// and branch, the repository's subjects are customised once (README.md).

import { ArnFormat, CfnOutput, Duration, Stack } from "aws-cdk-lib";
import {
  CfnOIDCProvider,
  PolicyDocument,
  PolicyStatement,
  Role,
  WebIdentityPrincipal,
} from "aws-cdk-lib/aws-iam";
import type { Construct } from "constructs";

import type { Catalogue } from "./catalogue.ts";
import type { Deployment } from "./deployment.ts";
import { fullName, LIVE } from "./names.ts";
import type { Stage } from "./stage.ts";

export interface DeliveryStackProps {
  readonly stage: Stage;
  readonly catalogue: Catalogue;
  readonly delivery: NonNullable<Deployment["delivery"]>;
}

const ISSUER = "token.actions.githubusercontent.com";
const AUDIENCE = "sts.amazonaws.com";
/** What `cdk bootstrap` names its roles, unless told otherwise. */
const BOOTSTRAP_QUALIFIER = "hnb659fds";
const BOOTSTRAP_ROLES = ["deploy", "file-publishing", "lookup"];

export class DeliveryStack extends Stack {
  constructor(scope: Construct, private readonly props: DeliveryStackProps) {
    super(scope, "delivery", { terminationProtection: props.stage.protectsData });
    const role = new Role(this, "Deploy", {
      roleName: fullName(props.stage.name, "deploy"),
      description: `Deploys ${props.stage.name}, from GitHub alone`,
      maxSessionDuration: Duration.hours(1),
      assumedBy: new WebIdentityPrincipal(this.provider(), {
        StringEquals: {
          [`${ISSUER}:aud`]: AUDIENCE,
          [`${ISSUER}:sub`]: subject(props),
        },
      }),
      inlinePolicies: { deploy: new PolicyDocument({ statements: this.statements() }) },
    });
    new CfnOutput(this, "RoleArn", { value: role.roleArn });
  }

  private provider(): string {
    if (this.props.delivery.provider === "create") {
      const provider = new CfnOIDCProvider(this, "GitHub", {
        url: `https://${ISSUER}`,
        clientIdList: [AUDIENCE],
      });
      return provider.ref;
    }
    return this.formatArn({
      service: "iam",
      region: "",
      resource: "oidc-provider",
      resourceName: ISSUER,
    });
  }

  private statements(): PolicyStatement[] {
    const { stage, catalogue } = this.props;
    const functions = catalogue.functions.map(({ name }) =>
      this.formatArn({
        service: "lambda",
        resource: "function",
        resourceName: fullName(stage.name, name),
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      }),
    );
    const queues = catalogue.queues.filter(({ redrive }) => redrive === null);
    return [
      new PolicyStatement({
        sid: "DeployAsCdkDoes",
        actions: ["sts:AssumeRole"],
        resources: BOOTSTRAP_ROLES.map((name) =>
          this.formatArn({
            service: "iam",
            region: "",
            resource: "role",
            resourceName: `cdk-${BOOTSTRAP_QUALIFIER}-${name}-role-${this.account}-*`,
          }),
        ),
      }),
      new PolicyStatement({
        sid: "GoBack",
        actions: ["lambda:GetAlias", "lambda:ListVersionsByFunction", "lambda:UpdateAlias"],
        resources: [...functions, ...functions.map((arn) => `${arn}:${LIVE}`)],
      }),
      new PolicyStatement({
        sid: "LookWhetherAllIsWell",
        actions: ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
        resources: queues.map(({ name }) =>
          this.formatArn({ service: "sqs", resource: fullName(stage.name, name) }),
        ),
      }),
      new PolicyStatement({
        sid: "LookWhatRings",
        actions: ["cloudwatch:DescribeAlarms"],
        resources: [
          this.formatArn({
            service: "cloudwatch",
            resource: "alarm",
            resourceName: fullName(stage.name, "*"),
            arnFormat: ArnFormat.COLON_RESOURCE_NAME,
          }),
        ],
      }),
    ];
  }
}

/** What GitHub says about a job that may deploy. */
export function subject({ delivery, stage }: Pick<DeliveryStackProps, "delivery" | "stage">): string {
  return `repo:${delivery.repository}:environment:${stage.name}:ref:refs/heads/${delivery.branch}`;
}
