// What must survive everything else: the tables, and the secrets that we make ourselves.
// Keys of our own and backup plans belong here too.

import { RemovalPolicy, Stack } from "aws-cdk-lib";
import type { TableV2 } from "aws-cdk-lib/aws-dynamodb";
import { Secret } from "aws-cdk-lib/aws-secretsmanager";
import type { Construct } from "constructs";

import type { Catalogue } from "./catalogue.ts";
import { createTable } from "./constructs/table.ts";
import { secretName } from "./names.ts";
import { generatedSecrets } from "./secrets.ts";
import type { Stage } from "./stage.ts";

/** 64 letters and digits carry more than 256 bits. */
const GENERATED_SECRET_LENGTH = 64;

export class DataStack extends Stack {
  private readonly tables: ReadonlyMap<string, TableV2>;

  constructor(scope: Construct, stage: Stage, catalogue: Catalogue) {
    super(scope, "data", { terminationProtection: stage.protectsData });
    this.tables = new Map(
      catalogue.tables.map((table) => [table.name, createTable(this, stage, table)]),
    );
    for (const secret of generatedSecrets(catalogue.secrets)) {
      new Secret(this, secret, {
        secretName: secretName(stage.name, secret),
        generateSecretString: {
          passwordLength: GENERATED_SECRET_LENGTH,
          excludePunctuation: true,
        },
        removalPolicy: stage.protectsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
      });
    }
  }

  /** The ARN of a table's stream. */
  streamArn(table: string): string {
    const arn = this.tables.get(table)?.tableStreamArn;
    if (arn === undefined) {
      throw new Error(`table ${table} has no stream`);
    }
    return arn;
  }
}
