//! What an operator sets for this context: the HubSpot portal and how it is spoken to.

use rollcall_runtime::settings::{Setting, SettingKind};
use rollcall_runtime::{Startup, StartupError};

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

/// Settings of functions that call HubSpot.
pub(crate) const ALL: &[&Setting] =
    &[&HUBSPOT_URL, &HUBSPOT_API, &HUBSPOT_KEY, &HUBSPOT_MILESTONES];

/// Whether milestones are told as custom events, as far as settings say.
pub(crate) fn with_events(startup: &Startup) -> Result<bool, StartupError> {
    Ok(startup.setting(&HUBSPOT_MILESTONES)? == EVENTS)
}
