// Writes the templates of a deployment with every switch on, for cfn-lint: those of cdk.json have none.

import { App } from "aws-cdk-lib";

import { readDeployments } from "../lib/deployment.ts";
import { RollcallStage } from "../lib/rollcall-stage.ts";
import { STAGES } from "../lib/stage.ts";
import { context, generated } from "./support.ts";

const certificate = (region: string) =>
  `arn:aws:acm:${region}:123456789012:certificate/12345678-1234-1234-1234-123456789012`;

const changed = context();
Object.assign((changed["rollcall"] as { prod: object }).prod, {
  region: "eu-central-1",
  replica_regions: ["eu-west-1"],
  standby: { region: "eu-west-1" },
  identity: {
    provider: "other",
    issuer: "https://id.rollcall.example",
    client_id: "rollcall",
    profile: "generic",
  },
  api: { host: "api.rollcall.example", certificate_arn: certificate("eu-central-1") },
  edge: { certificate_arn: certificate("us-east-1") },
  delivery: { repository: "example/rollcall", branch: "main", provider: "create" },
  alarm_emails: { critical: ["night@rollcall.example"] },
  vpc: true,
  provisioned_concurrency: { health: 1 },
  provisioned_capacity: { read: { min: 5, max: 500 }, write: { min: 5, max: 500 } },
  watch_every_function: true,
});
const app = new App({ context: changed, outdir: "cdk.out/whole" });
const deployment = readDeployments(app.node).prod;
const props = {
  catalogue: generated(),
  stage: STAGES.prod,
  deployment,
  artefacts: { folder: "no such folder: placeholders", required: false },
};
new RollcallStage(app, props);
new RollcallStage(app, { ...props, standby: true });
app.synth();
