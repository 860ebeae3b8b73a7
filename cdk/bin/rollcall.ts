// The CDK app: every stage, from the catalogue that the code declares.

import { App } from "aws-cdk-lib";

import { BUILD_FOLDER } from "../lib/artefacts.ts";
import { readCatalogue } from "../lib/catalogue.ts";
import { readDeployments } from "../lib/deployment.ts";
import { RollcallStage } from "../lib/rollcall-stage.ts";
import { STAGE_NAMES, STAGES } from "../lib/stage.ts";

const app = new App();
const catalogue = readCatalogue(new URL("../functions.json", import.meta.url));
const deployments = readDeployments(app.node);
const required = app.node.tryGetContext("artefacts") === "required";

for (const name of STAGE_NAMES) {
  const props = {
    catalogue,
    stage: STAGES[name],
    deployment: deployments[name],
    artefacts: { folder: BUILD_FOLDER, required },
  };
  new RollcallStage(app, props);
  if (props.deployment.standby !== undefined) {
    new RollcallStage(app, { ...props, standby: true });
  }
}
