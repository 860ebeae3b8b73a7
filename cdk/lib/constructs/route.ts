// One route of the HTTP API, and the permission for exactly that route to invoke its function.

import { Duration, Stack } from "aws-cdk-lib";
import { CfnIntegration, CfnRoute, type HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { type Alias, CfnPermission } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";

import type { HttpTrigger } from "../catalogue.ts";

/** Below API Gateway's own limit of 30 s, so that the answer to a slow function is ours. */
const INTEGRATION_TIMEOUT = Duration.seconds(29);

export class Route extends Construct {
  constructor(scope: Construct, trigger: HttpTrigger, api: HttpApi, target: Alias) {
    const routeKey = `${trigger.method} ${trigger.path}`;
    super(scope, routeKey.replaceAll("/", "|"));
    const integration = new CfnIntegration(this, "Integration", {
      apiId: api.apiId,
      integrationType: "AWS_PROXY",
      integrationUri: target.functionArn,
      payloadFormatVersion: "2.0",
      timeoutInMillis: INTEGRATION_TIMEOUT.toMilliseconds(),
    });
    new CfnRoute(this, "Route", {
      apiId: api.apiId,
      routeKey,
      target: `integrations/${integration.ref}`,
    });
    // The API has one deployment stage, `$default`; the asterisk stands for it.
    new CfnPermission(this, "Permission", {
      action: "lambda:InvokeFunction",
      functionName: target.functionArn,
      principal: "apigateway.amazonaws.com",
      sourceArn: Stack.of(this).formatArn({
        service: "execute-api",
        resource: api.apiId,
        resourceName: `*/${trigger.method}${trigger.path}`,
      }),
    });
  }
}
