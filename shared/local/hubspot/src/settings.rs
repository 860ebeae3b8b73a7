//! What can differ between HubSpot accounts, and the points on which sources about HubSpot
//! disagree: each of those is a switch, so that a client is proven against both positions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Subscription of the account: how many calls each app may make in any 10 seconds, and the
/// account in one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Free and Starter: 100 per 10 s, 250 000 per day.
    Starter,
    /// Professional and Enterprise: 190 per 10 s, 650 000 per day.
    Professional,
    /// A public OAuth app: 110 per 10 s, 1 000 000 per day.
    PublicApp,
    /// With the API limit increase: 250 per 10 s, 1 000 000 per day.
    AddOn,
}

impl Tier {
    /// Calls that one app may make in any 10 seconds.
    pub fn burst_limit(self) -> u32 {
        match self {
            Self::Starter => 100,
            Self::Professional => 190,
            Self::PublicApp => 110,
            Self::AddOn => 250,
        }
    }

    /// Calls that the account may make from one local midnight to the next.
    pub fn daily_limit(self) -> u64 {
        match self {
            Self::Starter => 250_000,
            Self::Professional => 650_000,
            Self::PublicApp | Self::AddOn => 1_000_000,
        }
    }
}

/// Which of the two published shapes a 429 body has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorGeneration {
    /// `errorType` and `requestId`, no `category`.
    Legacy,
    /// `category: RATE_LIMITS`.
    Current,
}

/// Which of the three published limits on search filters holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchFilterLimits {
    /// The current guide: 5 groups of 6 filters, 18 in all.
    Guide,
    /// The text of the OpenAPI document: 6 groups.
    OpenApi,
    /// The SDK's readme: 3 groups of 3 filters.
    Sdk,
}

impl SearchFilterLimits {
    /// (groups, filters in a group, filters in all).
    pub(crate) fn bounds(self) -> (usize, usize, usize) {
        match self {
            Self::Guide => (5, 6, 18),
            Self::OpenApi => (6, 6, 18),
            Self::Sdk => (3, 3, 9),
        }
    }
}

/// Everything about the emulated account that a test may want to choose. Each field can be changed
/// at run time through `POST /_emulator/portal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent switch of the portal, named in JSON"
)]
pub struct Settings {
    /// The account's id, which is part of event names and error texts.
    pub portal_id: u64,
    /// `STANDARD`, `DEVELOPER_TEST`, `SANDBOX` or `APP_DEVELOPER`.
    pub account_type: String,
    /// Rate limits.
    pub tier: Tier,
    /// Replaces the tier's limit per 10 seconds.
    pub burst_limit: Option<u32>,
    /// Replaces the tier's limit per day.
    pub daily_limit: Option<u64>,
    /// Searches per rolling second and account: 5 now, announced as 4 once.
    pub search_limit_per_second: u32,
    /// The account's time zone: the daily limit resets at its midnight. Minutes east of UTC.
    pub utc_offset_minutes: i32,
    /// How long a change takes to reach the search index and the event read-back, in milliseconds
    /// (0 to 60 000).
    pub search_lag_ms: u64,
    /// Whether contacts may have custom properties with `hasUniqueValue`.
    pub unique_keys_on_contacts: bool,
    /// Whether an upsert by e-mail blanks the properties that an integration wrote earlier and this
    /// call omits ("partial upserts are not supported").
    pub email_upsert_blanks_omitted: bool,
    /// Whether a merge keeps the primary record's id (a beta) or yields a new one.
    pub merge_keeps_primary_id: bool,
    /// Whether `batch/archive` passes over unknown ids in silence or refuses the call.
    pub archive_ignores_unknown_ids: bool,
    /// Whether the account has custom events (Enterprise).
    pub custom_events: bool,
    /// Limits on search filters.
    pub search_filter_limits: SearchFilterLimits,
    /// Shape of 429 bodies.
    pub error_generation: ErrorGeneration,
    /// Whether a 429 carries `Retry-After` in seconds.
    pub retry_after_on_429: bool,
    /// Seed of the order of batch results and of correlation ids.
    pub shuffle_seed: u64,
    /// How many calls, and violations, the log keeps before it forgets the oldest.
    pub calls_kept: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            portal_id: 49_547_190,
            account_type: "DEVELOPER_TEST".to_owned(),
            tier: Tier::Professional,
            burst_limit: None,
            daily_limit: None,
            search_limit_per_second: 5,
            utc_offset_minutes: 0,
            search_lag_ms: 5_000,
            unique_keys_on_contacts: true,
            email_upsert_blanks_omitted: false,
            merge_keeps_primary_id: false,
            archive_ignores_unknown_ids: true,
            custom_events: true,
            search_filter_limits: SearchFilterLimits::Guide,
            error_generation: ErrorGeneration::Current,
            retry_after_on_429: false,
            shuffle_seed: 1,
            calls_kept: 100_000,
        }
    }
}

/// The longest search lag that can be set, in milliseconds.
pub(crate) const SEARCH_LAG_MS_MAX: u64 = 60_000;

impl Settings {
    /// Calls that one app may make in any 10 seconds.
    pub fn burst_limit(&self) -> u32 {
        self.burst_limit.unwrap_or_else(|| self.tier.burst_limit())
    }

    /// Calls that the account may make in one day.
    pub fn daily_limit(&self) -> u64 {
        self.daily_limit.unwrap_or_else(|| self.tier.daily_limit())
    }

    /// These settings with the fields of `change` replaced; the text says which field is wrong.
    pub(crate) fn changed(&self, change: Map<String, Value>) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Value::Object(fields) = &mut all {
            fields.extend(change);
        }
        let changed: Self = serde_json::from_value(all).map_err(|error| error.to_string())?;
        if changed.search_lag_ms > SEARCH_LAG_MS_MAX {
            return Err(format!("search_lag_ms must be 0 to {SEARCH_LAG_MS_MAX}"));
        }
        Ok(changed)
    }
}
