import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Template } from "aws-cdk-lib/assertions";

import { refusals, type TemplateOf, type TemplateResource } from "../lib/replacement.ts";
import { fixture, synthesise } from "./support.ts";

const TABLE: TemplateResource = {
  Type: "AWS::DynamoDB::GlobalTable",
  DeletionPolicy: "Retain",
  Properties: {
    TableName: "rollcall-prod-users",
    KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }],
    BillingMode: "PAY_PER_REQUEST",
  },
};
const before: TemplateOf = { Resources: { users: TABLE } };
const changed = (properties: object, more: object = {}): TemplateOf => ({
  Resources: { users: { ...TABLE, ...more, Properties: { ...TABLE.Properties, ...properties } } },
});

for (const [what, after, expected] of [
  ["nothing changes", before, []],
  ["keys in another order", changed({ KeySchema: [{ KeyType: "HASH", AttributeName: "pk" }] }), []],
  ["what can change in place", changed({ BillingMode: "PROVISIONED" }), []],
  ["a new resource", { Resources: { users: TABLE, more: TABLE } }, []],
  ["another name", changed({ TableName: "x" }), ["would be replaced: TableName changes"]],
  ["other keys", changed({ KeySchema: [] }), ["would be replaced: KeySchema changes"]],
  ["it goes", { Resources: {} }, ["would go"]],
  ["it has another id", { Resources: { people: TABLE } }, ["would go"]],
  ["it is no table any more", { Resources: { users: { Type: "AWS::SQS::Queue" } } }, ["would become AWS::SQS::Queue"]],
  ["it is not retained", changed({}, { DeletionPolicy: "Delete" }), ["would not be retained any more"]],
] as const satisfies [string, TemplateOf, string[]][]) {
  test(`replacement: ${what}`, () => {
    const found = refusals(before, after);
    const prefix = "AWS::DynamoDB::GlobalTable users ";
    assert.deepEqual(found, expected.map((rest) => `${prefix}${rest}`));
  });
}

test("what has no memory may be replaced", () => {
  const role = { Type: "AWS::IAM::Role", Properties: { RoleName: "one" } };
  const other = { Type: "AWS::IAM::Role", Properties: { RoleName: "other" } };
  assert.deepEqual(refusals({ Resources: { role } }, { Resources: { role: other } }), []);
  assert.deepEqual(refusals({ Resources: { role } }, {}), []);
});

test("a table that is renamed in the code is refused, in the templates as they are", () => {
  const catalogue = fixture();
  const template = (of: typeof catalogue): TemplateOf => {
    const { data } = synthesise("prod", of).app;
    assert.ok(data !== undefined);
    return Template.fromStack(data).toJSON() as TemplateOf;
  };
  const deployed = template(catalogue);
  assert.deepEqual(refusals(deployed, template(fixture())), []);
  const [table] = catalogue.tables;
  assert.ok(table !== undefined);
  table.sort_key = "other";
  assert.match(refusals(deployed, template(catalogue)).join(), /KeySchema changes/);
});

test("the command compares folders and fails on a refusal", () => {
  const folder = mkdtempSync(join(tmpdir(), "replacement-"));
  try {
    const write = (name: string, template: TemplateOf) => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "data.template.json"), JSON.stringify(template));
    };
    write("before", before);
    write("same", before);
    write("worse", { Resources: {} });
    const program = fileURLToPath(new URL("../bin/refuse-replacement.ts", import.meta.url));
    const run = (after: string) =>
      spawnSync(process.execPath, ["--import", "tsx", program, join(folder, "before"), join(folder, after)]);
    assert.equal(run("same").status, 0);
    assert.equal(run("worse").status, 1);
    assert.match(run("worse").stderr.toString(), /data\.template\.json: .* users would go/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
