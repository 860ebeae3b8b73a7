// Queues, and the functions behind streams, queues, schedules and the user pool.

import { Stack } from "aws-cdk-lib";
import type { Construct } from "constructs";

import { isHttp, isPoolOnly, type Catalogue, type FunctionDeclaration } from "./catalogue.ts";
import { allowUserPool, mapQueue, mapStream, schedule } from "./constructs/event-sources.ts";
import { DeclaredFunction, type FunctionSurroundings } from "./constructs/function.ts";
import { QueuePair } from "./constructs/queue.ts";
import { fullName } from "./names.ts";

export interface EventsStackProps {
  readonly catalogue: Catalogue;
  readonly around: FunctionSurroundings;
  /** Whether streams feed functions here; not in a region that only stands by. */
  readonly readsStreams: boolean;
  /** The user pool; without one, functions for it alone are not deployed. */
  readonly userPoolArn: string | undefined;
}

export class EventsStack extends Stack {
  private readonly pairs: ReadonlyMap<string, QueuePair>;

  constructor(scope: Construct, private readonly props: EventsStackProps) {
    super(scope, "events");
    this.pairs = new Map(this.createQueues());
    const behindEvents = props.catalogue.functions.filter((each) => !isHttp(each));
    for (const declaration of behindEvents) {
      if (props.userPoolArn !== undefined || !isPoolOnly(declaration)) {
        this.createFunction(declaration);
      }
    }
  }

  private createQueues(): [string, QueuePair][] {
    const { catalogue, around } = this.props;
    return catalogue.queues.flatMap((queue): [string, QueuePair][] => {
      const dead = catalogue.queues.find(({ name }) => name === queue.redrive?.dead_letter_queue);
      if (queue.redrive === null || dead === undefined) {
        return [];
      }
      const pair = new QueuePair(this, `${queue.name}-queue`, {
        stage: around.stage,
        queue,
        receivesMax: queue.redrive.receives_max,
        deadLetterQueue: dead,
      });
      return [[queue.name, pair]];
    });
  }

  private createFunction(declaration: FunctionDeclaration): void {
    const { around } = this.props;
    const declared = new DeclaredFunction(this, declaration, around);
    for (const trigger of declaration.triggers) {
      switch (trigger.kind) {
        case "stream":
          if (this.props.readsStreams) {
            const failures = this.queueArn(trigger.failure_queue);
            mapStream(declared.live, trigger, around.streamArns(trigger.table), failures);
          }
          break;
        case "queue":
          mapQueue(declared.live, trigger, this.queueArn(trigger.queue));
          break;
        case "schedule":
          schedule(declared, declared.live, trigger);
          break;
        case "cognito":
          allowUserPool(declared.live, this.props.userPoolArn);
          break;
        case "http":
          throw new Error(`function ${declaration.name} belongs to the HTTP API`);
      }
    }
  }

  private queueArn(queue: string): string {
    for (const [name, pair] of this.pairs) {
      if (name === queue) {
        return pair.queue.queueArn;
      }
      if (pair.deadLetterQueueName === queue) {
        return pair.deadLetterQueue.queueArn;
      }
    }
    throw new Error(`${fullName(this.props.around.stage.name, queue)} is not declared`);
  }
}
