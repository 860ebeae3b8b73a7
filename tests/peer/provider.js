// An OpenID provider that somebody else wrote, in the place of the local one. It says where it is on
// its first line, takes the client that it shall know as a line of JSON, and says when it is ready.
// It ends with its input.

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

const USERS = JSON.parse(readFileSync(new URL("../../sample/users.json", import.meta.url)));
const SCOPES = "openid email profile";

const form = (path, error) => `<!doctype html><title>Sign in</title><p>${error}</p>
<form method="post" action="${path}"><input name="username"><input name="password" type="password">
<button>Sign in</button></form>`;

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "the-one" };
}

function claims({ subject, email, email_verified, given_name, family_name }) {
  return { sub: subject, email, email_verified, given_name, family_name };
}

function configuration(client) {
  return {
    clients: [client],
    jwks: { keys: [signingKey()] },
    cookies: { keys: [randomBytes(32).toString("hex")] },
    claims: {
      openid: ["sub"],
      email: ["email", "email_verified"],
      profile: ["given_name", "family_name"],
    },
    // What the scopes allow stands in the id token too, as most providers have it.
    conformIdTokenClaims: false,
    findAccount: (_context, id) => {
      const user = USERS.find(({ subject }) => subject === id);
      return user && { accountId: id, claims: () => claims(user) };
    },
    features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: (_context, { grantTypes }) => grantTypes.includes("refresh_token"),
    // Nobody is asked what the application may know.
    loadExistingGrant: async ({ oidc }) => {
      const { accountId } = oidc.session;
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId });
      grant.addOIDCScope(SCOPES);
      await grant.save();
      return grant;
    },
  };
}

async function body(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

async function interact(provider, request, response) {
  const page = (status, error) =>
    response.writeHead(status, { "content-type": "text/html" }).end(form(request.url, error));
  if (request.method !== "POST") return page(200, "");
  const typed = await body(request);
  const user = USERS.find(({ username }) => username === typed.get("username"));
  if (user?.password !== typed.get("password")) return page(400, "Wrong.");
  const login = { accountId: user.subject };
  return provider.interactionFinished(request, response, { login });
}

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://localhost:${server.address().port}`;
  console.log(issuer);
  const input = createInterface({ input: process.stdin });
  input.once("line", (line) => {
    const provider = new Provider(issuer, configuration(JSON.parse(line)));
    const callback = provider.callback();
    server.on("request", (request, response) => {
      if (!request.url.startsWith("/interaction/")) return callback(request, response);
      return interact(provider, request, response).catch((error) => {
        response.writeHead(500).end(String(error));
      });
    });
    console.log("ready");
  });
  input.once("close", () => process.exit());
});
