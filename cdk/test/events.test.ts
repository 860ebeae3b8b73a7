import assert from "node:assert/strict";
import { test } from "node:test";

import { ofType, SYNTHESES } from "./support.ts";
import { at, list } from "./template.ts";

for (const synthesis of SYNTHESES) {
  const { catalogue, stage, title } = synthesis;
  const full = (name: string) => `rollcall-${stage.name}-${name}`;
  const queueArn = (name: string) => `arn:aws:sqs:region:account:${full(name)}`;
  const triggers = catalogue.functions.flatMap((declaration) =>
    declaration.triggers.map((trigger) => ({ trigger, target: full(declaration.name) })),
  );
  const mappings = ofType(synthesis, "AWS::Lambda::EventSourceMapping").map(
    ({ Properties: { Tags: _tags, ...properties } }) => properties,
  );

  test(`${title}: the event source mappings are the declared ones and lose nothing`, () => {
    const declared = triggers.flatMap(({ trigger, target }) => {
      if (trigger.kind === "stream") {
        return [
          {
            FunctionName: `${target}:live`,
            EventSourceArn: `arn:aws:dynamodb:region:account:table/${full(trigger.table)}/stream/LABEL`,
            StartingPosition: "TRIM_HORIZON",
            BatchSize: trigger.batch_size,
            MaximumBatchingWindowInSeconds: trigger.batch_window_seconds,
            ParallelizationFactor: trigger.parallelization_factor,
            MaximumRetryAttempts: trigger.retry_attempts_max,
            MaximumRecordAgeInSeconds: trigger.record_age_seconds_max,
            BisectBatchOnFunctionError: true,
            FunctionResponseTypes: ["ReportBatchItemFailures"],
            DestinationConfig: { OnFailure: { Destination: queueArn(trigger.failure_queue) } },
          },
        ];
      }
      if (trigger.kind === "queue") {
        return [
          {
            FunctionName: `${target}:live`,
            EventSourceArn: queueArn(trigger.queue),
            BatchSize: trigger.batch_size,
            FunctionResponseTypes: ["ReportBatchItemFailures"],
          },
        ];
      }
      return [];
    });
    assert.deepEqual(mappings, declared);
  });

  test(`${title}: every schedule is there and only its rule may invoke the function`, () => {
    const declared = triggers.flatMap(({ trigger, target }) =>
      trigger.kind === "schedule"
        ? [{ target: `arn:aws:lambda:region:account:function:${target}:live`, ...trigger }]
        : [],
    );
    const rules = ofType(synthesis, "AWS::Events::Rule");
    assert.deepEqual(
      rules.map(({ Properties }) => [
        Properties["ScheduleExpression"],
        list(Properties["Targets"]).map((target) => at(target, "Arn")),
      ]),
      declared.map(({ every_minutes, target }) => [
        every_minutes === 1 ? "rate(1 minute)" : `rate(${every_minutes} minutes)`,
        [target],
      ]),
    );
    const permissions = ofType(synthesis, "AWS::Lambda::Permission")
      .map(({ Properties }) => Properties)
      .filter((permission) => permission["Principal"] === "events.amazonaws.com");
    assert.deepEqual(
      permissions.map((permission) => [
        permission["Principal"],
        permission["SourceArn"],
        permission["FunctionName"],
      ]),
      rules.map((rule, position) => [
        "events.amazonaws.com",
        `${rule.id}.Arn`,
        declared[position]?.target,
      ]),
    );
    const retries = ofType(synthesis, "AWS::Lambda::EventInvokeConfig");
    assert.deepEqual(
      retries.map(({ Properties }) => Properties["MaximumRetryAttempts"]),
      declared.map(() => 0),
    );
  });

  test(`${title}: every queue is declared, sealed, and has dead letters or is their place`, () => {
    const actual = ofType(synthesis, "AWS::SQS::Queue").map(({ Properties }) => ({
      name: Properties["QueueName"],
      visibility: Properties["VisibilityTimeout"],
      retention: Properties["MessageRetentionPeriod"],
      encrypted: Properties["SqsManagedSseEnabled"],
      redrive: Properties["RedrivePolicy"],
      allows: Properties["RedriveAllowPolicy"],
    }));
    const declared = catalogue.queues.map((queue) => ({
      name: full(queue.name),
      visibility: queue.visibility_timeout_seconds,
      retention: queue.retention_seconds,
      encrypted: true,
      redrive: queue.redrive
        ? {
            deadLetterTargetArn: queueArn(queue.redrive.dead_letter_queue),
            maxReceiveCount: queue.redrive.receives_max,
          }
        : undefined,
      allows: queue.redrive
        ? undefined
        : {
            redrivePermission: "byQueue",
            sourceQueueArns: catalogue.queues
              .filter((other) => other.redrive?.dead_letter_queue === queue.name)
              .map((other) => queueArn(other.name)),
          },
    }));
    const sorted = <T extends { name: unknown }>(items: T[]) =>
      items.sort((left, right) => String(left.name).localeCompare(String(right.name)));
    assert.deepEqual(sorted(actual), sorted(declared));
    for (const queue of declared) {
      assert.ok(queue.redrive !== undefined || queue.allows?.sourceQueueArns.length === 1);
    }
  });

  test(`${title}: queues are reached by TLS only, and by nobody from outside`, () => {
    const policies = ofType(synthesis, "AWS::SQS::QueuePolicy").map(({ Properties }) => Properties);
    assert.deepEqual(
      policies.flatMap((policy) => list(policy["Queues"])).sort(),
      catalogue.queues.map(({ name }) => full(name)).sort(),
    );
    for (const policy of policies) {
      const statements = list(at(policy, "PolicyDocument", "Statement"));
      assert.deepEqual(
        statements.map((statement) => [
          at(statement, "Effect"),
          at(statement, "Action"),
          at(statement, "Condition"),
        ]),
        [["Deny", "sqs:*", { Bool: { "aws:SecureTransport": "false" } }]],
      );
    }
  });
}
