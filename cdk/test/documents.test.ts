// What documents say of the tests here is true.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const FOLDER = new URL("./", import.meta.url);
const DOCUMENT = new URL("../../docs/operations-faults.md", import.meta.url);

test("every test that the faults of operations name exists", () => {
  const texts = readdirSync(FOLDER)
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => readFileSync(new URL(name, FOLDER), "utf8"));
  const named = [...readFileSync(DOCUMENT, "utf8").matchAll(/"([^"]+)"/g)].map(([, title]) => title);
  assert.ok(named.length > 25);
  const missing = named.filter((title) => !texts.some((text) => text.includes(String(title))));
  assert.deepEqual(missing, []);
});
