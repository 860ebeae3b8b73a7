import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { fixture, ofType, SYNTHESES, synthesise } from "./support.ts";
import { list, at } from "./template.ts";

const MADE_BY_US = ["csrf-key", "cursor-key", "feed-key", "certificate-key", "lab-validator-key", "token-key"];

for (const synthesis of SYNTHESES) {
  const { catalogue, stage, title } = synthesis;
  const isProtected = stage.name !== "dev";

  test(`${title}: the tables are the declared ones`, () => {
    const actual = ofType(synthesis, "AWS::DynamoDB::GlobalTable").map(({ Properties }) => ({
      name: Properties["TableName"],
      keys: keys(Properties),
      indexes: list(Properties["GlobalSecondaryIndexes"]).map((index) => ({
        name: at(index, "IndexName"),
        keys: keys(index),
        projection: at(index, "Projection", "ProjectionType"),
      })),
      stream: Properties["StreamSpecification"],
      expiry: Properties["TimeToLiveSpecification"],
      billing: Properties["BillingMode"],
    }));
    const declared = catalogue.tables.map((table) => ({
      name: `rollcall-${stage.name}-${table.name}`,
      keys: [table.partition_key, table.sort_key],
      indexes: table.indexes.map((index) => ({
        name: index.name,
        keys: [index.partition_key, index.sort_key],
        projection: "ALL",
      })),
      stream: table.stream ? { StreamViewType: "NEW_AND_OLD_IMAGES" } : undefined,
      expiry: table.time_to_live
        ? { AttributeName: table.time_to_live, Enabled: true }
        : undefined,
      billing: "PAY_PER_REQUEST",
    }));
    assert.deepEqual(actual, declared);
  });

  test(`${title}: tables are protected as the stage says`, () => {
    for (const table of ofType(synthesis, "AWS::DynamoDB::GlobalTable")) {
      const [replica, ...others] = list(table.Properties["Replicas"]);
      assert.deepEqual(others, []);
      assert.equal(at(replica, "DeletionProtectionEnabled"), isProtected);
      assert.deepEqual(
        at(replica, "PointInTimeRecoverySpecification"),
        isProtected
          ? { PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: 35 }
          : { PointInTimeRecoveryEnabled: false },
      );
      assert.deepEqual(table.Properties["SSESpecification"], { SSEEnabled: true, SSEType: "KMS" });
      const [key] = ofType(synthesis, "AWS::KMS::Key");
      assert.deepEqual(
        at(replica, "SSESpecification"),
        isProtected ? { KMSMasterKeyId: `${key?.id}.Arn` } : undefined,
      );
      assert.equal(table.DeletionPolicy, isProtected ? "Retain" : "Delete");
      assert.equal(table.UpdateReplacePolicy, isProtected ? "Retain" : "Delete");
    }
    assert.equal(synthesis.app.data?.terminationProtection, isProtected);
  });

  test(`${title}: the only secret with a value is one that nobody has to know`, () => {
    const secrets = ofType(synthesis, "AWS::SecretsManager::Secret");
    assert.deepEqual(
      secrets.map(({ Properties }) => Properties["Name"]),
      MADE_BY_US.filter((secret) => catalogue.secrets.includes(secret)).map(
        (secret) => `rollcall/${stage.name}/${secret}`,
      ),
    );
    for (const secret of secrets) {
      assert.equal(secret.Properties["SecretString"], undefined);
      assert.equal(at(secret.Properties, "GenerateSecretString", "PasswordLength"), 64);
      assert.equal(secret.DeletionPolicy, isProtected ? "Retain" : "Delete");
    }
  });

  test(`${title}: the operator is told of every other secret`, () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    for (const secret of catalogue.secrets.filter((name) => !MADE_BY_US.includes(name))) {
      assert.ok(readme.includes(`rollcall/{stage}/${secret}`), secret);
    }
  });
}

test("a secret of unknown origin stops the synthesis", () => {
  const catalogue = fixture();
  catalogue.secrets.push("new-secret");
  assert.throws(() => synthesise("dev", catalogue), /secret new-secret/);
});

function keys(schema: unknown): unknown[] {
  return list(at(schema, "KeySchema")).map((key) => at(key, "AttributeName"));
}
