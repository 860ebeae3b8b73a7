// Writes templates that those of cdk.json do not cover: a prod with every switch on, for cfn-lint, and a
// dev with somebody else's identity provider, for the deployment drill (scripts/drill-deployment.py).

import { App } from "aws-cdk-lib";

import { BUILD_FOLDER } from "../lib/artefacts.ts";
import { readDeployments } from "../lib/deployment.ts";
import { RollcallStage } from "../lib/rollcall-stage.ts";
import { STAGES } from "../lib/stage.ts";
import { context, generated } from "./support.ts";

const certificate = (region: string) =>
  `arn:aws:acm:${region}:123456789012:certificate/12345678-1234-1234-1234-123456789012`;

const IDENTITY = {
  provider: "other",
  issuer: "https://id.rollcall.example",
  client_id: "rollcall",
  profile: "generic",
};

/** The app whose templates go into a folder of cdk.out, with other values for one stage. */
function appWith(folder: string, stage: "dev" | "prod", values: object): App {
  const changed = context();
  Object.assign((changed["rollcall"] as Record<typeof stage, object>)[stage], values);
  return new App({ context: changed, outdir: `cdk.out/${folder}` });
}

const whole = appWith("whole", "prod", {
  region: "eu-central-1",
  replica_regions: ["eu-west-1"],
  standby: { region: "eu-west-1" },
  identity: IDENTITY,
  api: { host: "api.rollcall.example", certificate_arn: certificate("eu-central-1") },
  edge: { certificate_arn: certificate("us-east-1") },
  delivery: { repository: "example/rollcall", branch: "main", provider: "create" },
  alarm_emails: { critical: ["night@rollcall.example"] },
  vpc: true,
  provisioned_concurrency: { health: 1 },
  provisioned_capacity: { read: { min: 5, max: 500 }, write: { min: 5, max: 500 } },
  watch_every_function: true,
});
const prod = {
  catalogue: generated(),
  stage: STAGES.prod,
  deployment: readDeployments(whole.node).prod,
  artefacts: { folder: "no such folder: placeholders", required: false },
};
new RollcallStage(whole, prod);
new RollcallStage(whole, { ...prod, standby: true });
whole.synth();

const drill = appWith("drill", "dev", { identity: IDENTITY });
new RollcallStage(drill, {
  catalogue: generated(),
  stage: STAGES.dev,
  deployment: readDeployments(drill.node).dev,
  artefacts: { folder: BUILD_FOLDER, required: false },
});
drill.synth();
