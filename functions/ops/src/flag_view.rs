//! How a feature flag looks on the wire.

use rollcall_domain::flag::{Flag, Rollout};
use rollcall_store::flags::SetValue;
use schemars::JsonSchema;
use serde::Serialize;

/// A feature flag.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FlagView {
    /// Its name.
    pub(crate) name: &'static str,
    /// What is open when it is open.
    pub(crate) purpose: &'static str,
    /// The context that answers for it.
    pub(crate) owner: &'static str,
    /// For whom it is open: `off`, `internal`, a share such as `25%`, or `on`.
    pub(crate) value: String,
    /// What counts when nobody has set it, and while its value cannot be read.
    pub(crate) default: String,
    /// What stays as it is for people for whom it is closed.
    pub(crate) kept_when_closed: &'static str,
    /// When it was set (RFC 3339, UTC); none: never.
    pub(crate) set_at: Option<String>,
    /// How often it was set.
    pub(crate) version: u64,
}

impl FlagView {
    /// A flag and what somebody has set.
    pub(crate) fn new(flag: &'static Flag, set: Option<&SetValue>) -> Self {
        Self {
            name: flag.name,
            purpose: flag.purpose,
            owner: flag.owner,
            value: value(flag, set).to_string(),
            default: flag.default.to_string(),
            kept_when_closed: flag.kept_when_closed,
            set_at: set.map(|set| set.set_at.to_string()),
            version: set.map_or(0, |set| set.version),
        }
    }
}

/// The value that counts.
pub(crate) fn value(flag: &Flag, set: Option<&SetValue>) -> Rollout {
    set.and_then(|set| set.rollout).unwrap_or(flag.default)
}
