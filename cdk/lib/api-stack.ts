// The HTTP API and the functions behind it: one route, one function, one role. The custom domain
// belongs here too.

import { CfnOutput, Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { AccessLogFormat } from "aws-cdk-lib/aws-apigateway";
import {
  CorsHttpMethod,
  HttpApi,
  HttpStage,
  LogGroupLogDestination,
} from "aws-cdk-lib/aws-apigatewayv2";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";

import { isHttp, type Catalogue } from "./catalogue.ts";
import { DeclaredFunction, type FunctionSurroundings } from "./constructs/function.ts";
import { Route } from "./constructs/route.ts";
import { fullName } from "./names.ts";
import type { Stage } from "./stage.ts";

export interface ApiStackProps {
  readonly catalogue: Catalogue;
  readonly around: FunctionSurroundings;
  readonly origins: string[];
}

const THROTTLE = { rateLimit: 100, burstLimit: 200 };

/** One line per request. Neither addresses nor paths: a path may hold a user's name. */
const ACCESS_LOG = {
  request_id: "$context.requestId",
  time: "$context.requestTime",
  route: "$context.routeKey",
  status: "$context.status",
  response_bytes: "$context.responseLength",
  latency_ms: "$context.responseLatency",
  integration_latency_ms: "$context.integrationLatency",
  integration_status: "$context.integrationStatus",
  error: "$context.error.responseType",
};

export class ApiStack extends Stack {
  constructor(scope: Construct, props: ApiStackProps) {
    super(scope, "api");
    const { stage } = props.around;
    const api = this.createApi(stage, props.origins, props.catalogue.cors);
    for (const declaration of props.catalogue.functions.filter(isHttp)) {
      const declared = new DeclaredFunction(this, declaration, props.around);
      for (const trigger of declaration.triggers.filter((each) => each.kind === "http")) {
        new Route(declared, trigger, api, declared.lambda);
      }
    }
    new CfnOutput(this, "Url", { value: api.apiEndpoint });
  }

  private createApi(stage: Stage, origins: string[], cors: Catalogue["cors"]): HttpApi {
    const api = new HttpApi(this, "Api", {
      apiName: fullName(stage.name, "api"),
      createDefaultStage: false,
      corsPreflight: {
        // Named origins only: browsers refuse credentials from an API that allows every origin.
        allowOrigins: origins,
        allowCredentials: true,
        allowMethods: cors.methods.map((method) => CorsHttpMethod[method]),
        allowHeaders: cors.request_headers,
        exposeHeaders: cors.response_headers,
        maxAge: Duration.seconds(cors.max_age_seconds),
      },
    });
    const logGroup = new LogGroup(this, "AccessLogs", {
      // AWS lets deliver to groups of this prefix without a policy that grows with every group.
      logGroupName: `/aws/vendedlogs/${fullName(stage.name, "api")}`,
      retention: stage.logRetention,
      removalPolicy: stage.protectsData
        ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        : RemovalPolicy.DESTROY,
    });
    new HttpStage(this, "Stage", {
      httpApi: api,
      stageName: "$default",
      autoDeploy: true,
      throttle: THROTTLE,
      accessLogSettings: {
        destination: new LogGroupLogDestination(logGroup),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
    });
    return api;
  }
}
