//! Changes that are to wait, for functions that never call the CRM: marks in the table, and the
//! queue that wakes the drain.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use rollcall_crm::limits::STORE_CALLS_AT_ONCE;
use rollcall_crm::milestone::{Milestone, MilestoneRow};
use rollcall_crm::pending::{Dirty, Mark, Reason};
use rollcall_crm::port::{MilestoneStore, Nudge, PendingStore, wake_soon};
use rollcall_domain::port::PortError;
use rollcall_domain::random::Random;
use rollcall_domain::time::{Clock, SignedDuration};
use rollcall_queue::QueueSender;
use rollcall_resources::Queue;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::crm::CrmTable;

/// What the drain gets to read; it takes any message as a reason to look.
const WAKE: &str = r#"{"reason":"pending"}"#;

/// The queue that wakes the drain.
pub(crate) struct DrainQueue {
    sender: QueueSender,
}

impl DrainQueue {
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { sender: startup.queue(Queue::CrmDrain)? })
    }
}

#[async_trait]
impl Nudge for DrainQueue {
    async fn nudge(&self, delay: SignedDuration) -> Result<(), PortError> {
        let seconds = u32::try_from(delay.as_secs()).unwrap_or_default();
        self.sender.send(WAKE.to_owned(), seconds).await
    }
}

/// Marks changes as pending and wakes the drain.
pub(crate) struct Waiting {
    pub(crate) table: Arc<CrmTable>,
    queue: DrainQueue,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Waiting {
    pub(crate) fn new(startup: &Startup, table: Arc<CrmTable>) -> Result<Self, StartupError> {
        Ok(Self {
            table,
            queue: DrainQueue::new(startup)?,
            clock: startup.clock(),
            random: startup.random(),
        })
    }

    /// A mark that is due at once.
    pub(crate) fn mark(&self, dirty: Dirty, reason: Reason) -> Mark {
        Mark::due(dirty, reason, self.clock.now(), &*self.random)
    }

    /// Stores a mark for each change.
    pub(crate) async fn store(&self, changes: Vec<Dirty>, reason: Reason) -> Result<(), PortError> {
        let marks = changes.into_iter().map(|dirty| self.mark(dirty, reason));
        let storing = stream::iter(marks.map(|mark| async move { self.table.mark(&mark).await }));
        storing.buffer_unordered(STORE_CALLS_AT_ONCE).try_collect().await
    }

    /// Keeps milestones until the drain tells them.
    pub(crate) async fn keep(&self, milestones: Vec<Milestone>) -> Result<(), PortError> {
        let now = self.clock.now();
        let rows = milestones.into_iter().map(|milestone| MilestoneRow::new(milestone, now));
        let keeping = stream::iter(rows.map(|row| async move { self.table.keep(&row).await }));
        keeping.buffer_unordered(STORE_CALLS_AT_ONCE).try_collect().await
    }

    /// Wakes the drain, unless it will be woken anyway.
    pub(crate) async fn wake(&self) -> Result<(), PortError> {
        wake_soon(&*self.table, &self.queue, self.clock.now()).await
    }
}
