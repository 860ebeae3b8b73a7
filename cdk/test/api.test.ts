import assert from "node:assert/strict";
import { test } from "node:test";

import { isHttp } from "../lib/catalogue.ts";
import { ofType, SYNTHESES } from "./support.ts";
import { at } from "./template.ts";

const ORIGINS = {
  dev: ["http://localhost:3000"],
  staging: ["https://staging.rollcall.example"],
  prod: ["https://www.rollcall.example"],
};

for (const synthesis of SYNTHESES) {
  const { catalogue, stage, title } = synthesis;
  const declared = catalogue.functions.flatMap((declaration) =>
    declaration.triggers.flatMap((trigger) =>
      trigger.kind === "http" ? [{ ...trigger, function: declaration.name }] : [],
    ),
  );
  const functionArn = (name: string) =>
    `arn:aws:lambda:region:account:function:rollcall-${stage.name}-${name}:live`;

  test(`${title}: the routes are the declared ones, each with its function`, () => {
    const integrations = new Map(
      ofType(synthesis, "AWS::ApiGatewayV2::Integration").map(({ id, Properties }) => [
        `integrations/${id}`,
        Properties,
      ]),
    );
    const routes = ofType(synthesis, "AWS::ApiGatewayV2::Route").map(({ Properties }) => {
      const integration = integrations.get(String(Properties["Target"]));
      return {
        key: Properties["RouteKey"],
        uri: integration?.["IntegrationUri"],
        type: integration?.["IntegrationType"],
        payload: integration?.["PayloadFormatVersion"],
        timeout: integration?.["TimeoutInMillis"],
      };
    });
    const expected = declared.map((trigger) => ({
      key: `${trigger.method} ${trigger.path}`,
      uri: functionArn(trigger.function),
      type: "AWS_PROXY",
      payload: "2.0",
      timeout: 29000,
    }));
    const sorted = <T extends { key: unknown }>(items: T[]) =>
      items.sort((left, right) => String(left.key).localeCompare(String(right.key)));
    assert.deepEqual(sorted(routes), sorted(expected));
    assert.equal(integrations.size, declared.length);
  });

  test(`${title}: each route, and nothing else of the API, may invoke its function`, () => {
    const [api] = ofType(synthesis, "AWS::ApiGatewayV2::Api");
    const permissions = ofType(synthesis, "AWS::Lambda::Permission")
      .map(({ Properties }) => Properties)
      .filter((permission) => permission["Principal"] === "apigateway.amazonaws.com");
    assert.deepEqual(
      permissions
        .map((permission) => `${permission["FunctionName"]} by ${permission["SourceArn"]}`)
        .sort(),
      declared
        .map(
          (trigger) =>
            `${functionArn(trigger.function)} by arn:aws:execute-api:region:account:` +
            `${api?.id}/*/${trigger.method}${trigger.path}`,
        )
        .sort(),
    );
  });

  test(`${title}: only the stage's own origin may call with cookies`, () => {
    const [api] = ofType(synthesis, "AWS::ApiGatewayV2::Api");
    assert.deepEqual(api?.Properties["CorsConfiguration"], {
      AllowCredentials: true,
      AllowOrigins: ORIGINS[stage.name],
      AllowMethods: catalogue.cors.methods,
      AllowHeaders: catalogue.cors.request_headers,
      ExposeHeaders: catalogue.cors.response_headers,
      MaxAge: catalogue.cors.max_age_seconds,
    });
  });

  test(`${title}: the API is throttled and logs requests without personal data`, () => {
    const [deployed, ...others] = ofType(synthesis, "AWS::ApiGatewayV2::Stage");
    assert.deepEqual(others, []);
    assert.deepEqual(deployed?.Properties["DefaultRouteSettings"], {
      ThrottlingBurstLimit: 200,
      ThrottlingRateLimit: 100,
    });
    const format = String(at(deployed?.Properties, "AccessLogSettings", "Format"));
    const values = Object.values(JSON.parse(format) as Record<string, string>);
    assert.ok(values.includes("$context.requestId") && values.includes("$context.status"));
    const personal = /identity|path|authorizer|domainName|customDomain|userAgent|error\.message/i;
    assert.deepEqual(values.filter((value) => personal.test(value)), []);
  });

  test(`${title}: functions behind events have no route`, () => {
    const names = new Set(declared.map((trigger) => trigger.function));
    assert.deepEqual([...names], catalogue.functions.filter(isHttp).map(({ name }) => name));
  });
}
