//! The local cloud's DynamoDB and DynamoDB Streams.
//!
//! An embedded engine (the `dynoxide` crate, on SQLite) evaluates requests. What decides whether a
//! program that works here also works on AWS is ours: IAM per request, streams of several shards
//! without records for writes that changed nothing, retention, deletion by time to live on a clock
//! that tests can move, idempotent transactions on the same clock, and faults on demand.
//!
//! Differences from AWS that remain: every read is consistent, tables and indexes are usable at
//! once, PartiQL, tags, backups and vector search are unknown operations, and a table is named by
//! its name, never by its ARN. An unsigned request is answered as one with an unknown key.

mod access;
mod engine;
mod error;
mod expiry;
mod faults;
mod front;
mod stream;
mod stream_api;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use rollcall_local_kit::{Iam, LocalClock, Shutdown};
use serde_json::Value;

use crate::engine::Engine;
pub use crate::error::{OpenError, StreamError, SweepError, TableError};
pub use crate::faults::{Fault, Faults, Held};
pub use crate::table::{IndexDefinition, TableDefinition};

/// How often [`DynamoDb::keep_house`] sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What a DynamoDB of one local cloud is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `dynamodb.sqlite` lives; `None` keeps everything in memory.
    pub folder: Option<PathBuf>,
    /// Drives time to live, stream retention, iterator expiry and transaction tokens.
    pub clock: LocalClock,
    /// Decides who may do what.
    pub iam: Iam,
}

/// The DynamoDB of one local cloud. Cloning shares it.
#[derive(Clone)]
pub struct DynamoDb {
    engine: Engine,
    iam: Iam,
    faults: Faults,
}

impl DynamoDb {
    /// Opens or creates the database.
    ///
    /// # Errors
    /// The folder cannot be used, or the file in it is not an intact database.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let path = options.folder.as_deref().map(database_path).transpose()?;
        let engine = Engine::open(path.as_deref(), options.clock)
            .map_err(|source| OpenError::Damaged { path: path.unwrap_or_default(), source })?;
        Ok(Self { iam: options.iam, faults: Faults::new(engine.clone()), engine })
    }

    /// Creates a table, or adds to an existing one the indexes, stream and time to live it lacks.
    ///
    /// # Errors
    /// The table exists with other keys, or the engine refuses the definition.
    pub fn create_table(&self, definition: &TableDefinition) -> Result<(), TableError> {
        table::ensure(&self.engine, definition)
    }

    /// The AWS JSON 1.0 protocol of DynamoDB and DynamoDB Streams, at `/`.
    pub fn router(&self) -> Router {
        front::router(self.clone())
    }

    /// The ARN of a table's stream; `None` when it has no table or no stream.
    pub fn stream_arn(&self, table: &str) -> Option<String> {
        self.engine.stream(table).map(|stream| stream.arn())
    }

    /// The shards of a table's stream, none when it has no stream. They stay the same for the
    /// life of a stream, and all changes of one partition key are in one shard.
    pub fn shards(&self, table: &str) -> Vec<String> {
        match self.engine.stream(table) {
            Some(_) => stream::shard_ids().collect(),
            None => Vec::new(),
        }
    }

    /// Up to `limit` changes of one shard that come after a sequence number, oldest first, or from
    /// the oldest kept one. Each is what Lambda puts in `Records` of a DynamoDB event.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
    ///
    /// # Errors
    /// The table has no stream, changes after `after_sequence` are already gone, or a fault is due.
    pub fn read_stream(
        &self,
        table: &str,
        shard: &str,
        after_sequence: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Value>, StreamError> {
        let stream = self.engine.stream(table).ok_or(StreamError::NoSuchStream)?;
        if self.faults.take("GetRecords", &[table]).is_some() {
            return Err(StreamError::Throttled);
        }
        let after = after_sequence.map(stream::parse_sequence).transpose()?;
        let records = self.engine.read_stream(table, shard, after, limit)?;
        let arn = stream.arn();
        Ok(records.into_iter().map(|record| record.into_lambda_record(&arn)).collect())
    }

    /// Completes once more than `seen` writes have happened since opening, and returns how many;
    /// pass 0 first. Writes refused by a condition may be counted.
    pub async fn changed(&self, seen: u64) -> u64 {
        self.engine.changed(seen).await
    }

    /// Faults on demand.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Deletes the items whose time to live has passed and the stream records older than 24 hours.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn sweep(&self) -> Result<(), SweepError> {
        self.engine.sweep()
    }

    /// Sweeps once a second until the local cloud stops.
    pub async fn keep_house(self, shutdown: Shutdown) {
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = shutdown.wait() => return,
            }
            if let Err(error) = self.sweep() {
                tracing::error!(%error, source = ?std::error::Error::source(&error), "sweep failed");
            }
        }
    }
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DynamoDb").finish_non_exhaustive()
    }
}

fn database_path(folder: &Path) -> Result<PathBuf, OpenError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| OpenError::Unusable { path: folder.to_owned(), source })?;
    Ok(folder.join("dynamodb.sqlite"))
}
