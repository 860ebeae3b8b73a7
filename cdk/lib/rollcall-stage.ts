// All stacks of one stage. Nothing is shared between stages.
//
// `identity` (user pool), `edge` (CDN, firewall, console) and `delivery` (deploy roles) join here.

import { Stage as CdkStage } from "aws-cdk-lib";
import type { Construct } from "constructs";

import { ApiStack } from "./api-stack.ts";
import type { Artefacts } from "./artefacts.ts";
import type { Catalogue } from "./catalogue.ts";
import type { FunctionSurroundings } from "./constructs/function.ts";
import { DataStack } from "./data-stack.ts";
import type { Deployment } from "./deployment.ts";
import { EventsStack } from "./events-stack.ts";
import { ObservabilityStack } from "./observability-stack.ts";
import { origins, settingValues } from "./settings.ts";
import type { Stage } from "./stage.ts";

export interface RollcallStageProps {
  readonly catalogue: Catalogue;
  readonly stage: Stage;
  readonly deployment: Deployment;
  readonly artefacts: Artefacts;
}

export class RollcallStage extends CdkStage {
  readonly data: DataStack;
  readonly events: EventsStack;
  readonly api: ApiStack;
  /** Only where somebody is to be notified. */
  readonly observability: ObservabilityStack | undefined;

  constructor(scope: Construct, props: RollcallStageProps) {
    const { catalogue, stage, deployment } = props;
    super(scope, `rollcall-${stage.name}`);
    this.data = new DataStack(this, stage, catalogue);
    this.observability =
      stage.topics.length > 0 ? new ObservabilityStack(this, stage) : undefined;
    const around: FunctionSurroundings = {
      stage,
      settings: settingValues(stage, deployment),
      artefacts: props.artefacts,
      streamArns: (table) => this.data.streamArn(table),
    };
    this.events = new EventsStack(this, {
      catalogue,
      around,
      deadLetterTopic: this.observability?.topic("high"),
    });
    this.api = new ApiStack(this, { catalogue, around, origins: origins(deployment) });
    // Functions find tables and queues by name, which CDK cannot see: they must exist before.
    this.events.addStackDependency(this.data);
    this.api.addStackDependency(this.events);
  }
}
