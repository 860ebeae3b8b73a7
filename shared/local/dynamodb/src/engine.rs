//! The embedded engine behind one lock: it runs an operation, settles the stream records that the
//! operation left, and tells waiting readers.
//!
//! The engine's `Storage` is used rather than its `Database`, because only the former takes a clock
//! for a database in a file and lets the stream log be kept in the same file. In a development build
//! a read takes 40 microseconds and a write 200 to 350, so calls run on the caller's task; a
//! transaction of a hundred items takes 17 milliseconds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dynoxide::actions::vector_lifecycle::VectorIndexLifecycle;
use dynoxide::actions::{
    batch_get_item, batch_write_item, create_table, delete_item, delete_table, describe_table,
    describe_time_to_live, get_item, list_tables, put_item, query, scan, transact_get_items,
    transact_write_items, update_item, update_table, update_time_to_live,
};
use dynoxide::storage::Storage;
use dynoxide::storage_backend::Clock;
use dynoxide::{DynoxideError, ttl};
use futures::FutureExt;
use rollcall_local_kit::LocalClock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use crate::error::{ApiError, StreamError, SweepError};
use crate::expiry;
use crate::stream::{self, Record, Stream};

/// How long a transaction's `ClientRequestToken` makes a repetition harmless: ten minutes.
const TOKEN_LIFETIME_MS: i64 = 10 * 60 * 1000;

/// The engine of one local cloud. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Engine {
    state: Arc<Mutex<State>>,
    writes: Arc<watch::Sender<u64>>,
    clock: LocalClock,
}

struct State {
    storage: Storage,
    lifecycle: VectorIndexLifecycle,
    /// Stream rows up to this one are settled.
    settled: i64,
    tokens: HashMap<String, CommittedTransaction>,
    clock: LocalClock,
}

/// What a repetition of a transaction is compared with, and its answer.
struct CommittedTransaction {
    expires_ms: i64,
    items: Value,
    answer: String,
}

struct EngineClock(LocalClock);

impl Clock for EngineClock {
    fn now_unix_secs(&self) -> u64 {
        self.0.now().as_second().try_into().unwrap_or(0)
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.0.now().as_duration().as_secs_f64()
    }
}

impl Engine {
    /// Opens the database in the file at `path`, or one in memory.
    pub(crate) fn open(path: Option<&Path>, clock: LocalClock) -> dynoxide::Result<Self> {
        let storage = match path {
            Some(path) => Storage::new(&path.to_string_lossy())?,
            None => Storage::memory()?,
        }
        .with_clock(Arc::new(EngineClock(clock.clone())));
        check_integrity(&storage)?;
        // A killed process loses nothing under NORMAL; only a power cut could lose the last writes.
        storage.conn().execute_batch("PRAGMA synchronous = NORMAL")?;
        stream::prepare(&storage)?;
        let settled = stream::settle(&storage, 0)?;
        Ok(Self {
            state: Arc::new(Mutex::new(State {
                storage,
                lifecycle: VectorIndexLifecycle::new(),
                settled,
                tokens: HashMap::new(),
                clock: clock.clone(),
            })),
            writes: Arc::new(watch::Sender::new(0)),
            clock,
        })
    }

    /// Runs one operation of the DynamoDB API, and answers its JSON.
    pub(crate) fn call(&self, operation: &str, request: Value) -> Result<String, ApiError> {
        let mut state = self.lock();
        let answer = state.run(operation, request);
        if is_write(operation) {
            // Also after an error: a batch may have written some of its items.
            state.settle()?;
            drop(state);
            self.tell_readers();
        }
        answer
    }

    /// The stream of a table; `None` when it has none.
    pub(crate) fn stream(&self, table: &str) -> Option<Stream> {
        let metadata = self.lock().storage.get_table_metadata(table);
        Stream::of(metadata.ok()??)
    }

    /// Every stream, by table name.
    pub(crate) fn streams(&self) -> Result<Vec<Stream>, StreamError> {
        let tables = self.lock().storage.list_stream_enabled_tables()?;
        Ok(tables.into_iter().filter_map(Stream::of).collect())
    }

    /// See [`stream::read`].
    pub(crate) fn read_stream(
        &self,
        table: &str,
        shard: &str,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Record>, StreamError> {
        stream::read(&self.lock().storage, table, shard, after, limit)
    }

    /// The positions just before the oldest kept record of a shard, and at the newest record.
    pub(crate) fn stream_ends(&self, table: &str, shard: &str) -> Result<(i64, i64), StreamError> {
        let state = self.lock();
        Ok((
            stream::trimmed_through(&state.storage, table, shard)?,
            stream::newest(&state.storage, table)?,
        ))
    }

    /// See [`stream::trim`].
    pub(crate) fn trim_stream(&self, table: &str, through: i64) -> Result<(), StreamError> {
        Ok(stream::trim(&self.lock().storage, table, through)?)
    }

    /// See [`crate::DynamoDb::sweep`].
    pub(crate) fn sweep(&self) -> Result<(), SweepError> {
        let now = self.clock.now().as_second();
        let mut state = self.lock();
        stream::retain(&state.storage, now)?;
        if expiry::is_due(&state.storage, now)? {
            let deleted = ready(ttl::sweep_expired_items(&state.storage))?;
            state.settle()?;
            drop(state);
            if deleted > 0 {
                self.tell_readers();
            }
        }
        Ok(())
    }

    /// See [`crate::DynamoDb::changed`].
    pub(crate) async fn changed(&self, seen: u64) -> u64 {
        let mut receiver = self.writes.subscribe();
        match receiver.wait_for(|count| *count > seen).await {
            Ok(count) => *count,
            // The sender lives as long as `self`.
            Err(_) => seen,
        }
    }

    /// The time that iterators are judged by, in milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn tell_readers(&self) {
        self.writes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_integrity(storage: &Storage) -> dynoxide::Result<()> {
    let found: String = storage.conn().query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    Err(DynoxideError::InternalServerError(found))
}

fn is_write(operation: &str) -> bool {
    matches!(
        operation,
        "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems"
    )
}

impl State {
    fn run(&mut self, operation: &str, request: Value) -> Result<String, ApiError> {
        let storage = &self.storage;
        match operation {
            "GetItem" => answer(get_item::execute(storage, read(request)?)),
            "PutItem" => answer(put_item::execute(storage, read(request)?)),
            "UpdateItem" => answer(update_item::execute(storage, read(request)?)),
            "DeleteItem" => answer(delete_item::execute(storage, read(request)?)),
            "Query" => answer(query::execute(storage, read(request)?)),
            "Scan" => answer(scan::execute(storage, read(request)?)),
            "BatchGetItem" => answer(batch_get_item::execute(storage, read(request)?)),
            "BatchWriteItem" => answer(batch_write_item::execute(storage, read(request)?)),
            "TransactGetItems" => answer(transact_get_items::execute(storage, read(request)?)),
            "TransactWriteItems" => self.transact(request),
            "ListTables" => answer(list_tables::execute(storage, read(request)?)),
            "UpdateTimeToLive" => answer(update_time_to_live::execute(storage, read(request)?)),
            "DescribeTimeToLive" => answer(describe_time_to_live::execute(storage, read(request)?)),
            _ => self.run_on_table(operation, request),
        }
    }

    /// The operations that answer a table's description.
    fn run_on_table(&self, operation: &str, request: Value) -> Result<String, ApiError> {
        let table = request.get("TableName").and_then(Value::as_str);
        let table = table.unwrap_or_default().to_owned();
        let (storage, lifecycle) = (&self.storage, &self.lifecycle);
        let mut described = match operation {
            "CreateTable" => answer(create_table::execute(storage, read(request)?)),
            "DescribeTable" => answer(describe_table::execute(storage, read(request)?, lifecycle)),
            "UpdateTable" => answer(update_table::execute(storage, read(request)?, lifecycle)),
            "DeleteTable" => answer(delete_table::execute(storage, read(request)?, lifecycle)),
            _ => Err(ApiError::unknown_operation()),
        }?;
        match operation {
            "DeleteTable" => stream::forget(storage, &table)?,
            "CreateTable" | "UpdateTable" => described = self.relabel_stream(&table, described)?,
            _ => {}
        }
        let engine_region = format!(":{}:", dynoxide::streams::LOCAL_REGION);
        Ok(described.replace(&engine_region, ":us-east-1:"))
    }

    /// Gives a new stream a label of AWS's form, such as `2026-11-21T09:30:00.000`.
    fn relabel_stream(&self, table: &str, described: String) -> Result<String, ApiError> {
        let metadata = self.storage.get_table_metadata(table)?;
        let Some(stream) = metadata.and_then(Stream::of) else {
            return Ok(described);
        };
        if stream.label.contains('T') {
            return Ok(described);
        }
        let label = self.clock.now().strftime("%Y-%m-%dT%H:%M:%S%.3f");
        let label = label.to_string();
        self.storage.enable_stream(table, &stream.view_type, &label)?;
        Ok(described.replace(&stream.label, &label))
    }

    /// A transaction whose token was seen before is answered again and not applied again.
    fn transact(&mut self, request: Value) -> Result<String, ApiError> {
        let token = request.get("ClientRequestToken").and_then(Value::as_str);
        let token = token.map(str::to_owned);
        let items = request.get("TransactItems").cloned().unwrap_or_default();
        let now_ms = self.clock.now_ms();
        self.tokens.retain(|_, done| done.expires_ms > now_ms);
        if let Some(done) = token.as_ref().and_then(|token| self.tokens.get(token)) {
            if done.items == items {
                return Ok(done.answer.clone());
            }
            return Err(ApiError::service(
                "IdempotentParameterMismatchException",
                "DynamoDB rejected the request because you retried a request with a different payload but with an idempotent token that was already used.",
            ));
        }
        let answer = answer(transact_write_items::execute(&self.storage, read(request)?))?;
        if let Some(token) = token {
            let done = CommittedTransaction {
                expires_ms: now_ms.saturating_add(TOKEN_LIFETIME_MS),
                items,
                answer: answer.clone(),
            };
            self.tokens.insert(token, done);
        }
        Ok(answer)
    }

    fn settle(&mut self) -> dynoxide::Result<()> {
        self.settled = stream::settle(&self.storage, self.settled)?;
        Ok(())
    }
}

fn read<T: DeserializeOwned>(request: Value) -> Result<T, ApiError> {
    serde_json::from_value(request).map_err(|error| ApiError::unreadable(&error))
}

fn answer<T: Serialize>(
    future: impl Future<Output = dynoxide::Result<T>>,
) -> Result<String, ApiError> {
    let response = ready(future)?;
    serde_json::to_string(&response).map_err(|error| ApiError::internal(&error.to_string()))
}

/// The engine's native storage never suspends: its functions are asynchronous for its other one.
fn ready<T>(future: impl Future<Output = dynoxide::Result<T>>) -> dynoxide::Result<T> {
    future.now_or_never().unwrap_or_else(|| {
        let message = "the storage suspended".to_owned();
        Err(DynoxideError::InternalServerError(message))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_crash_between_a_write_and_its_settling_loses_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dynamodb.sqlite");
        let engine = Engine::open(Some(&path), LocalClock::new()).unwrap();
        let table = json!({
            "TableName": "users",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
            "StreamSpecification": {
                "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        });
        engine.call("CreateTable", table).unwrap();
        let put = json!({ "TableName": "users", "Item": { "id": { "S": "usr_1" } } });
        engine.lock().run("PutItem", put).unwrap();
        let records = |engine: &Engine| -> usize {
            stream::shard_ids()
                .map(|shard| engine.read_stream("users", &shard, None, 10).unwrap().len())
                .sum()
        };
        assert_eq!(records(&engine), 0);
        drop(engine);
        let engine = Engine::open(Some(&path), LocalClock::new()).unwrap();
        assert_eq!(records(&engine), 1);
    }
}
