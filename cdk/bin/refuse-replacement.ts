// Compares templates of what is deployed with those of what is to be: fails when anything with a memory
// would be replaced or go.
//
//   npm run refuse-replacement -- FOLDER-BEFORE FOLDER-AFTER

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { refusals, type TemplateOf } from "../lib/replacement.ts";

const [before, after] = process.argv.slice(2);
if (before === undefined || after === undefined) {
  console.error("usage: refuse-replacement FOLDER-BEFORE FOLDER-AFTER");
  process.exit(2);
}
const read = (folder: string, name: string): TemplateOf =>
  existsSync(join(folder, name)) ? JSON.parse(readFileSync(join(folder, name), "utf8")) : {};
const names = readdirSync(before).filter((name) => name.endsWith(".template.json"));
const found = names.flatMap((name) =>
  refusals(read(before, name), read(after, name)).map((refusal) => `${name}: ${refusal}`),
);
for (const refusal of found) {
  console.error(refusal);
}
console.log(`${names.length} templates compared, ${found.length} refusals`);
process.exit(found.length > 0 ? 1 : 0);
