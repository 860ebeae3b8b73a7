// The catalogue: what the code declares about functions, tables, queues, secrets and settings, as
// `rollcall generate` writes it. This app adds nothing to it and types nothing of it twice.

import { readFileSync } from "node:fs";

import * as z from "zod";

import { catalogueFaults } from "./catalogue-faults.ts";

const name = z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/);
const count = z.int().positive();

const httpTrigger = z.strictObject({
  kind: z.literal("http"),
  method: z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]),
  path: z.string().startsWith("/"),
});
const streamTrigger = z.strictObject({
  kind: z.literal("stream"),
  table: name,
  batch_size: count,
  batch_window_seconds: z.int().nonnegative(),
  parallelization_factor: count,
  // Lambda reads -1 as "for ever": a poisoned record would then hold up its shard for a day.
  retry_attempts_max: z.int().nonnegative(),
  record_age_seconds_max: count,
  failure_queue: name,
});
const queueTrigger = z.strictObject({ kind: z.literal("queue"), queue: name, batch_size: count });
const scheduleTrigger = z.strictObject({ kind: z.literal("schedule"), every_minutes: count });
const cognitoTrigger = z.strictObject({
  kind: z.literal("cognito"),
  trigger: z.enum(["post-confirmation", "pre-token-generation"]),
});

const resource = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("table"), table: name }),
  z.strictObject({ kind: z.literal("index"), table: name, index: name }),
  z.strictObject({ kind: z.literal("stream"), table: name }),
  z.strictObject({ kind: z.literal("queue"), queue: name }),
  z.strictObject({ kind: z.literal("secret"), secret: name }),
  z.strictObject({ kind: z.literal("mail") }),
]);
// Actions are named one by one: there is no way to write a wildcard.
const action = z.string().regex(/^[a-z]+:[A-Za-z]+$/);
const statement = z.strictObject({ actions: z.array(action).min(1), resource });

const lambdaFunction = z.strictObject({
  name,
  context: z.string(),
  purpose: z.string().min(1).max(256),
  access: z.string(),
  triggers: z.array(
    z.discriminatedUnion("kind", [
      httpTrigger,
      streamTrigger,
      queueTrigger,
      scheduleTrigger,
      cognitoTrigger,
    ]),
  ),
  statements: z.array(statement),
  settings: z.array(z.string()),
  memory_mb: count,
  timeout_seconds: count,
  reserved_concurrency: count.nullable(),
});

const table = z.strictObject({
  name,
  partition_key: z.string(),
  sort_key: z.string(),
  stream: z.boolean(),
  time_to_live: z.string().nullable(),
  indexes: z.array(z.strictObject({ name, partition_key: z.string(), sort_key: z.string() })),
});

const queue = z.strictObject({
  name,
  visibility_timeout_seconds: count,
  retention_seconds: count,
  redrive: z.strictObject({ dead_letter_queue: name, receives_max: count }).nullable(),
});

const cors = z.strictObject({
  methods: z.array(z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"])),
  request_headers: z.array(z.string()),
  response_headers: z.array(z.string()),
  max_age_seconds: count,
});

/** What the code measures; alarms and dashboards name these metrics and no others. */
const metrics = z.strictObject({
  namespace: z.string().min(1),
  dimension: z.string().min(1),
  all: z.array(
    z.strictObject({
      name: z.string().regex(/^[A-Z][A-Za-z]+$/),
      unit: z.enum(["Count", "Milliseconds"]),
    }),
  ),
});

const catalogue = z.strictObject({
  generated_by: z.string(),
  functions: z.array(lambdaFunction),
  cors,
  tables: z.array(table),
  queues: z.array(queue),
  metrics,
  secrets: z.array(name),
  settings: z.array(z.strictObject({ name: z.string(), description: z.string() })),
});

export type Catalogue = z.infer<typeof catalogue>;
export type FunctionDeclaration = z.infer<typeof lambdaFunction>;
export type TableDeclaration = z.infer<typeof table>;
export type QueueDeclaration = z.infer<typeof queue>;
export type Metrics = z.infer<typeof metrics>;
export type Statement = z.infer<typeof statement>;
export type Trigger = FunctionDeclaration["triggers"][number];
export type HttpTrigger = z.infer<typeof httpTrigger>;
export type StreamTrigger = z.infer<typeof streamTrigger>;
export type QueueTrigger = z.infer<typeof queueTrigger>;
export type ScheduleTrigger = z.infer<typeof scheduleTrigger>;
export type CognitoTrigger = z.infer<typeof cognitoTrigger>;

/** Checks a catalogue's shape and that its parts fit together; throws with every fault it has. */
export function parseCatalogue(value: unknown): Catalogue {
  const parsed = catalogue.safeParse(value);
  if (!parsed.success) {
    throw new Error(`the catalogue has a wrong shape:\n${z.prettifyError(parsed.error)}`);
  }
  const faults = catalogueFaults(parsed.data);
  if (faults.length > 0) {
    throw new Error(`the catalogue contradicts itself:\n${faults.join("\n")}`);
  }
  return parsed.data;
}

/** Reads the catalogue from a file such as `cdk/functions.json`. */
export function readCatalogue(file: URL): Catalogue {
  return parseCatalogue(JSON.parse(readFileSync(file, "utf8")));
}

/** Whether a function is behind the HTTP API; all others are behind streams, queues and schedules. */
export function isHttp(declaration: FunctionDeclaration): boolean {
  return declaration.triggers.some((trigger) => trigger.kind === "http");
}

/** The contexts that have routes, by name. */
export function httpContexts(catalogue: Catalogue): string[] {
  return [...new Set(catalogue.functions.filter(isHttp).map(({ context }) => context))].sort();
}

/** Whether a user pool alone calls a function. */
export function isPoolOnly(declaration: FunctionDeclaration): boolean {
  return declaration.triggers.every((trigger) => trigger.kind === "cognito");
}
