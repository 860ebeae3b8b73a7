//! Looking a person up in the CRM by e-mail address, on the budget that all senders share.

use std::sync::Arc;

use async_trait::async_trait;

use crate::port::{PortError, Reply};
use crate::portal::Quota;
use crate::turns::{Called, Turns};

/// The CRM, for whoever only wants to know whether it knows somebody.
#[async_trait]
pub trait ContactFinder: Send + Sync {
    /// Fetches the credentials anew. `false`: they are the ones we had.
    async fn renew_token(&self) -> bool;

    /// Whether there is a contact with this address, and what the CRM told about its limits. One
    /// call, for which the caller holds a turn.
    async fn exists(&self, email: &str, trace_id: &str) -> Result<(bool, Quota), Reply>;
}

/// What looking somebody up came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is a contact.
    Yes,
    /// There is none.
    No,
    /// The CRM cannot be asked now.
    Later,
}

/// Looks people up.
#[derive(Clone)]
pub struct Finder {
    /// The CRM.
    pub crm: Arc<dyn ContactFinder>,
    /// Turns to call it.
    pub turns: Turns,
}

impl Finder {
    /// Whether the CRM has a contact with this address. Waits for a turn, but not for a portal that
    /// is paused.
    pub async fn find(&self, email: &str, trace_id: &str) -> Result<Found, PortError> {
        let crm = &*self.crm;
        let called = self.turns.call(|| crm.exists(email, trace_id), || crm.renew_token()).await?;
        Ok(match called {
            Called::Done(true) => Found::Yes,
            // The CRM refuses the question itself, so it cannot know such a contact.
            Called::Done(false) | Called::Refused(_) => Found::No,
            Called::Later => Found::Later,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;
    use rollcall_domain::random::SeededRandom;
    use rollcall_domain::time::{Clock, Timestamp};

    use super::*;
    use crate::classifier::Failure;
    use crate::port::{BudgetStore, CallOutcome, Sleep, Versioned};
    use crate::portal::{Budget, PauseReason};
    use crate::turns::Share;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(1_000).unwrap()
        }
    }

    #[async_trait]
    impl Sleep for Still {
        async fn until(&self, _at: Timestamp) {}
    }

    #[derive(Default)]
    struct Shared {
        budget: Mutex<Versioned>,
    }

    #[async_trait]
    impl BudgetStore for Shared {
        async fn load(&self) -> Result<Versioned, PortError> {
            Ok(self.budget.lock().unwrap().clone())
        }

        async fn store(&self, budget: &Budget, seen: u64) -> Result<bool, PortError> {
            let mut stored = self.budget.lock().unwrap();
            let fresh = stored.version == seen;
            if fresh {
                *stored = Versioned { budget: budget.clone(), version: seen + 1 };
            }
            Ok(fresh)
        }

        async fn claim_wake(&self, _at: Timestamp, _now: Timestamp) -> Result<bool, PortError> {
            Ok(false)
        }
    }

    /// Gives its answers one after the other.
    struct Answers {
        answers: Mutex<Vec<Result<bool, CallOutcome>>>,
        renews: bool,
    }

    #[async_trait]
    impl ContactFinder for Answers {
        async fn renew_token(&self) -> bool {
            self.renews
        }

        async fn exists(&self, _email: &str, _trace_id: &str) -> Result<(bool, Quota), Reply> {
            let answer = self.answers.lock().unwrap().remove(0);
            let quota = Quota::default();
            answer.map(|exists| (exists, quota)).map_err(|outcome| Reply { outcome, quota })
        }
    }

    fn refused(status: u16) -> Result<bool, CallOutcome> {
        Err(CallOutcome::Refused(Failure { status, ..Failure::default() }))
    }

    /// Nothing here waits, so a finding is there at once.
    fn check(
        answers: &[Result<bool, CallOutcome>],
        renews: bool,
        found: Found,
        paused_for: Option<PauseReason>,
    ) {
        let crm = Arc::new(Answers { answers: Mutex::new(answers.to_vec()), renews });
        let shared = Arc::new(Shared::default());
        let finder = Finder {
            crm: Arc::<Answers>::clone(&crm),
            turns: Turns {
                budget: Arc::<Shared>::clone(&shared),
                clock: Arc::new(Still),
                sleep: Arc::new(Still),
                random: Arc::new(SeededRandom::new(1)),
                share: Share::Any,
            },
        };
        let find = || finder.find("ada@rollcall.example", "t").now_or_never().unwrap().unwrap();
        assert_eq!(find(), found, "{answers:?}");
        assert!(crm.answers.lock().unwrap().is_empty(), "{answers:?}");
        let budget = shared.budget.lock().unwrap().budget.clone();
        assert_eq!(budget.pause.map(|pause| pause.reason), paused_for, "{answers:?}");
        if paused_for.is_some() {
            assert_eq!(find(), Found::Later);
        }
    }

    #[test]
    fn every_answer_leads_to_one_finding_and_its_pause() {
        check(&[Ok(true)], false, Found::Yes, None);
        check(&[Ok(false)], false, Found::No, None);
        let outage = Some(PauseReason::Outage);
        check(&[Err(CallOutcome::Unknown)], false, Found::Later, outage);
        check(&[Err(CallOutcome::NotSent)], false, Found::Later, outage);
        let limit = Some(PauseReason::RateLimit);
        check(&[refused(429)], false, Found::Later, limit);
        let credentials = Some(PauseReason::Credentials);
        check(&[refused(401)], false, Found::Later, credentials);
        check(&[refused(401), refused(401)], true, Found::Later, credentials);
        check(&[refused(401), Ok(true)], true, Found::Yes, None);
    }
}
