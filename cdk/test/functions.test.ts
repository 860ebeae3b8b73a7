import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { artefactFolder } from "../lib/artefacts.ts";
import type { Statement } from "../lib/catalogue.ts";
import type { StageName } from "../lib/stage.ts";
import { ofType, SYNTHESES, type Synthesis } from "./support.ts";
import { at, list } from "./template.ts";

const MAIL_DOMAINS = {
  dev: "dev.rollcall.example",
  staging: "staging.rollcall.example",
  prod: "rollcall.example",
};
const LOG_RETENTION_DAYS = { dev: 7, staging: 14, prod: 30 };

for (const synthesis of SYNTHESES) {
  const { catalogue, stage, title } = synthesis;

  test(`${title}: every declared function exists once, as declared, and no other`, () => {
    const actual = ofType(synthesis, "AWS::Lambda::Function").map(({ Properties: found }) => ({
      name: found["FunctionName"],
      memory: found["MemorySize"],
      timeout: found["Timeout"],
      concurrency: found["ReservedConcurrentExecutions"],
      runtime: found["Runtime"],
      architectures: found["Architectures"],
      handler: found["Handler"],
      logGroup: at(found, "LoggingConfig", "LogGroup"),
      logFormat: at(found, "LoggingConfig", "LogFormat"),
      tracing: at(found, "TracingConfig", "Mode"),
    }));
    const declared = catalogue.functions.map((declaration) => ({
      name: `rollcall-${stage.name}-${declaration.name}`,
      memory: declaration.memory_mb,
      timeout: declaration.timeout_seconds,
      concurrency:
        stage.name === "prod" ? (declaration.reserved_concurrency ?? undefined) : undefined,
      runtime: "provided.al2023",
      architectures: ["arm64"],
      handler: "bootstrap",
      logGroup: `/aws/lambda/rollcall-${stage.name}-${declaration.name}`,
      logFormat: "JSON",
      tracing: "Active",
    }));
    assert.deepEqual(byName(actual), byName(declared));
  });

  test(`${title}: every role allows what is declared, its logs and traces, and nothing else`, () => {
    const actual = ofType(synthesis, "AWS::Lambda::Function").map((resource) => ({
      name: resource.Properties["FunctionName"],
      allows: allowed(synthesis, resource.Properties["Role"]),
    }));
    const declared = catalogue.functions.map((declaration) => ({
      name: `rollcall-${stage.name}-${declaration.name}`,
      allows: [
        ...declaration.statements.flatMap((statement) => permissions(stage.name, statement)),
        ...["logs:CreateLogStream", "logs:PutLogEvents"].map(
          (action) =>
            `${action} on arn:aws:logs:region:account:log-group:` +
            `/aws/lambda/rollcall-${stage.name}-${declaration.name}:*`,
        ),
        "xray:PutTelemetryRecords on *",
        "xray:PutTraceSegments on *",
      ].sort(),
    }));
    assert.deepEqual(byName(actual), byName(declared));
    const roles = ofType(synthesis, "AWS::Lambda::Function").map(({ Properties }) => Properties["Role"]);
    assert.equal(new Set(roles).size, catalogue.functions.length, "a role of its own each");
  });

  test(`${title}: no policy stands beside the roles, and no role has a managed one`, () => {
    assert.deepEqual(ofType(synthesis, "AWS::IAM::Policy"), []);
    assert.deepEqual(ofType(synthesis, "AWS::IAM::ManagedPolicy"), []);
    const ofFunctions = ofType(synthesis, "AWS::Lambda::Function").map(
      ({ Properties }) => Properties["Role"],
    );
    for (const { id, Properties } of ofType(synthesis, "AWS::IAM::Role")) {
      if (!ofFunctions.includes(`${id}.Arn`)) {
        continue;
      }
      assert.equal(Properties["ManagedPolicyArns"], undefined);
      assert.deepEqual(at(Properties, "AssumeRolePolicyDocument", "Statement"), [
        {
          Action: "sts:AssumeRole",
          Effect: "Allow",
          Principal: { Service: "lambda.amazonaws.com" },
        },
      ]);
    }
  });

  test(`${title}: nothing is allowed by wildcard but what AWS leaves no other way for`, () => {
    const expected = [
      /^logs:(CreateLogStream|PutLogEvents) on arn:aws:logs:[^*]*:log-group:\/aws\/lambda\/[^*]*:\*$/,
      /^xray:(PutTelemetryRecords|PutTraceSegments) on \*$/,
      /^dynamodb:ListStreams on arn:aws:dynamodb:[^*]*:table\/[^*]*\/stream\/\*$/,
      /^secretsmanager:GetSecretValue on arn:aws:secretsmanager:[^*]*-\?{6}$/,
    ];
    const wild = ofType(synthesis, "AWS::IAM::Role")
      .flatMap(({ id }) => allowed(synthesis, `${id}.Arn`))
      .filter((permission) => /[*?]/.test(permission))
      .filter((permission) => !expected.some((pattern) => pattern.test(permission)));
    assert.deepEqual(wild, []);
  });

  test(`${title}: logs are kept as long as the stage says`, () => {
    const groups = ofType(synthesis, "AWS::Logs::LogGroup");
    assert.equal(groups.length, catalogue.functions.length + 1, "one each, and the access log");
    for (const group of groups) {
      assert.equal(group.Properties["RetentionInDays"], LOG_RETENTION_DAYS[stage.name], group.id);
      assert.equal(group.DeletionPolicy, stage.name === "dev" ? "Delete" : "RetainExceptOnCreate");
    }
  });
}

/** What a role allows, as `action on resource`, sorted. */
function allowed(synthesis: Synthesis, roleArn: unknown): string[] {
  const role = ofType(synthesis, "AWS::IAM::Role").find(({ id }) => `${id}.Arn` === roleArn);
  return list(role?.Properties["Policies"])
    .flatMap((policy) => list(at(policy, "PolicyDocument", "Statement")))
    .flatMap((statement) => {
      assert.equal(at(statement, "Effect"), "Allow");
      return list(at(statement, "Action")).flatMap((action) =>
        list(at(statement, "Resource")).map((resource) => `${action} on ${resource}`),
      );
    })
    .sort();
}

/** What a declared statement means in AWS, written down a second time on purpose. */
function permissions(stage: StageName, { actions, resource }: Statement): string[] {
  const dynamodb = "arn:aws:dynamodb:region:account:table/rollcall-" + stage;
  const arn = (action: string): string => {
    switch (resource.kind) {
      case "table":
        return `${dynamodb}-${resource.table}`;
      case "index":
        return `${dynamodb}-${resource.table}/index/${resource.index}`;
      case "stream":
        return action === "dynamodb:ListStreams"
          ? `${dynamodb}-${resource.table}/stream/*`
          : `${dynamodb}-${resource.table}/stream/LABEL`;
      case "queue":
        return `arn:aws:sqs:region:account:rollcall-${stage}-${resource.queue}`;
      case "secret":
        return (
          "arn:aws:secretsmanager:region:account:secret:" +
          `rollcall/${stage}/${resource.secret}-??????`
        );
      case "mail":
        return `arn:aws:ses:region:account:identity/${MAIL_DOMAINS[stage]}`;
    }
  };
  return actions.map((action) => `${action} on ${arn(action)}`);
}

function byName<T extends { name: unknown }>(items: T[]): T[] {
  return items.sort((left, right) => String(left.name).localeCompare(String(right.name)));
}

test("a built program is taken, a missing one is replaced unless it is required", () => {
  const folder = mkdtempSync(join(tmpdir(), "artefacts-"));
  try {
    mkdirSync(join(folder, "health"));
    writeFileSync(join(folder, "health", "bootstrap"), "");
    assert.equal(artefactFolder({ folder, required: true }, "health"), join(folder, "health"));
    assert.match(artefactFolder({ folder, required: false }, "enroll"), /placeholder$/);
    assert.throws(() => artefactFolder({ folder, required: true }, "enroll"), /run make build/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
