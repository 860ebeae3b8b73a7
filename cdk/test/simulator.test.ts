// Simulates IAM over the generated policies: each function may do exactly what the whole-system tests
// were seen to need, and none of what no function may.
//
// The tests leave records of what they used in target/grants-used. Where there are none, what the code
// declares stands in for them: `rollcall grants` holds the two equal.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Statement } from "../lib/catalogue.ts";
import { generated, ofType, synthesise } from "./support.ts";
import { at, list } from "./template.ts";

interface Request {
  readonly action: string;
  readonly resource: string;
}

const RECORDS = fileURLToPath(new URL("../../target/grants-used", import.meta.url));
const dev = synthesise("dev", generated());
const functions = ofType(dev, "AWS::Lambda::Function").map(({ Properties }) => ({
  name: String(Properties["FunctionName"]).replace("rollcall-dev-", ""),
  statements: list(
    at(
      ofType(dev, "AWS::IAM::Role").find(({ id }) => `${id}.Arn` === Properties["Role"])?.Properties,
      "Policies",
    ),
  ).flatMap((policy) => list(at(policy, "PolicyDocument", "Statement"))),
}));

/** IAM's decision: nothing is allowed unless a statement does, and none denies. */
function isAllowed(statements: unknown[], { action, resource }: Request): boolean {
  const matching = statements.filter(
    (statement) =>
      list(at(statement, "Action")).some((pattern) => matches(String(pattern), action)) &&
      list(at(statement, "Resource")).some((pattern) => matches(String(pattern), resource)),
  );
  const effects = matching.map((statement) => at(statement, "Effect"));
  return effects.includes("Allow") && !effects.includes("Deny");
}

/** `*` stands for any text and `?` for one character. */
function matches(pattern: string, text: string): boolean {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`).test(text);
}

/** What functions were seen to do, or declare to need, as requests. */
function needed(): Map<string, Request[]> {
  const found = new Map<string, Request[]>(functions.map(({ name }) => [name, []]));
  for (const { name, statements } of generated().functions) {
    found.get(name)?.push(...statements.flatMap(requests));
  }
  for (const file of existsSync(RECORDS) ? readdirSync(RECORDS) : []) {
    const uses = JSON.parse(readFileSync(join(RECORDS, file), "utf8")) as (Request & { function: string })[];
    for (const { function: name, action, resource } of uses) {
      found.get(name)?.push({ action, resource: real(resource) });
    }
  }
  return found;
}

/** An ARN of the local cloud as the template's would be. */
function real(arn: string): string {
  const [prefix, partition, service, , , ...rest] = arn.split(":");
  return [prefix, partition, service, "region", "account", ...rest].join(":").replace(/\/stream\/.*$/, "/stream/LABEL");
}

function requests({ actions, resource }: Statement): Request[] {
  const table = (name: string) => `arn:aws:dynamodb:region:account:table/rollcall-dev-${name}`;
  const arn = (): string => {
    switch (resource.kind) {
      case "table":
        return table(resource.table);
      case "index":
        return `${table(resource.table)}/index/${resource.index}`;
      case "stream":
        return `${table(resource.table)}/stream/LABEL`;
      case "queue":
        return `arn:aws:sqs:region:account:rollcall-dev-${resource.queue}`;
      case "secret":
        return `arn:aws:secretsmanager:region:account:secret:rollcall/dev/${resource.secret}-a1B2c3`;
      case "mail":
        return "arn:aws:ses:region:account:identity/dev.rollcall.example";
    }
  };
  return actions.map((action) => ({ action, resource: arn() }));
}

const key = ({ action, resource }: Request) => `${action} on ${resource}`;

test("every function may do what it was seen to need", () => {
  const missing = [...needed()].flatMap(([name, uses]) => {
    const { statements } = functions.find((each) => each.name === name) ?? { statements: [] };
    // Records name mail and secrets as the local cloud knows them; those are compared as declared.
    const comparable = uses.filter(({ resource }) => /:(dynamodb|sqs):|LABEL|a1B2c3|identity\/dev/.test(resource));
    return comparable.filter((use) => !isAllowed(statements, use)).map((use) => `${name}: ${key(use)}`);
  });
  assert.deepEqual(missing, []);
});

test("no function may do what only others need", () => {
  const declared = new Map(
    generated().functions.map(({ name, statements }) => [name, new Set(statements.flatMap(requests).map(key))]),
  );
  const everything = new Map(
    generated().functions.flatMap(({ statements }) => statements.flatMap(requests)).map((use) => [key(use), use]),
  );
  let denied = 0;
  for (const { name, statements } of functions) {
    for (const [text, use] of everything) {
      const expected = declared.get(name)?.has(text) ?? false;
      assert.equal(isAllowed(statements, use), expected, `${name}: ${text}`);
      denied += expected ? 0 : 1;
    }
  }
  assert.ok(denied > 5_000, `${denied} requests were denied`);
});

const TABLE = "arn:aws:dynamodb:region:account:table";
/** What no function may, whatever it is for. */
const FORBIDDEN: readonly Request[] = [
  { action: "dynamodb:DeleteTable", resource: `${TABLE}/rollcall-dev-users` },
  { action: "dynamodb:Scan", resource: `${TABLE}/rollcall-dev-users` },
  { action: "dynamodb:GetItem", resource: `${TABLE}/rollcall-prod-users` },
  { action: "dynamodb:PutItem", resource: `${TABLE}/rollcall-staging-users` },
  { action: "dynamodb:UpdateItem", resource: `${TABLE}/rollcall-dev-audit` },
  { action: "dynamodb:DeleteItem", resource: `${TABLE}/rollcall-dev-audit` },
  { action: "dynamodb:UpdateContinuousBackups", resource: `${TABLE}/rollcall-dev-users` },
  { action: "dynamodb:ExportTableToPointInTime", resource: `${TABLE}/rollcall-dev-users` },
  { action: "secretsmanager:PutSecretValue", resource: "arn:aws:secretsmanager:region:account:secret:rollcall/dev/csrf-key-a1B2c3" },
  { action: "secretsmanager:GetSecretValue", resource: "arn:aws:secretsmanager:region:account:secret:rollcall/prod/csrf-key-a1B2c3" },
  { action: "secretsmanager:GetSecretValue", resource: "arn:aws:secretsmanager:region:account:secret:others-a1B2c3" },
  { action: "iam:PassRole", resource: "arn:aws:iam::account:role/any" },
  { action: "sts:AssumeRole", resource: "arn:aws:iam::account:role/rollcall-dev-deploy" },
  { action: "lambda:InvokeFunction", resource: "arn:aws:lambda:region:account:function:rollcall-dev-flag-set" },
  { action: "lambda:UpdateFunctionCode", resource: "arn:aws:lambda:region:account:function:rollcall-dev-health" },
  { action: "sqs:PurgeQueue", resource: "arn:aws:sqs:region:account:rollcall-dev-crm-drain" },
  { action: "s3:GetObject", resource: "arn:aws:s3:::anything/at-all" },
  { action: "kms:Decrypt", resource: "arn:aws:kms:region:account:key/any" },
  { action: "cognito-idp:AdminSetUserPassword", resource: "arn:aws:cognito-idp:region:account:userpool/any" },
  { action: "logs:GetLogEvents", resource: "arn:aws:logs:region:account:log-group:/aws/lambda/rollcall-dev-health:*" },
];

for (const request of FORBIDDEN) {
  test(`no function may ${key(request)}`, () => {
    const may = functions.filter(({ statements }) => isAllowed(statements, request));
    assert.deepEqual(may.map(({ name }) => name), []);
  });
}

test("the simulator decides as IAM does", () => {
  const allow = (action: string, resource: string) => ({ Effect: "Allow", Action: action, Resource: resource });
  const request = { action: "sqs:SendMessage", resource: "arn:q" };
  assert.ok(isAllowed([allow("sqs:SendMessage", "arn:q")], request));
  assert.ok(isAllowed([allow("sqs:*", "arn:?")], request));
  assert.ok(!isAllowed([allow("sqs:SendMessage", "arn:other")], request));
  assert.ok(!isAllowed([allow("sqs.SendMessage", "arn:q")], request));
  assert.ok(!isAllowed([], request));
  assert.ok(!isAllowed([allow("*", "*"), { ...allow("*", "*"), Effect: "Deny" }], request));
});
