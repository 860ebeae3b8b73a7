//! Pending rows: what could not be sent when it changed. One row per user and facet, so that a day
//! of outage is bounded by the number of users.

use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::random::{Random, fraction};
use rollcall_domain::time::{SignedDuration, Timestamp};

use crate::limits::{
    ROW_DELAY_MS_BASE, ROW_DELAY_MS_MAX, ROW_DELAY_MS_OUTAGE_MAX, ROW_DELAY_MS_QUICK_MAX,
    ROW_TRIES_QUICK,
};
use crate::portal::doubled;

/// Something that changed and has to reach the CRM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirty {
    /// Whose.
    pub user: UserId,
    /// Which facet.
    pub facet: Facet,
    /// Trace id of the write, if the item carries one.
    pub trace_id: Option<String>,
}

/// Why a row waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The portal could not be called.
    Portal,
    /// It was not this sender's turn, or its time was over.
    Paced,
    /// Another sender was at work for this user.
    Busy,
    /// The CRM refused this input for now.
    Transient,
    /// Nobody knows whether the CRM took it.
    Unknown,
    /// It was found again by recovery.
    Recovered,
    /// An operator asked for it.
    Replay,
    /// The user's contact has to leave the CRM.
    Removal,
    /// The CRM was found to hold something else.
    Drift,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Portal,
        Self::Paced,
        Self::Busy,
        Self::Transient,
        Self::Unknown,
        Self::Recovered,
        Self::Replay,
        Self::Removal,
        Self::Drift,
    ];

    /// Whether it puts something right that nobody waits for: such rows take only turns that are left over.
    pub fn is_repair(self) -> bool {
        matches!(self, Self::Replay | Self::Drift)
    }

    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portal => "portal",
            Self::Paced => "paced",
            Self::Busy => "busy",
            Self::Transient => "transient",
            Self::Unknown => "unknown",
            Self::Recovered => "recovered",
            Self::Replay => "replay",
            Self::Removal => "removal",
            Self::Drift => "drift",
        }
    }
}

/// A change that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRow {
    /// What waits.
    pub dirty: Dirty,
    /// Changes with every new mark: a row is only removed by whoever saw its last mark before
    /// reading the state.
    pub mark: String,
    /// Why it waits.
    pub reason: Reason,
    /// How often it was sent in vain.
    pub attempts: u32,
    /// Since when it waits.
    pub first_at: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
    /// Somebody asked for it, or the CRM holds something else: send it even if the same was refused or
    /// acknowledged.
    pub forced: bool,
}

/// A new mark on a row; the row is made if there is none. `first_at`, `attempts` and `forced` of an
/// existing row stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What waits.
    pub dirty: Dirty,
    /// The new mark.
    pub mark: String,
    /// Why.
    pub reason: Reason,
    /// Attempts of a new row.
    pub attempts: u32,
    /// Now.
    pub now: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
}

impl Mark {
    /// One that is due at once.
    pub fn due(dirty: Dirty, reason: Reason, now: Timestamp, random: &dyn Random) -> Self {
        Self { dirty, mark: token(random), reason, attempts: 0, now, due_at: now }
    }
}

/// A later try of a row, unless it was marked anew meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reschedule {
    /// Whose.
    pub user: UserId,
    /// Which facet.
    pub facet: Facet,
    /// The mark that was seen.
    pub mark: String,
    /// Why it waits.
    pub reason: Reason,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next.
    pub due_at: Timestamp,
}

/// A value for [`PendingRow::mark`] and for lease tokens: 128 random bits in hex.
pub fn token(random: &dyn Random) -> String {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// How long a row waits after its `attempts`-th vain try: at first quick with full jitter, then ever
/// longer. A row whose whole call failed (`outage`) never waits long, since it is hardly its fault.
pub fn delay(attempts: u32, outage: bool, random: &dyn Random) -> SignedDuration {
    if attempts <= ROW_TRIES_QUICK {
        let bound = doubled(ROW_DELAY_MS_BASE, attempts, ROW_DELAY_MS_QUICK_MAX);
        return SignedDuration::from_millis(bound).mul_f64(fraction(random));
    }
    let max = if outage { ROW_DELAY_MS_OUTAGE_MAX } else { ROW_DELAY_MS_MAX };
    let bound = doubled(ROW_DELAY_MS_QUICK_MAX, attempts - ROW_TRIES_QUICK, max);
    // Half fixed, half jitter: it must grow, and not all at once.
    SignedDuration::from_millis(bound).mul_f64(f64::midpoint(1.0, fraction(random)))
}

#[cfg(test)]
mod tests {
    use rollcall_domain::random::SeededRandom;

    use super::*;

    #[test]
    fn tries_are_quick_at_first_and_at_least_hourly_for_ever() {
        let random = SeededRandom::new(1);
        for (attempts, outage, least_ms, most_ms) in [
            (1, false, 0, 1_000),
            (8, false, 0, 60_000),
            (9, false, 60_000, 120_000),
            (14, false, 30 * 60_000, 60 * 60_000),
            (u32::MAX, false, 30 * 60_000, 60 * 60_000),
            (u32::MAX, true, 150_000, 300_000),
        ] {
            for _ in 0..50 {
                let ms = delay(attempts, outage, &random).as_millis();
                assert!((least_ms..=most_ms).contains(&ms), "{attempts}: {ms}");
            }
        }
    }
}
