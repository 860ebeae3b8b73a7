import assert from "node:assert/strict";
import { test } from "node:test";

import { fixture, generated, ofType, only, poolClient, SYNTHESES, synthesise } from "./support.ts";
import { at, list } from "./template.ts";

const SECRET = { dev: false, staging: true, prod: true };
const PROTECTED = { dev: "INACTIVE", staging: "ACTIVE", prod: "ACTIVE" };
const KEPT = { dev: "Delete", staging: "Retain", prod: "Retain" };

for (const synthesis of SYNTHESES) {
  const { catalogue, deployment, stage, title } = synthesis;
  const full = (name: string) => `rollcall-${stage.name}-${name}`;
  const pool = only(synthesis, "AWS::Cognito::UserPool");
  const found = (...path: (string | number)[]) => at(pool.Properties, ...path);

  test(`${title}: passwords are long and of four classes, codes by an app are offered`, () => {
    const { TemporaryPasswordValidityDays: days, ...policy } = found(
      "Policies",
      "PasswordPolicy",
    ) as Record<string, unknown>;
    assert.deepEqual(policy, {
      MinimumLength: 12,
      RequireLowercase: true,
      RequireUppercase: true,
      RequireNumbers: true,
      RequireSymbols: true,
    });
    assert.equal(days, 1);
    assert.equal(found("MfaConfiguration"), "OPTIONAL");
    assert.deepEqual(found("EnabledMfas"), ["SOFTWARE_TOKEN_MFA"]);
    assert.deepEqual(found("DeviceConfiguration"), {
      ChallengeRequiredOnNewDevice: true,
      DeviceOnlyRememberedOnUserPrompt: true,
    });
  });

  test(`${title}: people are their verified address, in whatever case`, () => {
    assert.deepEqual(found("UsernameAttributes"), ["email"]);
    assert.deepEqual(found("UsernameConfiguration"), { CaseSensitive: false });
    assert.deepEqual(found("AutoVerifiedAttributes"), ["email"]);
    assert.deepEqual(found("UserAttributeUpdateSettings"), {
      AttributesRequireVerificationBeforeUpdate: ["email"],
    });
    assert.deepEqual(found("Schema"), [{ Name: "email", Required: true, Mutable: true }]);
    assert.equal(found("AdminCreateUserConfig", "AllowAdminCreateUserOnly"), false);
    assert.deepEqual(found("AccountRecoverySetting", "RecoveryMechanisms"), [
      { Name: "verified_email", Priority: 1 },
    ]);
  });

  test(`${title}: the pool is protected as its stage demands`, () => {
    assert.equal(found("UserPoolName"), full("users"));
    assert.equal(found("DeletionProtection"), PROTECTED[stage.name]);
    assert.equal(pool.DeletionPolicy, KEPT[stage.name]);
    assert.equal(synthesis.app.identity?.terminationProtection, stage.protectsData);
  });

  test(`${title}: our site signs people in by code, for an hour at a time`, () => {
    const { ClientName: name, UserPoolId: of, ...client } = poolClient(synthesis, "site").Properties;
    assert.deepEqual([name, of], [full("site"), pool.id]);
    assert.deepEqual(client, {
      GenerateSecret: SECRET[stage.name],
      AllowedOAuthFlowsUserPoolClient: true,
      AllowedOAuthFlows: ["code"],
      AllowedOAuthScopes: ["openid", "email", "profile"],
      CallbackURLs: [`${deployment.site_url}/auth/callback`],
      LogoutURLs: [deployment.site_url],
      ExplicitAuthFlows: ["ALLOW_CUSTOM_AUTH"],
      SupportedIdentityProviders: ["COGNITO"],
      ReadAttributes: ["email", "email_verified", "family_name", "given_name"],
      WriteAttributes: ["email", "family_name", "given_name"],
      PreventUserExistenceErrors: "ENABLED",
      EnableTokenRevocation: true,
      AccessTokenValidity: 60,
      IdTokenValidity: 60,
      RefreshTokenValidity: 30 * 24 * 60,
      TokenValidityUnits: { AccessToken: "minutes", IdToken: "minutes", RefreshToken: "minutes" },
      RefreshTokenRotation: { Feature: "ENABLED", RetryGracePeriodSeconds: 60 },
    });
  });

  test(`${title}: a machine may operate and signs nobody in`, () => {
    const server = only(synthesis, "AWS::Cognito::UserPoolResourceServer");
    assert.equal(server.Properties["Identifier"], "rollcall");
    assert.deepEqual(
      list(server.Properties["Scopes"]).map((scope) => at(scope, "ScopeName")),
      ["operate"],
    );
    const client = poolClient(synthesis, "monitor").Properties;
    assert.deepEqual(client["AllowedOAuthFlows"], ["client_credentials"]);
    assert.deepEqual(client["AllowedOAuthScopes"], [`${server.id}/operate`]);
    assert.deepEqual(
      [client["GenerateSecret"], client["ExplicitAuthFlows"], client["CallbackURLs"]],
      [true, ["ALLOW_CUSTOM_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"], undefined],
    );
    assert.equal(ofType(synthesis, "AWS::Cognito::UserPoolClient").length, 2, "no other client");
  });

  test(`${title}: the pool calls the declared functions, and no other pool may`, () => {
    const triggers = catalogue.functions.flatMap((declaration) =>
      declaration.triggers.flatMap((trigger) =>
        trigger.kind === "cognito" ? [{ name: full(declaration.name), ...trigger }] : [],
      ),
    );
    const arn = (name: string) => `arn:aws:lambda:region:account:function:${name}:live`;
    const wired = Object.fromEntries(
      triggers.map(({ name, trigger }) =>
        trigger === "post-confirmation"
          ? ["PostConfirmation", arn(name)]
          : ["PreTokenGenerationConfig", { LambdaArn: arn(name), LambdaVersion: "V2_0" }],
      ),
    );
    assert.deepEqual(found("LambdaConfig"), wired);
    assert.equal(found("UserPoolTier"), "ESSENTIALS");
    const permissions = ofType(synthesis, "AWS::Lambda::Permission")
      .map(({ Properties }) => Properties)
      .filter((permission) => permission["Principal"] === "cognito-idp.amazonaws.com");
    assert.deepEqual(
      permissions,
      triggers.map(({ name }) => ({
        Action: "lambda:InvokeFunction",
        FunctionName: arn(name),
        Principal: "cognito-idp.amazonaws.com",
        SourceArn: `${pool.id}.Arn`,
      })),
    );
  });
}

test("the code declares both triggers", () => {
  const kinds = generated().functions.flatMap(({ triggers }) =>
    triggers.flatMap((trigger) => (trigger.kind === "cognito" ? [trigger.trigger] : [])),
  );
  assert.deepEqual(kinds.sort(), ["post-confirmation", "pre-token-generation"]);
});

for (const catalogue of [fixture(), generated()]) {
  test("with a provider of somebody else's there is no pool and nothing for one", () => {
    const identity = {
      provider: "other",
      issuer: "https://id.rollcall.example/",
      client_id: "web",
      profile: "generic",
    };
    const synthesis = synthesise("prod", catalogue, "prod, other provider", { identity });
    assert.equal(synthesis.app.identity, undefined);
    assert.deepEqual(
      synthesis.resources.filter(({ Type }) => Type.startsWith("AWS::Cognito")),
      [],
    );
    const functions = ofType(synthesis, "AWS::Lambda::Function").map(({ Properties }) => Properties);
    const expected = catalogue.functions.filter(({ triggers }) =>
      triggers.some(({ kind }) => kind !== "cognito"),
    );
    assert.equal(functions.length, expected.length);
    const settings = functions.map((properties) => at(properties, "Environment", "Variables"));
    const issuers = settings.map((all) => Reflect.get(all as object, "ROLLCALL_OIDC_ISSUER"));
    const named = issuers.filter((issuer) => issuer !== undefined);
    assert.ok(named.every((issuer) => issuer === identity.issuer));
  });
}
