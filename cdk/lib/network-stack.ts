// A network of our own, for deployments that switch it on: functions reach third parties from one fixed
// address, and DynamoDB without leaving AWS.

import { RemovalPolicy, Stack } from "aws-cdk-lib";
import {
  FlowLogDestination,
  FlowLogTrafficType,
  GatewayVpcEndpointAwsService,
  SubnetType,
  Vpc,
} from "aws-cdk-lib/aws-ec2";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";

import { fullName } from "./names.ts";
import type { Stage } from "./stage.ts";

const ZONES = 2;

export class NetworkStack extends Stack {
  readonly vpc: Vpc;

  constructor(scope: Construct, stage: Stage) {
    super(scope, "network");
    this.vpc = new Vpc(this, "Vpc", {
      vpcName: fullName(stage.name, "network"),
      maxAzs: ZONES,
      // One address for all: third parties can let it in by name.
      natGateways: 1,
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: "functions", subnetType: SubnetType.PRIVATE_WITH_EGRESS },
        { name: "way-out", subnetType: SubnetType.PUBLIC, mapPublicIpOnLaunch: false },
      ],
    });
    this.vpc.addGatewayEndpoint("DynamoDb", { service: GatewayVpcEndpointAwsService.DYNAMODB });
    const logGroup = new LogGroup(this, "Refused", {
      retention: stage.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.vpc.addFlowLog("Refused", {
      destination: FlowLogDestination.toCloudWatchLogs(logGroup),
      trafficType: FlowLogTrafficType.REJECT,
    });
  }
}
