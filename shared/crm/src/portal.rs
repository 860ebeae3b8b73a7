//! The budget: what all senders of a portal share. Whether it may be called at all, how fast, and
//! whether it knows our schema.
//!
//! A failure of the portal as a whole pauses everybody, once; it does not touch the rows that wait.

use rollcall_domain::time::{SignedDuration, Timestamp, after, after_seconds};

use crate::limits::{
    BATCH_INPUTS_MAX, DAILY_PAUSE_MS, DAILY_RESERVE_PERCENT, LOCK_PAUSE_MS,
    MIGRATION_PAUSE_MS_DEFAULT, OUTAGE_PAUSE_MS_BASE, OUTAGE_PAUSE_MS_MAX, PROBE_SECONDS,
    RETRY_AFTER_MS_MAX, UNUSABLE_PAUSE_MS_BASE, UNUSABLE_PAUSE_MS_MAX,
};
use crate::pacer::{Decision, Limit, Pacer, lease};

/// Why a portal is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// No answer, or a server's fault.
    Outage,
    /// Too many calls in a window.
    RateLimit,
    /// Too many calls in a day, or the reserve for people is reached.
    DailyLimit,
    /// The portal locked itself after heavy writes.
    Lock,
    /// The account moves between data centres.
    Migration,
    /// The credentials are refused.
    Credentials,
    /// The credentials lack a permission.
    Permission,
    /// The portal refuses what we do as a matter of principle: a person has to look.
    Unusable,
}

impl PauseReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Outage,
        Self::RateLimit,
        Self::DailyLimit,
        Self::Lock,
        Self::Migration,
        Self::Credentials,
        Self::Permission,
        Self::Unusable,
    ];

    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::RateLimit => "rate_limit",
            Self::DailyLimit => "daily_limit",
            Self::Lock => "lock",
            Self::Migration => "migration",
            Self::Credentials => "credentials",
            Self::Permission => "permission",
            Self::Unusable => "unusable",
        }
    }

    /// Whether only a successful call shows that it is over; the others end by the clock.
    fn needs_probe(self) -> bool {
        match self {
            Self::Outage | Self::Credentials | Self::Permission | Self::Unusable => true,
            Self::RateLimit | Self::DailyLimit | Self::Lock | Self::Migration => false,
        }
    }

    fn pause_ms(self, failures: u32, retry_after: Option<SignedDuration>, limit: Limit) -> Span {
        let told = retry_after.map(|told| {
            let told = i64::try_from(told.as_millis()).unwrap_or(RETRY_AFTER_MS_MAX);
            Span::exactly(told.clamp(0, RETRY_AFTER_MS_MAX))
        });
        match self {
            Self::Outage => told.unwrap_or(Span::up_to(doubled(
                OUTAGE_PAUSE_MS_BASE,
                failures,
                OUTAGE_PAUSE_MS_MAX,
            ))),
            Self::RateLimit => told.unwrap_or(Span::exactly(i64::from(limit.window_ms()))),
            Self::DailyLimit => told.unwrap_or(Span::exactly(DAILY_PAUSE_MS)),
            Self::Lock => Span::exactly(LOCK_PAUSE_MS),
            Self::Migration => told.unwrap_or(Span::exactly(MIGRATION_PAUSE_MS_DEFAULT)),
            Self::Credentials | Self::Permission | Self::Unusable => {
                Span::exactly(doubled(UNUSABLE_PAUSE_MS_BASE, failures, UNUSABLE_PAUSE_MS_MAX))
            }
        }
    }
}

/// `base · 2^exponent`, at most `max`.
pub(crate) fn doubled(base: i64, exponent: u32, max: i64) -> i64 {
    // 2^32 half seconds are longer than any bound; a larger shift would overflow.
    base.saturating_mul(1_i64 << exponent.min(32)).min(max)
}

#[derive(Clone, Copy)]
struct Span {
    ms: i64,
    jitter: bool,
}

impl Span {
    fn exactly(ms: i64) -> Self {
        Self { ms, jitter: false }
    }

    fn up_to(ms: i64) -> Self {
        Self { ms, jitter: true }
    }

    fn duration(self, fraction: f64) -> SignedDuration {
        let whole = SignedDuration::from_millis(self.ms);
        if self.jitter { whole.mul_f64(fraction) } else { whole }
    }
}

/// A time in which the portal is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: PauseReason,
}

/// Whether a portal can be told events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EventsAccess {
    /// Nobody asked yet.
    #[default]
    Unknown,
    /// It was told what events there are.
    Declared {
        /// What the portal puts before their names.
        namespace: String,
        /// Which [`crate::schema::EVENTS_VERSION`] it was told.
        version: String,
    },
    /// It has none, by its tier or by the permissions of our key: properties must do.
    Missing {
        /// Since when we know.
        since: Timestamp,
    },
}

/// What all senders of a portal share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Whose turn it is.
    pub pacer: Pacer,
    /// What the portal allows, as it last told.
    pub limit: Limit,
    /// The current or last pause.
    pub pause: Option<Pause>,
    /// Failures of the whole portal since it last answered well.
    pub failures: u32,
    /// Somebody is finding out whether a pause is over.
    pub probe_until: Option<Timestamp>,
    /// The schema that the portal was told.
    pub schema_version: Option<String>,
    /// Whether milestones can be told as events.
    pub events: EventsAccess,
}

/// Whether a call may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// At `start`, once `next` is stored.
    Granted {
        /// The budget after this call.
        next: Budget,
        /// When to call; not before.
        start: Timestamp,
        /// Inputs that the call may carry.
        inputs_max: usize,
    },
    /// Not before `until`.
    Denied {
        /// When asking again makes sense.
        until: Timestamp,
    },
}

/// What the portal told about its limits with an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Calls per window, and the window in milliseconds.
    pub limit: Option<(u32, u32)>,
    /// Calls left in this window.
    pub remaining: Option<u32>,
    /// Calls per day, and how many of them are left.
    pub daily: Option<(u64, u64)>,
}

/// What a call said about the portal as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does its work.
    Well,
    /// It must be left alone.
    Ill {
        /// Why.
        reason: PauseReason,
        /// For how long, if it told.
        retry_after: Option<SignedDuration>,
    },
}

impl Budget {
    /// Until when nobody calls, if the portal is paused at `now`.
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        let pause = self.pause.map(|pause| pause.until).filter(|until| *until > now);
        pause.max(self.probe_until.filter(|until| *until > now))
    }

    /// Whether a call may be made.
    pub fn admit(&self, now: Timestamp) -> Admission {
        if let Some(until) = self.paused_until(now) {
            return Admission::Denied { until };
        }
        match lease(self.pacer, self.limit, now) {
            Decision::Wait { until } => Admission::Denied { until },
            Decision::Granted { next, start } => Admission::Granted {
                next: Self {
                    pacer: next,
                    probe_until: (self.failures > 0).then(|| after_seconds(start, PROBE_SECONDS)),
                    ..self.clone()
                },
                start,
                inputs_max: self.inputs_max(),
            },
        }
    }

    /// Whether a call may be made that nobody waits for: only once every call before it would have
    /// come evenly, so that the burst is left to whoever sends changes.
    pub fn admit_leftover(&self, now: Timestamp) -> Admission {
        let due = Timestamp::from_microsecond(self.pacer.due_us).unwrap_or(now);
        if due > now && self.paused_until(now).is_none() {
            return Admission::Denied { until: due };
        }
        self.admit(now)
    }

    /// Failing calls get smaller, so that one input which the portal cannot stand is alone in the
    /// end and does not hold up the others.
    fn inputs_max(&self) -> usize {
        (BATCH_INPUTS_MAX >> self.failures.min(16)).max(1)
    }

    /// The budget after an answer. `fraction` is the jitter, in `0.0..1.0`.
    #[must_use]
    pub fn after_call(&self, health: Health, quota: Quota, now: Timestamp, fraction: f64) -> Self {
        let mut next = self.clone();
        match health {
            Health::Well => {
                // A pause that ends by the clock is not shortened by a call that began before it.
                next.pause = self.pause.filter(|pause| !pause.reason.needs_probe());
                next.failures = 0;
                next.probe_until = None;
            }
            Health::Ill { reason, retry_after } => {
                let span = reason.pause_ms(self.failures, retry_after, self.limit);
                next.extend(Pause { until: after(now, span.duration(fraction)), reason }, now);
                next.probe_until = None;
                if reason.needs_probe() {
                    next.failures = self.failures.saturating_add(1);
                }
            }
        }
        next.heed(quota, now);
        next
    }

    fn heed(&mut self, quota: Quota, now: Timestamp) {
        if let Some((calls, window_ms)) = quota.limit {
            self.limit = Limit::new(calls, window_ms);
        }
        if quota.remaining == Some(0) {
            // Somebody else uses the same key: step back for a tenth of the window.
            let back = SignedDuration::from_millis(i64::from(self.limit.window_ms()) / 10);
            self.pacer.due_us = self.pacer.due_us.max(after(now, back).as_microsecond());
        }
        if let Some((daily, left)) = quota.daily
            && left <= daily * DAILY_RESERVE_PERCENT / 100
        {
            let until = after(now, SignedDuration::from_millis(DAILY_PAUSE_MS));
            self.extend(Pause { until, reason: PauseReason::DailyLimit }, now);
        }
    }

    /// The longer of two pauses counts.
    fn extend(&mut self, pause: Pause, now: Timestamp) {
        let current = self.pause.filter(|current| current.until > now);
        if current.is_none_or(|current| current.until < pause.until) {
            self.pause = Some(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn ill(reason: PauseReason, seconds: Option<i64>) -> Health {
        Health::Ill { reason, retry_after: seconds.map(SignedDuration::from_secs) }
    }

    #[test]
    fn each_kind_of_failure_pauses_for_its_own_time() {
        for (failures, health, pause_ms) in [
            (0, ill(PauseReason::Outage, None), 250),
            (3, ill(PauseReason::Outage, None), 2_000),
            (60, ill(PauseReason::Outage, None), 30_000),
            (0, ill(PauseReason::Outage, Some(7)), 7_000),
            (0, ill(PauseReason::RateLimit, None), 10_000),
            (0, ill(PauseReason::RateLimit, Some(3)), 3_000),
            (0, ill(PauseReason::Lock, None), 2_000),
            (0, ill(PauseReason::Migration, Some(3_600)), 3_600_000),
            (0, ill(PauseReason::Migration, Some(1 << 40)), RETRY_AFTER_MS_MAX),
            (0, ill(PauseReason::DailyLimit, None), DAILY_PAUSE_MS),
            (0, ill(PauseReason::Credentials, None), 30_000),
            (9, ill(PauseReason::Unusable, None), UNUSABLE_PAUSE_MS_MAX),
        ] {
            let budget = Budget { failures, ..Budget::default() };
            let paused = budget.after_call(health, Quota::default(), at(0), 0.5);
            assert_eq!(paused.paused_until(at(0)), Some(at(pause_ms)).filter(|_| pause_ms > 0));
        }
    }

    #[test]
    fn after_an_outage_one_caller_probes_and_its_success_frees_everybody() {
        let down = Budget::default().after_call(
            ill(PauseReason::Outage, None),
            Quota::default(),
            at(0),
            0.9,
        );
        assert!(matches!(down.admit(at(100)), Admission::Denied { .. }));
        let Admission::Granted { next: probing, inputs_max, .. } = down.admit(at(500)) else {
            panic!("the pause is over");
        };
        assert_eq!(inputs_max, 50);
        assert_eq!(probing.admit(at(501)), Admission::Denied { until: at(15_500) });
        let well = probing.after_call(Health::Well, Quota::default(), at(600), 0.0);
        assert!(matches!(well.admit(at(601)), Admission::Granted { inputs_max: 100, .. }));
    }

    #[test]
    fn leftover_turns_never_take_from_a_burst() {
        let Admission::Granted { next, start, .. } = Budget::default().admit_leftover(at(0)) else {
            panic!("nobody called");
        };
        assert_eq!(start, at(0));
        let Admission::Denied { until } = next.admit_leftover(at(1)) else {
            panic!("the turn is taken");
        };
        assert!(matches!(next.admit(at(1)), Admission::Granted { start, .. } if start == at(1)));
        assert!(matches!(next.admit_leftover(until), Admission::Granted { .. }));
    }

    #[test]
    fn a_success_does_not_end_a_pause_that_ends_by_the_clock() {
        let limited = Budget::default().after_call(
            ill(PauseReason::RateLimit, None),
            Quota::default(),
            at(0),
            0.0,
        );
        let after = limited.after_call(Health::Well, Quota::default(), at(10), 0.0);
        assert_eq!(after.paused_until(at(11)), Some(at(10_000)));
    }

    #[test]
    fn headers_correct_the_limit_and_keep_the_daily_reserve() {
        let quota =
            Quota { limit: Some((190, 10_000)), remaining: Some(0), daily: Some((1_000, 50)) };
        let told = Budget::default().after_call(Health::Well, quota, at(0), 0.0);
        assert_eq!(told.limit, Limit::new(190, 10_000));
        assert_eq!(told.paused_until(at(1)), Some(at(DAILY_PAUSE_MS)));
        assert_eq!(told.pacer.due_us, 1_000_000);
    }
}
