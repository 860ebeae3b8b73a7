// What the published JSON Schema of Open Badges has against each document that comes in as a line of JSON:
// goes out as a line with a list, empty for what conforms. OPEN_BADGES_SCHEMA is the schema's file.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import Ajv from "ajv/dist/2019.js";
import addFormats from "ajv-formats";

const schema = JSON.parse(readFileSync(process.env.OPEN_BADGES_SCHEMA, "utf8"));
const conforms = addFormats.default(new Ajv.default({ allErrors: true, strict: false })).compile(schema);

for await (const line of createInterface({ input: process.stdin })) {
  conforms(JSON.parse(line));
  const faults = (conforms.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  console.log(JSON.stringify(faults));
}
