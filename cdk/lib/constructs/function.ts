// One Lambda function as the catalogue declares it, with a role and a log group of its own.

import { Duration, RemovalPolicy } from "aws-cdk-lib";
import { type IVpc, SubnetType } from "aws-cdk-lib/aws-ec2";
import {
  Alias,
  ApplicationLogLevel,
  Architecture,
  Code,
  Function as LambdaFunction,
  type IVersion,
  LoggingFormat,
  Runtime,
  Tracing,
} from "aws-cdk-lib/aws-lambda";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";

import { artefactFolder, type Artefacts } from "../artefacts.ts";
import type { FunctionDeclaration } from "../catalogue.ts";
import { fullName, LIVE, logGroupName } from "../names.ts";
import { environmentOf } from "../settings.ts";
import type { Stage } from "../stage.ts";
import { createRole, type StreamArns } from "./role.ts";
import { Rollout } from "./rollout.ts";

/** What all functions of a stage have in common. */
export interface FunctionSurroundings {
  readonly stage: Stage;
  readonly settings: Readonly<Record<string, string>>;
  readonly artefacts: Artefacts;
  readonly streamArns: StreamArns;
  /** The domain that mail comes from. */
  readonly mailDomain: string;
  /** Where functions run, if not outside of every network of ours. */
  readonly vpc: IVpc | undefined;
  /** How many instances of a function, by its name, are kept ready. */
  readonly provisionedConcurrency: Readonly<Record<string, number>>;
}

export class DeclaredFunction extends Construct {
  readonly lambda: LambdaFunction;
  /** What everything calls: the version that a release made current. */
  readonly live: Alias;

  constructor(scope: Construct, declaration: FunctionDeclaration, around: FunctionSurroundings) {
    super(scope, declaration.name);
    const { stage } = around;
    const logGroup = new LogGroup(this, "Logs", {
      logGroupName: logGroupName(stage.name, declaration.name),
      retention: stage.logRetention,
      removalPolicy: stage.protectsData
        ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        : RemovalPolicy.DESTROY,
    });
    const role = createRole(this, {
      stage: stage.name,
      declaration,
      logGroup,
      streamArns: around.streamArns,
      mailDomain: around.mailDomain,
      inVpc: around.vpc !== undefined,
    });
    this.lambda = new LambdaFunction(this, "Function", {
      functionName: fullName(stage.name, declaration.name),
      description: declaration.purpose,
      runtime: Runtime.PROVIDED_AL2023,
      architecture: Architecture.ARM_64,
      handler: "bootstrap",
      code: Code.fromAsset(artefactFolder(around.artefacts, declaration.name)),
      // The role is complete: what CDK would add for traces or failures must be declared instead.
      role: role.withoutPolicyUpdates(),
      memorySize: declaration.memory_mb,
      timeout: Duration.seconds(declaration.timeout_seconds),
      environment: environmentOf(declaration, stage, around.settings),
      tracing: Tracing.ACTIVE,
      logGroup,
      // Lambda then sets AWS_LAMBDA_LOG_LEVEL, which our programs read.
      loggingFormat: LoggingFormat.JSON,
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      // Earlier versions stay, so that going back is moving the alias.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
      ...(around.vpc !== undefined && {
        vpc: around.vpc,
        vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS },
      }),
      ...(stage.reservesConcurrency &&
        declaration.reserved_concurrency !== null && {
          reservedConcurrentExecutions: declaration.reserved_concurrency,
        }),
    });
    const ready = around.provisionedConcurrency[declaration.name];
    this.live = new Alias(this, "Live", {
      aliasName: LIVE,
      version: this.lambda.currentVersion as IVersion,
      ...(ready !== undefined && { provisionedConcurrentExecutions: ready }),
    });
    if (stage.rollsOutGradually) {
      Rollout.of(this, stage).add(this, declaration, this.live);
    }
  }
}
