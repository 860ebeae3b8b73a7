// What must survive everything else: the tables, the secrets that we make ourselves, the key that both
// are stored under, and their backups.

import { Aws, Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { BackupPlan, BackupPlanRule, BackupResource, BackupVault } from "aws-cdk-lib/aws-backup";
import type { TableV2 } from "aws-cdk-lib/aws-dynamodb";
import { Schedule } from "aws-cdk-lib/aws-events";
import { AnyPrincipal, ManagedPolicy, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Key } from "aws-cdk-lib/aws-kms";
import { Secret } from "aws-cdk-lib/aws-secretsmanager";
import type { Construct } from "constructs";

import type { Catalogue } from "./catalogue.ts";
import { createTable } from "./constructs/table.ts";
import type { Deployment } from "./deployment.ts";
import { fullName, secretName } from "./names.ts";
import { generatedSecrets } from "./secrets.ts";
import { RECOVERY_DAYS, type Stage } from "./stage.ts";

/** 64 letters and digits carry more than 256 bits. */
const GENERATED_SECRET_LENGTH = 64;

/** How long a month's backup is kept. */
const MONTHLY_BACKUP_DAYS = 365;

export class DataStack extends Stack {
  private readonly tables: ReadonlyMap<string, TableV2>;

  constructor(scope: Construct, stage: Stage, catalogue: Catalogue, deployment: Deployment) {
    super(scope, "data", { terminationProtection: stage.protectsData });
    // A key is of one region; replicas are stored under the AWS managed keys of theirs.
    const key =
      stage.protectsData && deployment.replica_regions.length === 0
        ? this.createKey(stage)
        : undefined;
    this.tables = new Map(
      catalogue.tables.map((table) => [
        table.name,
        createTable(this, { stage, declaration: table, deployment, key }),
      ]),
    );
    for (const secret of generatedSecrets(catalogue.secrets)) {
      new Secret(this, secret, {
        secretName: secretName(stage.name, secret),
        generateSecretString: {
          passwordLength: GENERATED_SECRET_LENGTH,
          excludePunctuation: true,
        },
        removalPolicy: stage.protectsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
        replicaRegions: deployment.replica_regions.map((region) => ({ region })),
      });
    }
    if (stage.protectsData) {
      this.createBackups(stage);
    }
  }

  /**
   * A key of our own: closing it closes the tables, whoever has been allowed what. Whoever may use a
   * table may use the key for that and for nothing else, as with the key of AWS, so no role names it.
   */
  private createKey(stage: Stage): Key {
    const key = new Key(this, "Key", {
      alias: fullName(stage.name, "data"),
      description: `Tables of ${stage.name}`,
      enableKeyRotation: true,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    key.addToResourcePolicy(
      new PolicyStatement({
        sid: "ThroughDynamoDb",
        principals: [new AnyPrincipal()],
        actions: [
          "kms:CreateGrant",
          "kms:Decrypt",
          "kms:DescribeKey",
          "kms:Encrypt",
          "kms:GenerateDataKey",
          "kms:GenerateDataKeyWithoutPlaintext",
          "kms:ReEncryptFrom",
          "kms:ReEncryptTo",
        ],
        resources: ["*"],
        conditions: {
          StringEquals: {
            "kms:CallerAccount": Aws.ACCOUNT_ID,
            "kms:ViaService": `dynamodb.${Aws.REGION}.amazonaws.com`,
          },
        },
      }),
    );
    return key;
  }

  /** Beside point-in-time recovery, which a deleted table takes with it: copies in a vault. */
  private createBackups(stage: Stage): void {
    const vault = new BackupVault(this, "Backups", {
      backupVaultName: fullName(stage.name, "backups"),
      removalPolicy: RemovalPolicy.RETAIN,
    });
    const plan = new BackupPlan(this, "BackupPlan", {
      backupPlanName: fullName(stage.name, "tables"),
      backupVault: vault,
      backupPlanRules: [
        new BackupPlanRule({
          ruleName: "daily",
          scheduleExpression: Schedule.cron({ hour: "3", minute: "0" }),
          deleteAfter: Duration.days(RECOVERY_DAYS),
        }),
        new BackupPlanRule({
          ruleName: "monthly",
          scheduleExpression: Schedule.cron({ day: "1", hour: "4", minute: "0" }),
          deleteAfter: Duration.days(MONTHLY_BACKUP_DAYS),
        }),
      ],
    });
    plan.addSelection("Tables", {
      resources: [...this.tables.values()].map((table) => BackupResource.fromArn(table.tableArn)),
      role: new Role(this, "BackupRole", {
        description: `Backs up the tables of ${stage.name}`,
        assumedBy: new ServicePrincipal("backup.amazonaws.com"),
        managedPolicies: [
          ManagedPolicy.fromAwsManagedPolicyName(
            "service-role/AWSBackupServiceRolePolicyForBackup",
          ),
        ],
      }),
      disableDefaultBackupPolicy: true,
    });
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
