// A working queue, born together with its dead-letter queue, the permission between them and the
// alarm that says when something waits for a person.

import { Duration } from "aws-cdk-lib";
import { Alarm, ComparisonOperator, Stats, TreatMissingData } from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import type { ITopic } from "aws-cdk-lib/aws-sns";
import { Queue, QueueEncryption, RedrivePermission, type QueueProps } from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";

import type { QueueDeclaration } from "../catalogue.ts";
import { fullName, queueArn } from "../names.ts";
import type { Stage } from "../stage.ts";

export interface QueuePairProps {
  readonly stage: Stage;
  readonly queue: QueueDeclaration;
  readonly receivesMax: number;
  readonly deadLetterQueue: QueueDeclaration;
  /** Who is told of dead letters; nobody where the stage has no topic. */
  readonly topic: ITopic | undefined;
}

export class QueuePair extends Construct {
  readonly queue: Queue;
  readonly deadLetterQueue: Queue;
  /** The name of the dead-letter queue without prefix and stage. */
  readonly deadLetterQueueName: string;
  readonly givenUpAlarm: Alarm;

  constructor(scope: Construct, id: string, props: QueuePairProps) {
    super(scope, id);
    const { stage, queue, deadLetterQueue } = props;
    this.deadLetterQueueName = deadLetterQueue.name;
    // By its ARN, since the two queues would otherwise need each other to be created.
    const source = Queue.fromQueueArn(this, "Source", queueArn(this, stage.name, queue.name));
    this.deadLetterQueue = new Queue(this, "DeadLetters", {
      ...queueProps(stage, deadLetterQueue),
      redriveAllowPolicy: {
        redrivePermission: RedrivePermission.BY_QUEUE,
        sourceQueues: [source],
      },
    });
    this.queue = new Queue(this, "Queue", {
      ...queueProps(stage, queue),
      deadLetterQueue: { queue: this.deadLetterQueue, maxReceiveCount: props.receivesMax },
    });
    this.givenUpAlarm = new Alarm(this, "GivenUp", {
      alarmName: `${fullName(stage.name, deadLetterQueue.name)}-given-up`,
      alarmDescription: `P1: messages of ${queue.name} were given up and lie on the dead-letter desk, or wait in ${deadLetterQueue.name} for it.`,
      // Received, since they are taken to the desk at once and hardly ever seen waiting.
      metric: this.deadLetterQueue.metricNumberOfMessagesReceived({
        period: Duration.minutes(1),
        statistic: Stats.SUM,
      }),
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      threshold: 0,
      evaluationPeriods: 1,
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    if (props.topic !== undefined) {
      this.givenUpAlarm.addAlarmAction(new SnsAction(props.topic));
    }
  }
}

function queueProps(stage: Stage, declaration: QueueDeclaration): QueueProps {
  return {
    queueName: fullName(stage.name, declaration.name),
    visibilityTimeout: Duration.seconds(declaration.visibility_timeout_seconds),
    retentionPeriod: Duration.seconds(declaration.retention_seconds),
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
  };
}
