//! Tables' streams and queues in the form that event source mappings take them.

use std::time::Duration;

use async_trait::async_trait;
use rollcall_local_dynamodb::{DynamoDb, StreamError};
use rollcall_local_lambda::{FailureDestination, QueueSource, StreamSource, Trimmed};
use rollcall_local_messages::Messages;
use serde_json::Value;

/// After a failed read of a stream.
const READ_AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct TableStream {
    pub(crate) dynamodb: DynamoDb,
    pub(crate) table: String,
}

#[async_trait]
impl StreamSource for TableStream {
    fn arn(&self) -> String {
        self.dynamodb.stream_arn(&self.table).unwrap_or_default()
    }

    fn shards(&self) -> Vec<String> {
        self.dynamodb.shards(&self.table)
    }

    async fn read(
        &self,
        shard: &str,
        after_sequence: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Value>, Trimmed> {
        // An empty page would let the mapping sleep until the next write, so wait here instead.
        loop {
            match self.dynamodb.read_stream(&self.table, shard, after_sequence, limit) {
                Ok(records) => return Ok(records),
                Err(StreamError::Trimmed) => return Err(Trimmed),
                Err(error) => {
                    tracing::warn!(%error, table = self.table, "a stream cannot be read now");
                    tokio::time::sleep(READ_AGAIN).await;
                }
            }
        }
    }

    async fn changed(&self, seen: u64) -> u64 {
        self.dynamodb.changed(seen).await
    }
}

pub(crate) struct MessageQueue {
    pub(crate) messages: Messages,
    pub(crate) queue: String,
}

#[async_trait]
impl QueueSource for MessageQueue {
    fn arn(&self) -> String {
        self.messages.queue_arn(&self.queue).unwrap_or_default()
    }

    async fn receive(&self, max: usize) -> Vec<Value> {
        self.messages.receive(&self.queue, max)
    }

    async fn delete(&self, receipt_handles: &[String]) {
        self.messages.delete(&self.queue, receipt_handles);
    }

    async fn changed(&self) {
        self.messages.changed(&self.queue, None).await;
    }
}

#[async_trait]
impl FailureDestination for MessageQueue {
    async fn send(&self, body: String) {
        self.messages.send(&self.queue, body);
    }
}
