// The routes of one context: one route, one function, one role.

import { Stack } from "aws-cdk-lib";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import type { Construct } from "constructs";

import { isHttp, type Catalogue } from "./catalogue.ts";
import { DeclaredFunction, type FunctionSurroundings } from "./constructs/function.ts";
import { Route } from "./constructs/route.ts";

export interface RoutesStackProps {
  readonly catalogue: Catalogue;
  readonly around: FunctionSurroundings;
  readonly context: string;
  readonly api: HttpApi;
}

export class RoutesStack extends Stack {
  constructor(scope: Construct, props: RoutesStackProps) {
    super(scope, `routes-${props.context}`);
    const ours = props.catalogue.functions.filter(({ context }) => context === props.context);
    for (const declaration of ours.filter(isHttp)) {
      const declared = new DeclaredFunction(this, declaration, props.around);
      for (const trigger of declaration.triggers.filter((each) => each.kind === "http")) {
        new Route(declared, trigger, props.api, declared.live);
      }
    }
  }
}
