//! One user's milestones in one batch: which may be told, what an answer means, and what is written
//! down about it.

use std::collections::BTreeMap;

use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::time::{SignedDuration, Timestamp, after};

use super::Settling;
use crate::classifier::{Class, Failure, Retry, classify};
use crate::dead_letter::{Cause, DeadLetter, DeadLetterChange, Status};
use crate::ledger::{Lease, Ledger};
use crate::limits::MILESTONES_REFUSED_MAX;
use crate::milestone::{Milestone, MilestoneRow};
use crate::port::CallOutcome;
use crate::portal::{Health, PauseReason};
use crate::projection::Properties;

/// What an answer about events means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The portal took it.
    Told,
    /// The credentials may have been replaced.
    Renew,
    /// The portal has no events, or our key no permission for them.
    NoEvents,
    /// The portal must be left alone; `doubt`: it may have taken it all the same.
    Ill { health: Health, doubt: bool },
    /// The portal does not know the event: a person may have removed its definition.
    Undeclared,
    /// It may be taken later.
    Again,
    /// It is refused.
    Bad(Failure),
}

impl Fate {
    /// What `outcome` of a call about events means.
    pub(crate) fn after(outcome: &CallOutcome) -> Self {
        match outcome {
            CallOutcome::Answered(_) => Self::Told,
            CallOutcome::NotSent => Self::outage(false, None),
            CallOutcome::Unknown => Self::outage(true, None),
            CallOutcome::Refused(failure) => after_refusal(failure),
        }
    }

    fn outage(doubt: bool, failure: Option<&Failure>) -> Self {
        let retry_after = failure.and_then(|failure| failure.retry_after);
        Self::Ill { health: Health::Ill { reason: PauseReason::Outage, retry_after }, doubt }
    }
}

/// What a refusal means. The table is that of all calls; but a missing permission or path concerns
/// events alone, and an event that the portal does not know has to be declared anew.
fn after_refusal(failure: &Failure) -> Fate {
    if matches!(failure.status, 403 | 404) {
        return Fate::NoEvents;
    }
    if failure.message.contains("does not exist") {
        return Fate::Undeclared;
    }
    match classify(failure) {
        Class::RefreshCredentials => Fate::Renew,
        Class::RetryAfter(Retry::Portal(PauseReason::Outage)) => Fate::outage(true, Some(failure)),
        Class::RetryAfter(Retry::Portal(reason)) | Class::PausePortal(reason) => {
            let retry_after = failure.retry_after;
            Fate::Ill { health: Health::Ill { reason, retry_after }, doubt: false }
        }
        Class::FixSchema => Fate::Undeclared,
        Class::RetryAfter(Retry::Input | Retry::ByKey) | Class::Sent => Fate::Again,
        Class::SplitAndRetry | Class::AdoptExistingId | Class::DeadLetter => {
            Fate::Bad(failure.clone())
        }
    }
}

/// What became of a milestone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The CRM took it.
    Told,
    /// Nobody knows.
    Unknown,
    /// It was sent in vain, or cannot be sent yet.
    Later,
    /// The CRM refused it for good.
    Refused(Failure),
    /// Its user left the CRM: it is told to nobody.
    Dropped,
}

/// A user whose lease is held, and their milestones that are due.
#[derive(Debug)]
pub(crate) struct Teller {
    user: UserId,
    lease: Lease,
    ledger: Ledger,
    rows: Vec<MilestoneRow>,
    verdicts: BTreeMap<String, Verdict>,
}

/// What has to be written down, in the order of the fields.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) user: UserId,
    /// Rows that wait longer.
    pub(crate) later: Vec<MilestoneRow>,
    /// The lease's token; `None`: a call may still be at work, and the lease must run out by itself.
    pub(crate) confirm: Option<String>,
    pub(crate) ledger: Ledger,
    pub(crate) dead_letters: Vec<DeadLetterChange>,
    /// Milestones whose rows are done.
    pub(crate) settled: Vec<MilestoneRow>,
    pub(crate) told: usize,
    pub(crate) refused: usize,
}

impl Teller {
    /// `abandoned`: the holder before never released the lease, so the ledger may be wrong about the
    /// facets; whoever comes next must know.
    pub(crate) fn new(
        user: UserId,
        lease: Lease,
        ledger: Ledger,
        abandoned: bool,
        rows: Vec<MilestoneRow>,
    ) -> Self {
        let ledger = if abandoned { ledger.doubted() } else { ledger };
        let early = match (&ledger.removal, &ledger.contact_id) {
            (Some(_), _) => Some(Verdict::Dropped),
            (None, None) => Some(Verdict::Later),
            (None, Some(_)) => None,
        };
        let verdicts = rows
            .iter()
            .filter_map(|row| Some((row.milestone.id.clone(), early.clone()?)))
            .collect();
        Self { user, lease, ledger, rows, verdicts }
    }

    /// What can be told, each with the contact.
    pub(crate) fn sendable(&self) -> Vec<(Milestone, String)> {
        let Some(contact) = self.ledger.contact_id.clone().filter(|_| self.verdicts.is_empty())
        else {
            return Vec::new();
        };
        self.rows.iter().map(|row| (row.milestone.clone(), contact.clone())).collect()
    }

    /// Whether the lease lasts for a call that may take until `latest`.
    pub(crate) fn may_send_until(&self, latest: Timestamp) -> bool {
        self.lease.until >= latest
    }

    pub(crate) fn decide(&mut self, milestone: &str, verdict: Verdict) {
        self.verdicts.insert(milestone.to_owned(), verdict);
    }

    pub(crate) fn close(
        self,
        settling: Settling<'_>,
        delay: impl Fn(u32, bool) -> SignedDuration,
    ) -> Closing {
        let Self { user, lease, ledger, rows, verdicts } = self;
        let doubt = verdicts.values().any(|verdict| *verdict == Verdict::Unknown);
        let mut closing = Closing {
            user,
            later: Vec::new(),
            confirm: (!doubt).then(|| lease.token.clone()),
            ledger,
            dead_letters: Vec::new(),
            settled: Vec::new(),
            told: 0,
            refused: 0,
        };
        for row in rows {
            let put_off = |row: &MilestoneRow, outage| {
                let attempts = row.attempts.saturating_add(1);
                let mut due_at = after(settling.now, delay(attempts, outage));
                if doubt {
                    due_at = due_at.max(lease.until);
                }
                MilestoneRow { attempts, due_at, ..row.clone() }
            };
            let id = &row.milestone.id;
            match verdicts.get(id) {
                // Its turn did not come: it stays due.
                None => {}
                // A letter is changed only with a confirmation; the row comes again, and is rejected.
                Some(Verdict::Told) if doubt => closing.later.push(put_off(&row, true)),
                Some(Verdict::Told) => {
                    closing.told += 1;
                    if let Some(letter) = closing.ledger.milestones_refused.remove(id) {
                        let (status, at) = (Status::Resolved, settling.now);
                        closing.dead_letters.push(DeadLetterChange::Close {
                            id: letter,
                            status,
                            at,
                        });
                    }
                    closing.settled.push(row);
                }
                Some(Verdict::Dropped) => {
                    // Its letter is told again by nobody, and goes with the user or stays for a person.
                    if let Some(letter) = closing.ledger.milestones_refused.get(id) {
                        let reopen = DeadLetterChange::Reopen { id: letter.clone() };
                        closing.dead_letters.push(reopen);
                    }
                    closing.settled.push(row);
                }
                Some(Verdict::Unknown) => closing.later.push(put_off(&row, true)),
                Some(Verdict::Later) => closing.later.push(put_off(&row, false)),
                Some(Verdict::Refused(failure)) => {
                    let full = closing.ledger.milestones_refused.len() >= MILESTONES_REFUSED_MAX
                        && !closing.ledger.milestones_refused.contains_key(id);
                    if doubt || full {
                        closing.later.push(put_off(&row, false));
                        continue;
                    }
                    closing.refused += 1;
                    closing.refuse(&row, failure, settling);
                    closing.settled.push(row);
                }
            }
        }
        closing
    }
}

impl Closing {
    fn refuse(&mut self, row: &MilestoneRow, failure: &Failure, settling: Settling<'_>) {
        let Settling { now, random, function_version } = settling;
        let Milestone { id, user, kind, at, subject } = &row.milestone;
        let function_version = function_version.to_owned();
        let mut cause = Cause::bare(&Properties::new(), failure);
        cause.request.insert("event".to_owned(), kind.event().to_owned());
        cause.request.insert("occurred_at".to_owned(), at.to_string());
        if !subject.is_empty() {
            cause.request.insert("subject".to_owned(), subject.clone());
        }
        if let Some(letter) = self.ledger.milestones_refused.get(id) {
            let id = letter.clone();
            let repeat = DeadLetterChange::Repeat { id, cause, at: now, function_version };
            self.dead_letters.push(repeat);
            return;
        }
        let letter = DeadLetterId::new(now, random);
        self.ledger.milestones_refused.insert(id.clone(), letter.clone());
        self.dead_letters.push(DeadLetterChange::Open(Box::new(DeadLetter {
            id: letter,
            user: user.clone(),
            facet: kind.facet(),
            milestone: Some(row.milestone.clone()),
            cause,
            first_seen_at: now,
            last_seen_at: now,
            tries: 1,
            status: Status::Open,
            function_version,
        })));
    }
}
