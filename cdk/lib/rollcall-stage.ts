// All stacks of one stage. Nothing is shared between stages.

import { Stage as CdkStage, Tags } from "aws-cdk-lib";
import type { IVpc } from "aws-cdk-lib/aws-ec2";
import type { Construct } from "constructs";

import { ApiStack } from "./api-stack.ts";
import type { Artefacts } from "./artefacts.ts";
import { httpContexts, isPoolOnly, type Catalogue } from "./catalogue.ts";
import type { FunctionSurroundings } from "./constructs/function.ts";
import { DataStack } from "./data-stack.ts";
import { DeliveryStack } from "./delivery-stack.ts";
import { mailDomain, type Deployment } from "./deployment.ts";
import { EdgeStack } from "./edge-stack.ts";
import { EventsStack } from "./events-stack.ts";
import { IdentityStack } from "./identity-stack.ts";
import { NetworkStack } from "./network-stack.ts";
import { tableArn } from "./names.ts";
import { ObservabilityStack } from "./observability-stack.ts";
import { RoutesStack } from "./routes-stack.ts";
import { settingValues, type IdentityProvider } from "./settings.ts";
import type { Stage } from "./stage.ts";

export interface RollcallStageProps {
  readonly catalogue: Catalogue;
  readonly stage: Stage;
  readonly deployment: Deployment;
  readonly artefacts: Artefacts;
  /** Whether this is the second region, which has replicas for tables. */
  readonly standby?: boolean;
}

export class RollcallStage extends CdkStage {
  /** Not where tables are replicas. */
  readonly data: DataStack | undefined;
  /** Only where people are in a user pool of ours. */
  readonly identity: IdentityStack | undefined;
  readonly network: NetworkStack | undefined;
  readonly events: EventsStack;
  readonly api: ApiStack;
  readonly routes: readonly RoutesStack[];
  /** Only where somebody is to be notified. */
  readonly observability: ObservabilityStack | undefined;
  /** Only where the API has a host of its own. */
  readonly edge: EdgeStack | undefined;
  readonly delivery: DeliveryStack | undefined;

  constructor(scope: Construct, private readonly props: RollcallStageProps) {
    const { catalogue, stage, deployment, standby = false } = props;
    const region = standby ? deployment.standby?.region : deployment.region;
    super(scope, `rollcall-${stage.name}${standby ? "-standby" : ""}`, {
      env: { ...(region !== undefined && { region }) },
    });
    // What a month costs is told by this tag.
    Tags.of(this).add("rollcall:stage", stage.name, {
      excludeResourceTypes: ["AWS::CloudWatch::Dashboard", "AWS::Budgets::Budget"],
    });
    this.data = standby ? undefined : new DataStack(this, stage, catalogue, deployment);
    this.identity = this.createIdentity();
    this.network = deployment.vpc ? new NetworkStack(this, stage) : undefined;
    const around = this.surroundings();
    this.api = new ApiStack(this, { catalogue, stage, deployment });
    this.events = new EventsStack(this, {
      catalogue,
      around,
      readsStreams: !standby || deployment.standby?.stream_arns !== undefined,
      userPoolArn: this.identity?.userPoolArn,
    });
    this.routes = httpContexts(catalogue).map(
      (context) => new RoutesStack(this, { catalogue, around, context, api: this.api.api }),
    );
    this.observability = this.createObservability();
    this.edge =
      deployment.edge === undefined || standby
        ? undefined
        : new EdgeStack(this, { stage, catalogue, deployment });
    const { delivery } = deployment;
    this.delivery =
      delivery === undefined || standby
        ? undefined
        : new DeliveryStack(this, { stage, catalogue, delivery });
    this.order();
  }

  /** Functions find tables and queues by name, which CDK cannot see: they must exist before. */
  private order(): void {
    if (this.data !== undefined) {
      this.events.addStackDependency(this.data);
    }
    for (const routes of this.routes) {
      routes.addStackDependency(this.events);
      this.observability?.addStackDependency(routes);
    }
    this.observability?.addStackDependency(this.events);
  }

  private createIdentity(): IdentityStack | undefined {
    const { stage, catalogue, deployment } = this.props;
    const { identity } = deployment;
    return identity.provider === "user_pool"
      ? new IdentityStack(this, {
          stage,
          catalogue,
          deployment,
          domainPrefix: identity.domain_prefix,
        })
      : undefined;
  }

  private surroundings(): FunctionSurroundings {
    const { stage, deployment, artefacts } = this.props;
    return {
      stage,
      settings: settingValues(stage, deployment, this.provider(deployment)),
      artefacts,
      streamArns: (table) => this.streamArn(table),
      mailDomain: mailDomain(deployment),
      vpc: this.network?.vpc as IVpc | undefined,
      provisionedConcurrency: deployment.provisioned_concurrency,
    };
  }

  private streamArn(table: string): string {
    if (this.data !== undefined) {
      return this.data.streamArn(table);
    }
    // Until it takes over, nothing reads the stream, and the permission names all of the table's.
    const known = this.props.deployment.standby?.stream_arns?.[table];
    return known ?? tableArn(this.api, this.props.stage.name, table, "stream/*");
  }

  private createObservability(): ObservabilityStack | undefined {
    const { stage, catalogue, deployment, standby = false } = this.props;
    if (stage.topics.length === 0 || standby) {
      return undefined;
    }
    return new ObservabilityStack(this, {
      stage,
      catalogue,
      deployment,
      apiId: this.api.api.apiId,
      everyFunction: deployment.watch_every_function,
      isDeployed: (declaration) => this.identity !== undefined || !isPoolOnly(declaration),
    });
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
