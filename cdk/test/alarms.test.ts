// Every alarm rings when what it watches goes wrong, and stays silent when it does not: its template is
// evaluated over made-up datapoints of the metrics that are really there.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { alarms, emitted } from "../lib/alarms.ts";
import { fixture, ofType, synthesise, SYNTHESES, type Synthesis } from "./support.ts";
import { at, list, type Resource } from "./template.ts";

/** The values of metrics in one period, by name; a metric without a value was not written. */
type Datapoints = Readonly<Record<string, number>>;

interface Case {
  readonly priority: "P0" | "P1" | "P2";
  readonly rings: Datapoints[];
  readonly rests: Datapoints[];
  /** Whether no datapoint at all rings, too. */
  readonly silence?: true;
}

const QUARTER_HOUR_MS = 900_000;
const EXPRESSION_CHARACTERS_MAX = 2_048;

const CASES: Readonly<Record<string, Case>> = {
  "api-down": {
    priority: "P0",
    rings: [{ CanaryAnswered: 0 }],
    rests: [{ CanaryAnswered: 1 }],
    silence: true,
  },
  "api-server-errors": {
    priority: "P0",
    rings: [{ "5xx": 2, Count: 100 }, { "5xx": 1, Count: 20 }],
    rests: [{ "5xx": 1, Count: 100 }, { "5xx": 19, Count: 19 }, { Count: 1_000 }],
  },
  "api-slow": { priority: "P1", rings: [{ Latency: 1_001 }], rests: [{ Latency: 1_000 }] },
  "api-client-errors": {
    priority: "P2",
    rings: [{ "4xx": 6, Count: 100 }],
    rests: [{ "4xx": 5, Count: 100 }, { "4xx": 10, Count: 10 }, { Count: 100 }],
  },
  "sessions-refused": {
    priority: "P1",
    rings: [{ SessionsRefused: 21, Requests: 100 }],
    rests: [{ SessionsRefused: 20, Requests: 100 }, { SessionsRefused: 99, Requests: 99 }],
  },
  "tokens-invalid": {
    priority: "P1",
    rings: [{ TokensInvalid: 21 }],
    rests: [{ TokensInvalid: 20 }],
  },
  "rate-limited": {
    priority: "P2",
    rings: [{ RateLimited: 11, Requests: 100 }],
    rests: [{ RateLimited: 10, Requests: 100 }, { Requests: 100 }],
  },
  "rate-uncounted": { priority: "P1", rings: [{ RateUncounted: 1 }], rests: [] },
  "crm-lag": {
    priority: "P1",
    rings: [{ CrmLag: QUARTER_HOUR_MS + 1 }],
    rests: [{ CrmLag: QUARTER_HOUR_MS }],
  },
  "crm-waiting": {
    priority: "P1",
    rings: [{ CrmWaiting: QUARTER_HOUR_MS + 1 }],
    rests: [{ CrmWaiting: 0 }, { CrmWaiting: QUARTER_HOUR_MS }],
    silence: true,
  },
  "crm-paused": { priority: "P1", rings: [{ CrmPaused: 1 }], rests: [{ CrmPaused: 0 }] },
  "dead-letters": {
    priority: "P1",
    rings: [{ CrmDead: 1 }, { DeadMessages: 1 }, { CrmDead: 1, DeadMessages: 0 }],
    rests: [{ CrmDead: 0 }, { CrmDead: 0, DeadMessages: 0 }],
  },
  "crm-forged": { priority: "P2", rings: [{ CrmForged: 11 }], rests: [{ CrmForged: 10 }] },
  "refreshes-failed": {
    priority: "P1",
    rings: [{ RefreshesFailed: 6 }],
    rests: [{ RefreshesFailed: 5 }],
  },
  "mail-refused": { priority: "P2", rings: [{ MailRefused: 1 }], rests: [{ MailRefused: 0 }] },
  "mail-delayed": { priority: "P2", rings: [{ MailDelayed: 1 }], rests: [{ MailDelayed: 0 }] },
  "mail-bounces": {
    priority: "P2",
    rings: [{ "Reputation.BounceRate": 0.021 }],
    rests: [{ "Reputation.BounceRate": 0.02 }],
  },
  "mail-complaints": {
    priority: "P2",
    rings: [{ "Reputation.ComplaintRate": 0.002 }],
    rests: [{ "Reputation.ComplaintRate": 0.001 }],
  },
  "tables-throttled": { priority: "P1", rings: [{ ThrottledRequests: 1 }], rests: [] },
  "tables-failing": { priority: "P1", rings: [{ SystemErrors: 1 }], rests: [] },
  "*-given-up": {
    priority: "P1",
    rings: [
      { ApproximateNumberOfMessagesVisible: 1 },
      { NumberOfMessagesReceived: 1, ApproximateNumberOfMessagesVisible: 0 },
    ],
    rests: [{ ApproximateNumberOfMessagesVisible: 0, NumberOfMessagesReceived: 0 }],
  },
  "*-errors": {
    priority: "P1",
    rings: [{ Errors: 2, Invocations: 100 }, { Errors: 1, Invocations: 1 }],
    rests: [{ Errors: 1, Invocations: 100 }, { Invocations: 5 }],
  },
  "*-throttles": { priority: "P2", rings: [{ Throttles: 1 }], rests: [{ Throttles: 0 }] },
  "*-duration": { priority: "P2", rings: [{ Duration: 890_000 }], rests: [{ Duration: 10 }] },
  "*-behind": {
    priority: "P1",
    rings: [{ IteratorAge: QUARTER_HOUR_MS + 1 }],
    rests: [{ IteratorAge: QUARTER_HOUR_MS }],
  },
};

/** What AWS really writes, by namespace: HTTP APIs have no `5XXError`, which only REST APIs write. */
const WRITTEN_BY_AWS: Readonly<Record<string, [dimensions: string[], metrics: string[]]>> = {
  "AWS/ApiGateway": [["ApiId", "Stage"], ["4xx", "5xx", "Count", "Latency"]],
  "AWS/Lambda": [["FunctionName"], ["Duration", "Errors", "Invocations", "IteratorAge", "Throttles"]],
  "AWS/SES": [[], ["Reputation.BounceRate", "Reputation.ComplaintRate"]],
  "AWS/SQS": [["QueueName"], ["ApproximateNumberOfMessagesVisible", "NumberOfMessagesReceived"]],
};

const TOPICS = { dev: [], staging: ["warning"], prod: ["critical", "high", "warning"] };
const TOPIC_OF = {
  staging: { P0: "warning", P1: "warning", P2: "warning" },
  prod: { P0: "critical", P1: "high", P2: "warning" },
};
const RUNBOOKS = new URL("../../docs/runbooks/", import.meta.url);

for (const synthesis of SYNTHESES) {
  const { stage, title } = synthesis;
  const rings = ofType(synthesis, "AWS::CloudWatch::Alarm");

  test(`${title}: topics are the stage's, by TLS, for this account's alarms and budgets`, () => {
    const topics = TOPICS[stage.name].map((priority) => full(synthesis, `alarms-${priority}`));
    const found = ofType(synthesis, "AWS::SNS::Topic");
    assert.deepEqual(found.map(({ Properties }) => Properties["TopicName"]), topics);
    const policies = ofType(synthesis, "AWS::SNS::TopicPolicy").map(({ Properties }) =>
      list(at(Properties, "PolicyDocument", "Statement")).map((statement) => [
        at(statement, "Effect"),
        at(statement, "Principal"),
        at(statement, "Action"),
        at(statement, "Condition"),
      ]),
    );
    const services = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"];
    assert.deepEqual(
      policies,
      topics.map(() => [
        ["Deny", "*", "sns:Publish", { Bool: { "aws:SecureTransport": "false" } }],
        [
          "Allow",
          { Service: services },
          "sns:Publish",
          { StringEquals: { "aws:SourceAccount": "account" } },
        ],
      ]),
    );
  });

  if (stage.name === "dev") {
    test(`${title}: nobody is notified of dev`, () => {
      assert.deepEqual(rings, []);
    });
    continue;
  }
  const topics = TOPIC_OF[stage.name];

  test(`${title}: every alarm rings for what it is there for, and for nothing less`, () => {
    assert.ok(rings.length > 25);
    for (const alarm of rings) {
      const name = shortName(synthesis, alarm);
      const { rings: bad, rests, silence } = caseOf(name);
      bad.forEach((values) => assert.ok(isRinging(alarm, values), `${name} ${show(values)}`));
      rests.forEach((values) => assert.ok(!isRinging(alarm, values), `${name} ${show(values)}`));
      assert.equal(isRinging(alarm, {}), silence ?? false, `${name}: silence`);
    }
  });

  test(`${title}: every alarm says what to do and tells who must know, also when it is over`, () => {
    for (const alarm of rings) {
      const { priority } = caseOf(shortName(synthesis, alarm));
      const description = String(alarm.Properties["AlarmDescription"]);
      assert.match(description, new RegExp(`^${priority}: .+\\. docs/runbooks/\\S+$`));
      const topic = [full(synthesis, `alarms-${topics[priority]}`)];
      assert.deepEqual(alarm.Properties["AlarmActions"], topic);
      assert.deepEqual(alarm.Properties["OKActions"], topic);
    }
  });

  test(`${title}: an alarm watches metrics that somebody writes, with the dimensions they have`, () => {
    const { namespace, dimension, all } = synthesis.catalogue.metrics;
    for (const alarm of rings) {
      for (const metric of metricsOf(alarm)) {
        const label = `${shortName(synthesis, alarm)}: ${metric.namespace} ${metric.name}`;
        if (metric.namespace === namespace) {
          assert.ok(all.some(({ name }) => name === metric.name), label);
          assert.deepEqual(metric.dimensions, [[dimension, stage.name]], label);
        } else {
          const [dimensions, metrics] = WRITTEN_BY_AWS[metric.namespace] ?? [];
          assert.ok(metrics?.includes(metric.name), label);
          assert.deepEqual(metric.dimensions.map(([name]) => name), dimensions, label);
        }
        if (["Latency", "Duration", "CrmLag"].includes(metric.name)) {
          assert.equal(metric.statistic, "p95", "an average hides who waits");
        }
      }
    }
  });

  test(`${title}: a dead-letter queue, and a function behind events, is never without its alarms`, () => {
    const names = new Set(rings.map((alarm) => shortName(synthesis, alarm)));
    for (const { name, redrive } of synthesis.catalogue.queues) {
      assert.equal(names.has(`${name}-given-up`), redrive === null, name);
    }
    for (const { name, triggers } of synthesis.catalogue.functions) {
      const isBehindEvents = triggers.some(({ kind }) => kind !== "http");
      for (const part of ["errors", "throttles", "duration"]) {
        assert.equal(names.has(`${name}-${part}`), isBehindEvents, `${name}-${part}`);
      }
      const reads = triggers.some(({ kind }) => kind === "stream");
      assert.equal(names.has(`${name}-behind`), reads, name);
    }
  });

  test(`${title}: the composites together hold every alarm once, and tell nobody again`, () => {
    const composites = ofType(synthesis, "AWS::CloudWatch::CompositeAlarm");
    const parts = composites.flatMap(({ Properties }) => {
      assert.equal(Properties["ActionsEnabled"], false);
      const rule = String(Properties["AlarmRule"]);
      assert.ok(rule.length <= 10_240);
      return rule.split(" OR ").map((part) => /^ALARM\("(.+)"\)$/.exec(part)?.[1]);
    });
    const names = rings.map(({ Properties }) => Properties["AlarmName"]);
    assert.deepEqual(parts.sort(), names.sort());
  });

  test(`${title}: watching costs less than the budget that it watches`, () => {
    const { price } = monthly(synthesis);
    const { amount } = budgetOf(synthesis);
    assert.ok(price < Number(amount), `${price} USD a month, of ${amount}`);
  });

  test(`${title}: the budget tells before the money is spent`, () => {
    const [budget, ...others] = ofType(synthesis, "AWS::Budgets::Budget");
    assert.deepEqual(others, []);
    assert.deepEqual(budgetOf(synthesis), { Amount: 25, Unit: "USD", amount: 25 });
    const told = list(budget?.Properties["NotificationsWithSubscribers"]);
    assert.deepEqual(
      told.map((each) => [
        at(each, "Notification", "NotificationType"),
        at(each, "Notification", "Threshold"),
        at(each, "Subscribers", 0, "Address"),
      ]),
      [["ACTUAL", 80], ["ACTUAL", 100], ["FORECASTED", 100]].map((when) => [
        ...when,
        full(synthesis, "alarms-warning"),
      ]),
    );
  });

  test(`${title}: two dashboards and the first questions to the logs are there`, () => {
    const dashboards = ofType(synthesis, "AWS::CloudWatch::Dashboard");
    assert.deepEqual(
      dashboards.map(({ Properties }) => Properties["DashboardName"]),
      ["overview", "internals"].map((name) => full(synthesis, name)),
    );
    for (const { Properties } of dashboards) {
      const body = JSON.parse(String(Properties["DashboardBody"])) as { widgets: object[] };
      assert.ok(body.widgets.length >= 9);
    }
    const groups = new Set(
      ofType(synthesis, "AWS::Logs::LogGroup").map(({ Properties }) => Properties["LogGroupName"]),
    );
    const queries = ofType(synthesis, "AWS::Logs::QueryDefinition");
    assert.ok(queries.length >= 4);
    for (const { Properties } of queries) {
      const names = list(Properties["LogGroupNames"]);
      assert.ok(names.length > 0 && names.length <= 50, String(Properties["Name"]));
      assert.deepEqual(names.filter((name) => !groups.has(name)), []);
    }
  });
}

test("every alarm has its page, and every page of an alarm its alarm", () => {
  const pages = new Set<string>();
  for (const synthesis of SYNTHESES.filter(({ stage }) => stage.name !== "dev")) {
    for (const alarm of ofType(synthesis, "AWS::CloudWatch::Alarm")) {
      const [, page = "", anchor] =
        /docs\/runbooks\/([^#]+)(?:#(.+))?$/.exec(String(alarm.Properties["AlarmDescription"])) ?? [];
      pages.add(page);
      assert.ok(existsSync(new URL(page, RUNBOOKS)), `docs/runbooks/${page} is missing`);
      const text = readFileSync(new URL(page, RUNBOOKS), "utf8");
      const parts = anchor === undefined ? text : section(text, anchor);
      for (const part of ["Meaning", "First look", "Fix", "Escalate"]) {
        assert.ok(parts.includes(`**${part}.**`), `${page}#${anchor ?? ""} lacks ${part}`);
      }
    }
  }
  const others = [
    "README.md",
    "budget.md",
    "by-letter.md",
    "client-communication.md",
    "disaster-recovery.md",
    "incident-template.md",
    "moving-people.md",
  ];
  const found = readdirSync(RUNBOOKS).filter((name) => name.endsWith(".md"));
  assert.deepEqual(found.sort(), [...pages, ...others].sort());
  const index = readFileSync(new URL("README.md", RUNBOOKS), "utf8");
  for (const page of found.filter((name) => name !== "README.md")) {
    assert.ok(index.includes(`(${page})`), `${page} is not in the index`);
  }
});

test("every case is of an alarm that there is", () => {
  const names = SYNTHESES.flatMap((synthesis) =>
    ofType(synthesis, "AWS::CloudWatch::Alarm").map((alarm) => shortName(synthesis, alarm)),
  );
  for (const pattern of Object.keys(CASES)) {
    assert.ok(names.some((name) => patternOf(name) === pattern), pattern);
  }
});

test("an alarm on a metric that no code emits stops the synthesis", () => {
  const catalogue = fixture();
  assert.throws(() => emitted({ catalogue, stage: "prod" }, "Nothing"), /no code emits/);
  catalogue.metrics.all = catalogue.metrics.all.filter(({ name }) => name !== "CrmPaused");
  assert.throws(() => synthesise("prod", catalogue), /no code emits the metric CrmPaused/);
  assert.throws(
    () =>
      alarms({ catalogue, stage: "prod", apiId: "id", everyFunction: false, isDeployed: () => true }),
    /CrmPaused/,
  );
});

test("on demand, functions behind routes have alarms of their own", () => {
  const watched = synthesise("prod", fixture(), "prod", { watch_every_function: true });
  const names = ofType(watched, "AWS::CloudWatch::Alarm").map((alarm) => shortName(watched, alarm));
  assert.ok(["health-errors", "enroll-duration"].every((name) => names.includes(name)));
});

function full({ stage }: Synthesis, name: string): string {
  return `rollcall-${stage.name}-${name}`;
}

function shortName(synthesis: Synthesis, alarm: Resource): string {
  return String(alarm.Properties["AlarmName"]).slice(full(synthesis, "").length);
}

function patternOf(name: string): string {
  return name in CASES ? name : name.replace(/^.*(?=-(given-up|errors|throttles|duration|behind)$)/, "*");
}

function caseOf(name: string): Case {
  const found = CASES[patternOf(name)];
  assert.ok(found, `no case for ${name}`);
  return found;
}

function show(values: Datapoints): string {
  return JSON.stringify(values);
}

/** The part of a page under the heading `anchor`. */
function section(text: string, anchor: string): string {
  const parts = text.split(/^## /m);
  return parts.find((part) => part.toLowerCase().startsWith(`${anchor}\n`)) ?? "";
}

interface Metric {
  readonly namespace: string;
  readonly name: string;
  readonly statistic: unknown;
  readonly dimensions: [string, string][];
}

/** The metrics that an alarm names one by one. */
function metricsOf({ Properties }: Resource): Metric[] {
  if (Properties["MetricName"] !== undefined) {
    const statistic = Properties["Statistic"] ?? Properties["ExtendedStatistic"];
    return [metric(Properties, statistic)];
  }
  return list(Properties["Metrics"]).flatMap((each) => {
    const stat = at(each, "MetricStat");
    return stat === undefined ? [] : [metric(at(stat, "Metric"), at(stat, "Stat"))];
  });
}

function metric(of: unknown, statistic: unknown): Metric {
  return {
    namespace: String(at(of, "Namespace")),
    name: String(at(of, "MetricName")),
    statistic,
    dimensions: list(at(of, "Dimensions")).map((each) => [
      String(at(each, "Name")),
      String(at(each, "Value")),
    ]),
  };
}

/** Whether CloudWatch would ring after enough periods with these values, and after one less would not. */
function isRinging(alarm: Resource, values: Datapoints): boolean {
  const { Properties } = alarm;
  const outOf = Number(Properties["EvaluationPeriods"]);
  const needed = Number(Properties["DatapointsToAlarm"]);
  assert.ok(needed >= 1 && needed <= outOf);
  const value = watchedValue(Properties, values);
  const trips =
    value === undefined
      ? Properties["TreatMissingData"] === "breaching"
      : compare(String(Properties["ComparisonOperator"]), value, Number(Properties["Threshold"]));
  return trips && outOf >= needed;
}

function compare(operator: string, value: number, threshold: number): boolean {
  switch (operator) {
    case "GreaterThanThreshold":
      return value > threshold;
    case "LessThanThreshold":
      return value < threshold;
    default:
      throw new Error(`no such comparison: ${operator}`);
  }
}

/** What the alarm compares with its threshold; nothing where no metric has a value. */
function watchedValue(properties: Resource["Properties"], values: Datapoints): number | undefined {
  const single = properties["MetricName"];
  if (single !== undefined) {
    return values[String(single)];
  }
  const metrics = list(properties["Metrics"]);
  const expression = String(
    at(metrics.find((each) => at(each, "ReturnData") === true), "Expression"),
  );
  const query = /^SELECT SUM\((\w+)\) FROM SCHEMA\("AWS\/DynamoDB", Operation, TableName\) WHERE /.exec(expression);
  if (query !== null) {
    assert.ok(expression.includes("TableName = 'rollcall-"));
    assert.ok(expression.length <= EXPRESSION_CHARACTERS_MAX, "CloudWatch takes no longer one");
    return values[String(query[1])];
  }
  const operands = new Map(
    metrics
      .filter((each) => at(each, "MetricStat") !== undefined)
      .map((each) => [
        String(at(each, "Id")),
        values[String(at(each, "MetricStat", "Metric", "MetricName"))],
      ]),
  );
  if ([...operands.values()].every((value) => value === undefined)) {
    return undefined;
  }
  return calculate(expression, operands);
}

/** CloudWatch's metric math, as far as alarms use it. Nothing comes of an operand without a value. */
function calculate(
  expression: string,
  operands: ReadonlyMap<string, number | undefined>,
): number | undefined {
  assert.match(expression, /^(?:IF|FILL|[a-z]+|\d+|[ (),+*/]|>=)+$/);
  const functions = {
    IF: (condition: boolean, yes: number, no: number) => (condition ? yes : no),
    FILL: (value: number, instead: number) => (Number.isNaN(value) ? instead : value),
  };
  const names = [...Object.keys(functions), ...operands.keys()];
  const values = [
    ...Object.values(functions),
    ...[...operands.values()].map((value) => value ?? Number.NaN),
  ];
  const value: unknown = new Function(...names, `return ${expression}`)(...values);
  assert.ok(typeof value === "number");
  return Number.isNaN(value) ? undefined : value;
}

function budgetOf(synthesis: Synthesis): { amount: number; Amount: number; Unit: string } {
  const [budget] = ofType(synthesis, "AWS::Budgets::Budget");
  const limit = at(budget?.Properties, "Budget", "BudgetLimit") as { Amount: number; Unit: string };
  return { ...limit, amount: limit.Amount };
}

/** What watching costs a month in USD, by the public prices of us-east-1, beyond the free tier. */
function monthly(synthesis: Synthesis): { price: number } {
  const watched = ofType(synthesis, "AWS::CloudWatch::Alarm").map((alarm) =>
    Math.max(metricsOf(alarm).length, 1),
  );
  const alarmed = watched.reduce((sum, count) => sum + count, 0);
  const composites = ofType(synthesis, "AWS::CloudWatch::CompositeAlarm").length;
  const metrics = synthesis.catalogue.metrics.all.length;
  const FREE = 10;
  return { price: (alarmed - FREE) * 0.1 + composites * 0.5 + (metrics - FREE) * 0.3 };
}
