// One DynamoDB table as the catalogue declares it, with the protections of its stage.

import { RemovalPolicy } from "aws-cdk-lib";
import {
  AttributeType,
  Billing,
  Capacity,
  type CfnGlobalTable,
  StreamViewType,
  TableEncryptionV2,
  TableV2,
} from "aws-cdk-lib/aws-dynamodb";
import type { IKey } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";

import type { TableDeclaration } from "../catalogue.ts";
import type { Deployment } from "../deployment.ts";
import { fullName } from "../names.ts";
import { RECOVERY_DAYS, type Stage } from "../stage.ts";

const text = (name: string) => ({ name, type: AttributeType.STRING });

export interface TableProps {
  readonly stage: Stage;
  readonly declaration: TableDeclaration;
  readonly deployment: Deployment;
  /** The key that items are stored under; the AWS managed one where there is none. */
  readonly key: IKey | undefined;
}

/** Where capacity follows the load, it is raised before this share of it is used, in percent. */
const UTILISATION = 70;

export function createTable(scope: Construct, props: TableProps): TableV2 {
  const { stage, declaration, deployment, key } = props;
  const { provisioned_capacity: provisioned, replica_regions: replicas } = deployment;
  const follows = ({ min, max }: { min: number; max: number }) =>
    Capacity.autoscaled({
      minCapacity: min,
      maxCapacity: max,
      targetUtilizationPercent: UTILISATION,
    });
  const table = new TableV2(scope, declaration.name, {
    tableName: fullName(stage.name, declaration.name),
    partitionKey: text(declaration.partition_key),
    sortKey: text(declaration.sort_key),
    // Indexes carry whole items, TableV2's default.
    globalSecondaryIndexes: declaration.indexes.map((index) => ({
      indexName: index.name,
      partitionKey: text(index.partition_key),
      sortKey: text(index.sort_key),
    })),
    billing:
      provisioned === undefined
        ? Billing.onDemand()
        : Billing.provisioned({
            readCapacity: follows(provisioned.read),
            writeCapacity: follows(provisioned.write),
          }),
    encryption: TableEncryptionV2.awsManagedKey(),
    replicas: replicas.map((region) => ({ region })),
    // Replicas are kept by the stream.
    ...((declaration.stream || replicas.length > 0) && { dynamoStream: StreamViewType.NEW_AND_OLD_IMAGES }),
    ...(declaration.time_to_live !== null && { timeToLiveAttribute: declaration.time_to_live }),
    pointInTimeRecoverySpecification: {
      pointInTimeRecoveryEnabled: stage.protectsData,
      ...(stage.protectsData && { recoveryPeriodInDays: RECOVERY_DAYS }),
    },
    deletionProtection: stage.protectsData,
    removalPolicy: stage.protectsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
  if (key !== undefined) {
    // TableV2 wants to know the region for a key of our own; CloudFormation does not.
    (table.node.defaultChild as CfnGlobalTable).addPropertyOverride("Replicas.0.SSESpecification", {
      KMSMasterKeyId: key.keyArn,
    });
  }
  return table;
}
