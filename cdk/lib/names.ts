// Names and ARNs. They are fixed, so that programs find their tables, queues and secrets by stage
// and name alone, and policies need no reference from stack to stack.

import { ArnFormat, Stack } from "aws-cdk-lib";
import type { Construct } from "constructs";

import type { StageName } from "./stage.ts";

/** The name in AWS of a table, queue, function or topic. */
export function fullName(stage: StageName, name: string): string {
  return `rollcall-${stage}-${name}`;
}

/** The name in AWS of a secret. */
export function secretName(stage: StageName, secret: string): string {
  return `rollcall/${stage}/${secret}`;
}

export function logGroupName(stage: StageName, functionName: string): string {
  return `/aws/lambda/${fullName(stage, functionName)}`;
}

/** The ARN of a table, or of a part of it such as `index/due`. */
export function tableArn(scope: Construct, stage: StageName, table: string, part?: string): string {
  const name = fullName(stage, table);
  const resourceName = part === undefined ? name : `${name}/${part}`;
  return Stack.of(scope).formatArn({ service: "dynamodb", resource: "table", resourceName });
}

/** The alias that everything calls; a release moves it from one version to the next. */
export const LIVE = "live";

/** The ARN of a function's live alias, for those that name it before it is there. */
export function liveArn(scope: Construct, stage: StageName, name: string): string {
  return Stack.of(scope).formatArn({
    service: "lambda",
    resource: "function",
    resourceName: `${fullName(stage, name)}:${LIVE}`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}

/** The log group of the API's requests. */
export function accessLogName(stage: StageName): string {
  return `/aws/vendedlogs/${fullName(stage, "api")}`;
}

/** The ARN of an alarm, for those that name it before it is there. */
export function alarmArn(scope: Construct, stage: StageName, alarm: string): string {
  return Stack.of(scope).formatArn({
    service: "cloudwatch",
    resource: "alarm",
    resourceName: fullName(stage, alarm),
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}

export function queueArn(scope: Construct, stage: StageName, queue: string): string {
  return Stack.of(scope).formatArn({ service: "sqs", resource: fullName(stage, queue) });
}

/** The ARN of the identity at SES that a deployment's mail comes from: its domain. */
export function mailIdentityArn(scope: Construct, domain: string): string {
  return Stack.of(scope).formatArn({ service: "ses", resource: "identity", resourceName: domain });
}

/** The ARN of a secret. Secrets Manager adds a dash and six characters of its own to the name. */
export function secretArn(scope: Construct, stage: StageName, secret: string): string {
  return Stack.of(scope).formatArn({
    service: "secretsmanager",
    resource: "secret",
    resourceName: `${secretName(stage, secret)}-??????`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}
