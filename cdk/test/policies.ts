// Everything that any role of prod may do, as text that a reviewer reads. `npm run policies` writes it.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { generated, ofType, synthesise } from "./support.ts";
import { at, list } from "./template.ts";

export const SNAPSHOT = new URL("policies.txt", import.meta.url);

const CERTIFICATE =
  "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012";

export function policies(): string {
  const prod = synthesise("prod", generated(), "prod", {
    api: { host: "api.rollcall.example", certificate_arn: CERTIFICATE },
    edge: { certificate_arn: CERTIFICATE },
    delivery: { repository: "example/rollcall", branch: "main", provider: "create" },
  });
  const names = new Map(
    ofType(prod, "AWS::Lambda::Function").map(({ id, Properties }) => [
      String(Properties["Role"]),
      String(Properties["FunctionName"] ?? id),
    ]),
  );
  const roles = ofType(prod, "AWS::IAM::Role").map(({ id, Properties }) => {
    const name = names.get(`${id}.Arn`) ?? String(Properties["RoleName"] ?? id);
    const trusted = list(at(Properties, "AssumeRolePolicyDocument", "Statement")).map((statement) =>
      Object.values(at(statement, "Principal") as object).join(),
    );
    const statements = list(Properties["Policies"]).flatMap((policy) =>
      list(at(policy, "PolicyDocument", "Statement")),
    );
    const lines = statements.flatMap((statement) =>
      list(at(statement, "Action")).flatMap((action) =>
        list(at(statement, "Resource")).map((resource) => `  ${action} ${short(String(resource))}`),
      ),
    );
    const special = lines.filter((line) => !OF_EVERY_FUNCTION.test(line));
    const managed = list(Properties["ManagedPolicyArns"]).map((arn) => `  managed ${String(arn)}`);
    return [`${name} (${trusted.join()})`, ...[...new Set([...special, ...managed])].sort()].join("\n");
  });
  return `${roles.sort().join("\n")}\n`;
}

/** Its own logs, and traces: functions.test.ts compares them. */
const OF_EVERY_FUNCTION = /^  (?:xray:Put\w+ \*|logs:\w+ logs:log-group:\/aws\/lambda\/[a-z-]+:\*)$/;

/** Without what every ARN of one account and region has in common. */
function short(arn: string): string {
  return arn.replace(/^arn:aws:/, "").replace("region:account:", "");
}

export function stored(): string {
  return readFileSync(SNAPSHOT, "utf8");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(SNAPSHOT, policies());
}
