//! The local cloud's SQS, Secrets Manager and Parameter Store, on one address.
//!
//! Standard clients work against it: it speaks the AWS JSON protocol, checks each call against the
//! local IAM, and refuses what AWS refuses in AWS's words. It promises what SQS promises, with the
//! freedom taken out: a standard queue gives a message again only after its visibility timeout, so
//! that what a test sees is repeatable. Everything survives a restart.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::Router;
use rollcall_local_kit::snapshot::SnapshotError;
use rollcall_local_kit::{Iam, LocalClock, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

mod arn;
mod event;
mod parameters;
mod queues;
mod secrets;
mod sqs;
mod wire;

pub use queues::error::QueueError;
pub use queues::queue::Depth;
pub use queues::settings::Redrive;

use queues::message::Content;
use queues::settings::Settings;
use queues::{Moment, Queues};

/// How long changes gather before they are written.
const SAVE_AFTER: Duration = Duration::from_millis(100);
/// How often a waiter looks whether the clock was moved, while something waits for the clock.
const CLOCK_CHECK: Duration = Duration::from_millis(50);

/// A queue as a deployment describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDefinition {
    /// Ends in `.fifo` for a FIFO queue.
    pub name: String,
    /// How long a received message stays invisible; at most 43 200.
    pub visibility_timeout_seconds: u32,
    /// How long a message is kept; 60 to 1 209 600.
    pub retention_seconds: u32,
    /// Where messages go that are received too often.
    pub redrive: Option<Redrive>,
}

/// What a local cloud gives to its messages.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the state is kept; in memory only when absent.
    pub folder: Option<PathBuf>,
    /// The time.
    pub clock: LocalClock,
    /// Who may do what.
    pub iam: Iam,
    /// Where the router is served, without a trailing slash; queue URLs begin with it.
    pub base_url: String,
}

/// Why the messages of a local cloud cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What was saved cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The operating system has no thread to give.
    #[error("the thread that saves messages cannot be started")]
    Thread(#[source] std::io::Error),
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    queues: Queues,
    secrets: secrets::Secrets,
    parameters: parameters::Parameters,
}

struct Shared {
    state: Mutex<State>,
    /// Told of every change of a queue.
    changes: watch::Sender<()>,
    /// Holds one token while there is something to save.
    unsaved: SyncSender<()>,
    /// Locked while saving, so that an older state never replaces a newer one.
    snapshot: Mutex<Snapshot>,
    clock: LocalClock,
    iam: Iam,
    base_url: String,
}

/// The queues, secrets and parameters of one local cloud. Cloning shares them.
#[derive(Clone)]
pub struct Messages {
    shared: Arc<Shared>,
}

impl Messages {
    /// Opens what was saved in the folder, or begins empty.
    ///
    /// # Errors
    ///
    /// When the saved state is damaged or cannot be read.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let snapshot = Snapshot::new(options.folder.as_deref(), "messages");
        let mut state: State = snapshot.load()?.unwrap_or_default();
        state.queues.reindex();
        let (unsaved, to_save) = sync_channel(1);
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changes: watch::Sender::new(()),
            unsaved,
            snapshot: Mutex::new(snapshot),
            clock: options.clock,
            iam: options.iam,
            base_url: options.base_url,
        });
        let weak = Arc::downgrade(&shared);
        if options.folder.is_some() {
            std::thread::Builder::new()
                .name("messages-save".to_owned())
                .spawn(move || save_changes(&to_save, &weak))
                .map_err(OpenError::Thread)?;
        }
        Ok(Self { shared })
    }

    /// Creates a queue or sets the attributes of the one there is; its messages stay.
    ///
    /// # Errors
    ///
    /// When the name or a value is one that SQS refuses. The dead-letter queue may come later.
    pub fn create_queue(&self, definition: &QueueDefinition) -> Result<(), QueueError> {
        let name = definition.name.as_str();
        let mut settings = Settings::new(name)?;
        let visibility = definition.visibility_timeout_seconds.to_string();
        settings.set("VisibilityTimeout", &visibility)?;
        let retention = definition.retention_seconds.to_string();
        settings.set("MessageRetentionPeriod", &retention)?;
        settings.redrive.clone_from(&definition.redrive);
        settings.check_redrive(name)?;
        self.queues(|queues, moment| queues.put(name, settings, moment));
        Ok(())
    }

    /// Creates a secret with this value, unless there is one of that name, whose value is kept.
    pub fn put_secret(&self, name: &str, value: &str) {
        let now_ms = self.shared.clock.now_ms();
        if self.lock().secrets.seed(name, value, now_ms) {
            self.save_soon();
        }
    }

    /// Gives a secret another value, as a rotation would: the one it had becomes the previous one.
    /// The new value was made `age` ago. Whether there is such a secret.
    pub fn rotate_secret(&self, name: &str, value: &str, age: Duration) -> bool {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let made_ms = self.shared.clock.now_ms().saturating_sub(age_ms);
        let rotated = self.lock().secrets.rotate(name, value, made_ms);
        if rotated {
            self.save_soon();
        }
        rotated
    }

    /// Creates a plain parameter with this value, unless there is one of that name, whose value is
    /// kept.
    pub fn put_parameter(&self, name: &str, value: &str) {
        let now_ms = self.shared.clock.now_ms();
        if self.lock().parameters.seed(name, value, now_ms) {
            self.save_soon();
        }
    }

    /// Serves all three services on any path.
    pub fn router(&self) -> Router {
        Router::new().fallback(wire::serve).with_state(self.clone())
    }

    /// `arn:aws:sqs:us-east-1:000000000000:NAME`; `None` when there is no such queue.
    pub fn queue_arn(&self, queue: &str) -> Option<String> {
        self.queues(|queues, moment| queues.get(queue, moment).is_ok())
            .then(|| arn::of_queue(queue))
    }

    /// `{base_url}/000000000000/NAME`, whether or not there is such a queue.
    pub fn queue_url(&self, queue: &str) -> String {
        format!("{}/{}/{queue}", self.shared.base_url, arn::ACCOUNT)
    }

    /// Receives up to `max` messages, at most ten, in the shape of Lambda's SQS event records. They
    /// are invisible for the queue's visibility timeout. Empty when there is no such queue.
    pub fn receive(&self, queue: &str, max: usize) -> Vec<Value> {
        let deliveries = self.queues(|queues, moment| queues.receive(queue, max, None, moment));
        let deliveries = deliveries.unwrap_or_else(|error| {
            tracing::warn!(queue, %error, "nothing could be received");
            Vec::new()
        });
        deliveries.iter().map(|delivery| event::record(queue, delivery)).collect()
    }

    /// Deletes messages by the handles of their latest receive.
    pub fn delete(&self, queue: &str, receipt_handles: &[String]) {
        for handle in receipt_handles {
            let deleted = self.queues(|queues, moment| queues.delete(queue, handle, moment));
            if let Err(error) = deleted {
                tracing::warn!(queue, %error, "a message could not be deleted");
            }
        }
    }

    /// Sends a message as Lambda does to an on-failure destination.
    pub fn send(&self, queue: &str, body: String) {
        let content = Content { body, sender: sender_of_function("lambda"), ..Content::default() };
        let sent = self.queues(|queues, moment| queues.send(queue, content, None, moment));
        if let Err(error) = sent {
            tracing::error!(queue, %error, "a message for an on-failure destination was refused");
        }
    }

    /// Completes when a receive may find something: at once if it would already, else after a send
    /// or when a delay or visibility timeout ends by the local clock; or after `until` at the latest.
    pub async fn changed(&self, queue: &str, until: Option<Duration>) {
        match until {
            None => self.receivable(queue).await,
            Some(until) => {
                // Running out of time is an answer here, not a failure.
                if tokio::time::timeout(until, self.receivable(queue)).await.is_err() {}
            }
        }
    }

    /// How many messages a queue holds; none when there is no such queue.
    pub fn depth(&self, queue: &str) -> Depth {
        self.queues(|queues, moment| queues.depth(queue, moment)).unwrap_or_default()
    }

    /// Writes the state now. To be called once nothing changes any more.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn flush(&self) -> Result<(), SnapshotError> {
        self.shared.save()
    }

    /// Completes when a receive would find something.
    pub(crate) async fn receivable(&self, queue: &str) {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let (at_ms, now_ms) =
                self.queues(|queues, moment| (queues.receivable_at(queue, moment), moment.now_ms));
            let wait_ms = at_ms.map(|at_ms| u64::try_from(at_ms - now_ms).unwrap_or(0));
            let wait = match wait_ms {
                Some(0) => return,
                // The local clock can be moved without notice, so no sleep is long.
                Some(wait_ms) => CLOCK_CHECK.min(Duration::from_millis(wait_ms)),
                None => Duration::MAX,
            };
            // Either way the next turn looks at the queue again.
            if tokio::time::timeout(wait, changes.changed()).await.is_err() {}
        }
    }

    /// Acts on the queues; a change is saved and told to those who wait.
    pub(crate) fn queues<T>(&self, act: impl FnOnce(&mut Queues, Moment) -> T) -> T {
        let mut state = self.lock();
        // Read under the lock, so that time never runs backwards for the queues.
        let moment = self.moment();
        let before = state.queues.version();
        let outcome = act(&mut state.queues, moment);
        let changed = state.queues.version() != before;
        drop(state);
        if changed {
            self.shared.changes.send_replace(());
            self.save_soon();
        }
        outcome
    }

    /// Changes secrets or parameters.
    pub(crate) fn change<T, E>(
        &self,
        act: impl FnOnce(&mut State, Moment) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.lock();
        let outcome = act(&mut state, self.moment())?;
        drop(state);
        self.save_soon();
        Ok(outcome)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    fn moment(&self) -> Moment {
        Moment { now_ms: self.shared.clock.now_ms(), new_id }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    fn save_soon(&self) {
        // A full channel means that a save is due already; a closed one that there is no folder.
        if self.shared.unsaved.try_send(()).is_err() {}
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self) -> Result<(), SnapshotError> {
        let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        // Copied, so that nobody waits for the disk.
        let state = self.lock().clone();
        snapshot.save(&state)
    }
}

/// Saves after changes until the messages are dropped.
fn save_changes(to_save: &std::sync::mpsc::Receiver<()>, shared: &Weak<Shared>) {
    while to_save.recv().is_ok() {
        std::thread::sleep(SAVE_AFTER);
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if let Err(error) = shared.save() {
            tracing::error!(%error, "messages could not be saved");
        }
    }
}

/// A role's session as SQS names the sender.
pub(crate) fn sender_of_function(name: &str) -> String {
    format!("AROALOCAL:{name}")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where message, version and request ids are drawn"
)]
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Seconds since the epoch with a fraction, as AWS JSON writes times.
pub(crate) fn epoch_seconds(milliseconds: i64) -> f64 {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests;
