// What a catalogue of the right shape can still get wrong: names that nothing declares, names
// declared twice, and combinations that AWS would refuse in the middle of a deployment.

import type { Catalogue, FunctionDeclaration, Statement, Trigger } from "./catalogue.ts";

/** API Gateway gives up after 30 s; a function that may run longer would answer nobody. */
const HTTP_TIMEOUT_SECONDS_MAX = 29;
/** Cognito gives up after 5 s and calls again. */
const POOL_TIMEOUT_SECONDS_MAX = 5;

export function catalogueFaults(catalogue: Catalogue): string[] {
  return [
    ...repeated("function", catalogue.functions.map(({ name }) => name)),
    ...repeated("table", catalogue.tables.map(({ name }) => name)),
    ...repeated("queue", catalogue.queues.map(({ name }) => name)),
    ...repeated("secret", catalogue.secrets),
    ...repeated("metric", catalogue.metrics.all.map(({ name }) => name)),
    ...repeated("setting", catalogue.settings.map(({ name }) => name)),
    ...repeated("route", catalogue.functions.flatMap(routeKeys)),
    ...repeated("user pool trigger", catalogue.functions.flatMap(poolTriggers)),
    ...catalogue.functions.flatMap((declaration) => functionFaults(catalogue, declaration)),
    ...queueFaults(catalogue),
  ];
}

function repeated(what: string, names: string[]): string[] {
  const again = names.filter((name, position) => names.indexOf(name) !== position);
  return [...new Set(again)].map((name) => `${what} ${name} is declared more than once`);
}

function routeKeys(declaration: FunctionDeclaration): string[] {
  return declaration.triggers.flatMap((trigger) =>
    trigger.kind === "http" ? [`${trigger.method} ${trigger.path}`] : [],
  );
}

function poolTriggers(declaration: FunctionDeclaration): string[] {
  return declaration.triggers.flatMap((trigger) =>
    trigger.kind === "cognito" ? [trigger.trigger] : [],
  );
}

function functionFaults(catalogue: Catalogue, declaration: FunctionDeclaration): string[] {
  const settings = new Set(catalogue.settings.map(({ name }) => name));
  const kinds = new Set(declaration.triggers.map(({ kind }) => kind));
  const faults = [
    ...declaration.settings
      .filter((setting) => !settings.has(setting))
      .map((setting) => `setting ${setting} is not declared`),
    ...declaration.statements.flatMap((statement) => resourceFaults(catalogue, statement.resource)),
    ...declaration.triggers.flatMap((trigger) => triggerFaults(catalogue, trigger)),
  ];
  if (kinds.has("http") && kinds.size > 1) {
    faults.push("a function is either behind the HTTP API or behind events, not both");
  }
  if (kinds.has("http") && declaration.timeout_seconds > HTTP_TIMEOUT_SECONDS_MAX) {
    faults.push(`behind the HTTP API a function has ${HTTP_TIMEOUT_SECONDS_MAX} s at most`);
  }
  if (kinds.has("cognito") && declaration.timeout_seconds > POOL_TIMEOUT_SECONDS_MAX) {
    faults.push(`a user pool waits ${POOL_TIMEOUT_SECONDS_MAX} s at most`);
  }
  return faults.map((fault) => `function ${declaration.name}: ${fault}`);
}

function triggerFaults(catalogue: Catalogue, trigger: Trigger): string[] {
  switch (trigger.kind) {
    case "stream":
      return [
        ...resourceFaults(catalogue, { kind: "stream", table: trigger.table }),
        ...resourceFaults(catalogue, { kind: "queue", queue: trigger.failure_queue }),
      ];
    case "queue":
      return resourceFaults(catalogue, { kind: "queue", queue: trigger.queue });
    case "http":
    case "schedule":
    case "cognito":
      return [];
  }
}

function resourceFaults(catalogue: Catalogue, resource: Statement["resource"]): string[] {
  switch (resource.kind) {
    case "queue": {
      const known = catalogue.queues.some(({ name }) => name === resource.queue);
      return known ? [] : [`queue ${resource.queue} is not declared`];
    }
    case "secret": {
      const known = catalogue.secrets.includes(resource.secret);
      return known ? [] : [`secret ${resource.secret} is not declared`];
    }
    case "mail":
      return [];
    case "table":
    case "index":
    case "stream":
      return tableFaults(catalogue, resource);
  }
}

function tableFaults(
  catalogue: Catalogue,
  resource: Extract<Statement["resource"], { table: string }>,
): string[] {
  const table = catalogue.tables.find(({ name }) => name === resource.table);
  if (table === undefined) {
    return [`table ${resource.table} is not declared`];
  }
  if (resource.kind === "index" && !table.indexes.some(({ name }) => name === resource.index)) {
    return [`table ${table.name} has no index ${resource.index}`];
  }
  if (resource.kind === "stream" && !table.stream) {
    return [`table ${table.name} has no stream`];
  }
  return [];
}

/** Every working queue has a dead-letter queue of its own, and there are no others. */
function queueFaults(catalogue: Catalogue): string[] {
  return catalogue.queues.flatMap(({ name, redrive }) => {
    if (redrive !== null) {
      const dead = catalogue.queues.find((other) => other.name === redrive.dead_letter_queue);
      return dead?.redrive === null
        ? []
        : [`queue ${name}: ${redrive.dead_letter_queue} is not a dead-letter queue`];
    }
    const sources = catalogue.queues.filter((other) => other.redrive?.dead_letter_queue === name);
    return sources.length === 1
      ? []
      : [`queue ${name} is the dead-letter queue of ${sources.length} queues, not of one`];
  });
}
