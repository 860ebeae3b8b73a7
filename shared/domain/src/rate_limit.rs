//! Rate limits: how often a key may be admitted within any minute.
//!
//! A sliding window over counters of short slots. An arrival counts itself first and then looks at
//! every slot that reaches into its window, the oldest one whole, so two things hold whatever the
//! order and concurrency of arrivals: no window ever holds more admissions than the limit, and
//! [`WINDOW_SECONDS`] and one slot after the last arrival everything is free again. An arrival that
//! is refused takes its count back, so knocking does not keep the door shut.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// The length of the window.
pub const WINDOW_SECONDS: i64 = 60;
/// The length of a slot: how much longer than the window an admission counts at most.
pub const SLOT_SECONDS: i64 = 5;

/// Slots that reach into a window: those that fill it, and the one that it begins in.
const SLOTS_COUNTED: i64 = WINDOW_SECONDS / SLOT_SECONDS + 1;
/// Slots this much older than the newest are of no use to anybody: a whole window is left for
/// processes whose clocks are behind.
const SLOTS_KEPT: i64 = 2 * SLOTS_COUNTED;

/// A part of time; the number of the slot since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(i64);

impl Slot {
    /// The slot that `now` is in.
    pub fn at(now: Timestamp) -> Self {
        Self(now.as_second().div_euclid(SLOT_SECONDS))
    }

    /// A slot by its number.
    pub fn numbered(number: i64) -> Self {
        Self(number)
    }

    /// The slot's number.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The first slot that counts for an arrival in this one.
    fn first_counted(self) -> Self {
        Self(self.0 - (SLOTS_COUNTED - 1))
    }

    /// When the slot counts for nobody any more, in milliseconds since the epoch.
    fn free_at_ms(self) -> i64 {
        (self.0 + SLOTS_COUNTED) * SLOT_SECONDS * 1_000
    }
}

/// Whose arrivals are counted together: a policy and the hash of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateKey(String);

impl RateKey {
    /// The key of `who`, a user's id or an address, under a policy. The hash bounds its length; it
    /// hides no address from somebody who tries them all.
    pub fn new(policy: &str, who: &str) -> Self {
        Self(format!("{policy}#{}", URL_SAFE_NO_PAD.encode(Sha256::digest(who))))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many arrivals of one key each slot counted.
pub type Counts = BTreeMap<Slot, u32>;

/// How many arrivals of one key are admitted within [`WINDOW_SECONDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Admissions in any window at most.
    pub admissions_max: u32,
}

/// What is decided about an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it goes on.
    pub admitted: bool,
    /// How many more would be admitted now.
    pub remaining: u32,
    /// In how many seconds there is room again for somebody who was refused, or for one more than
    /// now for somebody who was admitted.
    pub reset_seconds: u32,
}

impl Limit {
    /// Decides about an arrival at `now` that `counts` includes already.
    pub fn decide(self, counts: &Counts, now: Timestamp) -> Verdict {
        let own = Slot::at(now);
        // Slots ahead of this arrival count as well: they are from processes whose clocks are ahead.
        let counted = counts.range(own.first_counted()..);
        let used = counted.clone().fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
        let admitted = used <= self.admissions_max;
        // Who is refused takes the own count back and needs room for one.
        let in_the_way = if admitted { 1 } else { used - self.admissions_max };
        let mut leaving = 0_u32;
        let free_slot = counted.map(|(slot, count)| (*slot, *count)).find(|(_, count)| {
            leaving = leaving.saturating_add(*count);
            leaving >= in_the_way
        });
        let free_at_ms = free_slot.map_or(0, |(slot, _)| slot.free_at_ms());
        Verdict {
            admitted,
            remaining: self.admissions_max.saturating_sub(used),
            reset_seconds: whole_seconds(free_at_ms - now.as_millisecond()),
        }
    }
}

/// The slots that count for nobody, once they are worth a write: at most as many as are kept.
pub fn stale(counts: &Counts, now: Timestamp) -> Vec<Slot> {
    let kept = Slot(Slot::at(now).0 - SLOTS_KEPT);
    let old: Vec<Slot> = counts.range(..kept).map(|(slot, _)| *slot).collect();
    let worth_it = usize::try_from(SLOTS_COUNTED).is_ok_and(|count| old.len() >= count);
    if worth_it { old } else { Vec::new() }
}

fn whole_seconds(milliseconds: i64) -> u32 {
    let seconds = milliseconds.max(0).saturating_add(999) / 1_000;
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a store does with the rule: count, decide, take back, tidy.
    #[derive(Default)]
    struct Door {
        counts: Counts,
        admitted_ms: Vec<i64>,
    }

    impl Door {
        fn knock(&mut self, limit: Limit, ms: i64) -> Verdict {
            let now = Timestamp::from_millisecond(ms).unwrap();
            let own = Slot::at(now);
            *self.counts.entry(own).or_default() += 1;
            let verdict = limit.decide(&self.counts, now);
            if verdict.admitted {
                self.admitted_ms.push(ms);
            } else {
                *self.counts.get_mut(&own).unwrap() -= 1;
            }
            for slot in stale(&self.counts, now) {
                self.counts.remove(&slot);
            }
            verdict
        }

        fn admitted_between(&self, first_ms: i64, last_ms: i64) -> usize {
            self.admitted_ms.iter().filter(|ms| (first_ms..=last_ms).contains(*ms)).count()
        }
    }

    const START_MS: i64 = 1_795_251_600_000;
    const WINDOW_MS: i64 = WINDOW_SECONDS * 1_000;
    const SLOT_MS: i64 = SLOT_SECONDS * 1_000;

    proptest! {
        #[test]
        fn no_window_holds_more_admissions_than_the_limit_in_whatever_order_they_come(
            limit in 1_u32..8,
            arrivals in prop::collection::vec(0_i64..130_000, 1..200),
        ) {
            let limit = Limit { admissions_max: limit };
            let mut door = Door::default();
            for offset in arrivals {
                door.knock(limit, START_MS + offset);
            }
            for first in &door.admitted_ms {
                let held = door.admitted_between(*first, first + WINDOW_MS);
                prop_assert!(held <= limit.admissions_max as usize, "{held}");
            }
        }

        #[test]
        fn whoever_the_exact_log_of_a_slightly_longer_window_admits_is_admitted(
            limit in 1_u32..8,
            gaps in prop::collection::vec(0_i64..20_000, 1..200),
        ) {
            let limit = Limit { admissions_max: limit };
            let mut door = Door::default();
            let mut now = START_MS;
            for gap in gaps {
                now += gap;
                let longer = door.admitted_between(now - WINDOW_MS - SLOT_MS, now);
                let exact = door.admitted_between(now - WINDOW_MS, now);
                let verdict = door.knock(limit, now);
                let max = limit.admissions_max as usize;
                prop_assert!(verdict.admitted || longer >= max);
                prop_assert!(!verdict.admitted || exact < max);
                prop_assert!(i64::try_from(door.counts.len()).unwrap() <= 4 * SLOTS_COUNTED);
            }
        }

        #[test]
        fn whoever_waits_as_told_is_admitted(
            limit in 1_u32..8,
            gaps in prop::collection::vec(0_i64..20_000, 1..60),
        ) {
            let limit = Limit { admissions_max: limit };
            let mut door = Door::default();
            let mut now = START_MS;
            for gap in gaps {
                now += gap;
                let verdict = door.knock(limit, now);
                if !verdict.admitted {
                    prop_assert!(verdict.reset_seconds <= 65);
                    now += i64::from(verdict.reset_seconds) * 1_000;
                    prop_assert!(door.knock(limit, now).admitted);
                }
            }
        }
    }

    #[test]
    fn a_caller_learns_how_much_is_left() {
        let mut door = Door::default();
        let limit = Limit { admissions_max: 3 };
        let verdicts: Vec<Verdict> =
            [0, 0, 4_000, 4_500].map(|ms| door.knock(limit, START_MS + ms)).to_vec();
        let expected = [(true, 2, 65), (true, 1, 65), (true, 0, 61), (false, 0, 61)];
        for (verdict, (admitted, remaining, reset_seconds)) in verdicts.into_iter().zip(expected) {
            assert_eq!(verdict, Verdict { admitted, remaining, reset_seconds });
        }
    }
}
