//! Our stores: each method one atomic effect.

use async_trait::async_trait;
use rollcall_crm::dead_letter::{DeadLetterChange, Status};
use rollcall_crm::ledger::{Lease, LeaseAttempt, Ledger};
use rollcall_crm::milestone::MilestoneRow;
use rollcall_crm::pending::{Mark, PendingRow, Reschedule};
use rollcall_crm::port::{
    BudgetStore, Confirmation, FacetSource, LedgerStore, MilestoneStore, Nudge, PendingStore,
    PortError, Sleep, Versioned,
};
use rollcall_crm::portal::Budget;
use rollcall_crm::projection::UserState;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::time::{SignedDuration, Timestamp};

use crate::world::{State, World};

#[async_trait]
impl FacetSource for World {
    async fn load(&self, user: &UserId) -> Result<Option<UserState>, PortError> {
        let state = self.store("read user", |state| state.users.get(user).cloned()).await?;
        // Two tables, two reads: they need not be from one moment.
        let later = self.store("read learner", |state| state.users.get(user).cloned()).await?;
        Ok(state.zip(later).map(|(state, later)| UserState { learner: later.learner, ..state }))
    }
}

#[async_trait]
impl LedgerStore for World {
    async fn take_lease(
        &self,
        user: &UserId,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<LeaseAttempt, PortError> {
        self.store("take lease", |state| {
            let (ledger, holder) = state.ledger.entry(user.clone()).or_default();
            if holder.as_ref().is_some_and(|holder| holder.until >= now) {
                return LeaseAttempt::Busy;
            }
            let abandoned = holder.replace(lease.clone()).is_some();
            LeaseAttempt::Taken { ledger: ledger.clone(), abandoned }
        })
        .await
    }

    async fn confirm(
        &self,
        user: &UserId,
        token: &str,
        ledger: &Ledger,
        dead_letters: &[DeadLetterChange],
    ) -> Result<Confirmation, PortError> {
        self.store("confirm", |state| {
            let (stored, holder) = state.ledger.entry(user.clone()).or_default();
            if holder.as_ref().is_none_or(|holder| holder.token != token) {
                return Confirmation::LeaseLost;
            }
            let removal = stored.removal.clone();
            if let Some(ours) = &ledger.removal
                && removal.as_ref().is_none_or(|last| last.id != ours.id)
            {
                return Confirmation::LeaseLost;
            }
            *stored = Ledger { removal: ledger.removal.clone().or(removal), ..ledger.clone() };
            *holder = None;
            for change in dead_letters {
                state.change_letter(change);
            }
            Confirmation::Confirmed
        })
        .await
    }

    async fn forget_contact(&self, _user: &UserId) -> Result<(), PortError> {
        self.store("forget contact", |_state| ()).await
    }
}

impl State {
    fn change_letter(&mut self, change: &DeadLetterChange) {
        match change {
            DeadLetterChange::Open(letter) => {
                let taken = match &letter.milestone {
                    None => self.open_letter(&letter.user, letter.facet),
                    Some(_) => self.letters.values().any(|other| {
                        other.milestone == letter.milestone && other.status == Status::Open
                    }),
                };
                assert!(!taken, "two for one facet or milestone");
                self.letters.insert(letter.id.clone(), (**letter).clone());
            }
            DeadLetterChange::Repeat { id, cause, at, function_version } => {
                let letter = self.letters.get_mut(id).unwrap();
                letter.cause = cause.clone();
                letter.tries += 1;
                letter.last_seen_at = *at;
                letter.status = Status::Open;
                letter.function_version.clone_from(function_version);
            }
            DeadLetterChange::Reopen { id } => {
                self.letters.get_mut(id).unwrap().status = Status::Open;
            }
            DeadLetterChange::Close { id, status, .. } => {
                let letter = self.letters.get_mut(id).unwrap();
                letter.status = *status;
                if *status == Status::Withdrawn {
                    letter.cause.request.clear();
                    letter.cause.message.clear();
                }
            }
        }
    }

    /// A new mark on a row, also by a replay.
    pub(crate) fn mark(&mut self, mark: &Mark, forced: bool) {
        let key = (mark.dirty.user.clone(), mark.dirty.facet);
        let row = self.pending.entry(key).or_insert_with(|| PendingRow {
            dirty: mark.dirty.clone(),
            mark: String::new(),
            reason: mark.reason,
            attempts: mark.attempts,
            first_at: mark.now,
            due_at: mark.due_at,
            forced: false,
        });
        row.mark.clone_from(&mark.mark);
        row.reason = mark.reason;
        row.due_at = mark.due_at;
        row.forced |= forced;
    }
}

#[async_trait]
impl PendingStore for World {
    async fn mark(&self, mark: &Mark) -> Result<(), PortError> {
        self.store("mark", |state| state.mark(mark, false)).await
    }

    async fn reschedule(&self, later: &Reschedule) -> Result<(), PortError> {
        self.store("reschedule", |state| {
            let row = state.pending.get_mut(&(later.user.clone(), later.facet));
            if let Some(row) = row.filter(|row| row.mark == later.mark) {
                row.reason = later.reason;
                row.attempts = later.attempts;
                row.due_at = later.due_at;
            }
        })
        .await
    }

    async fn resolve(&self, user: &UserId, facet: Facet, mark: &str) -> Result<(), PortError> {
        self.store("resolve", |state| {
            let key = (user.clone(), facet);
            if state.pending.get(&key).is_some_and(|row| row.mark == mark) {
                state.pending.remove(&key);
            }
        })
        .await
    }

    async fn due(&self, now: Timestamp, rows_max: usize) -> Result<Vec<PendingRow>, PortError> {
        let lags = self.fault(300);
        self.store("due", |state| {
            if !lags {
                state.index = state.pending.clone();
            }
            let rows = state.index.values().filter(|row| row.due_at <= now);
            rows.take(rows_max).cloned().collect()
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, PortError> {
        self.store("next due", |state| state.index.values().map(|row| row.due_at).min()).await
    }
}

#[async_trait]
impl MilestoneStore for World {
    async fn keep(&self, row: &MilestoneRow) -> Result<(), PortError> {
        self.store("keep", |state| {
            state.waiting.entry(row.milestone.id.clone()).or_insert_with(|| row.clone());
        })
        .await
    }

    async fn milestones_due(
        &self,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<MilestoneRow>, PortError> {
        self.store("milestones due", |state| {
            let rows = state.waiting.values().filter(|row| row.due_at <= now);
            rows.take(rows_max).cloned().collect()
        })
        .await
    }

    async fn next_milestone_due(&self) -> Result<Option<Timestamp>, PortError> {
        self.store("next due", |state| state.waiting.values().map(|row| row.due_at).min()).await
    }

    async fn put_off(&self, row: &MilestoneRow) -> Result<(), PortError> {
        self.store("put off", |state| {
            if let Some(stored) = state.waiting.get_mut(&row.milestone.id) {
                (stored.attempts, stored.due_at) = (row.attempts, row.due_at);
            }
        })
        .await
    }

    async fn settle(&self, row: &MilestoneRow) -> Result<(), PortError> {
        self.store("settle", |state| {
            let id = &row.milestone.id;
            if state.waiting.get(id).is_some_and(|stored| stored.first_at == row.first_at) {
                state.waiting.remove(id);
            }
        })
        .await
    }
}

#[async_trait]
impl BudgetStore for World {
    async fn load(&self) -> Result<Versioned, PortError> {
        self.store("read budget", |state| state.budget.clone()).await
    }

    async fn store(&self, budget: &Budget, seen: u64) -> Result<bool, PortError> {
        World::store(self, "store budget", |state| {
            let current = state.budget.version == seen;
            if current {
                state.budget = Versioned { budget: budget.clone(), version: seen + 1 };
            }
            current
        })
        .await
    }

    async fn claim_wake(&self, at: Timestamp, now: Timestamp) -> Result<bool, PortError> {
        World::store(self, "claim wake", |state| {
            let earlier = state.wake_at.is_some_and(|wake| wake >= now && wake <= at);
            if !earlier {
                state.wake_at = Some(at);
            }
            !earlier
        })
        .await
    }
}

#[async_trait]
impl Nudge for World {
    async fn nudge(&self, delay: SignedDuration) -> Result<(), PortError> {
        World::store(self, "nudge", |state| {
            let at = state.now + i64::try_from(delay.as_millis()).unwrap();
            state.nudges.push(at);
        })
        .await
    }
}

#[async_trait]
impl Sleep for World {
    async fn until(&self, at: Timestamp) {
        World::until(self, at.as_millisecond()).await;
    }
}
