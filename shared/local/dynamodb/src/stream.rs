//! The stream log: what the engine records per write, made into what DynamoDB Streams shows.
//!
//! The engine appends one row per written item to `_stream_records`, in the write's transaction
//! and under one shard. *Settling* follows each write: rows that changed nothing are dropped, since
//! AWS emits none, and the others get one of four shards by a hash of their partition key. A row is
//! recognised as unsettled by the engine's shard name, so a crash between the two steps loses
//! nothing: opening the database settles what is left. `_rollcall_trimmed` holds, per shard, the
//! last sequence number that retention or a fault removed.

use dynoxide::Item;
use dynoxide::storage::{Storage, TableMetadata};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::access::table_arn;
use crate::error::StreamError;

/// How many shards each stream has: enough to see records of different keys out of order.
const SHARDS: u64 = 4;
/// How long a record is kept, in seconds: 24 hours.
const RETENTION_SECONDS: i64 = 24 * 60 * 60;
/// Added to a stored sequence number, so that the public one has 21 digits as AWS's have.
const SEQUENCE_BASE: i128 = 100_000_000_000_000_000_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS _rollcall_trimmed (
        table_name TEXT NOT NULL,
        shard_id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (table_name, shard_id)
    );
    CREATE INDEX IF NOT EXISTS _rollcall_stream_order
        ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS _rollcall_shard_order
        ON _stream_records (table_name, shard_id, CAST(sequence_number AS INTEGER));";

const SELECT_UNSETTLED: &str = "
    SELECT id, table_name, keys_json, new_image, old_image FROM _stream_records
    WHERE id > ?1 AND shard_id LIKE 'shardId-00000001-%' ORDER BY id";

const SELECT_RECORDS: &str = "
    SELECT event_id, event_name, keys_json, new_image, old_image,
           CAST(sequence_number AS INTEGER), created_at, user_identity
    FROM _stream_records
    WHERE table_name = ?1 AND shard_id = ?2 AND CAST(sequence_number AS INTEGER) > ?3
    ORDER BY CAST(sequence_number AS INTEGER) LIMIT ?4";

const REMEMBER_TRIMMED: &str = "
    INSERT INTO _rollcall_trimmed (table_name, shard_id, sequence)
    SELECT table_name, shard_id, MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records
    WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) <= ?2 GROUP BY shard_id
    ON CONFLICT DO UPDATE SET sequence = MAX(sequence, excluded.sequence)";

/// Keeps the newest row, from which the engine counts on: sequence numbers never go back.
const DELETE_TRIMMED: &str = "
    DELETE FROM _stream_records
    WHERE table_name = ?1 AND CAST(sequence_number AS INTEGER) <= ?2
      AND CAST(sequence_number AS INTEGER) < (
          SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records WHERE table_name = ?1)";

/// A stream that exists.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) table: String,
    pub(crate) label: String,
    pub(crate) view_type: String,
    /// The table's keys, as `KeySchema` shows them.
    pub(crate) key_schema: Value,
    /// Seconds since the epoch.
    pub(crate) created_at: i64,
}

impl Stream {
    /// The stream of a table; `None` when it has none.
    pub(crate) fn of(table: TableMetadata) -> Option<Self> {
        Some(Self {
            label: table.stream_label.filter(|_| table.stream_enabled)?,
            view_type: table.stream_view_type?,
            key_schema: serde_json::from_str(&table.key_schema).ok()?,
            created_at: table.created_at,
            table: table.table_name,
        })
    }

    pub(crate) fn arn(&self) -> String {
        format!("{}/stream/{}", table_arn(&self.table), self.label)
    }
}

/// The table that a stream's ARN belongs to.
pub(crate) fn table_of(stream_arn: &str) -> Option<&str> {
    stream_arn.split('/').nth(1)
}

/// The shards every stream has.
pub(crate) fn shard_ids() -> impl Iterator<Item = String> {
    (0..SHARDS).map(shard_id)
}

fn shard_id(number: u64) -> String {
    format!("shardId-{number:020}-{number:08x}")
}

/// The public form of a stored sequence number.
pub(crate) fn format_sequence(stored: i64) -> String {
    (SEQUENCE_BASE + i128::from(stored)).to_string()
}

/// The stored form of a public sequence number.
pub(crate) fn parse_sequence(public: &str) -> Result<i64, StreamError> {
    let digits = public.bytes().all(|byte| byte.is_ascii_digit());
    let stored = public
        .parse::<i128>()
        .ok()
        .filter(|number| digits && *number >= SEQUENCE_BASE)
        .and_then(|number| i64::try_from(number - SEQUENCE_BASE).ok());
    stored.ok_or(StreamError::MalformedSequence)
}

/// One record of a stream.
#[derive(Debug)]
pub(crate) struct Record {
    /// The stored sequence number.
    pub(crate) sequence: i64,
    body: Map<String, Value>,
    identity: Option<Value>,
}

impl Record {
    /// As a Lambda event carries it.
    pub(crate) fn into_lambda_record(mut self, stream_arn: &str) -> Value {
        self.body.insert("eventSourceARN".to_owned(), json!(stream_arn));
        if let Some(identity) = self.identity {
            self.body.insert("userIdentity".to_owned(), identity);
        }
        Value::Object(self.body)
    }

    /// As `GetRecords` answers it, where the members of `userIdentity` are capitalised.
    pub(crate) fn into_api_record(mut self) -> Value {
        if let Some(identity) = self.identity {
            let member = |name| identity.get(name).cloned().unwrap_or_default();
            let identity = json!({ "PrincipalId": member("principalId"), "Type": member("type") });
            self.body.insert("userIdentity".to_owned(), identity);
        }
        Value::Object(self.body)
    }
}

/// Adds what the engine's own schema lacks.
pub(crate) fn prepare(storage: &Storage) -> dynoxide::Result<()> {
    Ok(storage.conn().execute_batch(SCHEMA)?)
}

/// Settles the rows after row `after`, and returns the last row's number.
pub(crate) fn settle(storage: &Storage, after: i64) -> dynoxide::Result<i64> {
    type Row = (i64, String, String, Option<String>, Option<String>);
    let mut statement = storage.conn().prepare_cached(SELECT_UNSETTLED)?;
    let rows: Vec<Row> = statement
        .query_map([after], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?
        .collect::<Result<_, _>>()?;
    let Some(last) = rows.last().map(|row| row.0) else {
        return Ok(after);
    };
    let transaction = storage.conn().unchecked_transaction()?;
    for (id, table, keys, new_image, old_image) in rows {
        if is_unchanged(new_image.as_deref(), old_image.as_deref()) {
            transaction
                .prepare_cached("DELETE FROM _stream_records WHERE id = ?1")?
                .execute([id])?;
        } else {
            let shard = shard_for(storage, &table, &keys)?;
            transaction
                .prepare_cached("UPDATE _stream_records SET shard_id = ?2 WHERE id = ?1")?
                .execute((id, shard))?;
        }
    }
    transaction.commit()?;
    Ok(last)
}

/// Whether a write left the item as it was. The stored texts list members in any order.
fn is_unchanged(new_image: Option<&str>, old_image: Option<&str>) -> bool {
    let (Some(new_image), Some(old_image)) = (new_image, old_image) else {
        return false;
    };
    new_image.len() == old_image.len()
        && match (serde_json::from_str::<Item>(new_image), serde_json::from_str::<Item>(old_image))
        {
            (Ok(new_item), Ok(old_item)) => new_item == old_item,
            _ => false,
        }
}

/// The shard of a record, by a hash of its partition key that is the same in every run.
fn shard_for(storage: &Storage, table: &str, keys: &str) -> dynoxide::Result<String> {
    let metadata = storage.get_table_metadata(table)?;
    let key_schema = metadata.map(|table| table.key_schema).unwrap_or_default();
    let schema: Value = serde_json::from_str(&key_schema).unwrap_or_default();
    let name = schema
        .as_array()
        .into_iter()
        .flatten()
        .find(|key| key.get("KeyType").is_some_and(|kind| kind == "HASH"))
        .and_then(|key| key.get("AttributeName")?.as_str());
    let keys: Value = serde_json::from_str(keys).unwrap_or_default();
    let partition_key = name.and_then(|name| keys.get(name)).unwrap_or(&keys);
    let [byte, ..] = <[u8; 32]>::from(Sha256::digest(partition_key.to_string()));
    Ok(shard_id(u64::from(byte) % SHARDS))
}

/// Up to `limit` records of a shard after a position, or from the oldest kept one.
pub(crate) fn read(
    storage: &Storage,
    table: &str,
    shard: &str,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<Record>, StreamError> {
    let trimmed = trimmed_through(storage, table, shard)?;
    let position = after.unwrap_or(trimmed);
    if position < trimmed {
        return Err(StreamError::Trimmed);
    }
    let view_type = storage.get_table_metadata(table)?.and_then(|table| table.stream_view_type);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    records(storage, (table, shard, position, limit), view_type.as_deref())
        .map_err(StreamError::Engine)
}

fn records(
    storage: &Storage,
    (table, shard, position, limit): (&str, &str, i64, i64),
    view_type: Option<&str>,
) -> dynoxide::Result<Vec<Record>> {
    let mut statement = storage.conn().prepare_cached(SELECT_RECORDS)?;
    let mut rows = statement.query((table, shard, position, limit))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let images: [Option<String>; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
        let sequence: i64 = row.get(5)?;
        let created_at: i64 = row.get(6)?;
        let size: usize = images.iter().flatten().map(String::len).sum();
        let mut change = Map::new();
        change.insert("ApproximateCreationDateTime".to_owned(), json!(created_at));
        for (name, image) in ["Keys", "NewImage", "OldImage"].into_iter().zip(&images) {
            if let Some(image) = image.as_deref().and_then(parsed) {
                change.insert(name.to_owned(), image);
            }
        }
        change.insert("SequenceNumber".to_owned(), json!(format_sequence(sequence)));
        change.insert("SizeBytes".to_owned(), json!(size));
        change.insert("StreamViewType".to_owned(), json!(view_type));
        let mut body = Map::new();
        body.insert("eventID".to_owned(), json!(row.get::<_, String>(0)?));
        body.insert("eventName".to_owned(), json!(row.get::<_, String>(1)?));
        body.insert("eventVersion".to_owned(), json!("1.1"));
        body.insert("eventSource".to_owned(), json!("aws:dynamodb"));
        body.insert("awsRegion".to_owned(), json!("us-east-1"));
        body.insert("dynamodb".to_owned(), Value::Object(change));
        let identity: Option<String> = row.get(7)?;
        records.push(Record { sequence, body, identity: identity.as_deref().and_then(parsed) });
    }
    Ok(records)
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// The last sequence number of a shard that is gone; 0 when none is.
pub(crate) fn trimmed_through(
    storage: &Storage,
    table: &str,
    shard: &str,
) -> dynoxide::Result<i64> {
    Ok(storage
        .conn()
        .prepare_cached(
            "SELECT COALESCE(MAX(sequence), 0) FROM _rollcall_trimmed
             WHERE table_name = ?1 AND shard_id = ?2",
        )?
        .query_row((table, shard), |row| row.get(0))?)
}

/// The newest sequence number of a table's stream; 0 when there is none.
pub(crate) fn newest(storage: &Storage, table: &str) -> dynoxide::Result<i64> {
    Ok(storage
        .conn()
        .prepare_cached(
            "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) FROM _stream_records
             WHERE table_name = ?1",
        )?
        .query_row([table], |row| row.get(0))?)
}

/// Removes a table's records up to and including `through`.
pub(crate) fn trim(storage: &Storage, table: &str, through: i64) -> dynoxide::Result<()> {
    let transaction = storage.conn().unchecked_transaction()?;
    transaction.execute(REMEMBER_TRIMMED, (table, through))?;
    transaction.execute(DELETE_TRIMMED, (table, through))?;
    Ok(transaction.commit()?)
}

/// Removes the records of every stream that are older than 24 hours at `now`, in seconds.
pub(crate) fn retain(storage: &Storage, now: i64) -> dynoxide::Result<()> {
    let oldest_kept = now.saturating_sub(RETENTION_SECONDS);
    for table in storage.list_stream_enabled_tables()? {
        let table = table.table_name;
        // Only the oldest record is looked at when nothing is due, which is nearly always.
        let due: bool = storage
            .conn()
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM (
                     SELECT created_at FROM _stream_records WHERE table_name = ?1
                     ORDER BY CAST(sequence_number AS INTEGER) LIMIT 1) WHERE created_at < ?2)",
            )?
            .query_row((&table, oldest_kept), |row| row.get(0))?;
        if due {
            let through: i64 = storage.conn().query_row(
                "SELECT MAX(CAST(sequence_number AS INTEGER)) FROM _stream_records
                 WHERE table_name = ?1 AND created_at < ?2",
                (&table, oldest_kept),
                |row| row.get(0),
            )?;
            trim(storage, &table, through)?;
        }
    }
    Ok(())
}

/// Forgets the stream of a deleted table: a new table of that name starts empty.
pub(crate) fn forget(storage: &Storage, table: &str) -> dynoxide::Result<()> {
    let connection = storage.conn();
    connection.execute("DELETE FROM _stream_records WHERE table_name = ?1", [table])?;
    connection.execute("DELETE FROM _rollcall_trimmed WHERE table_name = ?1", [table])?;
    Ok(())
}
