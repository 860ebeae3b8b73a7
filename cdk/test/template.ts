// Reads templates as a reviewer would: by the names and ARNs that AWS will see, without CDK's own
// functions and ids.

import assert from "node:assert/strict";

import type { Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";

export interface Resource {
  readonly id: string;
  readonly Type: string;
  readonly Properties: Record<string, unknown>;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

type Raw = ReadonlyMap<string, Omit<Resource, "id">>;

const PSEUDO_PARAMETERS: Readonly<Record<string, string>> = {
  "AWS::AccountId": "account",
  "AWS::Partition": "aws",
  "AWS::Region": "region",
};
const NAMES = ["TableName", "QueueName", "FunctionName", "LogGroupName", "TopicName"];

/** The value at a path of nested properties; fails the test where there is none. */
export function at(value: unknown, ...path: (string | number)[]): unknown {
  return path.reduce<unknown>((inner, key) => {
    if (typeof inner !== "object" || inner === null) {
      throw new Error(`no ${path.join(".")} in ${JSON.stringify(value)}`);
    }
    return Reflect.get(inner, key);
  }, value);
}

export function list(value: unknown): unknown[] {
  if (value === undefined) {
    return [];
  }
  return Array.isArray(value) ? value : [value];
}

interface TemplateJson {
  Resources?: Record<string, Omit<Resource, "id">>;
  Outputs?: Record<string, { Value: unknown; Export?: { Name: string } }>;
}

export function readResources(stacks: (Stack | undefined)[]): Resource[] {
  const templates = stacks.flatMap((stack): TemplateJson[] =>
    stack === undefined ? [] : [Template.fromStack(stack).toJSON()],
  );
  const entries = templates.flatMap((template) => Object.entries(template.Resources ?? {}));
  const raw: Raw = new Map(entries);
  assert.equal(raw.size, entries.length, "no id is used in two stacks");
  const exports = new Map(
    templates
      .flatMap((template) => Object.values(template.Outputs ?? {}))
      .flatMap((output) => (output.Export ? [[output.Export.Name, output.Value] as const] : [])),
  );
  return entries.map(([id, resource]) => ({
    ...resource,
    id,
    Properties: plain(resource.Properties, raw, exports) as Record<string, unknown>,
  }));
}

/** Replaces intrinsic functions by texts such as `arn:aws:sqs:region:account:rollcall-dev-x`. */
function plain(value: unknown, raw: Raw, exports: ReadonlyMap<string, unknown>): unknown {
  const inner = (part: unknown): unknown => plain(part, raw, exports);
  if (Array.isArray(value)) {
    return value.map(inner);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const [entry, ...others] = Object.entries(value);
  if (entry === undefined || others.length > 0) {
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, inner(part)]));
  }
  const [key, part] = entry;
  switch (key) {
    case "Ref":
      return PSEUDO_PARAMETERS[String(part)] ?? givenName(String(part), raw);
    case "Fn::ImportValue":
      return inner(exports.get(String(part)));
    case "Fn::Join":
      return list(inner(at(part, 1))).join("");
    case "Fn::Split":
      return String(inner(at(part, 1))).split(String(at(part, 0)));
    case "Fn::Select":
      return list(inner(at(part, 1)))[Number(at(part, 0))];
    case "Fn::GetAtt":
      return attribute(String(at(part, 0)), String(at(part, 1)), raw);
    default:
      return { [key]: inner(part) };
  }
}

/** The name that we gave to a resource, else its id. */
function givenName(id: string, raw: Raw): string {
  const { Type: type, Properties: properties } = raw.get(id) ?? {};
  if (type === "AWS::Lambda::Alias") {
    const target = givenName(String(at(properties, "FunctionName", "Ref")), raw);
    return `arn:aws:lambda:region:account:function:${target}:${String(properties?.["Name"])}`;
  }
  // A mapping or permission names the function it belongs to, not itself.
  const isNamed = type !== "AWS::Lambda::EventSourceMapping" && type !== "AWS::Lambda::Permission";
  const found = NAMES.map((name) => isNamed && properties?.[name]).find((name) => name);
  return typeof found === "string" ? found : id;
}

function attribute(id: string, name: string, raw: Raw): string {
  const given = givenName(id, raw);
  switch (`${raw.get(id)?.Type} ${name}`) {
    case "AWS::DynamoDB::GlobalTable StreamArn":
      return `arn:aws:dynamodb:region:account:table/${given}/stream/LABEL`;
    case "AWS::SQS::Queue Arn":
      return `arn:aws:sqs:region:account:${given}`;
    case "AWS::Logs::LogGroup Arn":
      return `arn:aws:logs:region:account:log-group:${given}:*`;
    case "AWS::Lambda::Function Arn":
      return `arn:aws:lambda:region:account:function:${given}`;
    default:
      return `${given}.${name}`;
  }
}
