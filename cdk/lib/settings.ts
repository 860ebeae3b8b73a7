// The values of settings, by stage. Which function gets which is declared in the code; a setting
// without a value here stops the synthesis.

import type { FunctionDeclaration } from "./catalogue.ts";
import type { Deployment } from "./deployment.ts";
import type { Stage } from "./stage.ts";

/** The identity provider as functions must know it. */
export interface IdentityProvider {
  readonly issuer: string;
  readonly clientId: string;
  readonly profile: "cognito" | "generic";
  /** The clients that may call the API in their own name. */
  readonly machineClientIds: readonly string[];
}

/** The value of every setting in a stage. */
export function settingValues(
  stage: Stage,
  deployment: Deployment,
  provider: IdentityProvider,
): Readonly<Record<string, string>> {
  return {
    ROLLCALL_STAGE: stage.name,
    // As declared in every stage; more is for load tests on a local cloud.
    ROLLCALL_RATE_LIMIT_FACTOR: "1",
    ROLLCALL_ORIGINS: origins(deployment).join(" "),
    ROLLCALL_SITE_URL: deployment.site_url,
    ROLLCALL_LANDING_PATH: "/",
    // Everybody reaches the API through the site.
    ROLLCALL_CREDENTIALS_URL: deployment.site_url,
    ROLLCALL_ISSUER_NAME: deployment.issuer_name,
    ROLLCALL_OIDC_ISSUER: provider.issuer,
    ROLLCALL_OIDC_CLIENT_ID: provider.clientId,
    ROLLCALL_OIDC_REDIRECT_URI: callbackUrl(deployment),
    ROLLCALL_OIDC_PROFILE: provider.profile,
    // The API is reached through the site, and tokens for it name it so.
    ROLLCALL_OIDC_AUDIENCE: deployment.site_url,
    ROLLCALL_OIDC_MACHINE_CLIENT_IDS: provider.machineClientIds.join(" ") || "none",
    ROLLCALL_OIDC_CLIENT_AUTHENTICATION: stage.hasClientSecret ? "secret" : "none",
    ROLLCALL_MAIL_FROM: deployment.mail_from,
    // As callers reach it. Nobody is told of dev.
    ROLLCALL_CANARY_URL: stage.topics.length > 0 ? `${deployment.site_url}/health` : "none",
    ROLLCALL_CRM: "hubspot",
    ROLLCALL_FEED: "none",
    ROLLCALL_LAB_VALIDATOR: "none",
    ROLLCALL_HUBSPOT_URL: deployment.hubspot_url,
    ROLLCALL_HUBSPOT_API: deployment.hubspot_api,
    ROLLCALL_HUBSPOT_KEY: deployment.hubspot_key,
    ROLLCALL_HUBSPOT_MILESTONES: deployment.hubspot_milestones,
    ROLLCALL_HUBSPOT_CREDENTIAL: deployment.hubspot_client_id === undefined ? "token" : "oauth",
    ROLLCALL_HUBSPOT_CLIENT_ID: deployment.hubspot_client_id ?? "none",
    // Through the site, as every call; HubSpot signs it.
    ROLLCALL_HUBSPOT_WEBHOOK_URL: `${deployment.site_url}/webhooks/hubspot`,
    ROLLCALL_HUBSPOT_APP_ID: deployment.hubspot_app_id,
    ROLLCALL_CRM_DRIFT: deployment.crm_drift,
  };
}

/** Where the identity provider sends browsers back to. */
export function callbackUrl(deployment: Deployment): string {
  return `${deployment.site_url}/auth/callback`;
}

/** The origins that the gateway answers with credentials, and that functions take cookies from. */
export function origins(deployment: Deployment): string[] {
  return [deployment.site_url];
}

/** The environment of a function: the settings it declares and nothing else. */
export function environmentOf(
  declaration: FunctionDeclaration,
  stage: Stage,
  values: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(
    declaration.settings.map((setting) => {
      const value = values[setting];
      if (value === undefined) {
        throw new Error(
          `setting ${setting} of function ${declaration.name} has no value in stage ${stage.name}`,
        );
      }
      return [setting, value];
    }),
  );
}
