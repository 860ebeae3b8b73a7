//! Event source mappings: what carries stream records and queue messages to functions.
//!
//! Followed: "Process DynamoDB records with Lambda", "Using Lambda with Amazon SQS" and "Configuring
//! partial batch response" of the Lambda developer guide. Sources are ports, so this crate knows
//! neither the tables nor the queues.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rollcall_local_kit::snapshot::SnapshotError;
use rollcall_local_kit::{LocalClock, Shutdown, Snapshot};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::function::Lambda;

mod batch;
mod checkpoints;
mod failure;
mod queue;
mod record;
mod stream;

/// The asked-for position is older than the oldest record the stream keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the records after this position have been trimmed")]
pub struct Trimmed;

/// A stream as a mapping reads it.
#[async_trait]
pub trait StreamSource: Send + Sync {
    /// The stream's ARN.
    fn arn(&self) -> String;

    /// The ids of all shards. Changes of one item are always in the same shard.
    fn shards(&self) -> Vec<String>;

    /// Up to `limit` records after a sequence number, or from the oldest one; in the shape of a
    /// Lambda event's `Records`, in order. An empty answer means that there is no more for now.
    async fn read(
        &self,
        shard: &str,
        after_sequence: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Value>, Trimmed>;

    /// Waits until more than `seen` changes have been made to the stream; how many it has seen.
    async fn changed(&self, seen: u64) -> u64;
}

/// A queue as a mapping reads it.
#[async_trait]
pub trait QueueSource: Send + Sync {
    /// The queue's ARN.
    fn arn(&self) -> String;

    /// Receives up to `max` messages, which then stay invisible for the queue's visibility
    /// time-out; in the shape of a Lambda event's `Records`.
    async fn receive(&self, max: usize) -> Vec<Value>;

    /// Deletes messages by receipt handle.
    async fn delete(&self, receipt_handles: &[String]);

    /// Waits until there may be a message to receive.
    async fn changed(&self);
}

/// Where a stream mapping tells about records it gave up.
#[async_trait]
pub trait FailureDestination: Send + Sync {
    /// Sends a message body.
    async fn send(&self, body: String);
}

/// How a function is fed from a stream. Always starts at `TRIM_HORIZON`, without filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMapping {
    /// Function name.
    pub function: String,
    /// The most records per invocation, up to 10 000.
    pub batch_size: usize,
    /// How long to wait for a full batch after its first record.
    pub batch_window: Duration,
    /// Concurrent batches per shard, up to 10. AWS keeps order per item (partition and sort key),
    /// not per partition key, as soon as this is more than one; so does this mapping.
    pub parallelization_factor: usize,
    /// How often a failed batch is tried again; `None` for as long as the stream keeps it.
    pub retry_attempts_max: Option<u32>,
    /// Older records are given up; `None` for as long as the stream keeps them.
    pub record_age_max: Option<Duration>,
    /// Split a failed batch in two before trying again. Splitting does not count as a retry.
    pub bisect_on_error: bool,
    /// Whether the function says which records failed.
    pub report_batch_item_failures: bool,
}

/// How a function is fed from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMapping {
    /// Function name.
    pub function: String,
    /// The most messages per invocation, up to 10.
    pub batch_size: usize,
    /// How long to wait for a full batch after its first message.
    pub batch_window: Duration,
    /// The most concurrent invocations; `None` for the service's own choice.
    pub concurrency_max: Option<usize>,
    /// Whether the function says which messages failed.
    pub report_batch_item_failures: bool,
}

/// How long to wait before trying again: doubling from `first` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

impl Default for Backoff {
    /// Shorter than in AWS, so that a local failure shows quickly.
    fn default() -> Self {
        Self { first: Duration::from_millis(50), max: Duration::from_secs(2) }
    }
}

impl Backoff {
    async fn wait(self, failures: u32) {
        let doubled = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .and_then(|factor| self.first.checked_mul(factor));
        tokio::time::sleep(doubled.map_or(self.max, |delay| delay.min(self.max))).await;
    }
}

/// What every mapping needs.
#[derive(Clone)]
pub struct MappingOptions {
    /// Where the functions are.
    pub lambda: Lambda,
    /// The clock that the age of records is told by.
    pub clock: LocalClock,
    /// Ends the mapping.
    pub shutdown: Shutdown,
    /// Between tries.
    pub backoff: Backoff,
}

/// A running mapping. Dropping the handle leaves it running.
#[derive(Debug)]
pub struct MappingHandle {
    task: JoinHandle<()>,
}

impl MappingHandle {
    fn start(shutdown: Shutdown, running: impl Future<Output = ()> + Send + 'static) -> Self {
        let task = tokio::spawn(async move {
            tokio::select! {
                () = running => {}
                () = shutdown.wait() => {}
            }
        });
        Self { task }
    }

    /// Ends the mapping as if its host were lost: what is being processed counts as not done.
    pub async fn stop(self) {
        self.task.abort();
        // An error is the cancellation just asked for.
        drop(self.task.await);
    }
}

/// Starts to feed a function from a stream, from its checkpoints in `checkpoints` on. Must be
/// called within a tokio runtime.
///
/// # Errors
///
/// The checkpoints cannot be read.
pub fn start_stream(
    options: MappingOptions,
    source: Arc<dyn StreamSource>,
    mapping: StreamMapping,
    failures: Option<Arc<dyn FailureDestination>>,
    checkpoints: Snapshot,
) -> Result<MappingHandle, SnapshotError> {
    let checkpoints = checkpoints::Checkpoints::load(checkpoints)?;
    let shutdown = options.shutdown.clone();
    let stream = stream::Stream { options, source, mapping, failures, checkpoints };
    Ok(MappingHandle::start(shutdown, stream::run(Arc::new(stream))))
}

/// Starts to feed a function from a queue. Must be called within a tokio runtime.
pub fn start_queue(
    options: MappingOptions,
    source: Arc<dyn QueueSource>,
    mapping: QueueMapping,
) -> MappingHandle {
    let shutdown = options.shutdown.clone();
    let queue = queue::Queue::new(options, source, mapping);
    MappingHandle::start(shutdown, queue::run(Arc::new(queue)))
}
