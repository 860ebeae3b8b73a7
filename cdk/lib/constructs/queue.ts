// A working queue, born together with its dead-letter queue and the permission between them.

import { Duration } from "aws-cdk-lib";
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
}

export class QueuePair extends Construct {
  readonly queue: Queue;
  readonly deadLetterQueue: Queue;
  /** The name of the dead-letter queue without prefix and stage. */
  readonly deadLetterQueueName: string;

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
