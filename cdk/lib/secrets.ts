// Where the value of each secret comes from.

type Origin =
  /** Nobody needs to know it: Secrets Manager makes it up. */
  | "generated"
  /** A third party gave it to us: the operator puts it in (README.md), and no template sees it. */
  | "operator";

const ORIGINS: Readonly<Record<string, Origin>> = {
  // A rotation puts a new text before the old ones: what they have signed is verified with them.
  "certificate-key": "generated",
  "csrf-key": "generated",
  "cursor-key": "generated",
  "feed-key": "generated",
  "lab-validator-key": "generated",
  "hubspot-client-secret": "operator",
  "hubspot-token": "operator",
  "oidc-client-secret": "operator",
  "token-key": "generated",
};

/** Those of the declared secrets that the data stack creates. */
export function generatedSecrets(secrets: string[]): string[] {
  return secrets.filter((secret) => {
    const origin = ORIGINS[secret];
    if (origin === undefined) {
      throw new Error(`secret ${secret}: lib/secrets.ts does not say where its value comes from`);
    }
    return origin === "generated";
  });
}
