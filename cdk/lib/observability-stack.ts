// Who is told of what: topics, alarms with a composite per service, two dashboards, saved queries, and
// the budget. What is watched comes from alarms.ts; everything is found by name, so this stack is the
// last of its stage and no other one waits for it.

import { Aws, Stack } from "aws-cdk-lib";
import { CfnBudget } from "aws-cdk-lib/aws-budgets";
import { CfnAlarm, type CfnAlarmProps, CfnCompositeAlarm, CfnDashboard } from "aws-cdk-lib/aws-cloudwatch";
import { PolicyStatement, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { CfnQueryDefinition } from "aws-cdk-lib/aws-logs";
import { Topic } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import type { Construct } from "constructs";

import { alarms, type AlarmSpec, type AlarmSurroundings, type MetricOf, type Watched } from "./alarms.ts";
import { dashboards } from "./dashboards.ts";
import type { Deployment } from "./deployment.ts";
import { fullName } from "./names.ts";
import { savedQueries } from "./queries.ts";
import { topicFor, type Priority, type Stage } from "./stage.ts";

export interface ObservabilityStackProps extends Omit<AlarmSurroundings, "stage"> {
  readonly stage: Stage;
  readonly deployment: Deployment;
}

/** How priorities are called where people read them. */
const LABELS: Readonly<Record<Priority, string>> = { critical: "P0", high: "P1", warning: "P2" };

export class ObservabilityStack extends Stack {
  private readonly topics: ReadonlyMap<Priority, Topic>;
  private readonly stage: Stage;

  constructor(scope: Construct, private readonly props: ObservabilityStackProps) {
    super(scope, "observability");
    this.stage = props.stage;
    this.topics = new Map(
      this.stage.topics.map((priority) => [priority, this.createTopic(priority)]),
    );
    const around: AlarmSurroundings = { ...props, stage: this.stage.name };
    const specs = alarms(around);
    const made = new Map(specs.map((spec) => [spec, this.createAlarm(spec)]));
    this.createComposites(specs, made);
    for (const [name, body] of dashboards(around, specs)) {
      new CfnDashboard(this, `Dashboard-${name}`, {
        dashboardName: fullName(this.stage.name, name),
        dashboardBody: this.toJsonString(body),
      });
    }
    for (const query of savedQueries(props.catalogue, this.stage.name)) {
      new CfnQueryDefinition(this, `Query-${query.name}`, {
        name: `${fullName(this.stage.name, "")}/${query.name}`.replace("-/", "/"),
        queryString: query.text,
        logGroupNames: query.logGroups,
      });
    }
    this.createBudget();
  }

  private createTopic(priority: Priority): Topic {
    const topic = new Topic(this, priority, {
      topicName: fullName(this.stage.name, `alarms-${priority}`),
      enforceSSL: true,
    });
    // A topic with a policy of its own loses the default one that lets the account's alarms in.
    topic.addToResourcePolicy(
      new PolicyStatement({
        principals: ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"].map(
          (service) => new ServicePrincipal(service),
        ),
        actions: ["sns:Publish"],
        resources: [topic.topicArn],
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
    );
    for (const address of this.props.deployment.alarm_emails?.[priority] ?? []) {
      topic.addSubscription(new EmailSubscription(address));
    }
    return topic;
  }

  private createAlarm(spec: AlarmSpec): CfnAlarm {
    const nearest = topicFor(this.stage, spec.priority);
    const topic = nearest && this.topics.get(nearest);
    const actions = topic === undefined ? [] : [topic.topicArn];
    const [ring, outOf] = spec.datapoints;
    return new CfnAlarm(this, `Alarm-${spec.name}`, {
      alarmName: fullName(this.stage.name, spec.name),
      alarmDescription: `${LABELS[spec.priority]}: ${spec.meaning} docs/runbooks/${spec.runbook}`,
      ...watched(spec.watched, spec.periodSeconds),
      comparisonOperator: spec.trips === "above" ? "GreaterThanThreshold" : "LessThanThreshold",
      threshold: spec.threshold,
      evaluationPeriods: outOf,
      datapointsToAlarm: ring,
      treatMissingData: spec.silenceTrips ? "breaching" : "notBreaching",
      alarmActions: actions,
      okActions: actions,
    });
  }

  /** Rings while any alarm of the service does; its parts have told already, so it tells nobody. */
  private createComposites(specs: AlarmSpec[], made: ReadonlyMap<AlarmSpec, CfnAlarm>): void {
    for (const service of [...new Set(specs.map((spec) => spec.service))].sort()) {
      const parts = specs.filter((spec) => spec.service === service);
      const composite = new CfnCompositeAlarm(this, `Service-${service}`, {
        alarmName: fullName(this.stage.name, `service-${service}`),
        alarmDescription: `Something of ${service} needs attention; its parts say what.`,
        alarmRule: parts
          .map((spec) => `ALARM("${fullName(this.stage.name, spec.name)}")`)
          .join(" OR "),
        actionsEnabled: false,
      });
      for (const part of parts) {
        const alarm = made.get(part);
        if (alarm !== undefined) {
          composite.addResourceDependency(alarm);
        }
      }
    }
  }

  /** Tells the least urgent topic when the month costs more than it should, and when it will. */
  private createBudget(): void {
    const least = this.stage.topics.at(-1);
    const topic = least && this.topics.get(least);
    if (topic === undefined) {
      return;
    }
    const subscribers = [{ subscriptionType: "SNS", address: topic.topicArn }];
    const when = (notificationType: string, threshold: number) => ({
      notification: { comparisonOperator: "GREATER_THAN", notificationType, threshold },
      subscribers,
    });
    const budget = new CfnBudget(this, "Budget", {
      budget: {
        budgetName: fullName(this.stage.name, "month"),
        budgetType: "COST",
        timeUnit: "MONTHLY",
        budgetLimit: { amount: this.props.deployment.budget_usd, unit: "USD" },
        costFilters: { TagKeyValue: [`user:rollcall:stage$${this.stage.name}`] },
      },
      notificationsWithSubscribers: [when("ACTUAL", 80), when("ACTUAL", 100), when("FORECASTED", 100)],
    });
    budget.node.addDependency(topic);
  }
}

function watched(what: Watched, period: number): Partial<CfnAlarmProps> {
  switch (what.kind) {
    case "metric":
      return {
        namespace: what.metric.namespace,
        metricName: what.metric.metric,
        dimensions: dimensions(what.metric),
        period,
        ...(isPercentile(what.metric)
          ? { extendedStatistic: what.metric.statistic }
          : { statistic: what.metric.statistic }),
      };
    case "math":
      return {
        metrics: [
          { id: "watched", expression: what.expression, returnData: true },
          ...Object.entries(what.metrics).map(([id, metric]) => ({
            id,
            returnData: false,
            metricStat: {
              metric: {
                namespace: metric.namespace,
                metricName: metric.metric,
                dimensions: dimensions(metric),
              },
              period,
              stat: metric.statistic,
            },
          })),
        ],
      };
    case "query":
      return { metrics: [{ id: "watched", expression: what.query, period, returnData: true }] };
  }
}

const isPercentile = ({ statistic }: MetricOf) => /^p\d/.test(statistic);
const dimensions = (metric: MetricOf) =>
  Object.entries(metric.dimensions).map(([name, value]) => ({ name, value }));
