//! A user whose contact has to leave the CRM: what an answer of the CRM means for that, and what is
//! written down about it.

use std::collections::BTreeMap;

use rollcall_domain::facet::Facet;
use rollcall_domain::time::Timestamp;

use super::{Candidate, Member, Settlement, Settling, Verdict};
use crate::classifier::{Class, Failure, Retry, classify};
use crate::dead_letter::{Cause, DeadLetterChange, Status};
use crate::ledger::Ledger;
use crate::limits::ROW_AGE_SECONDS_MAX;
use crate::pending::Reason;
use crate::port::CallOutcome;
use crate::portal::{Health, PauseReason};
use crate::projection::Properties;
use crate::removal::Removal;
use crate::schema;

/// How far a removal came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RemovalOutcome {
    /// There is no contact any more.
    Done,
    /// It was tried in vain; a later try may succeed.
    Later { reason: Reason, outage: bool },
    /// It was not tried.
    Postponed(Reason),
    /// The CRM refuses it; a person has to look.
    Refused(Failure),
}

/// What follows from an answer that was not the one hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RemovalStep {
    /// The credentials may have been replaced.
    RenewCredentials,
    /// Stop here, and this is what it says about the portal.
    Stop(RemovalOutcome, Health),
}

impl RemovalStep {
    /// What follows from `outcome` of a call that should have been answered.
    pub(crate) fn after(outcome: &CallOutcome, credentials_renewed: bool) -> Self {
        let postponed = RemovalOutcome::Postponed(Reason::Portal);
        let failure = match outcome {
            CallOutcome::NotSent => return Self::ill(postponed, PauseReason::Outage, None),
            CallOutcome::Answered(_) | CallOutcome::Unknown => {
                let later = RemovalOutcome::Later { reason: Reason::Unknown, outage: true };
                return Self::ill(later, PauseReason::Outage, None);
            }
            CallOutcome::Refused(failure) => failure,
        };
        match classify(failure) {
            Class::RefreshCredentials if !credentials_renewed => Self::RenewCredentials,
            Class::RefreshCredentials => {
                Self::ill(postponed, PauseReason::Credentials, Some(failure))
            }
            Class::RetryAfter(Retry::Portal(PauseReason::Outage)) => {
                let later = RemovalOutcome::Later { reason: Reason::Portal, outage: true };
                Self::ill(later, PauseReason::Outage, Some(failure))
            }
            Class::RetryAfter(Retry::Portal(reason)) | Class::PausePortal(reason) => {
                Self::ill(postponed, reason, Some(failure))
            }
            Class::FixSchema => Self::ill(postponed, PauseReason::Unusable, Some(failure)),
            Class::RetryAfter(Retry::Input | Retry::ByKey) | Class::Sent => {
                let later = RemovalOutcome::Later { reason: Reason::Transient, outage: false };
                Self::Stop(later, Health::Well)
            }
            Class::SplitAndRetry | Class::AdoptExistingId | Class::DeadLetter => {
                Self::Stop(RemovalOutcome::Refused(failure.clone()), Health::Well)
            }
        }
    }

    fn ill(outcome: RemovalOutcome, reason: PauseReason, failure: Option<&Failure>) -> Self {
        let retry_after = failure.and_then(|failure| failure.retry_after);
        Self::Stop(outcome, Health::Ill { reason, retry_after })
    }
}

impl Candidate {
    /// Whether nothing is to be done about the removal of this user's contact: it is gone, or the
    /// CRM refused to let it go and nobody asked again.
    pub(crate) fn is_settled(&self, removal: &Removal) -> bool {
        let refused = self.ledger.facet(Facet::Identity).refused;
        let refused = refused.is_some_and(|refused| refused.hash == removal.id);
        let rows = self.work.facets.values().filter_map(|want| want.row.as_ref());
        removal.done_at.is_some() || refused && !rows.into_iter().any(|row| row.forced)
    }

    /// What is written down about a user whose contact has to leave the CRM. The row of the identity
    /// stands for the removal; whatever else was wanted is over. `None`: nothing was to be done.
    pub(crate) fn removed(
        self,
        removal: &Removal,
        outcome: Option<RemovalOutcome>,
        settling: Settling<'_>,
    ) -> Settlement {
        let mut member = Member {
            considered: self.work.facets.keys().copied().collect(),
            candidate: self,
            verdicts: BTreeMap::new(),
            keep_lease: false,
        };
        let over = member.undecided();
        member.decide(&over, &Verdict::Blocked);
        let verdict = match outcome {
            None if removal.done_at.is_some() => return member.gone(removal.clone(), settling),
            None => return member.settle(settling),
            Some(RemovalOutcome::Done) => {
                let mut settlement = member.gone(removal.clone().done(settling.now), settling);
                settlement.tally.removed += 1;
                return settlement;
            }
            Some(RemovalOutcome::Later { reason, outage }) => {
                member.later(removal, reason, outage, settling.now)
            }
            Some(RemovalOutcome::Postponed(reason)) => Verdict::Postponed(reason),
            Some(RemovalOutcome::Refused(failure)) => refused(removal, &failure),
        };
        member.decide(&[Facet::Identity], &verdict);
        member.settle(settling)
    }
}

impl Member {
    fn later(&self, removal: &Removal, reason: Reason, outage: bool, now: Timestamp) -> Verdict {
        if reason == Reason::Transient
            && self.waits_since(Facet::Identity, now) > ROW_AGE_SECONDS_MAX
        {
            return refused(removal, &Failure::default());
        }
        Verdict::Later { reason, outage, doubt: false }
    }

    /// Leaves nothing of the user but the tombstone.
    fn gone(self, tombstone: Removal, settling: Settling<'_>) -> Settlement {
        let mut settlement = self.unsettled();
        let milestones = self.candidate.ledger.milestones_refused.values().cloned();
        let refused = self.candidate.ledger.facets.values();
        let refused = refused.filter_map(|entry| Some(entry.refused.as_ref()?.dead_letter.clone()));
        settlement.dead_letters = refused
            .chain(milestones)
            .map(|id| DeadLetterChange::Close { id, status: Status::Withdrawn, at: settling.now })
            .collect();
        let rows = self.candidate.work.facets.iter();
        settlement.resolved = rows
            .filter_map(|(facet, want)| Some((*facet, want.row.as_ref()?.mark.clone())))
            .collect();
        // Among rows may be the one that was made together with the wish. A sender without rows leaves it
        // to the next drain: it has no right to remove any.
        if !settlement.resolved.is_empty() {
            settlement.resolved.push((Facet::Identity, tombstone.id.clone()));
        }
        settlement.tally.unchanged = self.candidate.work.facets.len();
        settlement.if_lost = self.if_lost(settling);
        settlement.ledger = Ledger { removal: Some(tombstone), ..Ledger::default() };
        settlement
    }
}

fn refused(removal: &Removal, failure: &Failure) -> Verdict {
    let email = removal.email.clone();
    let personal = email.map(|email| (schema::EMAIL, email)).into_iter().collect::<Properties>();
    Verdict::Refused(Box::new(Cause::bare(&personal, failure)))
}
