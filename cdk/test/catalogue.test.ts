import assert from "node:assert/strict";
import { test } from "node:test";

import { parseCatalogue, type Catalogue, type FunctionDeclaration } from "../lib/catalogue.ts";
import { fixture } from "./support.ts";

test("the fixture is a good catalogue", () => {
  assert.deepEqual(parseCatalogue(fixture()), fixture());
});

const check = (what: string, spoil: (catalogue: Catalogue) => void, message: RegExp) => {
  test(`refused: ${what}`, () => {
    const catalogue = fixture();
    spoil(catalogue);
    assert.throws(() => parseCatalogue(catalogue), message);
  });
};
const declared = (catalogue: Catalogue, name: string): FunctionDeclaration => {
  const found = catalogue.functions.find((each) => each.name === name);
  assert.ok(found);
  return found;
};
const mapped = <Kind extends "stream" | "queue">(catalogue: Catalogue, name: string, kind: Kind) => {
  const found = declared(catalogue, name).triggers.find((trigger) => trigger.kind === kind);
  assert.ok(found);
  return found as Extract<typeof found, { kind: Kind }>;
};

check("a field that this app does not know", (c) => Object.assign(c, { alarms: [] }), /alarms/);
check(
  "an action with a wildcard",
  (c) => declared(c, "enroll").statements[0]?.actions.push("dynamodb:*"),
  /actions/,
);
check(
  "endless retries",
  (c) => (mapped(c, "crm-sync", "stream").retry_attempts_max = -1),
  /retry_attempts_max/,
);
check(
  "two functions of one name",
  (c) => c.functions.push({ ...declared(c, "crm-sync") }),
  /function crm-sync is declared more than once/,
);
check(
  "one route twice",
  (c) => declared(c, "health").triggers.push({ kind: "http", method: "POST", path: "/enrollments" }),
  /route POST \/enrollments is declared more than once/,
);
check(
  "a function behind HTTP and events",
  (c) => declared(c, "health").triggers.push({ kind: "schedule", every_minutes: 1 }),
  /function health: .*not both/,
);
check(
  "a route slower than API Gateway waits",
  (c) => (declared(c, "health").timeout_seconds = 30),
  /function health: .*29 s/,
);
check(
  "a stream of a table without one",
  (c) => (mapped(c, "crm-sync", "stream").table = "crm"),
  /table crm has no stream/,
);
check(
  "an index that does not exist",
  (c) => declared(c, "health").statements.push({
    actions: ["dynamodb:Query"],
    resource: { kind: "index", table: "crm", index: "open" },
  }),
  /table crm has no index open/,
);
check(
  "an unknown failure queue",
  (c) => (mapped(c, "crm-sync", "stream").failure_queue = "nowhere"),
  /queue nowhere is not declared/,
);
check("an unknown table", (c) => (c.tables = []), /table users is not declared/);
check("an unknown secret", (c) => (c.secrets = []), /secret csrf-key is not declared/);
check("an unknown setting", (c) => (c.settings = []), /setting ROLLCALL_STAGE is not declared/);
check(
  "a working queue without dead letters",
  (c) => c.queues.forEach((queue) => (queue.redrive = null)),
  /crm-drain is the dead-letter queue of 0 queues/,
);
check(
  "a dead-letter queue shared by two",
  (c) => {
    for (const { redrive } of c.queues) {
      if (redrive !== null) redrive.dead_letter_queue = "crm-drain-dead";
    }
  },
  /crm-drain-dead is the dead-letter queue of 2 queues/,
);
