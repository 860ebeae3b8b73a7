// What must wake somebody, as data: every alarm of a stage, made from what the code declares. Names of
// metrics come from the catalogue, so an alarm on a metric that nothing emits stops the synthesis.

import { isHttp, type Catalogue, type FunctionDeclaration } from "./catalogue.ts";
import { fullName } from "./names.ts";
import type { Priority, StageName } from "./stage.ts";

/** A metric as CloudWatch stores it. */
export interface MetricOf {
  readonly namespace: string;
  readonly metric: string;
  readonly dimensions: Readonly<Record<string, string>>;
  /** `Sum`, `Maximum`, … or a percentile such as `p95`. */
  readonly statistic: string;
}

/** What an alarm compares: one metric, or an expression over several. */
export type Watched =
  | { readonly kind: "metric"; readonly metric: MetricOf }
  | {
      readonly kind: "math";
      readonly expression: string;
      readonly metrics: Readonly<Record<string, MetricOf>>;
    }
  /** A query over many metrics of one name, of which most do not exist until something happens. */
  | { readonly kind: "query"; readonly query: string };

export interface AlarmSpec {
  /** Without prefix and stage; also the name of what it rings for in composites. */
  readonly name: string;
  readonly priority: Priority;
  /** Which composite it belongs to. */
  readonly service: string;
  /** What has happened, in a sentence. */
  readonly meaning: string;
  /** Page and anchor in docs/runbooks. */
  readonly runbook: string;
  readonly watched: Watched;
  readonly trips: "above" | "below";
  readonly threshold: number;
  readonly periodSeconds: number;
  /** It rings when this many of so many periods trip. */
  readonly datapoints: readonly [number, number];
  /** Whether silence is alarming, too. */
  readonly silenceTrips: boolean;
}

export interface AlarmSurroundings {
  readonly catalogue: Catalogue;
  readonly stage: StageName;
  readonly apiId: string;
  /** Whether functions behind routes have alarms of their own, beside those of the API. */
  readonly everyFunction: boolean;
  /** Whether there is a user pool, and with it the functions that it calls. */
  readonly isDeployed: (declaration: FunctionDeclaration) => boolean;
}

const MINUTE = 60;
const MINUTES_5 = 5 * MINUTE;
const HOUR = 60 * MINUTE;
/** Changes reach the CRM within this, or somebody is told. */
const CRM_LAG_MS_MAX = 15 * 60 * 1_000;
/** Below this many requests a share of them says nothing. */
const REQUESTS_MIN = 20;

type Draft = Pick<AlarmSpec, "name" | "priority" | "service" | "meaning" | "watched" | "threshold"> &
  Partial<AlarmSpec>;

function alarm(draft: Draft): AlarmSpec {
  return {
    runbook: `${draft.name}.md`,
    trips: "above",
    periodSeconds: MINUTES_5,
    datapoints: [1, 1],
    silenceTrips: false,
    ...draft,
  };
}

const single = (metric: MetricOf): Watched => ({ kind: "metric", metric });
const math = (expression: string, metrics: Record<string, MetricOf>): Watched => ({
  kind: "math",
  expression,
  metrics,
});
/** A share in percent, once there are enough to tell. */
const share = (part: string, whole: string, min: number) =>
  `IF(${whole} >= ${min}, 100 * FILL(${part}, 0) / ${whole}, 0)`;

/** Every alarm of a stage. */
export function alarms(around: AlarmSurroundings): AlarmSpec[] {
  return [
    ...ofApi(around),
    ...ofCallers(around),
    ...ofSync(around),
    ...ofPeople(around),
    ...ofTables(around),
    ...ofQueues(around),
    ...ofFunctions(around),
  ];
}

/** A metric that the code emits. */
export function emitted(
  { catalogue, stage }: Pick<AlarmSurroundings, "catalogue" | "stage">,
  metric: string,
  statistic = "Sum",
): MetricOf {
  const { namespace, dimension, all } = catalogue.metrics;
  if (!all.some(({ name }) => name === metric)) {
    throw new Error(`no code emits the metric ${metric}`);
  }
  return { namespace, metric, dimensions: { [dimension]: stage }, statistic };
}

function ofApi(around: AlarmSurroundings): AlarmSpec[] {
  // HTTP APIs write `5xx` and `4xx`, unlike REST APIs.
  const api = (metric: string, statistic = "Sum"): MetricOf => ({
    namespace: "AWS/ApiGateway",
    metric,
    dimensions: { ApiId: around.apiId, Stage: "$default" },
    statistic,
  });
  const requests = api("Count");
  return [
    alarm({
      name: "api-down",
      priority: "critical",
      service: "api",
      meaning: "The API has not answered the canary for three minutes, or the canary does not run.",
      watched: single(emitted(around, "CanaryAnswered", "Maximum")),
      trips: "below",
      threshold: 1,
      periodSeconds: MINUTE,
      datapoints: [3, 3],
      silenceTrips: true,
    }),
    alarm({
      name: "api-server-errors",
      priority: "critical",
      service: "api",
      meaning: "More than 1 % of the requests of five minutes were answered with 5xx.",
      watched: math(share("errors", "requests", REQUESTS_MIN), { errors: api("5xx"), requests }),
      threshold: 1,
    }),
    alarm({
      name: "api-slow",
      priority: "high",
      service: "api",
      meaning: "One request in twenty takes longer than a second.",
      watched: single(api("Latency", "p95")),
      threshold: 1_000,
      datapoints: [3, 3],
    }),
    alarm({
      name: "api-client-errors",
      priority: "warning",
      service: "api",
      meaning: "More than 5 % of the requests of half an hour were refused with 4xx.",
      watched: math(share("errors", "requests", REQUESTS_MIN), { errors: api("4xx"), requests }),
      threshold: 5,
      periodSeconds: 15 * MINUTE,
      datapoints: [2, 2],
    }),
  ];
}

function ofCallers(around: AlarmSurroundings): AlarmSpec[] {
  const requests = emitted(around, "Requests");
  return [
    alarm({
      name: "sessions-refused",
      priority: "high",
      service: "identity",
      meaning: "More than a fifth of the requests of five minutes came with no or a bad session.",
      watched: math(share("refused", "requests", 5 * REQUESTS_MIN), {
        refused: emitted(around, "SessionsRefused"),
        requests,
      }),
      threshold: 20,
    }),
    alarm({
      name: "tokens-invalid",
      priority: "high",
      service: "identity",
      meaning: "More than twenty access tokens in five minutes were not good.",
      watched: single(emitted(around, "TokensInvalid")),
      threshold: 20,
    }),
    alarm({
      name: "rate-limited",
      priority: "warning",
      service: "api",
      meaning: "More than 10 % of the requests of five minutes were refused for their rate.",
      watched: math(share("limited", "requests", REQUESTS_MIN), {
        limited: emitted(around, "RateLimited"),
        requests,
      }),
      threshold: 10,
    }),
    alarm({
      name: "rate-uncounted",
      priority: "high",
      service: "api",
      meaning: "Requests are admitted without being counted: the counters cannot be reached.",
      watched: single(emitted(around, "RateUncounted")),
      threshold: 0,
    }),
  ];
}

function ofSync(around: AlarmSurroundings): AlarmSpec[] {
  const crm = { priority: "high", service: "crm" } as const;
  return [
    alarm({
      ...crm,
      name: "crm-lag",
      meaning: "Changes took longer than fifteen minutes to reach the CRM.",
      watched: single(emitted(around, "CrmLag", "p95")),
      threshold: CRM_LAG_MS_MAX,
    }),
    alarm({
      ...crm,
      name: "crm-waiting",
      meaning: "A change has been waiting for the CRM for fifteen minutes, or nobody measures it.",
      watched: single(emitted(around, "CrmWaiting", "Maximum")),
      threshold: CRM_LAG_MS_MAX,
      datapoints: [2, 2],
      silenceTrips: true,
    }),
    alarm({
      ...crm,
      name: "crm-paused",
      meaning: "The CRM has been left alone for five minutes: it fails, or refuses us.",
      watched: single(emitted(around, "CrmPaused", "Minimum")),
      threshold: 0,
      periodSeconds: MINUTE,
      datapoints: [5, 5],
    }),
    alarm({
      ...crm,
      name: "dead-letters",
      meaning: "Changes that the CRM refused for good, or messages nobody could handle, lie on the desk.",
      watched: math("FILL(letters, 0) + FILL(messages, 0)", {
        letters: emitted(around, "CrmDead"),
        messages: emitted(around, "DeadMessages"),
      }),
      threshold: 0,
    }),
    alarm({
      ...crm,
      name: "crm-forged",
      priority: "warning",
      meaning: "More than ten requests in five minutes claimed to be the CRM's and were not.",
      watched: single(emitted(around, "CrmForged")),
      threshold: 10,
    }),
  ];
}

function ofPeople(around: AlarmSurroundings): AlarmSpec[] {
  const people = { priority: "warning", service: "identity" } as const;
  const ses = (metric: string): Watched =>
    single({ namespace: "AWS/SES", metric, dimensions: {}, statistic: "Average" });
  return [
    alarm({
      ...people,
      name: "refreshes-failed",
      priority: "high",
      meaning: "Sessions could not be asked about again: the identity provider is away or refuses us.",
      watched: single(emitted(around, "RefreshesFailed")),
      threshold: 5,
      datapoints: [2, 3],
    }),
    alarm({
      ...people,
      name: "mail-refused",
      meaning: "The mail service refused letters for good.",
      watched: single(emitted(around, "MailRefused")),
      threshold: 0,
    }),
    alarm({
      ...people,
      name: "mail-delayed",
      meaning: "Letters have been waiting for the mail service for half an hour.",
      watched: single(emitted(around, "MailDelayed")),
      threshold: 0,
      datapoints: [6, 6],
    }),
    alarm({
      ...people,
      name: "mail-bounces",
      meaning: "More than 2 % of our mail comes back; at 5 % SES looks into the account.",
      watched: ses("Reputation.BounceRate"),
      threshold: 0.02,
      periodSeconds: HOUR,
    }),
    alarm({
      ...people,
      name: "mail-complaints",
      meaning: "More than one reader in a thousand calls our mail spam.",
      watched: ses("Reputation.ComplaintRate"),
      threshold: 0.001,
      periodSeconds: HOUR,
    }),
  ];
}

function ofTables(around: AlarmSurroundings): AlarmSpec[] {
  const tables = around.catalogue.tables
    .map(({ name }) => `TableName = '${fullName(around.stage, name)}'`)
    .join(" OR ");
  const query = (metric: string): Watched => ({
    kind: "query",
    query: `SELECT SUM(${metric}) FROM SCHEMA("AWS/DynamoDB", Operation, TableName) WHERE ${tables}`,
  });
  return [
    alarm({
      name: "tables-throttled",
      priority: "high",
      service: "data",
      meaning: "DynamoDB refused calls for their rate.",
      watched: query("ThrottledRequests"),
      threshold: 0,
      datapoints: [2, 3],
    }),
    alarm({
      name: "tables-failing",
      priority: "high",
      service: "data",
      meaning: "DynamoDB answered calls with errors of its own.",
      watched: query("SystemErrors"),
      threshold: 0,
      datapoints: [2, 3],
    }),
  ];
}

function ofQueues({ catalogue, stage }: AlarmSurroundings): AlarmSpec[] {
  const queue = (name: string, metric: string, statistic: string): MetricOf => ({
    namespace: "AWS/SQS",
    metric,
    dimensions: { QueueName: fullName(stage, name) },
    statistic,
  });
  return catalogue.queues.flatMap(({ name, redrive }) =>
    redrive === null
      ? []
      : [
          alarm({
            name: `${redrive.dead_letter_queue}-given-up`,
            priority: "high",
            service: name.replace(/-.*$/, "") === "crm" ? "crm" : "events",
            meaning: `Messages of ${name} were given up and lie on the desk, or wait in ${redrive.dead_letter_queue} for it.`,
            runbook: "dead-letters.md",
            // Also received ones: they are taken to the desk at once and hardly ever seen waiting.
            watched: math("FILL(waiting, 0) + FILL(received, 0)", {
              waiting: queue(redrive.dead_letter_queue, "ApproximateNumberOfMessagesVisible", "Maximum"),
              received: queue(redrive.dead_letter_queue, "NumberOfMessagesReceived", "Sum"),
            }),
            threshold: 0,
            periodSeconds: MINUTE,
          }),
        ],
  );
}

function ofFunctions(around: AlarmSurroundings): AlarmSpec[] {
  return around.catalogue.functions
    .filter(around.isDeployed)
    .filter((declaration) => around.everyFunction || !isHttp(declaration))
    .flatMap((declaration) => [
      ...ofFunction(around.stage, declaration),
      ...(declaration.triggers.some(({ kind }) => kind === "stream")
        ? [ofStreams(around.stage, declaration)]
        : []),
    ]);
}

const lambda = (stage: StageName, name: string, metric: string, statistic = "Sum"): MetricOf => ({
  namespace: "AWS/Lambda",
  metric,
  dimensions: { FunctionName: fullName(stage, name) },
  statistic,
});

function ofFunction(stage: StageName, declaration: FunctionDeclaration): AlarmSpec[] {
  const { name, context: service, timeout_seconds: timeout } = declaration;
  const anchor = (part: string) => `functions.md#${part}`;
  return [
    alarm({
      name: `${name}-errors`,
      priority: "high",
      service,
      meaning: `More than 1 % of the invocations of ${name} failed.`,
      runbook: anchor("errors"),
      watched: math(share("errors", "invocations", 1), {
        errors: lambda(stage, name, "Errors"),
        invocations: lambda(stage, name, "Invocations"),
      }),
      threshold: 1,
      datapoints: [2, 3],
    }),
    alarm({
      name: `${name}-throttles`,
      priority: "warning",
      service,
      meaning: `Invocations of ${name} were refused for want of concurrency.`,
      runbook: anchor("throttles"),
      watched: single(lambda(stage, name, "Throttles")),
      threshold: 0,
      datapoints: [2, 3],
    }),
    alarm({
      name: `${name}-duration`,
      priority: "warning",
      service,
      meaning: `One invocation of ${name} in twenty takes more than 80 % of its ${timeout} s.`,
      runbook: anchor("duration"),
      watched: single(lambda(stage, name, "Duration", "p95")),
      threshold: 0.8 * timeout * 1_000,
      datapoints: [2, 3],
    }),
  ];
}

/** One for all of its streams: the metric tells the worst of them. */
function ofStreams(stage: StageName, { name, context }: FunctionDeclaration): AlarmSpec {
  return alarm({
    name: `${name}-behind`,
    priority: "high",
    service: context,
    meaning: `${name} is more than fifteen minutes behind what its tables tell it.`,
    runbook: "functions.md#behind",
    watched: single(lambda(stage, name, "IteratorAge", "Maximum")),
    threshold: CRM_LAG_MS_MAX,
  });
}
