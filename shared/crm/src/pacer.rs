//! The pacer: when the next call may start, so that no window of the CRM's ever holds more calls
//! than it allows.
//!
//! The generic cell rate algorithm (ITU-T I.371, "virtual scheduling") with a reserved start: a
//! caller gets the instant at which it may call, now or a little later, and the state that makes the
//! next one wait its turn. With an interval `T` between calls and a burst `b`, a window `W` holds at
//! most `b + W/T` calls; `T` is chosen such that this stays below the limit even when every call
//! arrives up to [`ARRIVAL_SLACK_MS`] late.

use rollcall_domain::time::{SignedDuration, Timestamp, after};

use crate::limits::{
    ARRIVAL_SLACK_MS, BURST_CALLS, LIMIT_CALLS_DEFAULT, LIMIT_CALLS_MAX, LIMIT_CALLS_MIN,
    LIMIT_SHARE_PERCENT, LIMIT_WINDOW_MS_DEFAULT, LIMIT_WINDOW_MS_MAX, LIMIT_WINDOW_MS_MIN,
    PACER_WAIT_MS_MAX,
};

/// What the CRM allows: so many calls in any window of so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    calls: u32,
    window_ms: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self { calls: LIMIT_CALLS_DEFAULT, window_ms: LIMIT_WINDOW_MS_DEFAULT }
    }
}

impl Limit {
    /// A limit, brought into the range that is believed.
    pub fn new(calls: u32, window_ms: u32) -> Self {
        Self {
            calls: calls.clamp(LIMIT_CALLS_MIN, LIMIT_CALLS_MAX),
            window_ms: window_ms.clamp(LIMIT_WINDOW_MS_MIN, LIMIT_WINDOW_MS_MAX),
        }
    }

    /// Calls per window.
    pub fn calls(self) -> u32 {
        self.calls
    }

    /// The window, in milliseconds.
    pub fn window_ms(self) -> u32 {
        self.window_ms
    }

    fn interval_us(self) -> i64 {
        let usable = self.calls * LIMIT_SHARE_PERCENT / 100;
        let spread_us = i64::from(self.window_ms + ARRIVAL_SLACK_MS) * 1_000;
        let calls = i64::from(usable.saturating_sub(BURST_CALLS).max(1));
        // Rounded up: an interval a hair too short is one call too many in the long run.
        (spread_us + calls - 1) / calls
    }
}

/// The pacer's memory: when the next call would be due if calls came evenly, in microseconds since
/// the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacer {
    /// The theoretical arrival time.
    pub due_us: i64,
}

/// The pacer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Call at `start`, once `next` is stored.
    Granted {
        /// The memory after this call.
        next: Pacer,
        /// When to call; not before.
        start: Timestamp,
    },
    /// The queue is longer than anybody should wait.
    Wait {
        /// When asking again makes sense.
        until: Timestamp,
    },
}

/// The next turn.
pub fn lease(pacer: Pacer, limit: Limit, now: Timestamp) -> Decision {
    let interval = limit.interval_us();
    let tolerance = interval * i64::from(BURST_CALLS - 1);
    let now_us = now.as_microsecond();
    let start_us = now_us.max(pacer.due_us - tolerance);
    let wait = SignedDuration::from_micros(start_us - now_us);
    let start = after(now, wait);
    if wait > SignedDuration::from_millis(PACER_WAIT_MS_MAX) {
        return Decision::Wait { until: start };
    }
    Decision::Granted { next: Pacer { due_us: pacer.due_us.max(start_us) + interval }, start }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_ever_holds_more_calls_than_the_limit(
            calls in LIMIT_CALLS_MIN..300,
            gaps in prop::collection::vec((0..400_i64, 0..=i64::from(ARRIVAL_SLACK_MS)), 1..800),
            quiet in 0..800_usize,
        ) {
            let limit = Limit::new(calls, 10_000);
            let (mut pacer, mut now) = (Pacer::default(), Timestamp::from_second(1).unwrap());
            let mut arrivals = Vec::new();
            for (index, (gap, late)) in gaps.into_iter().enumerate() {
                // Mostly as fast as possible, with one quiet time that fills the burst.
                let gap = if index == quiet { 30_000 } else { gap % 40 };
                now = after(now, SignedDuration::from_millis(gap));
                match lease(pacer, limit, now) {
                    Decision::Granted { next, start } => {
                        pacer = next;
                        arrivals.push(start.as_millisecond() + late);
                    }
                    Decision::Wait { until } => now = until,
                }
            }
            arrivals.sort_unstable();
            for (index, first) in arrivals.iter().enumerate() {
                let within = arrivals[index..].iter().take_while(|at| **at - first <= 10_000);
                let within = u32::try_from(within.count()).unwrap();
                prop_assert!(within <= calls, "{within} calls in a window of {calls}");
            }
        }
    }

    #[test]
    fn every_tier_is_used_by_ninety_percent() {
        for calls in [100, 110, 190, 250] {
            let limit = Limit::new(calls, 10_000);
            let (mut pacer, mut now) = (Pacer::default(), Timestamp::from_second(1).unwrap());
            let end = after(now, SignedDuration::from_secs(100));
            let mut granted = 0;
            while now < end {
                match lease(pacer, limit, now) {
                    Decision::Granted { next, start } => {
                        (pacer, now, granted) = (next, start, granted + 1);
                    }
                    Decision::Wait { until } => now = until,
                }
            }
            assert!(granted >= calls * 9, "{granted} of {}", calls * 10);
        }
    }
}
