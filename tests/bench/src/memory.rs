//! The engine's stores in memory: what DynamoDB would do, without its latency.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rollcall_crm::dead_letter::DeadLetterChange;
use rollcall_crm::ledger::{Lease, LeaseAttempt, Ledger};
use rollcall_crm::milestone::{Milestone, MilestoneRow};
use rollcall_crm::pending::{Dirty, Mark, PendingRow, Reschedule};
use rollcall_crm::port::{
    BudgetStore, Confirmation, FacetSource, LedgerStore, MilestoneStore, Nudge, PendingStore,
    PortError, Sleep, Versioned,
};
use rollcall_crm::portal::Budget;
use rollcall_crm::projection::UserState;
use rollcall_domain::catalog::Catalog;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::random::SeededRandom;
use rollcall_domain::time::{Clock, SignedDuration, Timestamp};
use rollcall_domain::user::{Identity, User};
use rollcall_local_kit::LocalClock;

/// What the engine does with its pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It waits, as in a function.
    Sleeps,
    /// Time jumps to their end, for one worker alone.
    Jumps,
}

#[derive(Default)]
struct State {
    users: BTreeMap<UserId, UserState>,
    ledger: BTreeMap<UserId, (Ledger, Option<Lease>)>,
    pending: BTreeMap<(UserId, Facet), PendingRow>,
    budget: Versioned,
    dead_letters: usize,
}

/// Every port but the CRM.
pub struct Memory {
    clock: LocalClock,
    waiting: Waiting,
    random: SeededRandom,
    state: Mutex<State>,
}

impl Memory {
    pub(crate) fn new(clock: LocalClock, waiting: Waiting) -> Self {
        Self { clock, waiting, random: SeededRandom::new(2), state: Mutex::default() }
    }

    /// A new user, who has signed in for the first time.
    pub fn join(&self, number: usize) -> UserId {
        let identity = Identity {
            issuer: "https://id.example".to_owned(),
            subject: number.to_string(),
            email: Some(format!("member-{number}@rollcall.example")),
            email_verified: true,
            given_name: format!("Member{number}"),
            family_name: "Sample".to_owned(),
            roles: Vec::new(),
        };
        let joined = User::join(identity, None, self.now(), &self.random);
        let user = joined.expect("nobody else has the address").user;
        let id = user.id.clone();
        let catalog = Arc::new(Catalog::default());
        let state = UserState { user, learner: Learner::default(), catalog };
        self.state().users.insert(id.clone(), state);
        id
    }

    /// What the stream says after `user` joined.
    pub fn changes(user: &UserId) -> Vec<Dirty> {
        let dirty = |facet| Dirty { user: user.clone(), facet, trace_id: None };
        Facet::ALL.map(dirty).to_vec()
    }

    /// Whether anything waits.
    pub fn waits(&self) -> bool {
        !self.state().pending.is_empty()
    }

    /// How many dead letters were opened.
    pub fn dead_letters(&self) -> usize {
        self.state().dead_letters
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Memory {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[async_trait]
impl Sleep for Memory {
    async fn until(&self, at: Timestamp) {
        let wait = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        match self.waiting {
            Waiting::Sleeps => tokio::time::sleep(wait).await,
            Waiting::Jumps => self.clock.advance(wait),
        }
    }
}

#[async_trait]
impl FacetSource for Memory {
    async fn load(&self, user: &UserId) -> Result<Option<UserState>, PortError> {
        Ok(self.state().users.get(user).cloned())
    }
}

#[async_trait]
impl LedgerStore for Memory {
    async fn take_lease(
        &self,
        user: &UserId,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<LeaseAttempt, PortError> {
        let mut state = self.state();
        let (ledger, holder) = state.ledger.entry(user.clone()).or_default();
        if holder.as_ref().is_some_and(|holder| holder.until >= now) {
            return Ok(LeaseAttempt::Busy);
        }
        let abandoned = holder.replace(lease.clone()).is_some();
        Ok(LeaseAttempt::Taken { ledger: ledger.clone(), abandoned })
    }

    async fn confirm(
        &self,
        user: &UserId,
        token: &str,
        ledger: &Ledger,
        dead_letters: &[DeadLetterChange],
    ) -> Result<Confirmation, PortError> {
        let mut state = self.state();
        state.dead_letters += dead_letters.len();
        let (stored, holder) = state.ledger.entry(user.clone()).or_default();
        if holder.as_ref().is_none_or(|holder| holder.token != token) {
            return Ok(Confirmation::LeaseLost);
        }
        *stored = ledger.clone();
        *holder = None;
        Ok(Confirmation::Confirmed)
    }
}

#[async_trait]
impl PendingStore for Memory {
    async fn mark(&self, mark: &Mark) -> Result<(), PortError> {
        let row = PendingRow {
            dirty: mark.dirty.clone(),
            mark: mark.mark.clone(),
            reason: mark.reason,
            attempts: mark.attempts,
            first_at: mark.now,
            due_at: mark.due_at,
            forced: false,
        };
        self.state().pending.insert((mark.dirty.user.clone(), mark.dirty.facet), row);
        Ok(())
    }

    async fn reschedule(&self, later: &Reschedule) -> Result<(), PortError> {
        let mut state = self.state();
        let row = state.pending.get_mut(&(later.user.clone(), later.facet));
        if let Some(row) = row.filter(|row| row.mark == later.mark) {
            row.attempts = later.attempts;
            row.due_at = later.due_at;
        }
        Ok(())
    }

    async fn resolve(&self, user: &UserId, facet: Facet, mark: &str) -> Result<(), PortError> {
        let key = (user.clone(), facet);
        let mut state = self.state();
        if state.pending.get(&key).is_some_and(|row| row.mark == mark) {
            state.pending.remove(&key);
        }
        Ok(())
    }

    async fn due(&self, now: Timestamp, rows_max: usize) -> Result<Vec<PendingRow>, PortError> {
        let state = self.state();
        Ok(state.pending.values().filter(|row| row.due_at <= now).take(rows_max).cloned().collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, PortError> {
        Ok(self.state().pending.values().map(|row| row.due_at).min())
    }
}

/// No milestones happen here: they are not what is measured.
#[async_trait]
impl MilestoneStore for Memory {
    async fn keep(&self, _row: &MilestoneRow) -> Result<(), PortError> {
        Ok(())
    }

    async fn milestones_due(
        &self,
        _now: Timestamp,
        _rows_max: usize,
    ) -> Result<Vec<MilestoneRow>, PortError> {
        Ok(Vec::new())
    }

    async fn next_milestone_due(&self) -> Result<Option<Timestamp>, PortError> {
        Ok(None)
    }

    async fn put_off(&self, _row: &MilestoneRow) -> Result<(), PortError> {
        Ok(())
    }

    async fn settle(&self, _milestone: &Milestone) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl BudgetStore for Memory {
    async fn load(&self) -> Result<Versioned, PortError> {
        Ok(self.state().budget.clone())
    }

    async fn store(&self, budget: &Budget, seen: u64) -> Result<bool, PortError> {
        let mut state = self.state();
        let fresh = state.budget.version == seen;
        if fresh {
            state.budget = Versioned { budget: budget.clone(), version: seen + 1 };
        }
        Ok(fresh)
    }

    async fn claim_wake(&self, _at: Timestamp, _now: Timestamp) -> Result<bool, PortError> {
        Ok(false)
    }
}

#[async_trait]
impl Nudge for Memory {
    async fn nudge(&self, _delay: SignedDuration) -> Result<(), PortError> {
        Ok(())
    }
}
