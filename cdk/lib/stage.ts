// What differs between stages, and nothing else does. Names of things are in names.ts, values that
// belong to one deployment (hosts, client ids) in deployment.ts.

import { RetentionDays } from "aws-cdk-lib/aws-logs";

export const STAGE_NAMES = ["dev", "staging", "prod"] as const;
export type StageName = (typeof STAGE_NAMES)[number];

/** How urgent an alarm is: P0, P1, P2. */
export type Priority = "critical" | "high" | "warning";

export interface Stage {
  readonly name: StageName;
  readonly logRetention: RetentionDays;
  /** Point-in-time recovery, deletion protection, and nothing stateful is deleted with its stack. */
  readonly protectsData: boolean;
  /** Whether we authenticate at the identity provider with a client secret. */
  readonly hasClientSecret: boolean;
  /** Whether declared concurrency is reserved. Below prod, functions share the account's pool. */
  readonly reservesConcurrency: boolean;
  /** Whether a release takes a tenth of the calls first, and goes back by itself when alarms ring. */
  readonly rollsOutGradually: boolean;
  /** The alarm topics it has. Nobody is notified of dev. */
  readonly topics: readonly Priority[];
}

export const STAGES: Readonly<Record<StageName, Stage>> = {
  dev: {
    name: "dev",
    logRetention: RetentionDays.ONE_WEEK,
    protectsData: false,
    hasClientSecret: false,
    reservesConcurrency: false,
    rollsOutGradually: false,
    topics: [],
  },
  staging: {
    name: "staging",
    logRetention: RetentionDays.TWO_WEEKS,
    protectsData: true,
    hasClientSecret: true,
    reservesConcurrency: false,
    rollsOutGradually: false,
    topics: ["warning"],
  },
  prod: {
    name: "prod",
    logRetention: RetentionDays.ONE_MONTH,
    protectsData: true,
    hasClientSecret: true,
    reservesConcurrency: true,
    rollsOutGradually: true,
    topics: ["critical", "high", "warning"],
  },
};

/** How long point-in-time recovery reaches back, in days: DynamoDB's maximum. */
export const RECOVERY_DAYS = 35;

/** The topic that an alarm of this priority goes to; a stage with fewer topics uses the last one. */
export function topicFor(stage: Stage, priority: Priority): Priority | undefined {
  return stage.topics.includes(priority) ? priority : stage.topics.at(-1);
}
