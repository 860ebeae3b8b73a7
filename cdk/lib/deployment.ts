// What belongs to one deployment of Rollcall and not to the product: hosts and the registrations at
// third parties. It stands in cdk.json, under the context key `rollcall`, by stage.

import type { Node } from "constructs";
import * as z from "zod";

import { STAGE_NAMES, type StageName } from "./stage.ts";

/** An origin: no path and no slash at the end, as browsers send it and our programs compare it. */
const origin = z.url({ protocol: /^https?$/ }).refine((text) => URL.canParse(text) && new URL(text).origin === text, {
  error: "must be an origin such as https://www.rollcall.example, without a path",
});
/** Compared letter by letter with what tokens say, so a slash at the end may belong to it. */
const issuer = z.url({ protocol: /^https$/ });
const url = issuer.refine((text) => !text.endsWith("/"), {
  error: "must not end in a slash",
});

/** Who vouches for people: a user pool of ours, or a provider that is there already. */
const identity = z.discriminatedUnion("provider", [
  z.strictObject({
    provider: z.literal("user_pool"),
    /** What the host of the hosted pages begins with; unique in the region. */
    domain_prefix: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/).refine(
      (text) => !/aws|amazon|cognito/.test(text),
      { error: "must not contain aws, amazon or cognito" },
    ),
  }),
  z.strictObject({
    provider: z.literal("other"),
    issuer,
    client_id: z.string().min(1),
    profile: z.enum(["cognito", "generic"]),
    /** The clients that may call the API in their own name, such as monitoring. */
    machine_client_ids: z.array(z.string().regex(/^\S+$/)).default([]),
  }),
]);

/** An address, with or without a display name before it. */
const MAIL_FROM = /^(?:[^<>@]+<)?[^<>@\s]+@(?<domain>[a-z0-9.-]+)>?$/;

const deployment = z.strictObject({
  /** Where people use Rollcall; the API trusts this origin and no other. */
  site_url: origin,
  identity,
  /** Who mail comes from; its domain must be verified at SES. */
  mail_from: z.string().regex(MAIL_FROM),
  hubspot_url: url,
  hubspot_api: z.string().min(1),
  hubspot_key: z.enum(["rollcall_user_id", "email"]),
  /** Whether milestones are told as custom events, which take an Enterprise account, or not. */
  hubspot_milestones: z.enum(["events", "properties"]),
  /** The id of our app at HubSpot. */
  hubspot_app_id: z.string().regex(/^[0-9]+$/),
  /** Our app's client id, where the secret hubspot-token holds the refresh token of an installation. */
  hubspot_client_id: z.string().min(1).optional(),
  /** Who wins when somebody edits in HubSpot what is ours. */
  crm_drift: z.enum(["ours", "theirs"]),
});

const deployments = z
  .strictObject({ dev: deployment, staging: deployment, prod: deployment })
  .superRefine((stages, context) => {
    for (const stage of STAGE_NAMES) {
      // Only a developer's own machine may be reached without TLS.
      if (stage !== "dev" && !stages[stage].site_url.startsWith("https:")) {
        const path = [stage, "site_url"];
        context.addIssue({ code: "custom", path, message: "must be an https URL" });
      }
    }
  });

export type Deployment = z.infer<typeof deployment>;

/** The domain that a deployment's mail comes from. */
export function mailDomain(deployment: Deployment): string {
  const domain = MAIL_FROM.exec(deployment.mail_from)?.groups?.["domain"];
  if (domain === undefined) {
    throw new Error(`${deployment.mail_from} is no address that mail can come from`);
  }
  return domain;
}

/** Reads the deployments of all stages from the app's context. */
export function readDeployments(node: Node): Readonly<Record<StageName, Deployment>> {
  const parsed = deployments.safeParse(node.tryGetContext("rollcall"));
  if (!parsed.success) {
    throw new Error(`cdk.json, context "rollcall":\n${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}
