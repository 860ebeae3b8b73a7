// Whom alarms notify. Alarms themselves are born with what they watch; dashboards, saved queries and
// the budget belong here too.

import { Aws, Stack } from "aws-cdk-lib";
import { PolicyStatement, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Topic } from "aws-cdk-lib/aws-sns";
import type { Construct } from "constructs";

import { fullName } from "./names.ts";
import { topicFor, type Priority, type Stage } from "./stage.ts";

export class ObservabilityStack extends Stack {
  private readonly topics: ReadonlyMap<Priority, Topic>;

  constructor(scope: Construct, private readonly stage: Stage) {
    super(scope, "observability");
    this.topics = new Map(stage.topics.map((priority) => [priority, this.createTopic(priority)]));
  }

  /** The topic of alarms of this priority. */
  topic(priority: Priority): Topic | undefined {
    const nearest = topicFor(this.stage, priority);
    return nearest && this.topics.get(nearest);
  }

  private createTopic(priority: Priority): Topic {
    const topic = new Topic(this, priority, {
      topicName: fullName(this.stage.name, `alarms-${priority}`),
      enforceSSL: true,
    });
    // A topic with a policy of its own loses the default one that lets the account's alarms in.
    topic.addToResourcePolicy(
      new PolicyStatement({
        principals: [new ServicePrincipal("cloudwatch.amazonaws.com")],
        actions: ["sns:Publish"],
        resources: [topic.topicArn],
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
    );
    return topic;
  }
}
