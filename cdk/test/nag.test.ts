// AWS's own rules of good practice (cdk-nag, AwsSolutions): every finding is put right, or stands below
// with the reason why not. An exception that nothing needs any more fails, too.

import assert from "node:assert/strict";
import { test } from "node:test";

import { AwsSolutionsChecks } from "cdk-nag";

import { generated, synthesise } from "./support.ts";

interface Exception {
  readonly rule: RegExp;
  readonly where: RegExp;
  readonly reason: string;
}

const EXCEPTIONS: readonly Exception[] = [
  {
    rule: /^AwsSolutions-SMG4$/,
    where: /\/data\/[a-z-]+-key\/Resource$/,
    reason: "Keys are rotated by an operator: a version of before stays good for a day (rotation.rs).",
  },
  {
    rule: /^AwsSolutions-COG2$/,
    where: /\/identity\/Users\/Resource$/,
    reason: "A second factor is offered to everybody and demanded of nobody: members are not staff.",
  },
  {
    rule: /^AwsSolutions-COG8$/,
    where: /\/identity\/Users\/Resource$/,
    reason: "The plan with threat protection costs by person; limits and the firewall hold guesses.",
  },
  {
    rule: /^AwsSolutions-IAM4\[Policy::.*AWSBackupServiceRolePolicyForBackup\]$/,
    where: /\/data\/BackupRole\/Resource$/,
    reason: "AWS Backup documents this policy alone, and changes it when it needs more.",
  },
  {
    rule: /^AwsSolutions-IAM4\[Policy::.*AWSCodeDeployRoleForLambdaLimited\]$/,
    where: /\/Rollout-[a-z-]+\/Role\/Resource$/,
    reason: "CDK adds CodeDeploy's own policy, the narrower of the two that there are.",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::\*\]$/,
    where: /\/Role\/Resource$/,
    reason: "X-Ray's two actions, and those that put a function into a network, know no resource.",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::arn:.*:dynamodb:.*:table\/rollcall-[a-z-]+\/stream\/\*\]$/,
    where: /\/Role\/Resource$/,
    reason: "Listing streams is authorized before a stream is known, on all streams of one table.",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::arn:.*:role\/cdk-hnb659fds-[a-z-]+-role-<AWS::AccountId>-\*\]$/,
    where: /\/delivery\/Deploy\/Resource$/,
    reason: "The bootstrap's roles end in the region, and the edge is in another one.",
  },
  {
    rule: /^AwsSolutions-IAM5\[Resource::arn:.*:alarm:rollcall-prod-\*\]$/,
    where: /\/delivery\/Deploy\/Resource$/,
    reason: "Reading the states of the stage's alarms, and of nothing else.",
  },
  {
    rule: /^AwsSolutions-APIG4$/,
    where: /\/routes-[a-z]+\/.*\/Route$/,
    reason: "Each function's own gate finds out who calls, by session or token (gate.rs); a test walks all.",
  },
  {
    rule: /^AwsSolutions-(S1|CFR3)$/,
    where: /\/edge\/(Files|Distribution)\/Resource$/,
    reason: "Such logs hold addresses and paths with names; the API's access log tells the rest.",
  },
  {
    rule: /^AwsSolutions-CFR1$/,
    where: /\/edge\/Distribution\/Resource$/,
    reason: "Members are everywhere; nothing that is served is bound to a country.",
  },
];

const CERTIFICATE =
  "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012";
const WHOLE = {
  api: { host: "api.rollcall.example", certificate_arn: CERTIFICATE },
  edge: { certificate_arn: CERTIFICATE },
  delivery: { repository: "example/rollcall", branch: "main", provider: "create" },
  vpc: true,
};

test("every finding is put right, or excepted with a reason", () => {
  const used = new Set<Exception>();
  const open: string[] = [];
  for (const synthesis of [
    synthesise("prod", generated(), "prod", WHOLE),
    synthesise("dev", generated()),
  ]) {
    for (const { ruleName, violatingResources } of report(synthesis.app)) {
      for (const { constructPath = "" } of violatingResources) {
        const exception = EXCEPTIONS.find(
          ({ rule, where }) => rule.test(ruleName) && where.test(constructPath),
        );
        if (exception === undefined) {
          open.push(`${ruleName} at ${constructPath}`);
        } else {
          used.add(exception);
        }
      }
    }
  }
  assert.deepEqual(open, []);
  assert.deepEqual(EXCEPTIONS.filter((exception) => !used.has(exception)), []);
});

interface Finding {
  readonly ruleName: string;
  readonly violatingResources: readonly { readonly constructPath?: string }[];
}

function report(scope: Parameters<AwsSolutionsChecks["validateScope"]>[0]): readonly Finding[] {
  return new AwsSolutionsChecks().validateScope(scope).violations as readonly Finding[];
}
