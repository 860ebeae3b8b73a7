// Synthesises every stage in memory, once per test file.

import { readFileSync } from "node:fs";

import { App } from "aws-cdk-lib";

import { parseCatalogue, readCatalogue, type Catalogue } from "../lib/catalogue.ts";
import { readDeployments, type Deployment } from "../lib/deployment.ts";
import { RollcallStage } from "../lib/rollcall-stage.ts";
import { STAGE_NAMES, STAGES, type Stage, type StageName } from "../lib/stage.ts";
import { at, readResources, type Resource } from "./template.ts";

/** A catalogue, synthesised for a stage. */
export interface Synthesis {
  readonly title: string;
  readonly catalogue: Catalogue;
  readonly stage: Stage;
  readonly deployment: Deployment;
  readonly app: RollcallStage;
  readonly resources: readonly Resource[];
}

const CDK_JSON: { context: Record<string, unknown> } = JSON.parse(
  readFileSync(new URL("../cdk.json", import.meta.url), "utf8"),
);
const FIXTURE = new URL("fixture/functions.json", import.meta.url);
const GENERATED = new URL("../functions.json", import.meta.url);

/** The context of cdk.json, as the CDK command would hand it over. */
export function context(): Record<string, unknown> {
  return structuredClone(CDK_JSON.context);
}

export function fixture(): Catalogue {
  return readCatalogue(FIXTURE);
}

/** The catalogue that the code declares. */
export function generated(): Catalogue {
  return readCatalogue(GENERATED);
}

export function synthesise(
  name: StageName,
  catalogue: Catalogue,
  title: string = name,
  values: Record<string, unknown> = {},
  standby = false,
): Synthesis {
  const changed = context();
  Object.assign(at(changed, "rollcall", name) as object, values);
  const app = new App({ context: changed });
  const stage = STAGES[name];
  const deployment = readDeployments(app.node)[name];
  const artefacts = { folder: "no such folder: placeholders", required: false };
  const whole = new RollcallStage(app, {
    catalogue: parseCatalogue(catalogue),
    stage,
    deployment,
    artefacts,
    standby,
  });
  const stacks = [
    whole.data,
    whole.observability,
    whole.identity,
    whole.network,
    whole.events,
    whole.api,
    ...whole.routes,
    whole.edge,
    whole.delivery,
  ];
  return { title, catalogue, stage, deployment, app: whole, resources: readResources(stacks) };
}

/** Every catalogue in every stage. */
export const SYNTHESES: readonly Synthesis[] = STAGE_NAMES.flatMap((name) => {
  return [
    synthesise(name, fixture(), `${name}, fixture`),
    synthesise(name, generated(), `${name}, functions.json`),
  ];
});

export function ofType(synthesis: Synthesis, type: string): Resource[] {
  return synthesis.resources.filter((resource) => resource.Type === type);
}

/** The one resource of a type; fails the test where there is another number of them. */
export function only(synthesis: Synthesis, type: string): Resource {
  const [resource, ...others] = ofType(synthesis, type);
  if (resource === undefined || others.length > 0) {
    throw new Error(`${others.length + 1} or no ${type} in ${synthesis.title}`);
  }
  return resource;
}

/** The client of this name at the user pool. */
export function poolClient(synthesis: Synthesis, name: string): Resource {
  const full = `rollcall-${synthesis.stage.name}-${name}`;
  const clients = ofType(synthesis, "AWS::Cognito::UserPoolClient");
  const client = clients.find(({ Properties }) => Properties["ClientName"] === full);
  if (client === undefined) {
    throw new Error(`no client ${full}`);
  }
  return client;
}
