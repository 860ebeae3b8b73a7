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

/** The ARN of a certificate of AWS Certificate Manager. */
const certificate = (region: string) =>
  z.string().regex(new RegExp(`^arn:aws[a-z-]*:acm:${region}:[0-9]{12}:certificate/[a-f0-9-]+$`));
const host = z.string().regex(/^(?:[a-z0-9-]+\.)+[a-z]+$/);
const region = z.string().regex(/^[a-z]{2}(?:-[a-z]+)+-[0-9]$/);
const addresses = z.array(z.email()).default([]);
const capacity = z.strictObject({ min: z.int().positive(), max: z.int().positive() }).refine(
  ({ min, max }) => min <= max,
  { error: "min must not be more than max" },
);

/** What a deployment may switch on; each costs something, and none is needed. */
const switches = {
  /** The region; needed for replicas and for the edge. Else it is the one of whoever deploys. */
  region: region.optional(),
  /** A host of our own for the API, with its certificate in the region. */
  api: z.strictObject({ host, certificate_arn: certificate("[a-z0-9-]+") }).optional(),
  /** CloudFront and its firewall before the API, under the host of the site. */
  edge: z.strictObject({ certificate_arn: certificate("us-east-1") }).optional(),
  /** How GitHub may deploy. */
  delivery: z
    .strictObject({
      repository: z.string().regex(/^[\w.-]+\/[\w.-]+$/),
      branch: z.string().regex(/^[\w./-]+$/),
      /** Whether the account has the provider already: it takes one of them, whatever the stage. */
      provider: z.enum(["create", "existing"]),
    })
    .optional(),
  /** Who is told by mail, by urgency; each confirms it by a link. */
  alarm_emails: z
    .strictObject({ critical: addresses, high: addresses, warning: addresses })
    .optional(),
  /** What a month may cost before somebody is told. */
  budget_usd: z.number().positive().default(25),
  /** Alarms for each function behind a route, too: about 0.40 USD a month each. */
  watch_every_function: z.boolean().default(false),
  /** Functions in a network of ours, which reaches the internet by one fixed address. */
  vpc: z.boolean().default(false),
  /** How many instances of a function are kept ready, by its name. */
  provisioned_concurrency: z.record(z.string(), z.int().positive()).default({}),
  /** Tables with capacity that is paid for and follows their load, in place of pay per request. */
  provisioned_capacity: z.strictObject({ read: capacity, write: capacity }).optional(),
  /** Regions with a replica of every table and secret. */
  replica_regions: z.array(region).default([]),
  /**
   * The whole product once more in a region with replicas, waiting. With the streams of its tables
   * it takes over: functions behind streams and schedules run here.
   */
  standby: z
    .strictObject({ region, stream_arns: z.record(z.string(), z.string()).optional() })
    .optional(),
};

const deployment = z.strictObject({
  ...switches,
  /** Where people use Rollcall; the API trusts this origin and no other. */
  site_url: origin,
  /** The organisation's name, as it stands on certificates. */
  issuer_name: z.string().min(1),
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
}).superRefine(impossible);

/** What AWS would refuse in the middle of a deployment. */
function impossible(
  { region, replica_regions: replicas, standby, edge, api, identity }: SwitchesRead,
  context: z.RefinementCtx,
): void {
  const issue = (message: string, ...path: string[]) =>
    context.addIssue({ code: "custom", path, message });
  if (replicas.length > 0 && (region === undefined || replicas.includes(region))) {
    issue("needs `region`, and names others", "replica_regions");
  }
  if (standby !== undefined && !replicas.includes(standby.region)) {
    issue("stands by where there are no replicas", "standby", "region");
  }
  if (standby !== undefined && identity.provider === "user_pool") {
    issue("a user pool stays in its region: `identity` must be another provider", "standby");
  }
  if (edge !== undefined && api === undefined) {
    issue("needs `api`, the host that it calls", "edge");
  }
}

interface SwitchesRead {
  readonly region?: string | undefined;
  readonly replica_regions: string[];
  readonly standby?: { readonly region: string } | undefined;
  readonly edge?: object | undefined;
  readonly api?: object | undefined;
  readonly identity: { readonly provider: string };
}

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
