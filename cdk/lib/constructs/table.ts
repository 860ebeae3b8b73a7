// One DynamoDB table as the catalogue declares it, with the protections of its stage.

import { RemovalPolicy } from "aws-cdk-lib";
import {
  AttributeType,
  Billing,
  StreamViewType,
  TableEncryptionV2,
  TableV2,
} from "aws-cdk-lib/aws-dynamodb";
import type { Construct } from "constructs";

import type { TableDeclaration } from "../catalogue.ts";
import { fullName } from "../names.ts";
import { RECOVERY_DAYS, type Stage } from "../stage.ts";

const text = (name: string) => ({ name, type: AttributeType.STRING });

export function createTable(scope: Construct, stage: Stage, declaration: TableDeclaration): TableV2 {
  return new TableV2(scope, declaration.name, {
    tableName: fullName(stage.name, declaration.name),
    partitionKey: text(declaration.partition_key),
    sortKey: text(declaration.sort_key),
    // Indexes carry whole items, TableV2's default.
    globalSecondaryIndexes: declaration.indexes.map((index) => ({
      indexName: index.name,
      partitionKey: text(index.partition_key),
      sortKey: text(index.sort_key),
    })),
    billing: Billing.onDemand(),
    // The AWS managed key, unlike a key of our own, needs no permissions in functions' roles.
    encryption: TableEncryptionV2.awsManagedKey(),
    ...(declaration.stream && { dynamoStream: StreamViewType.NEW_AND_OLD_IMAGES }),
    ...(declaration.time_to_live !== null && { timeToLiveAttribute: declaration.time_to_live }),
    pointInTimeRecoverySpecification: {
      pointInTimeRecoveryEnabled: stage.protectsData,
      ...(stage.protectsData && { recoveryPeriodInDays: RECOVERY_DAYS }),
    },
    deletionProtection: stage.protectsData,
    removalPolicy: stage.protectsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
}
