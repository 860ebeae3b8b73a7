//! The engine: drives [`crate::run`] over the ports.
//!
//! It may be dropped at any await. What makes that safe: a lease is taken before the state is read
//! and released only together with what the CRM acknowledged, so a lease that ran out tells the next
//! sender that the CRM may hold anything; and whoever asked (stream record or pending row) asks
//! again until it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use rollcall_domain::id::UserId;
use rollcall_domain::random::{Random, fraction};
use rollcall_domain::time::{Clock, SignedDuration, Timestamp, after_seconds};

use crate::ledger::{Lease, LeaseAttempt, Ledger};
use crate::limits::{
    BATCH_INPUTS_MAX, DRAIN_ROUNDS_MAX, DRAIN_ROWS_MAX, INVOCATION_RESERVE_SECONDS, LEASE_SECONDS,
    NUDGE_DELAY_SECONDS_MAX, NUDGE_DELAY_SECONDS_MIN, STORE_CALLS_AT_ONCE,
};
use crate::milestone::Milestone;
use crate::pending::{Dirty, Mark, PendingRow, Reason, Reschedule, token};
use crate::port::{
    BudgetStore, CallOutcome, Confirmation, Crm, FacetSource, LedgerStore, MilestoneStore, Nudge,
    PendingStore, PortError, Sleep, wake_after,
};
use crate::projection::project_all;
use crate::run::{Candidate, Run, Settlement, Settling, Tally, Want, Work, busy};

mod calls;
mod milestones;
mod mistake;
mod removals;

pub use mistake::Mistake;

/// What the engine works with.
#[derive(Clone)]
pub struct Ports {
    /// The CRM.
    pub crm: Arc<dyn Crm>,
    /// Our own state.
    pub source: Arc<dyn FacetSource>,
    /// The ledger and the leases.
    pub ledger: Arc<dyn LedgerStore>,
    /// The rows that wait.
    pub pending: Arc<dyn PendingStore>,
    /// The milestones that wait.
    pub milestones: Arc<dyn MilestoneStore>,
    /// What all senders share.
    pub budget: Arc<dyn BudgetStore>,
    /// Wakes the drain.
    pub nudge: Arc<dyn Nudge>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Sleeps.
    pub sleep: Arc<dyn Sleep>,
    /// Jitter, marks and ids.
    pub random: Arc<dyn Random>,
}

/// What an invocation did.
#[derive(Debug, Default)]
pub struct Report {
    /// Facets by what became of them.
    pub tally: Tally,
    /// Calls made to the CRM.
    pub calls: usize,
    /// Of those, the ones that were refused as a whole, by HTTP status.
    pub refusals: BTreeMap<u16, usize>,
    /// Of those, the ones that got no answer that can be understood.
    pub calls_lost: usize,
    /// Users whose changes are not stored anywhere yet: they must be asked for again.
    pub failed: BTreeSet<UserId>,
    /// The first failure of a port.
    pub error: Option<PortError>,
    /// It turned out that the portal has no events, so that milestones are properties only.
    pub events_missing: bool,
    /// It was not soon our turn to call.
    stopped: bool,
    /// When the first row is due that was written in this invocation.
    first_due: Option<Timestamp>,
}

impl Report {
    fn give_back(&mut self, user: UserId, error: PortError) {
        self.failed.insert(user);
        self.error.get_or_insert(error);
    }

    fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.calls += other.calls;
        for (status, calls) in other.refusals {
            *self.refusals.entry(status).or_default() += calls;
        }
        self.calls_lost += other.calls_lost;
        self.failed.extend(other.failed);
        self.error = self.error.take().or(other.error);
        self.stopped |= other.stopped;
        self.first_due = self.first_due.into_iter().chain(other.first_due).min();
    }

    /// Counts what became of a call.
    fn heard(&mut self, outcome: &CallOutcome) {
        match outcome {
            CallOutcome::Answered(_) => {}
            CallOutcome::Refused(failure) => {
                *self.refusals.entry(failure.status).or_default() += 1;
            }
            CallOutcome::NotSent | CallOutcome::Unknown => self.calls_lost += 1,
        }
    }

    fn waits(&mut self, marks: &[Mark], reschedules: &[Reschedule]) {
        let marks = marks.iter().map(|mark| mark.due_at);
        let due = marks.chain(reschedules.iter().map(|later| later.due_at)).min();
        self.first_due = self.first_due.into_iter().chain(due).min();
    }
}

/// The sync engine.
#[derive(Clone)]
pub struct Engine {
    ports: Ports,
    function_version: String,
    #[cfg(mistakes)]
    mistake: Option<Mistake>,
}

/// Whether a turn is free that nobody else wants.
enum LeftOver {
    Now,
    Waited,
    NotSoon,
}

enum Opened {
    Candidate(Box<Candidate>),
    Busy(Work),
}

impl Engine {
    /// An engine over these ports. `function_version` is kept with dead letters.
    pub fn new(ports: Ports, function_version: impl Into<String>) -> Self {
        Self {
            ports,
            function_version: function_version.into(),
            #[cfg(mistakes)]
            mistake: None,
        }
    }

    /// Brings what changed to the CRM, or to the pending rows what cannot be sent before
    /// `deadline`, and keeps the milestones for the drain. Users in [`Report::failed`] must be handed
    /// in again.
    pub async fn sync(
        &self,
        dirty: Vec<Dirty>,
        milestones: Vec<Milestone>,
        deadline: Timestamp,
    ) -> Report {
        let mut works: BTreeMap<UserId, Work> = BTreeMap::new();
        for Dirty { user, facet, trace_id } in dirty {
            let work =
                works.entry(user.clone()).or_insert_with(|| Work { user, facets: BTreeMap::new() });
            work.facets.insert(facet, Want { trace_id, row: None });
        }
        let mut report = Report::default();
        self.keep(milestones, &mut report).await;
        let mut works: Vec<Work> = works.into_values().collect();
        while !works.is_empty() {
            let rest = works.split_off(works.len().min(BATCH_INPUTS_MAX));
            let open = match self.portal_is_open(&mut report).await {
                Some(open) => open && self.has_time(deadline),
                None => false,
            };
            if open {
                self.run(works, &mut report).await;
            } else if !self.makes(Mistake::Forget) {
                let dirty = works.into_iter().flat_map(Work::into_dirty).collect();
                self.mark_all(dirty, Reason::Portal, &mut report).await;
            }
            works = rest;
        }
        self.wake_drain(&mut report).await;
        report
    }

    /// Sends what waits and is due, until nothing is, the portal must be left alone, or `deadline`
    /// is near; then wakes the next drain if rows remain.
    pub async fn drain(&self, deadline: Timestamp) -> Report {
        let mut report = Report::default();
        for _ in 0..DRAIN_ROUNDS_MAX {
            if !self.has_time(deadline) || self.portal_is_open(&mut report).await != Some(true) {
                break;
            }
            // Both in every round, so that neither waits for all of the other; milestones first, since a
            // call carries a hundred of them.
            let more = self.tell(&mut report).await;
            if report.error.is_some() || report.stopped {
                break;
            }
            let rows = match self.ports.pending.due(self.ports.clock.now(), DRAIN_ROWS_MAX).await {
                Ok(rows) => rows,
                Err(error) => {
                    report.error.get_or_insert(error);
                    break;
                }
            };
            if rows.is_empty() && !more {
                break;
            }
            self.hurry(&rows).await;
            let (rows, are_repairs) = first(rows);
            if are_repairs {
                match self.left_over().await {
                    Ok(LeftOver::Now) => {}
                    // Who changed something meanwhile goes first, and more may have come to repair.
                    Ok(LeftOver::Waited) => continue,
                    Ok(LeftOver::NotSoon) => break,
                    Err(error) => {
                        report.error.get_or_insert(error);
                        break;
                    }
                }
            }
            let mut works = works(rows);
            works.truncate(BATCH_INPUTS_MAX);
            self.run(works, &mut report).await;
            if report.error.is_some() || report.stopped {
                break;
            }
        }
        for next in
            [self.ports.pending.next_due().await, self.ports.milestones.next_milestone_due().await]
        {
            match next {
                Ok(due) => report.first_due = report.first_due.into_iter().chain(due).min(),
                Err(error) => {
                    report.error.get_or_insert(error);
                }
            }
        }
        self.wake_drain(&mut report).await;
        report
    }

    fn has_time(&self, deadline: Timestamp) -> bool {
        after_seconds(self.ports.clock.now(), INVOCATION_RESERVE_SECONDS) <= deadline
    }

    /// `None`: the budget cannot be read.
    async fn portal_is_open(&self, report: &mut Report) -> Option<bool> {
        match self.ports.budget.load().await {
            Ok(versioned) => Some(versioned.budget.paused_until(self.ports.clock.now()).is_none()),
            Err(error) => {
                report.error.get_or_insert(error);
                None
            }
        }
    }

    async fn run(&self, works: Vec<Work>, report: &mut Report) {
        let trace_id = works.iter().find_map(Work::trace_id).unwrap_or_else(|| self.token());
        let opened = self.open_all(works, report).await;
        let (leaving, candidates): (Vec<_>, Vec<_>) =
            opened.into_iter().partition(|candidate| self.has_to_leave(candidate));
        if !candidates.is_empty() {
            self.run_over(candidates, &trace_id, report).await;
        }
        self.remove_all(leaving, &trace_id, report).await;
    }

    fn has_to_leave(&self, candidate: &Candidate) -> bool {
        candidate.ledger.removal.is_some() && !self.makes(Mistake::Pursue)
    }

    async fn run_over(&self, candidates: Vec<Candidate>, trace_id: &str, report: &mut Report) {
        let schema_known = match self.ports.budget.load().await {
            Ok(versioned) => calls::knows_schema(&versioned.budget),
            Err(error) => {
                report.error.get_or_insert(error);
                true
            }
        };
        let mut run = Run::new(candidates, self.ports.crm.capabilities().key_kind, schema_known);
        while let Some(task) = run.next_task() {
            if let Err(error) = self.perform(task, &mut run, trace_id, report).await {
                report.error.get_or_insert(error);
                run.stop(Reason::Paced);
            }
            self.settle(&mut run, report).await;
        }
        self.settle(&mut run, report).await;
    }

    async fn open_all(&self, works: Vec<Work>, report: &mut Report) -> Vec<Candidate> {
        let opening = works.into_iter().map(|work| -> BoxFuture<'_, _> {
            Box::pin(async move { (work.user.clone(), self.open(work).await) })
        });
        let opened: Vec<_> =
            futures::stream::iter(opening).buffer_unordered(STORE_CALLS_AT_ONCE).collect().await;
        let mut candidates = Vec::new();
        for (user, opened) in opened {
            match opened {
                Ok(Opened::Candidate(candidate)) => candidates.push(*candidate),
                Ok(Opened::Busy(work)) => self.put_off(work, report).await,
                Err(error) => report.give_back(user, error),
            }
        }
        candidates
    }

    async fn open(&self, work: Work) -> Result<Opened, PortError> {
        let now = self.ports.clock.now();
        let lease = Lease { token: self.token(), until: after_seconds(now, LEASE_SECONDS) };
        match self.ports.ledger.take_lease(&work.user, &lease, now).await? {
            LeaseAttempt::Busy if self.makes(Mistake::Overtake) => {
                self.candidate(work, lease, Ledger::default(), false).await
            }
            LeaseAttempt::Busy => Ok(Opened::Busy(work)),
            LeaseAttempt::Taken { ledger, abandoned } => {
                self.candidate(work, lease, ledger, abandoned).await
            }
        }
    }

    async fn candidate(
        &self,
        work: Work,
        lease: Lease,
        ledger: Ledger,
        abandoned: bool,
    ) -> Result<Opened, PortError> {
        let state = match ledger.removal {
            Some(_) if !self.makes(Mistake::Pursue) => None,
            Some(_) | None => self.ports.source.load(&work.user).await?,
        };
        let state = state.map(|state| project_all(&state, &ledger.edits)).unwrap_or_default();
        let candidate = Candidate { work, lease, ledger, abandoned, state };
        Ok(Opened::Candidate(Box::new(candidate)))
    }

    async fn put_off(&self, work: Work, report: &mut Report) {
        let user = work.user.clone();
        let (marks, reschedules) = busy(work, self.settling());
        report.tally.pending += marks.len() + reschedules.len();
        report.waits(&marks, &reschedules);
        if let Err(error) = self.store_waiting(&marks, &reschedules).await {
            report.give_back(user, error);
        }
    }

    async fn settle(&self, run: &mut Run, report: &mut Report) {
        let settlements = run.settle(self.settling());
        self.store_all(settlements, report).await;
    }

    async fn store_all(&self, settlements: Vec<Settlement>, report: &mut Report) {
        let storing = settlements.into_iter().map(|settlement| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let stored = self.store(&settlement).await;
                (settlement, stored)
            })
        });
        let stored: Vec<_> =
            futures::stream::iter(storing).buffer_unordered(STORE_CALLS_AT_ONCE).collect().await;
        for (settlement, stored) in stored {
            report.waits(&settlement.marks, &settlement.reschedules);
            match stored {
                Ok(lost) => {
                    report.tally.add(settlement.tally);
                    if lost {
                        report.waits(&settlement.if_lost, &[]);
                    }
                }
                Err(error) => report.give_back(settlement.user, error),
            }
        }
    }

    /// In this order, so that a crash in between leaves too much to do and never too little. `true`:
    /// the lease was lost.
    async fn store(&self, settlement: &Settlement) -> Result<bool, PortError> {
        let Settlement { user, ledger, dead_letters, resolved, if_lost, .. } = settlement;
        self.store_waiting(&settlement.marks, &settlement.reschedules).await?;
        let dead_letters = if self.makes(Mistake::Bury) { &[] } else { dead_letters.as_slice() };
        if let Some(token) = &settlement.confirm
            && self.ports.ledger.confirm(user, token, ledger, dead_letters).await?
                == Confirmation::LeaseLost
        {
            self.store_waiting(if_lost, &[]).await?;
            return Ok(true);
        }
        // The row that asks for the removal stays until nothing is left.
        let is_gone = ledger.removal.as_ref().is_some_and(|removal| removal.done_at.is_some());
        if is_gone && !resolved.is_empty() {
            self.ports.ledger.forget_contact(user).await?;
        }
        for (facet, mark) in resolved {
            self.ports.pending.resolve(user, *facet, mark).await?;
        }
        Ok(false)
    }

    async fn store_waiting(
        &self,
        marks: &[Mark],
        reschedules: &[Reschedule],
    ) -> Result<(), PortError> {
        for mark in marks {
            self.ports.pending.mark(mark).await?;
        }
        for later in reschedules {
            self.ports.pending.reschedule(later).await?;
        }
        Ok(())
    }

    async fn mark_all(&self, dirty: Vec<Dirty>, reason: Reason, report: &mut Report) {
        let now = self.ports.clock.now();
        let marking = dirty.into_iter().map(|dirty| -> BoxFuture<'_, _> {
            let mark = Mark::due(dirty, reason, now, &*self.ports.random);
            Box::pin(async move {
                let marked = self.ports.pending.mark(&mark).await;
                (mark.dirty.user, marked)
            })
        });
        let marked: Vec<_> =
            futures::stream::iter(marking).buffer_unordered(STORE_CALLS_AT_ONCE).collect().await;
        for (user, marked) in marked {
            match marked {
                Ok(()) => {
                    report.tally.pending += 1;
                    report.first_due = report.first_due.into_iter().chain([now]).min();
                }
                Err(error) => report.give_back(user, error),
            }
        }
    }

    /// Wakes the drain for the first row that waits, and not before the portal may be called. A
    /// failure is only reported: the drain's schedule wakes it anyway.
    async fn wake_drain(&self, report: &mut Report) {
        if let Some(due) = report.first_due
            && let Err(error) = self.wake_drain_for(due).await
        {
            report.error.get_or_insert(error);
        }
    }

    async fn wake_drain_for(&self, due: Timestamp) -> Result<(), PortError> {
        let budget = self.ports.budget.load().await?.budget;
        let now = self.ports.clock.now();
        let at = due.max(budget.paused_until(now).unwrap_or(now));
        // Rounded up, since an early nudge is in vain.
        let wait = at.duration_since(now).saturating_add(SignedDuration::from_nanos(999_999_999));
        let seconds = wait.as_secs().clamp(NUDGE_DELAY_SECONDS_MIN, NUDGE_DELAY_SECONDS_MAX);
        let delay = SignedDuration::from_secs(seconds);
        wake_after(delay, &*self.ports.budget, &*self.ports.nudge, now).await
    }

    fn token(&self) -> String {
        token(&*self.ports.random)
    }

    fn fraction(&self) -> f64 {
        fraction(&*self.ports.random)
    }

    fn settling(&self) -> Settling<'_> {
        Settling {
            now: self.ports.clock.now(),
            random: &*self.ports.random,
            function_version: &self.function_version,
        }
    }
}

impl Work {
    fn into_dirty(self) -> Vec<Dirty> {
        let user = self.user;
        let facets = self.facets.into_iter();
        facets
            .map(|(facet, want)| Dirty { user: user.clone(), facet, trace_id: want.trace_id })
            .collect()
    }

    fn trace_id(&self) -> Option<String> {
        self.facets.values().find_map(|want| want.trace_id.clone())
    }
}

/// What goes first: what people changed. What only puts something right comes when nothing else is due;
/// whether this is such.
fn first(rows: Vec<PendingRow>) -> (Vec<PendingRow>, bool) {
    let is_repair = |row: &PendingRow| row.reason.is_repair();
    let (repairs, changes): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_repair);
    let are_repairs = changes.is_empty() && !repairs.is_empty();
    (if are_repairs { repairs } else { changes }, are_repairs)
}

/// Rows by user, the longest overdue first.
fn works(rows: Vec<PendingRow>) -> Vec<Work> {
    let mut works: Vec<Work> = Vec::new();
    let mut rows = rows;
    rows.sort_by_key(|row| row.due_at);
    let mut places: BTreeMap<UserId, usize> = BTreeMap::new();
    for row in rows {
        let place = *places.entry(row.dirty.user.clone()).or_insert(works.len());
        if place == works.len() {
            works.push(Work { user: row.dirty.user.clone(), facets: BTreeMap::new() });
        }
        if let Some(work) = works.get_mut(place) {
            let trace_id = row.dirty.trace_id.clone();
            work.facets.insert(row.dirty.facet, Want { trace_id, row: Some(row) });
        }
    }
    works
}

#[cfg(test)]
mod tests {
    use rollcall_domain::facet::Facet;
    use rollcall_domain::random::SeededRandom;

    use super::*;

    #[test]
    fn repairs_go_only_when_no_change_of_anybody_is_due() {
        let row = |reason: Reason| PendingRow {
            dirty: Dirty {
                user: UserId::new(Timestamp::UNIX_EPOCH, &SeededRandom::new(1)),
                facet: Facet::Identity,
                trace_id: None,
            },
            mark: String::new(),
            reason,
            attempts: 0,
            first_at: Timestamp::UNIX_EPOCH,
            due_at: Timestamp::UNIX_EPOCH,
            forced: false,
        };
        for (due, goes, are_repairs) in [
            (vec![], vec![], false),
            (vec![Reason::Drift, Reason::Replay], vec![Reason::Drift, Reason::Replay], true),
            (vec![Reason::Drift, Reason::Busy], vec![Reason::Busy], false),
            (vec![Reason::Removal, Reason::Replay], vec![Reason::Removal], false),
        ] {
            let (rows, repairs) = first(due.into_iter().map(row).collect());
            let rows: Vec<Reason> = rows.into_iter().map(|row| row.reason).collect();
            assert_eq!((rows, repairs), (goes, are_repairs));
        }
    }
}
