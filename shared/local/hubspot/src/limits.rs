//! Rate limits: a sliding window of 10 seconds per app, a day per account, and a sliding second
//! for searches. Only accepted calls count; a search counts in all three, which is the stricter
//! reading of HubSpot's documents.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Length of the burst window, in milliseconds.
pub(crate) const BURST_WINDOW_MS: i64 = 10_000;
const SEARCH_WINDOW_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// A limit of HubSpot, by the name it has in `policyName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Policy {
    /// Calls of the account since local midnight.
    Daily,
    /// Calls of one app in the last 10 seconds.
    TenSecondlyRolling,
    /// Searches of the account in the last second.
    Secondly,
}

impl Policy {
    /// As in `policyName`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Daily => "DAILY",
            Self::TenSecondlyRolling => "TEN_SECONDLY_ROLLING",
            Self::Secondly => "SECONDLY",
        }
    }

    /// As in the message.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::TenSecondlyRolling => "ten_secondly_rolling",
            Self::Secondly => "secondly",
        }
    }
}

/// A call over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) policy: Policy,
    /// Until a call would be accepted again.
    pub(crate) wait_ms: i64,
}

/// What is left after a call, for the response headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) burst: u32,
    pub(crate) daily: u64,
}

/// The accepted calls that still count.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Limits {
    bursts: BTreeMap<String, VecDeque<i64>>,
    searches: VecDeque<i64>,
    day: i64,
    today: u64,
    /// The most calls that any window of 10 seconds held.
    peak: usize,
}

impl Limits {
    /// Accepts and counts a call of `app`, or says which limit it is over.
    pub(crate) fn admit(
        &mut self,
        settings: &Settings,
        app: &str,
        search: bool,
        now_ms: i64,
    ) -> Result<(), Exceeded> {
        let local_ms = now_ms + i64::from(settings.utc_offset_minutes) * MINUTE_MS;
        let day = local_ms.div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.today) = (day, 0);
        }
        if self.today >= settings.daily_limit() {
            return Err(Exceeded {
                policy: Policy::Daily,
                wait_ms: DAY_MS - local_ms.rem_euclid(DAY_MS),
            });
        }
        let exceeded = |policy, wait_ms| Exceeded { policy, wait_ms };
        let burst = self.bursts.entry(app.to_owned()).or_default();
        room(burst, settings.burst_limit(), BURST_WINDOW_MS, now_ms)
            .map_err(|wait_ms| exceeded(Policy::TenSecondlyRolling, wait_ms))?;
        if search {
            let limit = settings.search_limit_per_second;
            room(&mut self.searches, limit, SEARCH_WINDOW_MS, now_ms)
                .map_err(|wait_ms| exceeded(Policy::Secondly, wait_ms))?;
            self.searches.push_back(now_ms);
        }
        burst.push_back(now_ms);
        self.peak = self.peak.max(burst.len());
        self.today += 1;
        Ok(())
    }

    /// What `app` has left at this moment.
    pub(crate) fn left(&self, settings: &Settings, app: &str) -> Left {
        let used = self.bursts.get(app).map_or(0, VecDeque::len);
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        Left {
            burst: settings.burst_limit().saturating_sub(used),
            daily: settings.daily_limit().saturating_sub(self.today),
        }
    }

    /// The most accepted calls of one app in any window of 10 seconds so far.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// Calls accepted since local midnight.
    pub(crate) fn today(&self) -> u64 {
        self.today
    }
}

/// Forgets what left the window; `Err` is the wait in milliseconds when it is still full.
fn room(calls: &mut VecDeque<i64>, limit: u32, window_ms: i64, now_ms: i64) -> Result<(), i64> {
    while calls.front().is_some_and(|at| *at <= now_ms - window_ms) {
        calls.pop_front();
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if calls.len() < limit {
        return Ok(());
    }
    // When the limit was lowered, more than one call has to leave first.
    let leaving = calls.get(calls.len() - limit).copied().unwrap_or(now_ms);
    Err(leaving + window_ms - now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays calls at `times` against limits of 3 per 10 s and 5 per day, 2 searches per second.
    fn check(search: bool, times: &[i64], refused: &[(i64, Policy, i64)]) {
        let settings = Settings {
            burst_limit: Some(3),
            daily_limit: Some(5),
            search_limit_per_second: 2,
            utc_offset_minutes: 60,
            ..Settings::default()
        };
        let mut limits = Limits::default();
        let mut found = Vec::new();
        for at in times {
            if let Err(exceeded) = limits.admit(&settings, "app", search, *at) {
                found.push((*at, exceeded.policy, exceeded.wait_ms));
            }
        }
        assert_eq!(found, refused);
        assert!(limits.peak() <= 3);
    }

    #[test]
    fn the_window_slides_to_the_millisecond() {
        check(
            false,
            &[0, 1, 2, 3, 9_999, 10_000, 10_000, 10_001],
            &[
                (3, Policy::TenSecondlyRolling, 9_997),
                (9_999, Policy::TenSecondlyRolling, 1),
                (10_000, Policy::TenSecondlyRolling, 1),
            ],
        );
    }

    #[test]
    fn the_day_ends_at_the_portals_midnight() {
        let midnight = DAY_MS - 60 * MINUTE_MS;
        check(
            false,
            &[0, 20_000, 40_000, 60_000, 80_000, midnight - 1, midnight],
            &[(midnight - 1, Policy::Daily, 1)],
        );
    }

    #[test]
    fn searches_have_a_second_of_their_own() {
        check(true, &[0, 1, 2, 1_000], &[(2, Policy::Secondly, 998)]);
    }

    #[test]
    fn each_app_has_its_own_window_and_the_day_is_shared() {
        let settings =
            Settings { burst_limit: Some(1), daily_limit: Some(2), ..Settings::default() };
        let mut limits = Limits::default();
        assert!(limits.admit(&settings, "a", false, 0).is_ok());
        assert!(limits.admit(&settings, "b", false, 0).is_ok());
        let refused = limits.admit(&settings, "c", false, 0).unwrap_err();
        assert_eq!(refused.policy, Policy::Daily);
        assert_eq!(limits.left(&settings, "a"), Left { burst: 0, daily: 0 });
    }
}
