//! A queue mapping: receives messages, hands them to the function, and deletes what it managed.
//!
//! A message that failed is not touched; its visibility time-out brings it back, and the queue's own
//! redrive policy decides when it has failed too often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::batch::{Verdict, judge};
use super::{MappingOptions, QueueMapping, QueueSource};
use crate::function::InvokeError;

/// The most messages one receive can give (SQS `ReceiveMessage`).
const RECEIVE_MESSAGES_MAX: usize = 10;
/// Concurrent invocations when the mapping does not say; AWS starts with five.
const CONCURRENCY_DEFAULT: usize = 5;
/// Messages also become visible because a time-out has passed, which is nobody's doing.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct Queue {
    options: MappingOptions,
    source: Arc<dyn QueueSource>,
    mapping: QueueMapping,
    /// Invocations in a row that were throttled.
    throttled: AtomicU32,
}

impl Queue {
    pub(super) fn new(
        options: MappingOptions,
        source: Arc<dyn QueueSource>,
        mapping: QueueMapping,
    ) -> Self {
        Self { options, source, mapping, throttled: AtomicU32::new(0) }
    }
}

/// Receives no more than can be processed at once, so that nothing waits invisibly.
pub(super) async fn run(queue: Arc<Queue>) {
    let concurrency = queue.mapping.concurrency_max.unwrap_or(CONCURRENCY_DEFAULT);
    let slots = Arc::new(Semaphore::new(concurrency.max(1)));
    let mut running = JoinSet::new();
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let messages = queue.gather().await;
        let queue = Arc::clone(&queue);
        running.spawn(async move {
            queue.process(messages).await;
            drop(slot);
        });
        while running.try_join_next().is_some() {}
    }
}

impl Queue {
    /// Waits for a first message and, within the window, for a full batch.
    async fn gather(&self) -> Vec<Value> {
        let size = self.mapping.batch_size.clamp(1, RECEIVE_MESSAGES_MAX);
        let mut messages: Vec<Value> = Vec::new();
        let mut window_ends = None;
        loop {
            messages.extend(self.source.receive(size.saturating_sub(messages.len())).await);
            if messages.len() >= size {
                return messages;
            }
            let now = Instant::now();
            if !messages.is_empty() {
                let ends = *window_ends.get_or_insert(now + self.mapping.batch_window);
                if now >= ends {
                    return messages;
                }
            }
            let poll_at = now + POLL_INTERVAL;
            let until = window_ends.map_or(poll_at, |ends: Instant| ends.min(poll_at));
            // Either end of the wait is a reason to look again.
            drop(tokio::time::timeout_at(until, self.source.changed()).await);
        }
    }

    async fn process(&self, messages: Vec<Value>) {
        let MappingOptions { lambda, backoff, .. } = &self.options;
        let payload = json!({ "Records": messages }).to_string();
        let function = &self.mapping.function;
        let invocation = match lambda.invoke(function, payload.into(), None).await {
            Ok(invocation) => invocation,
            Err(InvokeError::Stopped) => return,
            Err(error) => {
                if !matches!(error, InvokeError::Throttled(_)) {
                    tracing::error!(%error, "a queue mapping cannot invoke");
                }
                let times = self.throttled.fetch_add(1, Ordering::SeqCst);
                // The slot is kept meanwhile, so fewer messages are received.
                backoff.wait(times.saturating_add(1)).await;
                return;
            }
        };
        self.throttled.store(0, Ordering::SeqCst);
        let identifiers: Vec<&str> =
            messages.iter().map(|message| text(message, "messageId")).collect();
        let reports = self.mapping.report_batch_item_failures;
        let failed = match judge(&invocation.outcome, reports, &identifiers) {
            Verdict::Done => Vec::new(),
            Verdict::Partly(failed) => failed,
            Verdict::Failed => return,
        };
        let done: Vec<String> = messages
            .iter()
            .filter(|message| !failed.iter().any(|id| id == text(message, "messageId")))
            .map(|message| text(message, "receiptHandle").to_owned())
            .collect();
        if !done.is_empty() {
            self.source.delete(&done).await;
        }
    }
}

fn text<'message>(message: &'message Value, field: &str) -> &'message str {
    message.get(field).and_then(Value::as_str).unwrap_or_default()
}
