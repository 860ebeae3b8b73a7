//! How an account stands: in use, suspended by an operator, or about to be erased because its user
//! asked for that.

use serde::{Deserialize, Serialize};

use crate::limits::ERASURE_GRACE_SECONDS;
use crate::time::{Timestamp, after_seconds};

/// How an account stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    /// In use.
    #[default]
    Active,
    /// Nobody signs in with it until an operator reinstates it.
    Suspended {
        /// Since when.
        since: Timestamp,
        /// When the account is erased, if its user had asked for that before: a suspension does not
        /// take the right to be erased away.
        #[serde(default)]
        erase_at: Option<Timestamp>,
    },
    /// Its user asked to be erased, and may change their mind until then.
    Leaving {
        /// When the account is erased.
        erase_at: Timestamp,
    },
}

/// Why an account does not come to stand otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StandingRefusal {
    /// It is suspended already, or has to be reinstated first.
    #[error("the account is suspended")]
    Suspended,
    /// There is no suspension to end.
    #[error("the account is not suspended")]
    NotSuspended,
    /// It is to be erased already; asking again does not put that off.
    #[error("the account is to be erased already")]
    Leaving,
    /// There is no erasure to call off.
    #[error("the account is not to be erased")]
    NotLeaving,
    /// The time to call the erasure off is over.
    #[error("the account is being erased")]
    TooLate,
}

/// Why nobody signs in with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// An operator suspended it.
    #[error("the account is suspended")]
    Suspended,
    /// It is being erased.
    #[error("the account is being erased")]
    Erasing,
}

impl Standing {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended { .. } => "suspended",
            Self::Leaving { .. } => "leaving",
        }
    }

    /// Whether an operator suspended the account.
    pub const fn is_suspended(self) -> bool {
        matches!(self, Self::Suspended { .. })
    }

    /// Whether others may see the user at all. Who is suspended is not to be seen, and who asked to be
    /// erased wants to be gone: they are hidden at once, and shown again when they stay after all.
    pub const fn is_shown(self) -> bool {
        matches!(self, Self::Active)
    }

    /// When the account is erased, if its user asked for that.
    pub const fn erase_at(self) -> Option<Timestamp> {
        match self {
            Self::Active => None,
            Self::Suspended { erase_at, .. } => erase_at,
            Self::Leaving { erase_at } => Some(erase_at),
        }
    }

    /// Whether the user may sign in, and stay signed in. Somebody who asked to be erased may, to
    /// change their mind.
    pub fn check_open(self, now: Timestamp) -> Result<(), Closed> {
        match self {
            Self::Active => Ok(()),
            Self::Suspended { .. } => Err(Closed::Suspended),
            Self::Leaving { erase_at } if now < erase_at => Ok(()),
            Self::Leaving { .. } => Err(Closed::Erasing),
        }
    }

    /// Suspended from now on.
    pub fn suspend(self, now: Timestamp) -> Result<Self, StandingRefusal> {
        match self {
            Self::Suspended { .. } => Err(StandingRefusal::Suspended),
            Self::Active | Self::Leaving { .. } => {
                Ok(Self::Suspended { since: now, erase_at: self.erase_at() })
            }
        }
    }

    /// As before the suspension.
    pub fn reinstate(self) -> Result<Self, StandingRefusal> {
        match self {
            Self::Suspended { erase_at: None, .. } => Ok(Self::Active),
            Self::Suspended { erase_at: Some(erase_at), .. } => Ok(Self::Leaving { erase_at }),
            Self::Active | Self::Leaving { .. } => Err(StandingRefusal::NotSuspended),
        }
    }

    /// To be erased, after seven days to change one's mind.
    pub fn leave(self, now: Timestamp) -> Result<Self, StandingRefusal> {
        match self {
            Self::Active => {
                Ok(Self::Leaving { erase_at: after_seconds(now, ERASURE_GRACE_SECONDS) })
            }
            Self::Suspended { .. } => Err(StandingRefusal::Suspended),
            Self::Leaving { .. } => Err(StandingRefusal::Leaving),
        }
    }

    /// To be erased after seven days, whatever the account's user asked for: the organisation has to.
    /// Who is to be erased already is not put off, and who is suspended stays so until then.
    #[must_use]
    pub fn expel(self, now: Timestamp) -> Self {
        self.expel_by(after_seconds(now, ERASURE_GRACE_SECONDS))
    }

    /// As [`Standing::expel`], at `by` at the latest: with the present moment nobody signs in any more,
    /// and nobody calls it off.
    #[must_use]
    pub fn expel_by(self, by: Timestamp) -> Self {
        let erase_at = self.erase_at().map_or(by, |asked| asked.min(by));
        match self {
            Self::Active | Self::Leaving { .. } => Self::Leaving { erase_at },
            Self::Suspended { since, .. } => Self::Suspended { since, erase_at: Some(erase_at) },
        }
    }

    /// Not to be erased after all. Once the grace is over this is refused, so an erasure that has
    /// begun is never met by a user who stays.
    pub fn stay(self, now: Timestamp) -> Result<Self, StandingRefusal> {
        match self {
            Self::Leaving { erase_at } if now < erase_at => Ok(Self::Active),
            Self::Leaving { .. } => Err(StandingRefusal::TooLate),
            Self::Suspended { .. } => Err(StandingRefusal::Suspended),
            Self::Active => Err(StandingRefusal::NotLeaving),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const WEEK: i64 = ERASURE_GRACE_SECONDS;

    #[test]
    fn what_makes_no_sense_is_refused() {
        use StandingRefusal as Refusal;
        let active = Standing::Active;
        let suspended = active.suspend(at(5)).unwrap();
        let leaving = active.leave(at(5)).unwrap();
        assert_eq!(leaving, Standing::Leaving { erase_at: at(5 + WEEK) });
        let both = leaving.suspend(at(6)).unwrap();
        for (standing, suspend, reinstate, leave, stay) in [
            (
                active,
                Ok(suspended),
                Err(Refusal::NotSuspended),
                Ok(leaving),
                Err(Refusal::NotLeaving),
            ),
            (
                suspended,
                Err(Refusal::Suspended),
                Ok(active),
                Err(Refusal::Suspended),
                Err(Refusal::Suspended),
            ),
            (
                leaving,
                Ok(Standing::Suspended { since: at(5), erase_at: Some(at(5 + WEEK)) }),
                Err(Refusal::NotSuspended),
                Err(Refusal::Leaving),
                Ok(active),
            ),
            (
                both,
                Err(Refusal::Suspended),
                Ok(leaving),
                Err(Refusal::Suspended),
                Err(Refusal::Suspended),
            ),
        ] {
            assert_eq!(standing.suspend(at(5)), suspend, "{standing:?}");
            assert_eq!(standing.reinstate(), reinstate, "{standing:?}");
            assert_eq!(standing.leave(at(5)), leave, "{standing:?}");
            assert_eq!(standing.stay(at(5)), stay, "{standing:?}");
        }
        assert_eq!(leaving.stay(at(4 + WEEK)), Ok(active));
        assert_eq!(leaving.stay(at(5 + WEEK)), Err(Refusal::TooLate));
    }

    #[test]
    fn who_is_expelled_leaves_once_and_stays_suspended() {
        let by = at(5 + WEEK);
        let suspended = |erase_at| Standing::Suspended { since: at(1), erase_at };
        for (standing, expected) in [
            (Standing::Active, Standing::Leaving { erase_at: by }),
            (Standing::Leaving { erase_at: at(9) }, Standing::Leaving { erase_at: at(9) }),
            (suspended(None), suspended(Some(by))),
            (suspended(Some(at(9))), suspended(Some(at(9)))),
        ] {
            assert_eq!(standing.expel(at(5)), expected);
            assert_eq!(expected.expel(at(6)), expected);
        }
    }

    #[test]
    fn who_is_expelled_at_once_has_no_time_left_and_nobody_is_put_off() {
        let (now, week) = (at(5), at(5 + WEEK));
        for (standing, by, expected) in [
            (Standing::Active, now, Standing::Leaving { erase_at: now }),
            (Standing::Leaving { erase_at: week }, now, Standing::Leaving { erase_at: now }),
            (Standing::Leaving { erase_at: now }, week, Standing::Leaving { erase_at: now }),
            (
                Standing::Suspended { since: at(1), erase_at: Some(week) },
                now,
                Standing::Suspended { since: at(1), erase_at: Some(now) },
            ),
        ] {
            let expelled = standing.expel_by(by);
            assert_eq!(expelled, expected);
            assert_eq!(expelled.expel_by(week), expected);
            assert!(expelled.check_open(now).is_err());
            assert!(expelled.stay(now).is_err());
        }
    }

    #[test]
    fn nobody_signs_in_with_an_account_that_is_suspended_or_being_erased() {
        let leaving = Standing::Active.leave(at(0)).unwrap();
        for (standing, now, open) in [
            (Standing::Active, 0, Ok(())),
            (leaving, WEEK - 1, Ok(())),
            (leaving, WEEK, Err(Closed::Erasing)),
            (Standing::Active.suspend(at(0)).unwrap(), 0, Err(Closed::Suspended)),
            (leaving.suspend(at(0)).unwrap(), 2 * WEEK, Err(Closed::Suspended)),
        ] {
            assert_eq!(standing.check_open(at(now)), open, "{standing:?}");
        }
    }

    proptest! {
        /// Whatever operators and users do meanwhile, only the user calls the erasure off.
        #[test]
        fn an_erasure_that_was_asked_for_stands_until_its_user_calls_it_off(
            steps in vec((0_u8..4, 0_i64..2 * WEEK), 0..12),
        ) {
            let (mut standing, mut now, mut asked) = (Standing::Active, 0, None);
            for (step, passed) in steps {
                now += passed;
                let next = match step {
                    0 => standing.suspend(at(now)),
                    1 => standing.reinstate(),
                    2 => standing.leave(at(now)),
                    _ => standing.stay(at(now)),
                };
                if next.is_ok() && step == 2 {
                    asked = Some(at(now + WEEK));
                }
                if next.is_ok() && step == 3 {
                    prop_assert!(asked > Some(at(now)));
                    asked = None;
                }
                standing = next.unwrap_or(standing);
                prop_assert_eq!(standing.erase_at(), asked);
                prop_assert!(!standing.is_suspended() || standing.check_open(at(now)).is_err());
            }
        }
    }
}
