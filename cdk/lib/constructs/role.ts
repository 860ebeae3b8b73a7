// A function's role: what the catalogue declares for it, its own log group, and traces.

import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { ILogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";

import type { FunctionDeclaration, Statement } from "../catalogue.ts";
import { mailIdentityArn, queueArn, secretArn, tableArn } from "../names.ts";
import type { StageName } from "../stage.ts";

/** Knows the ARN of a table's stream, which ends in a label that only AWS knows beforehand. */
export type StreamArns = (table: string) => string;

export interface RoleProps {
  readonly stage: StageName;
  readonly declaration: FunctionDeclaration;
  readonly logGroup: ILogGroup;
  readonly streamArns: StreamArns;
  /** The domain that mail comes from. */
  readonly mailDomain: string;
  /** Whether the function runs in a network of ours. */
  readonly inVpc: boolean;
}

/** What Lambda does in the function's name to put it into a network; AWS knows no narrower resource. */
const IN_VPC = [
  "ec2:AssignPrivateIpAddresses",
  "ec2:CreateNetworkInterface",
  "ec2:DeleteNetworkInterface",
  "ec2:DescribeNetworkInterfaces",
  "ec2:DescribeSubnets",
  "ec2:UnassignPrivateIpAddresses",
];

export function createRole(scope: Construct, props: RoleProps): Role {
  const statements = [
    ...props.declaration.statements.flatMap((statement) => declared(scope, props, statement)),
    new PolicyStatement({
      actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
      resources: [props.logGroup.logGroupArn],
    }),
    // X-Ray has no resources to name: these two actions exist on everything only.
    new PolicyStatement({
      actions: ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
      resources: ["*"],
    }),
    ...(props.inVpc ? [new PolicyStatement({ actions: IN_VPC, resources: ["*"] })] : []),
  ];
  return new Role(scope, "Role", {
    description: `What ${props.declaration.name} may do in ${props.stage}`,
    assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
    // Within the role, so that no event source mapping is created before the permissions it needs.
    inlinePolicies: { declared: new PolicyDocument({ statements }) },
  });
}

function declared(scope: Construct, props: RoleProps, statement: Statement): PolicyStatement[] {
  const { actions, resource } = statement;
  const allow = (allowed: string[], arn: string) =>
    new PolicyStatement({ actions: allowed, resources: [arn] });
  switch (resource.kind) {
    case "table":
      return [allow(actions, tableArn(scope, props.stage, resource.table))];
    case "index":
      return [allow(actions, tableArn(scope, props.stage, resource.table, `index/${resource.index}`))];
    case "queue":
      return [allow(actions, queueArn(scope, props.stage, resource.queue))];
    case "secret":
      return [allow(actions, secretArn(scope, props.stage, resource.secret))];
    case "mail":
      return [allow(actions, mailIdentityArn(scope, props.mailDomain))];
    case "stream": {
      // Listing streams is authorized before a stream is known: AWS's example policy "Access for a
      // DynamoDB stream only" names it on all streams of one table.
      const listing = actions.filter((action) => action === "dynamodb:ListStreams");
      const others = actions.filter((action) => action !== "dynamodb:ListStreams");
      return [
        ...(others.length > 0 ? [allow(others, props.streamArns(resource.table))] : []),
        ...(listing.length > 0
          ? [allow(listing, tableArn(scope, props.stage, resource.table, "stream/*"))]
          : []),
      ];
    }
  }
}
