// All stacks of one stage. Nothing is shared between stages.
//
// `edge` (CDN, firewall, console) and `delivery` (deploy roles) join here.

import { Stage as CdkStage } from "aws-cdk-lib";
import type { Construct } from "constructs";

import { ApiStack } from "./api-stack.ts";
import type { Artefacts } from "./artefacts.ts";
import type { Catalogue } from "./catalogue.ts";
import type { FunctionSurroundings } from "./constructs/function.ts";
import { DataStack } from "./data-stack.ts";
import { mailDomain, type Deployment } from "./deployment.ts";
import { EventsStack } from "./events-stack.ts";
import { IdentityStack } from "./identity-stack.ts";
import { ObservabilityStack } from "./observability-stack.ts";
import { origins, settingValues, type IdentityProvider } from "./settings.ts";
import type { Stage } from "./stage.ts";

export interface RollcallStageProps {
  readonly catalogue: Catalogue;
  readonly stage: Stage;
  readonly deployment: Deployment;
  readonly artefacts: Artefacts;
}

export class RollcallStage extends CdkStage {
  readonly data: DataStack;
  /** Only where people are in a user pool of ours. */
  readonly identity: IdentityStack | undefined;
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
    const { identity } = deployment;
    this.identity =
      identity.provider === "user_pool"
        ? new IdentityStack(this, {
            stage,
            catalogue,
            deployment,
            domainPrefix: identity.domain_prefix,
          })
        : undefined;
    const around: FunctionSurroundings = {
      stage,
      settings: settingValues(stage, deployment, this.provider(deployment)),
      artefacts: props.artefacts,
      streamArns: (table) => this.data.streamArn(table),
      mailDomain: mailDomain(deployment),
    };
    this.events = new EventsStack(this, {
      catalogue,
      around,
      deadLetterTopic: this.observability?.topic("high"),
      userPoolArn: this.identity?.userPoolArn,
    });
    this.api = new ApiStack(this, { catalogue, around, origins: origins(deployment) });
    // Functions find tables and queues by name, which CDK cannot see: they must exist before.
    this.events.addStackDependency(this.data);
    this.api.addStackDependency(this.events);
  }

  private provider({ identity }: Deployment): IdentityProvider {
    if (identity.provider === "other") {
      const { issuer, client_id: clientId, profile, machine_client_ids: machineClientIds } = identity;
      return { issuer, clientId, profile, machineClientIds };
    }
    if (this.identity === undefined) {
      throw new Error("the user pool is made before what asks for it");
    }
    return this.identity.provider;
  }
}
