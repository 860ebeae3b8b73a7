//! Looking a person up in the CRM by e-mail address, on the budget that all senders share.

use std::sync::Arc;

use async_trait::async_trait;
use rollcall_domain::random::{Random, fraction};
use rollcall_domain::time::{Clock, SignedDuration, Timestamp, after};

use crate::classifier::{Class, Retry, classify};
use crate::limits::{BUDGET_RETRY_MS_MAX, BUDGET_TRIES_MAX};
use crate::port::{BudgetStore, CallOutcome, PortError, Reply, Sleep};
use crate::portal::{Admission, Budget, Health, PauseReason, Quota};

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
    /// What all senders share.
    pub budget: Arc<dyn BudgetStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Sleeps.
    pub sleep: Arc<dyn Sleep>,
    /// Jitter.
    pub random: Arc<dyn Random>,
}

/// What follows from an answer that says nothing about the contact.
enum Next {
    /// The CRM refuses the question itself, so it cannot know such a contact.
    Unknown,
    /// The credentials may have been replaced.
    Renew(Health),
    /// The portal must be left alone.
    Pause(Health),
}

impl Finder {
    /// Whether the CRM has a contact with this address. Waits for a turn, but not for a portal that
    /// is paused.
    pub async fn find(&self, email: &str, trace_id: &str) -> Result<Found, PortError> {
        let mut renewed = false;
        loop {
            if !self.turn().await? {
                return Ok(Found::Later);
            }
            let reply = match self.crm.exists(email, trace_id).await {
                Ok((exists, quota)) => {
                    self.note(Health::Well, quota).await?;
                    return Ok(if exists { Found::Yes } else { Found::No });
                }
                Err(reply) => reply,
            };
            match next(&reply.outcome) {
                Next::Unknown => {
                    self.note(Health::Well, reply.quota).await?;
                    return Ok(Found::No);
                }
                Next::Renew(health) => {
                    if renewed || !self.crm.renew_token().await {
                        self.note(health, reply.quota).await?;
                        return Ok(Found::Later);
                    }
                    renewed = true;
                }
                Next::Pause(health) => {
                    self.note(health, reply.quota).await?;
                    return Ok(Found::Later);
                }
            }
        }
    }

    /// Waits for our turn to call. `false`: not soon.
    async fn turn(&self) -> Result<bool, PortError> {
        for _ in 0..BUDGET_TRIES_MAX {
            let seen = self.budget.load().await?;
            match seen.budget.admit(self.clock.now()) {
                Admission::Denied { .. } => return Ok(false),
                Admission::Granted { next, start, .. } => {
                    if self.budget.store(&next, seen.version).await? {
                        self.sleep_until(start).await;
                        return Ok(true);
                    }
                }
            }
            self.stand_back().await;
        }
        Ok(false)
    }

    /// Shares what an answer said about the portal, unless others are always faster: they know as
    /// much as we do.
    async fn note(&self, health: Health, quota: Quota) -> Result<(), PortError> {
        for _ in 0..BUDGET_TRIES_MAX {
            let seen = self.budget.load().await?;
            let jitter = fraction(&*self.random);
            let next: Budget = seen.budget.after_call(health, quota, self.clock.now(), jitter);
            if next == seen.budget || self.budget.store(&next, seen.version).await? {
                return Ok(());
            }
            self.stand_back().await;
        }
        Ok(())
    }

    async fn stand_back(&self) {
        let longest = SignedDuration::from_millis(BUDGET_RETRY_MS_MAX);
        let wait = longest.mul_f64(fraction(&*self.random));
        self.sleep_until(after(self.clock.now(), wait)).await;
    }

    async fn sleep_until(&self, at: Timestamp) {
        if at > self.clock.now() {
            self.sleep.until(at).await;
        }
    }
}

fn next(outcome: &CallOutcome) -> Next {
    let failure = match outcome {
        // An answer that does not say is as good as none.
        CallOutcome::Answered(_) | CallOutcome::NotSent | CallOutcome::Unknown => {
            return Next::Pause(Health::Ill { reason: PauseReason::Outage, retry_after: None });
        }
        CallOutcome::Refused(failure) => failure,
    };
    let ill = |reason| Health::Ill { reason, retry_after: failure.retry_after };
    match classify(failure) {
        Class::RefreshCredentials => Next::Renew(ill(PauseReason::Credentials)),
        Class::RetryAfter(Retry::Portal(reason)) | Class::PausePortal(reason) => {
            Next::Pause(ill(reason))
        }
        Class::Sent
        | Class::RetryAfter(Retry::Input | Retry::ByKey)
        | Class::SplitAndRetry
        | Class::FixSchema
        | Class::AdoptExistingId
        | Class::DeadLetter => Next::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;
    use rollcall_domain::random::SeededRandom;

    use super::*;
    use crate::classifier::Failure;
    use crate::port::Versioned;

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
            budget: Arc::<Shared>::clone(&shared),
            clock: Arc::new(Still),
            sleep: Arc::new(Still),
            random: Arc::new(SeededRandom::new(1)),
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
