import assert from "node:assert/strict";
import { test } from "node:test";

import { App } from "aws-cdk-lib";

import { readDeployments } from "../lib/deployment.ts";
import { settingValues } from "../lib/settings.ts";
import { STAGE_NAMES } from "../lib/stage.ts";
import { context, fixture, generated, ofType, SYNTHESES, synthesise } from "./support.ts";
import { at } from "./template.ts";

for (const synthesis of SYNTHESES) {
  test(`${synthesis.title}: every function has the settings it declares and no other`, () => {
    const values = settingValues(synthesis.stage, synthesis.deployment);
    const environments = ofType(synthesis, "AWS::Lambda::Function").map((resource) => [
      resource.Properties["FunctionName"],
      at(resource.Properties, "Environment", "Variables"),
    ]);
    const declared = synthesis.catalogue.functions.map((declaration) => [
      `rollcall-${synthesis.stage.name}-${declaration.name}`,
      Object.fromEntries(declaration.settings.map((setting) => [setting, values[setting]])),
    ]);
    assert.deepEqual(Object.fromEntries(environments), Object.fromEntries(declared));
  });
}

test("no value is kept for a setting that the code no longer declares", () => {
  const real = generated();
  if (real === undefined) return;
  for (const { stage, deployment } of SYNTHESES) {
    assert.deepEqual(
      Object.keys(settingValues(stage, deployment)).sort(),
      real.settings.map(({ name }) => name).sort(),
    );
  }
});

for (const stage of STAGE_NAMES) {
  test(`${stage}: a setting without a value stops the synthesis by name`, () => {
    const catalogue = fixture();
    catalogue.settings.push({ name: "ROLLCALL_NEW", description: "Unknown here." });
    catalogue.functions[0]?.settings.push("ROLLCALL_NEW");
    assert.throws(
      () => synthesise(stage, catalogue),
      new RegExp(`ROLLCALL_NEW of function health has no value in stage ${stage}`),
    );
  });
}

const refuses = (what: string, stage: string, values: Record<string, unknown>, message: RegExp) => {
  test(`a deployment is refused: ${what}`, () => {
    const spoilt = context();
    Object.assign(at(spoilt, "rollcall", stage) as object, values);
    assert.throws(() => readDeployments(new App({ context: spoilt }).node), message);
  });
};
refuses("every origin", "dev", { site_url: "*" }, /site_url/);
refuses("an origin with a path", "dev", { site_url: "http://localhost:3000/" }, /site_url/);
refuses("a site without TLS", "prod", { site_url: "http://www.rollcall.example" }, /https/);
refuses("an issuer without TLS", "dev", { oidc_issuer: "http://id.rollcall.example" }, /oidc_issuer/);
refuses("a misspelt key", "dev", { hubspot_token: "x" }, /hubspot_token/);
