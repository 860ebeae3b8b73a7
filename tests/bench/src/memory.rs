//! The engine's stores in memory: what DynamoDB would do, without its latency.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rollcall_crm::dead_letter::DeadLetterChange;
use rollcall_crm::ledger::{Lease, LeaseAttempt, Ledger};
use rollcall_crm::milestone::MilestoneRow;
use rollcall_crm::pending::{Dirty, Mark, PendingRow, Reason, Reschedule};
use rollcall_crm::port::{
    BudgetStore, Confirmation, FacetSource, LedgerStore, MilestoneStore, Nudge, PendingStore,
    PortError, PortErrorClass, Sleep, Versioned,
};
use rollcall_crm::portal::Budget;
use rollcall_crm::projection::UserState;
use rollcall_crm::reconcile::compare::Known;
use rollcall_crm::reconcile::work::{ReconcileStore, UserIds, UserWalk};
use rollcall_crm::reconcile::{Finding, Reconciliation};
use rollcall_crm::removal::Removal;
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

/// Everything that is stored.
#[derive(Debug, Default)]
pub struct State {
    /// Users.
    pub users: BTreeMap<UserId, UserState>,
    /// Ledgers, and who may send.
    pub ledger: BTreeMap<UserId, (Ledger, Option<Lease>)>,
    pending: BTreeMap<(UserId, Facet), PendingRow>,
    /// The rows that wait, by when they are due.
    due: BTreeSet<(Timestamp, UserId, Facet)>,
    budget: Versioned,
    dead_letters: usize,
    reconciliation: Option<Reconciliation>,
    findings: BTreeMap<u32, Vec<Finding>>,
}

/// Every port but the CRM.
#[derive(Debug)]
pub struct Memory {
    clock: LocalClock,
    waiting: Waiting,
    random: SeededRandom,
    state: Mutex<State>,
    /// Steps of reconciliations until one fails; negative once it has.
    fuse: AtomicI64,
}

impl Memory {
    pub(crate) fn new(clock: LocalClock, waiting: Waiting) -> Self {
        let (random, state) = (SeededRandom::new(2), Mutex::default());
        Self { clock, waiting, random, state, fuse: AtomicI64::new(i64::MAX) }
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
        let state = UserState {
            user,
            learner: Learner::default(),
            badges: Vec::new(),
            certificates: Vec::new(),
            catalog,
        };
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

    /// Fails once, at the step of a reconciliation with this number: each call of a store takes two, one
    /// before its effect and one after it.
    pub fn fail_at(&self, step: i64) {
        self.fuse.store(step, Ordering::SeqCst);
    }

    /// Whether a step failed.
    pub fn has_failed(&self) -> bool {
        self.fuse.load(Ordering::SeqCst) < 0
    }

    fn step(&self) -> Result<(), PortError> {
        if self.fuse.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(PortError::new("reconcile", PortErrorClass::Unavailable, "on purpose"));
        }
        Ok(())
    }

    /// An effect that is made at once, unless it fails before; its answer may be lost.
    fn effect<T>(&self, effect: impl FnOnce(&mut State) -> T) -> Result<T, PortError> {
        self.step()?;
        let result = effect(&mut self.state());
        self.step()?;
        Ok(result)
    }

    /// Begins a reconciliation.
    pub fn begin(&self, reconciliation: Reconciliation) {
        let mut state = self.state();
        state.findings.clear();
        state.reconciliation = Some(reconciliation);
    }

    /// The last reconciliation.
    pub fn last(&self) -> Option<Reconciliation> {
        self.state().reconciliation.clone()
    }

    /// Everything that the last reconciliation found.
    pub fn found(&self) -> Vec<Finding> {
        self.state().findings.values().flatten().cloned().collect()
    }

    /// An id that nobody has.
    pub fn stranger(&self) -> UserId {
        UserId::new(self.now(), &self.random)
    }

    /// Everything that is stored.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put_row(&mut self, row: PendingRow) {
        let key = (row.dirty.user.clone(), row.dirty.facet);
        self.remove_row(&key);
        self.due.insert((row.due_at, key.0.clone(), key.1));
        self.pending.insert(key, row);
    }

    fn remove_row(&mut self, key: &(UserId, Facet)) {
        if let Some(row) = self.pending.remove(key) {
            self.due.remove(&(row.due_at, key.0.clone(), key.1));
        }
    }

    fn mark(&mut self, mark: &Mark, forced: bool) {
        let before = self.pending.get(&(mark.dirty.user.clone(), mark.dirty.facet)).cloned();
        let row = PendingRow {
            dirty: mark.dirty.clone(),
            mark: mark.mark.clone(),
            reason: mark.reason,
            attempts: before.as_ref().map_or(mark.attempts, |row| row.attempts),
            first_at: before.as_ref().map_or(mark.now, |row| row.first_at),
            due_at: mark.due_at,
            forced: forced || before.is_some_and(|row| row.forced),
        };
        self.put_row(row);
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
            // The clock counts whole milliseconds.
            Waiting::Jumps => self.clock.advance(wait + Duration::from_millis(1)),
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
        let removal = ledger.removal.clone().or(stored.removal.clone());
        *stored = Ledger { removal, ..ledger.clone() };
        *holder = None;
        Ok(Confirmation::Confirmed)
    }

    async fn forget_contact(&self, _user: &UserId) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl PendingStore for Memory {
    async fn mark(&self, mark: &Mark) -> Result<(), PortError> {
        self.state().mark(mark, false);
        Ok(())
    }

    async fn reschedule(&self, later: &Reschedule) -> Result<(), PortError> {
        let mut state = self.state();
        let row = state.pending.get(&(later.user.clone(), later.facet)).cloned();
        if let Some(row) = row.filter(|row| row.mark == later.mark) {
            let Reschedule { reason, attempts, due_at, .. } = later.clone();
            state.put_row(PendingRow { reason, attempts, due_at, ..row });
        }
        Ok(())
    }

    async fn resolve(&self, user: &UserId, facet: Facet, mark: &str) -> Result<(), PortError> {
        let (mut state, key) = (self.state(), (user.clone(), facet));
        if state.pending.get(&key).is_some_and(|row| row.mark == mark) {
            state.remove_row(&key);
        }
        Ok(())
    }

    async fn due(&self, now: Timestamp, rows_max: usize) -> Result<Vec<PendingRow>, PortError> {
        let state = self.state();
        let due = state.due.iter().take_while(|(due_at, _, _)| *due_at <= now).take(rows_max);
        let keys = due.map(|(_, user, facet)| (user.clone(), *facet));
        Ok(keys.filter_map(|key| state.pending.get(&key).cloned()).collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, PortError> {
        Ok(self.state().due.first().map(|(due_at, _, _)| *due_at))
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

    async fn settle(&self, _row: &MilestoneRow) -> Result<(), PortError> {
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

#[async_trait]
impl UserWalk for Memory {
    async fn users(&self, position: Option<&str>, users_max: usize) -> Result<UserIds, PortError> {
        self.effect(|state| {
            let behind = |user: &UserId| position.is_none_or(|position| user.as_str() > position);
            let users = state.users.keys().skip_while(|user| !behind(user)).take(users_max);
            let users: Vec<UserId> = users.cloned().collect();
            let next = users.last().filter(|_| users.len() == users_max).map(ToString::to_string);
            UserIds { users, next }
        })
    }
}

#[async_trait]
impl ReconcileStore for Memory {
    async fn current(&self) -> Result<Option<Reconciliation>, PortError> {
        self.effect(|state| state.reconciliation.clone().filter(|run| run.finished_at.is_none()))
    }

    async fn commit(&self, next: &Reconciliation, findings: &[Finding]) -> Result<bool, PortError> {
        self.effect(|state| {
            let before = state.reconciliation.as_ref().map(|run| run.version + 1);
            let fresh = before == Some(next.version);
            if fresh {
                state.findings.insert(next.pages, findings.to_vec());
                state.reconciliation = Some(next.clone());
            }
            fresh
        })
    }

    async fn finish(&self, last: &Reconciliation) -> Result<bool, PortError> {
        self.effect(|state| {
            let fresh = state.reconciliation.as_ref().is_some_and(|run| run.finished_at.is_none());
            state.reconciliation = Some(last.clone());
            fresh
        })
    }

    async fn findings(
        &self,
        _reconciliation: &Reconciliation,
        page: u32,
    ) -> Result<Vec<Finding>, PortError> {
        self.effect(|state| state.findings.get(&page).cloned().unwrap_or_default())
    }

    async fn known(&self, user: &UserId, now: Timestamp) -> Result<Known, PortError> {
        self.effect(|state| {
            let (ledger, lease) = state.ledger.get(user).cloned().unwrap_or_default();
            let waits = Facet::ALL.iter().any(|f| state.pending.contains_key(&(user.clone(), *f)));
            let busy = waits || lease.as_ref().is_some_and(|lease| lease.until >= now);
            Known { ledger: if lease.is_some() { ledger.doubted() } else { ledger }, busy }
        })
    }

    async fn force(&self, mark: &Mark) -> Result<(), PortError> {
        self.effect(|state| state.mark(mark, true))
    }

    async fn erase_again(&self, user: &UserId, removal: &Removal) -> Result<(), PortError> {
        self.effect(|state| {
            state.ledger.entry(user.clone()).or_default().0.removal = Some(removal.clone());
            let dirty = Dirty { user: user.clone(), facet: Facet::Identity, trace_id: None };
            let (now, due_at) = (removal.asked_at, removal.asked_at);
            let (mark, reason) = (removal.id.clone(), Reason::Removal);
            state.mark(&Mark { dirty, mark, reason, attempts: 0, now, due_at }, false);
        })
    }

    async fn compared_since(&self, _began_at: Timestamp) -> Result<(), PortError> {
        self.effect(|_state| ())
    }
}
