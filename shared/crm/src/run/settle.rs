//! The end of a user's part in a run: what is written down, and in which order it must be.

use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::random::Random;
use rollcall_domain::time::{SignedDuration, Timestamp, after};

use super::{Member, Run, Verdict, Work};
use crate::dead_letter::{Cause, DeadLetter, DeadLetterChange, Status};
use crate::ledger::{Acknowledged, Ledger, Refused};
use crate::limits::BUSY_RETRY_MS;
use crate::pending::{Dirty, Mark, Reason, Reschedule, delay, token};

/// What became of facets, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The CRM took them.
    pub sent: usize,
    /// The CRM had them already.
    pub unchanged: usize,
    /// They wait.
    pub pending: usize,
    /// Of those, the ones that only wait for their turn to be sent.
    pub paced: usize,
    /// They were refused for good.
    pub dead: usize,
    /// An open dead letter, or the lack of an address, holds them up.
    pub blocked: usize,
    /// Contacts that are gone, as they had to be.
    pub removed: usize,
    /// Milestones that the CRM was told.
    pub told: usize,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.unchanged += other.unchanged;
        self.pending += other.pending;
        self.paced += other.paced;
        self.dead += other.dead;
        self.blocked += other.blocked;
        self.removed += other.removed;
        self.told += other.told;
    }
}

/// What has to be written down about one user, in the order of the fields: first what must not be
/// lost, then what the CRM holds, and only then may rows go away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Whose.
    pub user: UserId,
    /// New pending rows.
    pub marks: Vec<Mark>,
    /// Rows that wait longer.
    pub reschedules: Vec<Reschedule>,
    /// The lease's token; `None` when the lease must run out by itself and nothing is confirmed.
    pub confirm: Option<String>,
    /// The ledger.
    pub ledger: Ledger,
    /// Changes of dead letters.
    pub dead_letters: Vec<DeadLetterChange>,
    /// Rows that are done, with the marks that were seen.
    pub resolved: Vec<(Facet, String)>,
    /// To be marked instead if the lease turns out to be lost.
    pub if_lost: Vec<Mark>,
    /// What became of the facets.
    pub tally: Tally,
}

/// What settling needs besides the run.
#[derive(Clone, Copy)]
pub(crate) struct Settling<'a> {
    pub(crate) now: Timestamp,
    pub(crate) random: &'a dyn Random,
    pub(crate) function_version: &'a str,
}

impl Run {
    /// Takes every user out of the run about whom everything is decided.
    pub(crate) fn settle(&mut self, settling: Settling<'_>) -> Vec<Settlement> {
        let decided = self.members.extract_if(.., |_, member| member.undecided().is_empty());
        decided.map(|(_, member)| member.settle(settling)).collect()
    }
}

impl Member {
    pub(super) fn settle(self, settling: Settling<'_>) -> Settlement {
        let mut settlement = self.unsettled();
        for (facet, verdict) in &self.verdicts {
            self.settle_facet(*facet, verdict, &mut settlement, settling);
        }
        settlement.if_lost = self.if_lost(settling);
        // Without a confirmation nothing counts as done.
        if self.keep_lease {
            settlement.resolved.clear();
        }
        settlement
    }

    /// What is to be done instead when somebody else took the lease: everything again.
    pub(super) fn if_lost(&self, settling: Settling<'_>) -> Vec<Mark> {
        let retry = after(settling.now, SignedDuration::from_millis(BUSY_RETRY_MS));
        let facets = self.verdicts.keys();
        facets.map(|facet| self.mark(*facet, Reason::Busy, 0, retry, settling)).collect()
    }

    /// A settlement that says nothing yet.
    pub(super) fn unsettled(&self) -> Settlement {
        Settlement {
            user: self.candidate.work.user.clone(),
            marks: Vec::new(),
            reschedules: Vec::new(),
            confirm: (!self.keep_lease).then(|| self.candidate.lease.token.clone()),
            ledger: self.candidate.ledger.clone(),
            dead_letters: Vec::new(),
            resolved: Vec::new(),
            if_lost: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn settle_facet(
        &self,
        facet: Facet,
        verdict: &Verdict,
        settlement: &mut Settlement,
        settling: Settling<'_>,
    ) {
        match verdict {
            Verdict::Acknowledged => {
                settlement.tally.sent += 1;
                self.acknowledge(facet, settlement, settling.now);
            }
            Verdict::Unchanged => {
                settlement.tally.unchanged += 1;
                self.close(facet, settlement, settling.now);
            }
            Verdict::Blocked => {
                settlement.tally.blocked += 1;
                // A replay that could not be tried must not leave the desk.
                let refused = self.candidate.ledger.facet(facet).refused;
                if let Some(refused) = refused.filter(|_| self.is_forced(facet)) {
                    let reopen = DeadLetterChange::Reopen { id: refused.dead_letter };
                    settlement.dead_letters.push(reopen);
                }
            }
            Verdict::Refused(cause) => {
                settlement.tally.dead += 1;
                self.refuse_facet(facet, cause, settlement, settling);
            }
            Verdict::Later { reason, outage, doubt } => {
                settlement.tally.pending += 1;
                if *doubt {
                    settlement.ledger.facets.entry(facet).or_default().acknowledged = None;
                }
                self.wait(facet, *reason, *outage, settlement, settling);
                return;
            }
            Verdict::Postponed(reason) => {
                settlement.tally.pending += 1;
                settlement.tally.paced += usize::from(*reason == Reason::Paced);
                // A row that is due stays due; it is the portal or the turn that has to come.
                if self.row(facet).is_none() {
                    let mark = self.mark(facet, *reason, 0, settling.now, settling);
                    settlement.marks.push(mark);
                }
                return;
            }
        }
        if let Some(row) = self.row(facet) {
            settlement.resolved.push((facet, row.mark.clone()));
        }
    }

    /// Names what is to be sent of `facet`; of a user who has to leave, it is the wish that is.
    fn hash(&self, facet: Facet) -> String {
        let removal = self.candidate.ledger.removal.as_ref().map(|removal| &removal.id);
        let projected = self.candidate.state.get(&facet).map(|projected| &projected.hash);
        removal.or(projected).cloned().unwrap_or_default()
    }

    fn wait(
        &self,
        facet: Facet,
        reason: Reason,
        outage: bool,
        settlement: &mut Settlement,
        settling: Settling<'_>,
    ) {
        let attempts = self.row(facet).map_or(0, |row| row.attempts).saturating_add(1);
        let mut due_at = after(settling.now, delay(attempts, outage, settling.random));
        if self.keep_lease {
            due_at = due_at.max(self.candidate.lease.until);
        }
        match self.row(facet) {
            None => {
                settlement.marks.push(self.mark(facet, reason, attempts, due_at, settling));
            }
            Some(row) => settlement.reschedules.push(Reschedule {
                user: settlement.user.clone(),
                facet,
                mark: row.mark.clone(),
                reason,
                attempts,
                due_at,
            }),
        }
    }

    fn mark(
        &self,
        facet: Facet,
        reason: Reason,
        attempts: u32,
        due_at: Timestamp,
        settling: Settling<'_>,
    ) -> Mark {
        let want = self.candidate.work.facets.get(&facet);
        Mark {
            dirty: Dirty {
                user: self.candidate.work.user.clone(),
                facet,
                trace_id: want.and_then(|want| want.trace_id.clone()),
            },
            mark: token(settling.random),
            reason,
            attempts,
            now: settling.now,
            due_at,
        }
    }

    fn acknowledge(&self, facet: Facet, settlement: &mut Settlement, now: Timestamp) {
        self.close(facet, settlement, now);
        let projected = self.candidate.state.get(&facet);
        let acknowledged = projected.map(|projected| Acknowledged {
            hash: projected.hash.clone(),
            version: projected.version,
            at: now,
        });
        settlement.ledger.facets.entry(facet).or_default().acknowledged = acknowledged;
    }

    fn close(&self, facet: Facet, settlement: &mut Settlement, now: Timestamp) {
        let entry = settlement.ledger.facets.entry(facet).or_default();
        if let Some(refused) = entry.refused.take() {
            let status = if self.is_forced(facet) { Status::Resolved } else { Status::Superseded };
            let change = DeadLetterChange::Close { id: refused.dead_letter, status, at: now };
            settlement.dead_letters.push(change);
        }
    }

    fn refuse_facet(
        &self,
        facet: Facet,
        cause: &Cause,
        settlement: &mut Settlement,
        settling: Settling<'_>,
    ) {
        let Settling { now, random, function_version } = settling;
        let hash = self.hash(facet);
        let entry = settlement.ledger.facets.entry(facet).or_default();
        let (cause, function_version) = (cause.clone(), function_version.to_owned());
        let (id, change) = if let Some(refused) = entry.refused.take() {
            let id = refused.dead_letter;
            let repeat =
                DeadLetterChange::Repeat { id: id.clone(), cause, at: now, function_version };
            (id, repeat)
        } else {
            let id = DeadLetterId::new(now, random);
            let letter = DeadLetter {
                id: id.clone(),
                user: settlement.user.clone(),
                facet,
                milestone: None,
                cause,
                first_seen_at: now,
                last_seen_at: now,
                tries: 1,
                status: Status::Open,
                function_version,
            };
            (id, DeadLetterChange::Open(Box::new(letter)))
        };
        entry.refused = Some(Refused { hash, dead_letter: id });
        settlement.dead_letters.push(change);
    }
}

/// Rows of a user who is being sent by somebody else.
pub(crate) fn busy(work: Work, settling: Settling<'_>) -> (Vec<Mark>, Vec<Reschedule>) {
    let due_at = after(settling.now, SignedDuration::from_millis(BUSY_RETRY_MS));
    let (mut marks, mut reschedules) = (Vec::new(), Vec::new());
    for (facet, want) in work.facets {
        match want.row {
            Some(row) => reschedules.push(Reschedule {
                user: work.user.clone(),
                facet,
                mark: row.mark,
                reason: Reason::Busy,
                attempts: row.attempts,
                due_at,
            }),
            None => marks.push(Mark {
                dirty: Dirty { user: work.user.clone(), facet, trace_id: want.trace_id },
                mark: token(settling.random),
                reason: Reason::Busy,
                attempts: 0,
                now: settling.now,
                due_at,
            }),
        }
    }
    (marks, reschedules)
}
