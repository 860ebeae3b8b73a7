//! A stream mapping: lanes that each take their share of a shard to the function, in order.
//!
//! A lane reads its shard by itself and skips what belongs to others, so that lanes, like shards,
//! share nothing and none waits for another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::batch::{Verdict, judge};
use super::checkpoints::Checkpoints;
use super::failure::{Condition, GivenUp, LastInvocation, message};
use super::record::{created_ms, lane, sequence};
use super::{FailureDestination, MappingOptions, StreamMapping, StreamSource, Trimmed};
use crate::function::{Invocation, InvokeError, PAYLOAD_BYTES_MAX};

/// Records per read, as `GetRecords` of DynamoDB Streams gives at most.
const READ_RECORDS_MAX: usize = 1000;
/// How long DynamoDB keeps stream records. A batch that fails for longer is lost, as in AWS.
const RETENTION: Duration = Duration::from_hours(24);
/// What `{"Records":[]}` takes.
const ENVELOPE_BYTES: usize = 16;

pub(super) struct Stream {
    pub(super) options: MappingOptions,
    pub(super) source: Arc<dyn StreamSource>,
    pub(super) mapping: StreamMapping,
    pub(super) failures: Option<Arc<dyn FailureDestination>>,
    pub(super) checkpoints: Checkpoints,
}

/// Runs all lanes of all shards, also of shards that appear later.
pub(super) async fn run(stream: Arc<Stream>) {
    let lanes = stream.mapping.parallelization_factor.max(1);
    let mut running = JoinSet::new();
    let mut known = BTreeSet::new();
    let mut seen = 0;
    loop {
        for shard in stream.source.shards() {
            if !known.insert(shard.clone()) {
                continue;
            }
            let positions = stream.checkpoints.resume(&shard, lanes);
            for (index, position) in positions.into_iter().enumerate() {
                let lane = Lane {
                    stream: Arc::clone(&stream),
                    shard: shard.clone(),
                    index,
                    lanes,
                    position,
                    seen: 0,
                };
                running.spawn(lane.run());
            }
        }
        seen = stream.source.changed(seen).await;
    }
}

/// The service is going away; nothing may be concluded about the batch.
struct Stopped;

struct Lane {
    stream: Arc<Stream>,
    shard: String,
    index: usize,
    lanes: usize,
    /// Everything up to here is done or belongs to other lanes.
    position: Option<String>,
    seen: u64,
}

/// Records that go to the function together.
struct Batch {
    records: Vec<Value>,
    /// Failures that count as tries.
    failures: u32,
    /// All invocations that these records were part of.
    invocations: u32,
    last: Option<LastInvocation>,
}

impl Batch {
    /// Takes the records from `index` on into a batch of the same history.
    fn split_off(&mut self, index: usize) -> Self {
        Self {
            records: self.records.split_off(index),
            failures: self.failures,
            invocations: self.invocations,
            last: self.last.clone(),
        }
    }
}

impl Lane {
    async fn run(mut self) {
        loop {
            let (records, read_to) = self.gather().await;
            let batch = Batch { records, failures: 0, invocations: 0, last: None };
            if self.process(batch).await.is_err() {
                return;
            }
            self.pass(Some(read_to));
        }
    }

    /// Waits for the next batch; also says how far the shard was read for it.
    async fn gather(&mut self) -> (Vec<Value>, String) {
        let stream = Arc::clone(&self.stream);
        let mapping = &stream.mapping;
        let mut records: Vec<Value> = Vec::new();
        let mut bytes = ENVELOPE_BYTES;
        let mut window_ends = Instant::now();
        let mut read_to = self.position.clone();
        loop {
            let Ok(page) = self.read(read_to.as_deref()).await else {
                (records, bytes, read_to) = (Vec::new(), ENVELOPE_BYTES, None);
                continue;
            };
            let no_more = page.is_empty();
            for record in page {
                if lane(&record, self.lanes) == self.index {
                    bytes += record.to_string().len() + 1;
                    if records.is_empty() {
                        window_ends = Instant::now() + mapping.batch_window;
                    } else if bytes > PAYLOAD_BYTES_MAX {
                        return (records, read_to.unwrap_or_default());
                    }
                    read_to = Some(sequence(&record).to_owned());
                    records.push(record);
                    if records.len() >= mapping.batch_size.max(1) {
                        return (records, read_to.unwrap_or_default());
                    }
                } else {
                    read_to = Some(sequence(&record).to_owned());
                }
            }
            if records.is_empty() {
                self.pass(read_to.clone());
                if no_more {
                    self.seen = stream.source.changed(self.seen).await;
                }
            } else if Instant::now() >= window_ends {
                return (records, read_to.unwrap_or_default());
            } else if no_more {
                let changed = stream.source.changed(self.seen);
                if let Ok(seen) = tokio::time::timeout_at(window_ends, changed).await {
                    self.seen = seen;
                }
            }
        }
    }

    /// Reads on, and waits where even the oldest record is said to be gone.
    async fn read(&mut self, after: Option<&str>) -> Result<Vec<Value>, Trimmed> {
        let source = &self.stream.source;
        let page = source.read(&self.shard, after, READ_RECORDS_MAX).await;
        if page.is_err() {
            let (function, shard) = (&self.stream.mapping.function, &self.shard);
            tracing::warn!(
                function,
                shard,
                after,
                "records were trimmed before they were processed; continuing at the oldest"
            );
            if after.is_none() {
                self.seen = source.changed(self.seen).await;
            }
        }
        page
    }

    async fn process(&mut self, batch: Batch) -> Result<(), Stopped> {
        let bisect = self.stream.mapping.bisect_on_error;
        let mut pending = vec![batch];
        while let Some(batch) = pending.pop() {
            let mut batch = self.give_up_old(batch).await;
            if batch.records.is_empty() {
                continue;
            }
            let Some(failed_at) = self.attempt(&mut batch).await? else {
                self.done(&batch.records);
                continue;
            };
            if failed_at > 0 {
                let rest = batch.split_off(failed_at);
                self.done(&batch.records);
                batch = rest;
            }
            if bisect && failed_at > 0 {
                pending.push(batch);
            } else if bisect && batch.records.len() > 1 {
                let second = batch.split_off(batch.records.len().div_ceil(2));
                pending.extend([second, batch]);
            } else if let Some(batch) = self.retry(batch).await {
                pending.push(batch);
            }
        }
        Ok(())
    }

    /// Invokes the function; the index of the first record that failed, if any did. Being throttled
    /// is waited out and is no attempt.
    async fn attempt(&self, batch: &mut Batch) -> Result<Option<usize>, Stopped> {
        let stream = &self.stream;
        let mapping = &stream.mapping;
        let payload = json!({ "Records": batch.records }).to_string();
        let invocation = self.invoke(payload.into()).await?;
        let identifiers: Vec<&str> = batch.records.iter().map(sequence).collect();
        let reports = mapping.report_batch_item_failures;
        let failed_at = match judge(&invocation.outcome, reports, &identifiers) {
            Verdict::Done => None,
            Verdict::Failed => Some(0),
            Verdict::Partly(failed) => {
                identifiers.iter().position(|sequence| failed.iter().any(|id| id == sequence))
            }
        };
        batch.invocations = batch.invocations.saturating_add(1);
        batch.last = Some(LastInvocation {
            function_error: !matches!(invocation.outcome, crate::Outcome::Response(_)),
            request_id: invocation.request_id,
        });
        Ok(failed_at)
    }

    async fn invoke(&self, payload: bytes::Bytes) -> Result<Invocation, Stopped> {
        let MappingOptions { lambda, backoff, .. } = &self.stream.options;
        let function = &self.stream.mapping.function;
        let mut refusals = 0_u32;
        loop {
            match lambda.invoke(function, payload.clone(), None).await {
                Ok(invocation) => return Ok(invocation),
                Err(InvokeError::Stopped) => return Err(Stopped),
                Err(InvokeError::Throttled(_)) => {}
                Err(error) => tracing::error!(%error, "a stream mapping cannot invoke"),
            }
            refusals = refusals.saturating_add(1);
            backoff.wait(refusals).await;
        }
    }

    /// Counts a failure: the batch again after a pause, or nothing once it has been given up.
    async fn retry(&mut self, mut batch: Batch) -> Option<Batch> {
        let stream = Arc::clone(&self.stream);
        batch.failures = batch.failures.saturating_add(1);
        let exhausted = stream.mapping.retry_attempts_max.is_some_and(|most| batch.failures > most);
        if exhausted {
            self.give_up(&batch, Condition::RetryAttemptsExhausted).await;
            return None;
        }
        stream.options.backoff.wait(batch.failures).await;
        Some(batch)
    }

    /// Gives up the records at the front that are too old, and returns the others.
    async fn give_up_old(&mut self, mut batch: Batch) -> Batch {
        let now = self.stream.options.clock.now_ms();
        let older_than = |age: Duration| {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            move |record: &Value| {
                created_ms(record).is_some_and(|created| now.saturating_sub(created) > age_ms)
            }
        };
        if let Some(age_max) = self.stream.mapping.record_age_max {
            let old = leading(&batch.records, older_than(age_max));
            if old > 0 {
                let rest = batch.split_off(old);
                self.give_up(&batch, Condition::RecordAgeExceeded).await;
                batch = rest;
            }
        }
        // A record that was never tried is left alone: only a clock that was moved makes it so old.
        let lost = leading(&batch.records, older_than(RETENTION));
        if lost > 0 && batch.invocations > 0 {
            let rest = batch.split_off(lost);
            let (function, shard) = (&self.stream.mapping.function, &self.shard);
            tracing::warn!(
                function,
                shard,
                lost,
                "records have failed for longer than the stream keeps them and are lost"
            );
            self.done(&batch.records);
            batch = rest;
        }
        batch
    }

    async fn give_up(&mut self, batch: &Batch, condition: Condition) {
        let stream = Arc::clone(&self.stream);
        let body = message(&GivenUp {
            condition,
            function: &stream.mapping.function,
            stream_arn: &stream.source.arn(),
            shard: &self.shard,
            records: &batch.records,
            invocations: batch.invocations,
            last: batch.last.as_ref(),
            at: stream.options.clock.now(),
        });
        if let Some(destination) = &stream.failures {
            destination.send(body).await;
        } else {
            tracing::warn!(body, "records were given up without a failure destination");
        }
        self.done(&batch.records);
    }

    /// Moves the checkpoint behind `records`.
    fn done(&mut self, records: &[Value]) {
        if let Some(record) = records.last() {
            self.pass(Some(sequence(record).to_owned()));
            self.stream.checkpoints.save();
        }
    }

    fn pass(&mut self, position: Option<String>) {
        self.position = position;
        let position = self.position.as_deref();
        self.stream.checkpoints.note(&self.shard, self.index, position);
    }
}

/// How many records at the front satisfy a condition.
fn leading(records: &[Value], condition: impl Fn(&Value) -> bool) -> usize {
    records.iter().take_while(|record| condition(record)).count()
}
