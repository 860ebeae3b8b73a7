//! Calls of the CRM beside the sync: each waits for a turn of the budget that all senders share, and
//! what its answer says about the portal is shared.

use std::sync::Arc;

use futures::future::BoxFuture;
use rollcall_domain::random::{Random, fraction};
use rollcall_domain::time::{Clock, SignedDuration, Timestamp, after};

use crate::classifier::{Class, Failure, Retry, classify};
use crate::limits::{BUDGET_RETRY_MS_MAX, BUDGET_TRIES_MAX, LEFTOVER_TRIES_MAX, PACER_WAIT_MS_MAX};
use crate::port::{BudgetStore, CallOutcome, PortError, Reply, Sleep};
use crate::portal::{Admission, Budget, Health, PauseReason, Quota};

/// Which turns a caller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The next one, as whoever sends changes.
    Any,
    /// Only those that nobody else wants: a turn is free once the calls before it would have come
    /// evenly, so that the burst is always there for others.
    Leftover,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called<T> {
    /// It was answered.
    Done(T),
    /// The CRM refuses what it was asked, and would refuse it again.
    Refused(Failure),
    /// The CRM cannot be asked now.
    Later,
}

/// The answer of one call, and what it told about the CRM's limits.
pub type Asked<T> = Result<(T, Quota), Reply>;

/// Waits for turns.
#[derive(Clone)]
pub struct Turns {
    /// What all senders share.
    pub budget: Arc<dyn BudgetStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Sleeps.
    pub sleep: Arc<dyn Sleep>,
    /// Jitter.
    pub random: Arc<dyn Random>,
    /// Which turns are taken.
    pub share: Share,
}

/// What follows from an answer that is not the one hoped for.
enum Next {
    /// The question itself is refused.
    Refused,
    /// The credentials may have been replaced.
    Renew(Health),
    /// The portal must be left alone.
    Pause(Health),
}

impl Turns {
    /// Makes one call, and once more with new credentials if `renew` finds some. Waits for a turn,
    /// but not for a portal that is paused.
    pub async fn call<'call, T>(
        &self,
        ask: impl Fn() -> BoxFuture<'call, Asked<T>> + Send + Sync,
        renew: impl Fn() -> BoxFuture<'call, bool> + Send + Sync,
    ) -> Result<Called<T>, PortError> {
        let mut renewed = false;
        loop {
            if !self.turn().await? {
                return Ok(Called::Later);
            }
            let reply = match ask().await {
                Ok((answer, quota)) => {
                    self.note(Health::Well, quota).await?;
                    return Ok(Called::Done(answer));
                }
                Err(reply) => reply,
            };
            match next(&reply.outcome) {
                Next::Refused => {
                    self.note(Health::Well, reply.quota).await?;
                    return Ok(match reply.outcome {
                        CallOutcome::Refused(failure) => Called::Refused(failure),
                        CallOutcome::Answered(_) | CallOutcome::NotSent | CallOutcome::Unknown => {
                            Called::Later
                        }
                    });
                }
                Next::Renew(health) => {
                    if renewed || !renew().await {
                        self.note(health, reply.quota).await?;
                        return Ok(Called::Later);
                    }
                    renewed = true;
                }
                Next::Pause(health) => {
                    self.note(health, reply.quota).await?;
                    return Ok(Called::Later);
                }
            }
        }
    }

    /// Waits for our turn to call. `false`: not soon.
    async fn turn(&self) -> Result<bool, PortError> {
        let (mut tries, mut waits) = (0, 0);
        while tries < BUDGET_TRIES_MAX && waits < LEFTOVER_TRIES_MAX {
            let seen = self.budget.load().await?;
            let now = self.clock.now();
            let admission = match self.share {
                Share::Any => seen.budget.admit(now),
                Share::Leftover => seen.budget.admit_leftover(now),
            };
            match admission {
                Admission::Denied { until } => {
                    let soon = after(now, SignedDuration::from_millis(PACER_WAIT_MS_MAX));
                    if self.share == Share::Any || until > soon {
                        return Ok(false);
                    }
                    self.sleep_until(until).await;
                    waits += 1;
                }
                Admission::Granted { next, start, .. } => {
                    if self.budget.store(&next, seen.version).await? {
                        self.sleep_until(start).await;
                        return Ok(true);
                    }
                    self.stand_back().await;
                    tries += 1;
                }
            }
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
        | Class::DeadLetter => Next::Refused,
    }
}
