// How a release reaches people where it does so gradually: a tenth of the calls for a quarter of an
// hour, then all. An alarm in that time takes every function of the stack back to where it was, since
// CloudFormation moves the aliases of one update together.

import { Stack } from "aws-cdk-lib";
import { Alarm } from "aws-cdk-lib/aws-cloudwatch";
import {
  LambdaApplication,
  LambdaDeploymentConfig,
  LambdaDeploymentGroup,
} from "aws-cdk-lib/aws-codedeploy";
import { Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { Alias } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";

import { isHttp, type FunctionDeclaration } from "../catalogue.ts";
import { alarmArn, fullName } from "../names.ts";
import type { Stage } from "../stage.ts";

/** The alarms that end a release, by what they watch. */
export function rollbackAlarms(declaration: FunctionDeclaration): string[] {
  return isHttp(declaration)
    ? ["api-server-errors", "api-down"]
    : [`${declaration.name}-errors`, "api-down"];
}

/** By stack, so that no two stacks of a stage have resources of one name. */
const rolloutId = (stack: Construct) => `Rollout-${stack.node.id}`;

export class Rollout extends Construct {
  private readonly application: LambdaApplication;
  private readonly role: Role;

  private constructor(scope: Construct, private readonly stage: Stage) {
    super(scope, rolloutId(scope));
    this.application = new LambdaApplication(this, "Application", {
      applicationName: fullName(stage.name, Stack.of(this).node.id),
    });
    this.role = new Role(this, "Role", {
      description: `Moves the aliases of ${stage.name} from version to version`,
      assumedBy: new ServicePrincipal("codedeploy.amazonaws.com"),
    });
  }

  /** The one of the stack that `scope` is in. */
  static of(scope: Construct, stage: Stage): Rollout {
    const stack = Stack.of(scope);
    const found = stack.node.tryFindChild(rolloutId(stack));
    return found instanceof Rollout ? found : new Rollout(stack, stage);
  }

  /** Makes an alias go gradually. */
  add(scope: Construct, declaration: FunctionDeclaration, alias: Alias): void {
    new LambdaDeploymentGroup(scope, "Release", {
      application: this.application,
      deploymentGroupName: declaration.name,
      alias,
      role: this.role,
      deploymentConfig: LambdaDeploymentConfig.CANARY_10PERCENT_15MINUTES,
      autoRollback: { deploymentInAlarm: true, failedDeployment: true, stoppedDeployment: true },
      alarms: rollbackAlarms(declaration).map((name) =>
        Alarm.fromAlarmArn(scope, `Alarm-${name}`, alarmArn(scope, this.stage.name, name)),
      ),
    });
  }
}
