// Questions that whoever is woken asks the logs first, saved so that nobody has to type them at night.
// They use the fields of our log lines (shared/runtime/src/log.rs) and of the access log.

import { isHttp, type Catalogue, type FunctionDeclaration } from "./catalogue.ts";
import { accessLogName, logGroupName } from "./names.ts";
import type { StageName } from "./stage.ts";

export interface SavedQuery {
  readonly name: string;
  readonly text: string;
  readonly logGroups: string[];
}

/** CloudWatch Logs Insights reads no more log groups at once. */
export const LOG_GROUPS_MAX = 50;

export function savedQueries(catalogue: Catalogue, stage: StageName): SavedQuery[] {
  const of = (chosen: (declaration: FunctionDeclaration) => boolean): string[] =>
    catalogue.functions
      .filter(chosen)
      .slice(0, LOG_GROUPS_MAX)
      .map(({ name }) => logGroupName(stage, name));
  const access = [accessLogName(stage)];
  return [
    {
      name: "failing-routes",
      text: "filter status >= 500\n| stats count(*) as requests, latest(request_id) as example by route, status\n| sort requests desc\n| limit 20",
      logGroups: access,
    },
    {
      name: "slow-routes",
      text: "stats count(*) as requests, pct(latency_ms, 50) as p50, pct(latency_ms, 95) as p95, max(latency_ms) as longest by route\n| sort p95 desc\n| limit 20",
      logGroups: access,
    },
    {
      name: "refused-routes",
      text: "filter status >= 400 and status < 500\n| stats count(*) as requests by route, status\n| sort requests desc\n| limit 20",
      logGroups: access,
    },
    {
      name: "errors-behind-events",
      text: 'fields @timestamp, service, error_type, error, message, correlation_id\n| filter level = "ERROR"\n| sort @timestamp desc\n| limit 50',
      logGroups: of((declaration) => !isHttp(declaration)),
    },
    {
      name: "one-trace",
      text: 'fields @timestamp, service, level, message, error\n| filter correlation_id = "PUT-THE-ID-HERE"\n| sort @timestamp asc\n| limit 200',
      logGroups: of((declaration) => declaration.context === "crm" || !isHttp(declaration)),
    },
    {
      name: "sign-ins-refused",
      text: 'fields @timestamp, service, message, error\n| filter message like /refused|ended|not good/ or level = "ERROR"\n| sort @timestamp desc\n| limit 50',
      logGroups: of(({ name }) => name.startsWith("auth-") || name === "session-refresh"),
    },
    {
      name: "crm-sync",
      text: 'filter message = "changes were looked at"\n| stats sum(sent) as sent, sum(pending) as pending, sum(dead) as dead, sum(calls) as calls by bin(5m)',
      logGroups: of(({ name }) => ["crm-sync", "crm-drain", "crm-recover"].includes(name)),
    },
  ].filter(({ logGroups }) => logGroups.length > 0);
}
