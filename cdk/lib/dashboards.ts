// Two dashboards: one for whoever is woken, one for whoever looks for the cause.

import { Aws } from "aws-cdk-lib";

import { emitted, type AlarmSpec, type AlarmSurroundings, type MetricOf } from "./alarms.ts";
import { isHttp } from "./catalogue.ts";
import { fullName } from "./names.ts";

type Body = { readonly widgets: object[] };
type Line = MetricOf | { readonly expression: string; readonly label: string };

const WIDTH = 24;
const PERIOD_SECONDS = 300;
/** Lines that a widget shows at most: CloudWatch's limit for a graph is far above what can be read. */
const LINES_MAX = 100;

class Grid {
  readonly widgets: object[] = [];
  private y = 0;

  /** A row of graphs of equal width. */
  row(height: number, graphs: [title: string, lines: Line[]][]): this {
    const width = Math.floor(WIDTH / graphs.length);
    graphs.forEach(([title, lines], position) => {
      this.widgets.push({
        type: "metric",
        x: position * width,
        y: this.y,
        width,
        height,
        properties: {
          title,
          view: "timeSeries",
          region: Aws.REGION,
          period: PERIOD_SECONDS,
          metrics: lines.slice(0, LINES_MAX).map(line),
        },
      });
    });
    this.y += height;
    return this;
  }

  /** The state of alarms. */
  states(title: string, arns: string[]): this {
    const height = 4;
    this.widgets.push({
      type: "alarm",
      x: 0,
      y: this.y,
      width: WIDTH,
      height,
      properties: { title, alarms: arns },
    });
    this.y += height;
    return this;
  }
}

function line(of: Line): unknown[] {
  if ("expression" in of) {
    return [{ expression: of.expression, label: of.label }];
  }
  const dimensions = Object.entries(of.dimensions).flat();
  return [of.namespace, of.metric, ...dimensions, { stat: of.statistic }];
}

/** The dashboards of a stage, by name. */
export function dashboards(around: AlarmSurroundings, specs: AlarmSpec[]): [string, Body][] {
  return [
    ["overview", overview(around, specs)],
    ["internals", internals(around)],
  ];
}

function overview(around: AlarmSurroundings, specs: AlarmSpec[]): Body {
  const api = (metric: string, statistic = "Sum"): MetricOf => ({
    namespace: "AWS/ApiGateway",
    metric,
    dimensions: { ApiId: around.apiId, Stage: "$default" },
    statistic,
  });
  const services = [...new Set(specs.map(({ service }) => service))].sort();
  const arn = (service: string) =>
    `arn:${Aws.PARTITION}:cloudwatch:${Aws.REGION}:${Aws.ACCOUNT_ID}:alarm:` +
    fullName(around.stage, `service-${service}`);
  const grid = new Grid()
    .states("Services", services.map(arn))
    .row(6, [
      ["Requests", [api("Count"), api("4xx"), api("5xx")]],
      ["Time to answer", ["p50", "p95", "p99"].map((percentile) => api("Latency", percentile))],
      ["The canary is answered", [emitted(around, "CanaryAnswered", "Minimum")]],
    ])
    .row(6, [
      [
        "From a write to the CRM",
        [
          emitted(around, "CrmLag", "p50"),
          emitted(around, "CrmLag", "p95"),
          emitted(around, "CrmWaiting", "Maximum"),
        ],
      ],
      [
        "What becomes of changes",
        ["CrmSent", "CrmUnchanged", "CrmPending", "CrmDead"].map((name) => emitted(around, name)),
      ],
      [
        "The desk",
        [emitted(around, "CrmLettersOpen", "Maximum"), emitted(around, "DeadMessages")],
      ],
    ])
    .row(6, [
      [
        "Who is turned away",
        ["SessionsRefused", "TokensInvalid", "RateLimited"].map((name) => emitted(around, name)),
      ],
      [
        "Mail",
        ["MailSent", "MailDelayed", "MailRefused"].map((name) => emitted(around, name)),
      ],
    ]);
  return { widgets: grid.widgets };
}

function internals(around: AlarmSurroundings): Body {
  const { catalogue, stage } = around;
  const behindEvents = catalogue.functions.filter(around.isDeployed).filter((each) => !isHttp(each));
  const each = (metric: string, statistic: string): MetricOf[] =>
    behindEvents.map(({ name }) => ({
      namespace: "AWS/Lambda",
      metric,
      dimensions: { FunctionName: fullName(stage, name) },
      statistic,
    }));
  const all = (metric: string, statistic: string): Line => ({
    expression: `SEARCH('{AWS/Lambda,FunctionName} MetricName="${metric}" "rollcall-${stage}-"', '${statistic}')`,
    label: metric,
  });
  const tables = (metric: string, statistic = "Sum"): MetricOf[] =>
    catalogue.tables.map(({ name }) => ({
      namespace: "AWS/DynamoDB",
      metric,
      dimensions: { TableName: fullName(stage, name) },
      statistic,
    }));
  const waiting = catalogue.queues.map(
    ({ name }): MetricOf => ({
      namespace: "AWS/SQS",
      metric: "ApproximateAgeOfOldestMessage",
      dimensions: { QueueName: fullName(stage, name) },
      statistic: "Maximum",
    }),
  );
  const grid = new Grid()
    .row(8, [
      ["Functions: errors", [all("Errors", "Sum")]],
      ["Functions: throttles", [all("Throttles", "Sum")]],
      ["Functions: 95 % take less than", [all("Duration", "p95")]],
    ])
    .row(8, [
      ["Behind events: invocations", each("Invocations", "Sum")],
      ["Behind events: 95 % take less than", each("Duration", "p95")],
      ["Behind streams: how far", each("IteratorAge", "Maximum")],
    ])
    .row(8, [
      ["Queues: the oldest message", waiting],
      [
        "Tables: throttled",
        [...tables("ReadThrottleEvents"), ...tables("WriteThrottleEvents")],
      ],
      [
        "Tables: used",
        [...tables("ConsumedReadCapacityUnits"), ...tables("ConsumedWriteCapacityUnits")],
      ],
    ])
    .row(6, [
      [
        "Calls to the CRM",
        ["CrmCalls", "CrmCallsLimited", "CrmCallsRefused", "CrmCallsLost"].map((name) =>
          emitted(around, name),
        ),
      ],
      ["Cold starts", [emitted(around, "ColdStarts")]],
    ]);
  return { widgets: grid.widgets };
}
