// What brings streams, queues and time to functions. Nothing here can lose a record in silence:
// batches fail in parts, retries end, and what is given up goes where somebody looks.

import { Duration } from "aws-cdk-lib";
import { Rule, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction as LambdaTarget } from "aws-cdk-lib/aws-events-targets";
import {
  type Alias,
  CfnPermission,
  EventSourceMapping,
  type IFunction,
  StartingPosition,
} from "aws-cdk-lib/aws-lambda";
import type { Construct } from "constructs";

import type { QueueTrigger, ScheduleTrigger, StreamTrigger } from "../catalogue.ts";

/** CDK's classes leave optional properties undefined, which its interfaces do not allow for. */
const called = (alias: Alias) => alias as IFunction;

/** Feeds a function from a table's stream; `failureQueueArn` gets a note of what was given up. */
export function mapStream(
  target: Alias,
  trigger: StreamTrigger,
  streamArn: string,
  failureQueueArn: string,
): void {
  new EventSourceMapping(target, `Stream-${trigger.table}`, {
    target: called(target),
    eventSourceArn: streamArn,
    // From the oldest record: what was written while the mapping was being made counts too.
    startingPosition: StartingPosition.TRIM_HORIZON,
    batchSize: trigger.batch_size,
    maxBatchingWindow: Duration.seconds(trigger.batch_window_seconds),
    parallelizationFactor: trigger.parallelization_factor,
    retryAttempts: trigger.retry_attempts_max,
    maxRecordAge: Duration.seconds(trigger.record_age_seconds_max),
    bisectBatchOnError: true,
    reportBatchItemFailures: true,
    // CDK's SqsDlq would also grant; the permission is declared already.
    onFailure: { bind: () => ({ destination: failureQueueArn }) },
  });
}

/** Feeds a function from a queue; what fails again and again goes to the queue's dead letters. */
export function mapQueue(target: Alias, trigger: QueueTrigger, queueArn: string): void {
  new EventSourceMapping(target, `Queue-${trigger.queue}`, {
    target: called(target),
    eventSourceArn: queueArn,
    batchSize: trigger.batch_size,
    reportBatchItemFailures: true,
  });
}

/** Lambda keeps an event no longer than this. */
const EVENT_AGE_MINUTES_MAX = 6 * 60;

/** Invokes a function again and again. */
export function schedule(scope: Construct, target: Alias, trigger: ScheduleTrigger): void {
  const every = Duration.minutes(trigger.every_minutes);
  // A tick that fails is not repeated: the next one does its work, and a backlog would do it twice.
  const maxEventAge = Duration.minutes(Math.min(trigger.every_minutes, EVENT_AGE_MINUTES_MAX));
  target.configureAsyncInvoke({ maxEventAge, retryAttempts: 0 });
  new Rule(scope, `Every-${trigger.every_minutes}-minutes`, {
    schedule: Schedule.rate(every),
    targets: [new LambdaTarget(called(target), { maxEventAge })],
  });
}

/** Lets the user pool call a function, and no other pool. */
export function allowUserPool(target: Alias, userPoolArn: string | undefined): void {
  if (userPoolArn !== undefined && target.node.tryFindChild("UserPool") === undefined) {
    new CfnPermission(target, "UserPool", {
      action: "lambda:InvokeFunction",
      functionName: target.functionArn,
      principal: "cognito-idp.amazonaws.com",
      sourceArn: userPoolArn,
    });
  }
}
