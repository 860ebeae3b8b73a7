//! The ports: what the engine needs from the world. Each method is one atomic step.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
pub use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::{SignedDuration, Timestamp, after};

use crate::classifier::Failure;
use crate::dead_letter::DeadLetterChange;
use crate::ledger::{Lease, LeaseAttempt, Ledger};
use crate::limits::NUDGE_DELAY_SECONDS_MIN;
use crate::milestone::{Milestone, MilestoneRow};
use crate::pending::{Mark, PendingRow, Reschedule};
use crate::portal::{Budget, Quota};
use crate::projection::{Properties, UserState};
use crate::removal::RemovalKind;
use crate::schema::{EventDefinition, Schema};

/// How the CRM finds the contact of an input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// By our unique property; the contact is made if there is none.
    UserId(UserId),
    /// By e-mail address; the contact is made if there is none.
    Email(String),
    /// By the CRM's own id; there must be one.
    ContactId(String),
}

/// One user's properties in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Whose. It is the trace id of the input too (`objectWriteTraceId`): distinct within a call,
    /// and results are matched by it alone.
    pub user: UserId,
    /// The facets that the properties belong to.
    pub facets: Vec<Facet>,
    /// Where they go.
    pub address: Address,
    /// The properties.
    pub properties: Properties,
}

/// What became of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemResult {
    /// It was written.
    Written {
        /// The contact.
        contact_id: String,
    },
    /// It was not.
    Failed(Failure),
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It was answered input by input, by trace id. Inputs without a result may or may not be written.
    Answered(BTreeMap<String, ItemResult>),
    /// It was refused as a whole.
    Refused(Failure),
    /// It never left us.
    NotSent,
    /// It left us and no answer came that can be understood.
    Unknown,
}

/// What became of a call, and what the CRM told about its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What became of it.
    pub outcome: CallOutcome,
    /// What the CRM told about its limits.
    pub quota: Quota,
}

/// Whose some contacts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// The value of our key on each contact that was found, by contact id.
    pub found: BTreeMap<String, Option<String>>,
    /// Whether there is certainly no contact at the other addresses.
    pub is_complete: bool,
}

/// The parts of a schema, in the order in which they must be declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaPart {
    /// The property group.
    Group,
    /// Our properties.
    Properties,
}

/// By what the CRM can find a contact it may have to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// By our unique property.
    UserId,
    /// By e-mail address, then by the CRM's own id: for portals that refuse unique keys.
    Email,
}

/// What becomes of a contact that has to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteKind {
    /// It can be looked for, so it is removed until a look finds nothing.
    Verified,
    /// The other side is told, and what it has taken counts as done.
    Told,
}

/// How the CRM hears of milestones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsKind {
    /// As events that have to be declared first, if the portal has any.
    Declared,
    /// As they are.
    Direct,
    /// By the properties alone.
    None,
}

/// How the CRM says that it is asked too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitSignal {
    /// Every answer tells limits and what is left of them.
    Headers,
    /// A status (429), perhaps with a time to wait (RFC 9110 §10.2.3); it is called no faster than
    /// the default limit.
    Status,
    /// Nothing is ever too much.
    None,
}

/// What a CRM can do. The engine asks for nothing else and knows no vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Inputs of one call, at most [`crate::limits::BATCH_INPUTS_MAX`].
    pub batch_max: usize,
    /// By what contacts are found.
    pub key_kind: KeyKind,
    /// What becomes of a contact that has to leave.
    pub delete_kind: DeleteKind,
    /// How milestones are told.
    pub events_kind: EventsKind,
    /// How limits are known.
    pub limit_signal: LimitSignal,
}

/// The CRM. Every method but the first two is one call, for which the caller holds a turn.
#[async_trait]
pub trait Crm: Send + Sync {
    /// What it can do; always the same.
    fn capabilities(&self) -> Capabilities;

    /// Fetches the credentials anew. `false`: they are the ones we had.
    async fn renew_credentials(&self) -> bool;

    /// Writes inputs whose addresses are of one kind; they carry distinct users and addresses.
    /// Returns within [`crate::limits::CALL_SECONDS_MAX`].
    async fn write(&self, inputs: &[Input], trace_id: &str) -> Reply;

    /// Declares a part of the schema; what exists already counts as done.
    async fn declare(&self, schema: &Schema, part: SchemaPart, trace_id: &str) -> Reply;

    /// Whose the contacts at these addresses are; the addresses are of one kind. A contact that was
    /// merged into another is not found by its old id.
    async fn owners(&self, addresses: &[Address], trace_id: &str) -> Result<Owners, Reply>;

    /// What the portal puts before the names of events.
    async fn events_namespace(&self, trace_id: &str) -> Result<(String, Quota), Reply>;

    /// Declares an event; one that exists already counts as done.
    async fn declare_event(&self, event: &EventDefinition, trace_id: &str) -> Reply;

    /// Tells milestones, all or none: at most [`crate::limits::BATCH_INPUTS_MAX`], each with the
    /// contact it happened to. One that was told before counts as told.
    async fn tell(&self, namespace: &str, told: &[(Milestone, String)], trace_id: &str) -> Reply;

    /// Takes a contact out of the CRM; one that is not there counts as taken out.
    async fn remove(&self, contact_id: &str, kind: RemovalKind, trace_id: &str) -> Reply;
}

/// Our own state of users.
#[async_trait]
pub trait FacetSource: Send + Sync {
    /// Everything about a user that some facet tells the CRM, read strongly consistent; `None` when
    /// there is no such user.
    async fn load(&self, user: &UserId) -> Result<Option<UserState>, PortError>;
}

/// Whether a holder still had its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It had; everything is stored and the lease is released.
    Confirmed,
    /// Somebody else took it; nothing is stored.
    LeaseLost,
}

/// The ledger of every user, and the right to send.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// Takes the lease of `user` if it is free or ended before `now`.
    async fn take_lease(
        &self,
        user: &UserId,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<LeaseAttempt, PortError>;

    /// Stores the ledger and changes of dead letters and releases the lease: all or nothing, and
    /// nothing unless the lease is still held with `token`. A ledger without a removal leaves one
    /// alone that was wished meanwhile; a ledger with one is stored only while it is the last wish.
    async fn confirm(
        &self,
        user: &UserId,
        token: &str,
        ledger: &Ledger,
        dead_letters: &[DeadLetterChange],
    ) -> Result<Confirmation, PortError>;

    /// Removes what is remembered beside the ledger of a contact that is gone: its ids from before
    /// merges, and what people changed in it.
    async fn forget_contact(&self, user: &UserId) -> Result<(), PortError>;
}

/// The rows that wait.
#[async_trait]
pub trait PendingStore: Send + Sync {
    /// Marks a row, making it if there is none.
    async fn mark(&self, mark: &Mark) -> Result<(), PortError>;

    /// Puts a row off, unless it was marked anew.
    async fn reschedule(&self, later: &Reschedule) -> Result<(), PortError>;

    /// Removes a row, unless it was marked anew.
    async fn resolve(&self, user: &UserId, facet: Facet, mark: &str) -> Result<(), PortError>;

    /// Up to `rows_max` rows that are due at `now`. May be a moment behind.
    async fn due(&self, now: Timestamp, rows_max: usize) -> Result<Vec<PendingRow>, PortError>;

    /// When the next row is due, past or future. May be a moment behind.
    async fn next_due(&self) -> Result<Option<Timestamp>, PortError>;
}

/// The milestones that wait.
#[async_trait]
pub trait MilestoneStore: Send + Sync {
    /// Keeps a milestone until it is told; one that is kept already stays as it is.
    async fn keep(&self, row: &MilestoneRow) -> Result<(), PortError>;

    /// Up to `rows_max` rows that are due at `now`. May be a moment behind.
    async fn milestones_due(
        &self,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<MilestoneRow>, PortError>;

    /// When the next row is due, past or future. May be a moment behind.
    async fn next_milestone_due(&self) -> Result<Option<Timestamp>, PortError>;

    /// Tries a row again later, if it still waits: stores `attempts` and `due_at` of `row`.
    async fn put_off(&self, row: &MilestoneRow) -> Result<(), PortError>;

    /// Removes a row, unless an operator has made it anew since it was read.
    async fn settle(&self, row: &MilestoneRow) -> Result<(), PortError>;
}

/// A budget and the version under which it was read; 0 when there was none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versioned {
    /// The budget.
    pub budget: Budget,
    /// Its version.
    pub version: u64,
}

/// What all senders share.
#[async_trait]
pub trait BudgetStore: Send + Sync {
    /// The budget.
    async fn load(&self) -> Result<Versioned, PortError>;

    /// Stores a budget if it still has the version under which it was read. `false`: it has not.
    async fn store(&self, budget: &Budget, seen: u64) -> Result<bool, PortError>;

    /// Notes that the drain will be woken at `at`. `false`: it will be woken earlier anyway.
    async fn claim_wake(&self, at: Timestamp, now: Timestamp) -> Result<bool, PortError>;
}

/// Wakes the drain.
#[async_trait]
pub trait Nudge: Send + Sync {
    /// Wakes it after `delay`, whole seconds, at most [`crate::limits::NUDGE_DELAY_SECONDS_MAX`].
    async fn nudge(&self, delay: SignedDuration) -> Result<(), PortError>;
}

/// Wakes the drain as soon as it can be woken, unless it will be woken anyway. It looks by itself
/// whether the CRM may be called, and comes back when it may not.
pub async fn wake_soon(
    budget: &dyn BudgetStore,
    nudge: &dyn Nudge,
    now: Timestamp,
) -> Result<(), PortError> {
    wake_after(SignedDuration::from_secs(NUDGE_DELAY_SECONDS_MIN), budget, nudge, now).await
}

/// Wakes the drain after `delay`, whole seconds, unless it will be woken earlier anyway.
pub async fn wake_after(
    delay: SignedDuration,
    budget: &dyn BudgetStore,
    nudge: &dyn Nudge,
    now: Timestamp,
) -> Result<(), PortError> {
    if budget.claim_wake(after(now, delay), now).await? {
        nudge.nudge(delay).await?;
    }
    Ok(())
}

/// Sleeps.
#[async_trait]
pub trait Sleep: Send + Sync {
    /// Returns at `at` or a little later.
    async fn until(&self, at: Timestamp);
}

/// Where the sync stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Pending rows by facet, counted up to [`crate::limits::STATUS_ROWS_MAX`].
    pub pending: BTreeMap<Facet, usize>,
    /// Whether there are more than were counted.
    pub pending_has_more: bool,
    /// Milestones that wait, counted up to [`crate::limits::STATUS_ROWS_MAX`].
    pub milestones_pending: usize,
    /// Since when the oldest of the pending rows waits.
    pub pending_since: Option<Timestamp>,
    /// The budget.
    pub budget: Budget,
    /// Open dead letters, counted up to [`crate::limits::STATUS_ROWS_MAX`].
    pub dead_letters_open: usize,
    /// Dead letters that are being sent again, counted likewise.
    pub dead_letters_replaying: usize,
    /// Tables whose changes were lost to the stream and have to be compared as a whole.
    pub tables_to_reconcile: Vec<String>,
}

/// Looks at everything.
#[async_trait]
pub trait Overseer: Send + Sync {
    /// Where the sync stands.
    async fn overview(&self) -> Result<Overview, PortError>;

    /// Notes that changes of `table` were lost to the stream.
    async fn need_reconcile(&self, table: &str, now: Timestamp) -> Result<(), PortError>;
}
