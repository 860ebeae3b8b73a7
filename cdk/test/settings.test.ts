import assert from "node:assert/strict";
import { test } from "node:test";

import { App } from "aws-cdk-lib";

import { readDeployments } from "../lib/deployment.ts";
import { settingValues, type IdentityProvider } from "../lib/settings.ts";
import { STAGE_NAMES } from "../lib/stage.ts";
import {
  context,
  fixture,
  generated,
  ofType,
  only,
  poolClient,
  SYNTHESES,
  synthesise,
  type Synthesis,
} from "./support.ts";
import { at } from "./template.ts";

/** The user pool, as functions must know it. */
function userPool(synthesis: Synthesis): IdentityProvider {
  return {
    issuer: `${only(synthesis, "AWS::Cognito::UserPool").id}.ProviderURL`,
    clientId: poolClient(synthesis, "site").id,
    profile: "cognito",
    machineClientIds: [poolClient(synthesis, "monitor").id],
  };
}

for (const synthesis of SYNTHESES) {
  test(`${synthesis.title}: every function has the settings it declares and no other`, () => {
    const values = settingValues(synthesis.stage, synthesis.deployment, userPool(synthesis));
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

const values = (what: string, synthesis: Synthesis, expected: Record<string, string>) => {
  test(`the values that follow from the stage: ${what}`, () => {
    const all = settingValues(synthesis.stage, synthesis.deployment, userPool(synthesis));
    const found = Object.keys(expected).map((name) => [name, all[name]]);
    assert.deepEqual(Object.fromEntries(found), expected);
  });
};
values("dev has no client secret and its site on localhost", synthesise("dev", fixture()), {
  ROLLCALL_STAGE: "dev",
  ROLLCALL_ORIGINS: "http://localhost:3000",
  ROLLCALL_OIDC_REDIRECT_URI: "http://localhost:3000/auth/callback",
  ROLLCALL_OIDC_CLIENT_AUTHENTICATION: "none",
});
values("prod has a client secret and its own host", synthesise("prod", fixture()), {
  ROLLCALL_STAGE: "prod",
  ROLLCALL_ORIGINS: "https://www.rollcall.example",
  ROLLCALL_OIDC_REDIRECT_URI: "https://www.rollcall.example/auth/callback",
  ROLLCALL_OIDC_CLIENT_AUTHENTICATION: "secret",
  ROLLCALL_MAIL_FROM: "Rollcall <mail@rollcall.example>",
});

test("no value is kept for a setting that the code does not declare", () => {
  const declared = generated().settings.map(({ name }) => name);
  for (const synthesis of SYNTHESES) {
    const { stage, deployment } = synthesis;
    assert.deepEqual(
      Object.keys(settingValues(stage, deployment, userPool(synthesis))).sort(),
      declared.sort(),
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
const other = { provider: "other", client_id: "web", profile: "generic" };
const insecure = { ...other, issuer: "http://id.rollcall.example" };
refuses("an issuer without TLS", "dev", { identity: insecure }, /issuer/);
refuses("a provider without an issuer", "dev", { identity: other }, /issuer/);
const reserved = { provider: "user_pool", domain_prefix: "rollcall-cognito" };
refuses("a domain that Cognito refuses", "prod", { identity: reserved }, /domain_prefix/);
refuses("mail from no address", "dev", { mail_from: "Rollcall" }, /mail_from/);
refuses("a misspelt key", "dev", { hubspot_token: "x" }, /hubspot_token/);
