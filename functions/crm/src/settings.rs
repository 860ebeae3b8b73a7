//! What an operator sets for this context: the HubSpot portal and how it is spoken to.

use rollcall_runtime::settings::{Setting, SettingKind};
use rollcall_runtime::{Startup, StartupError};

/// The system that changes are sent to.
pub static CRM: Setting = Setting {
    name: "ROLLCALL_CRM",
    description: "Where changes are sent: hubspot, webhook for an HTTP endpoint that gets signed messages, or lines for a file.",
    kind: SettingKind::OneOf(&["hubspot", WEBHOOK, LINES]),
};

/// [`CRM`]: signed messages to an HTTP endpoint.
pub(crate) const WEBHOOK: &str = "webhook";
/// [`CRM`]: lines of a file.
pub(crate) const LINES: &str = "lines";

/// Where a system other than HubSpot is.
pub static FEED: Setting = Setting {
    name: "ROLLCALL_FEED",
    description: "The URL of the endpoint, or the path of the file, that gets changes; none where HubSpot does.",
    kind: SettingKind::Text,
};

/// Where HubSpot's API is.
pub static HUBSPOT_URL: Setting = Setting {
    name: "ROLLCALL_HUBSPOT_URL",
    description: "Where HubSpot's API is: https://api.hubapi.com.",
    kind: SettingKind::Url,
};

/// Which of its path families is used.
pub static HUBSPOT_API: Setting = Setting {
    name: "ROLLCALL_HUBSPOT_API",
    description: "The version of HubSpot's API: a date, or v3 for the paths without one.",
    kind: SettingKind::OneOf(&["2026-09", "2026-03", "v3"]),
};

/// How contacts are found.
pub static HUBSPOT_KEY: Setting = Setting {
    name: "ROLLCALL_HUBSPOT_KEY",
    description: "The property by which contacts are found: rollcall_user_id, or email for portals that refuse unique properties.",
    kind: SettingKind::OneOf(&["rollcall_user_id", "email"]),
};

/// How milestones are told.
pub static HUBSPOT_MILESTONES: Setting = Setting {
    name: "ROLLCALL_HUBSPOT_MILESTONES",
    description: "How HubSpot hears of milestones: events (custom events, where the portal has them), or properties alone.",
    kind: SettingKind::OneOf(&[EVENTS, "properties"]),
};

const EVENTS: &str = "events";

/// What opens HubSpot's API.
pub static HUBSPOT_CREDENTIAL: Setting = Setting {
    name: "ROLLCALL_HUBSPOT_CREDENTIAL",
    description: "What the secret hubspot-token holds: token is a service key or a private app's token, oauth the refresh token of an installation of our app.",
    kind: SettingKind::OneOf(&["token", "oauth"]),
};

/// Our app's client id at HubSpot.
pub static HUBSPOT_CLIENT_ID: Setting = Setting {
    name: "ROLLCALL_HUBSPOT_CLIENT_ID",
    description: "The client id of our app at HubSpot; none where the credential is a token.",
    kind: SettingKind::Text,
};

/// Where HubSpot's webhooks go.
pub static HUBSPOT_WEBHOOK_URL: Setting = Setting {
    name: "ROLLCALL_HUBSPOT_WEBHOOK_URL",
    description: "The URL that our app at HubSpot sends its webhooks to, exactly as it is entered there; HubSpot signs it.",
    kind: SettingKind::Url,
};

/// Our app at HubSpot.
pub static HUBSPOT_APP_ID: Setting = Setting {
    name: "ROLLCALL_HUBSPOT_APP_ID",
    description: "The id of our app at HubSpot, by which webhooks about our own writes are recognised.",
    kind: SettingKind::Text,
};

/// Who wins when a person edits in the CRM what is ours.
pub static CRM_DRIFT: Setting = Setting {
    name: "ROLLCALL_CRM_DRIFT",
    description: "What follows when somebody changes in the CRM what is ours: ours writes it again, theirs leaves it until the same facet changes here.",
    kind: SettingKind::OneOf(&["ours", "theirs"]),
};

/// Settings of functions that call HubSpot.
pub(crate) const ALL: &[&Setting] = &[
    &HUBSPOT_URL,
    &HUBSPOT_API,
    &HUBSPOT_KEY,
    &HUBSPOT_MILESTONES,
    &HUBSPOT_CREDENTIAL,
    &HUBSPOT_CLIENT_ID,
];

/// Settings of functions that send changes.
pub(crate) const SENDERS: &[&Setting] = &[
    &CRM,
    &FEED,
    &HUBSPOT_URL,
    &HUBSPOT_API,
    &HUBSPOT_KEY,
    &HUBSPOT_MILESTONES,
    &HUBSPOT_CREDENTIAL,
    &HUBSPOT_CLIENT_ID,
];

/// Whether milestones are told as custom events, as far as settings say.
pub(crate) fn with_events(startup: &Startup) -> Result<bool, StartupError> {
    Ok(startup.setting(&HUBSPOT_MILESTONES)? == EVENTS)
}
