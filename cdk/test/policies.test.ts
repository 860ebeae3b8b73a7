import assert from "node:assert/strict";
import { test } from "node:test";

import { generated } from "./support.ts";
import { policies, stored } from "./policies.ts";

test("what roles may do is what was reviewed; npm run policies writes it anew", () => {
  assert.equal(stored(), policies());
});

test("no action is a wildcard, and only listed resources are", () => {
  const wild = stored()
    .split("\n")
    .filter((line) => line.startsWith("  ") && /[*?]/.test(line))
    .map((line) => line.trim())
    .filter((line) => !ALLOWED.some((pattern) => pattern.test(line)));
  assert.deepEqual(wild, []);
});

/** What AWS leaves no other way for; each is explained in nag.test.ts or role.ts. */
const ALLOWED = [
  /^dynamodb:ListStreams dynamodb:table\/rollcall-prod-[a-z-]+\/stream\/\*$/,
  /^secretsmanager:GetSecretValue secretsmanager:secret:rollcall\/prod\/[a-z-]+-\?{6}$/,
  /^sts:AssumeRole iam::account:role\/cdk-hnb659fds-[a-z-]+-role-account-\*$/,
  /^cloudwatch:DescribeAlarms cloudwatch:alarm:rollcall-prod-\*$/,
];

/** What no function may, whatever it is for. */
const NEVER: readonly [string, RegExp][] = [
  ["read or write a table of another stage", /rollcall-(dev|staging)-/],
  ["scan a table", /dynamodb:Scan/],
  ["delete, create or change a table", /dynamodb:(DeleteTable|CreateTable|UpdateTable)/],
  ["restore, or switch off recovery", /dynamodb:(RestoreTable|UpdateContinuousBackups)/],
  ["change or delete what the audit log says", /dynamodb:(UpdateItem|DeleteItem|BatchWriteItem) dynamodb:table\/rollcall-prod-audit/],
  ["write a secret", /secretsmanager:(Put|Update|Create|Delete)/],
  ["use a key beside its service", /kms:/],
  ["become another role, or make one", /(iam:|sts:)/],
  ["call, change or make functions", /lambda:/],
  ["purge or delete a queue", /sqs:(PurgeQueue|DeleteQueue|SetQueueAttributes)/],
  ["administer the user pool", /cognito-idp:/],
  ["read logs", /logs:(Get|Filter|StartQuery)/],
];

for (const [what, pattern] of NEVER) {
  test(`no function may ${what}`, () => {
    const functions = generated().functions.map(({ name }) => `rollcall-prod-${name} `);
    const roles = stored().split(/\n(?=\S)/);
    const ours = roles.filter((role) => functions.some((name) => role.startsWith(name)));
    assert.equal(ours.length, functions.length);
    for (const role of ours) {
      const [title, ...lines] = role.split("\n");
      assert.deepEqual(lines.filter((line) => pattern.test(line)), [], title);
    }
  });
}
