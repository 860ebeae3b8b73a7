//! The DynamoDB Streams API over the stream log.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html>
//!
//! A shard iterator is the stream's ARN, the shard, the position it stands after and its time of
//! issue in milliseconds, joined by `|`. Clients must treat it as opaque.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::error::{ApiError, StreamError};
use crate::stream::{self, Stream};

/// How long an iterator can be used: 15 minutes.
const ITERATOR_LIFETIME_MS: i64 = 15 * 60 * 1000;
/// The most records one `GetRecords` answers.
const RECORDS_MAX: usize = 1000;
/// The most streams or shards one page lists.
const PAGE_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreams {
    table_name: Option<String>,
    exclusive_start_stream_arn: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStream {
    stream_arn: String,
    exclusive_start_shard_id: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    stream_arn: String,
    shard_id: String,
    shard_iterator_type: String,
    sequence_number: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords {
    shard_iterator: String,
    limit: Option<usize>,
}

/// Runs one operation of the Streams API, and answers its JSON.
pub(crate) fn call(engine: &Engine, operation: &str, request: Value) -> Result<String, ApiError> {
    let answer = match operation {
        "ListStreams" => list_streams(engine, &read(request)?),
        "DescribeStream" => describe_stream(engine, &read(request)?),
        "GetShardIterator" => get_shard_iterator(engine, &read(request)?),
        "GetRecords" => get_records(engine, &read(request)?),
        _ => Err(ApiError::unknown_operation()),
    }?;
    Ok(answer.to_string())
}

fn read<T: for<'de> Deserialize<'de>>(request: Value) -> Result<T, ApiError> {
    serde_json::from_value(request).map_err(|error| ApiError::unreadable(&error))
}

fn list_streams(engine: &Engine, request: &ListStreams) -> Result<Value, ApiError> {
    let mut streams = engine.streams()?;
    if let Some(table) = &request.table_name {
        streams.retain(|stream| stream.table == *table);
    }
    let (page, last) =
        page(streams, Stream::arn, request.exclusive_start_stream_arn.as_deref(), request.limit);
    let page: Vec<Value> = page
        .iter()
        .map(|stream| {
            json!({
                "StreamArn": stream.arn(),
                "StreamLabel": stream.label,
                "TableName": stream.table,
            })
        })
        .collect();
    Ok(with_last(json!({ "Streams": page }), "LastEvaluatedStreamArn", last))
}

fn describe_stream(engine: &Engine, request: &DescribeStream) -> Result<Value, ApiError> {
    let stream = find(engine, &request.stream_arn)?;
    let (page, last) = page(
        stream::shard_ids().collect(),
        String::clone,
        request.exclusive_start_shard_id.as_deref(),
        request.limit,
    );
    let shards: Vec<Value> = page
        .iter()
        .map(|shard| {
            json!({
                "ShardId": shard,
                "SequenceNumberRange": { "StartingSequenceNumber": stream::format_sequence(0) },
            })
        })
        .collect();
    let description = json!({
        "CreationRequestDateTime": stream.created_at,
        "KeySchema": stream.key_schema,
        "Shards": shards,
        "StreamArn": stream.arn(),
        "StreamLabel": stream.label,
        "StreamStatus": "ENABLED",
        "StreamViewType": stream.view_type,
        "TableName": stream.table,
    });
    let description = with_last(description, "LastEvaluatedShardId", last);
    Ok(json!({ "StreamDescription": description }))
}

fn get_shard_iterator(engine: &Engine, request: &GetShardIterator) -> Result<Value, ApiError> {
    let stream = find(engine, &request.stream_arn)?;
    if !stream::shard_ids().any(|shard| shard == request.shard_id) {
        return Err(ApiError::service(
            "ResourceNotFoundException",
            "Requested resource not found: Shard does not exist",
        ));
    }
    let (trimmed, newest) = engine.stream_ends(&stream.table, &request.shard_id)?;
    let given = || {
        let sequence = request.sequence_number.as_deref().unwrap_or_default();
        stream::parse_sequence(sequence)
    };
    let position = match request.shard_iterator_type.as_str() {
        "TRIM_HORIZON" => trimmed,
        "LATEST" => newest.max(trimmed),
        "AT_SEQUENCE_NUMBER" => given()?.saturating_sub(1).max(0),
        "AFTER_SEQUENCE_NUMBER" => given()?,
        other => {
            return Err(ApiError::validation(&format!(
                "1 validation error detected: Value '{other}' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
            )));
        }
    };
    if position < trimmed {
        return Err(StreamError::Trimmed.into());
    }
    let iterator = Iterator { stream_arn: &request.stream_arn, shard: &request.shard_id, position };
    Ok(json!({ "ShardIterator": iterator.issue(engine) }))
}

fn get_records(engine: &Engine, request: &GetRecords) -> Result<Value, ApiError> {
    let mut iterator = Iterator::accept(&request.shard_iterator, engine)?;
    let stream = find(engine, iterator.stream_arn)?;
    let limit = request.limit.unwrap_or(RECORDS_MAX).clamp(1, RECORDS_MAX);
    let records =
        engine.read_stream(&stream.table, iterator.shard, Some(iterator.position), limit)?;
    if let Some(last) = records.last() {
        iterator.position = last.sequence;
    }
    let records: Vec<Value> = records.into_iter().map(stream::Record::into_api_record).collect();
    Ok(json!({ "Records": records, "NextShardIterator": iterator.issue(engine) }))
}

struct Iterator<'a> {
    stream_arn: &'a str,
    shard: &'a str,
    position: i64,
}

impl<'a> Iterator<'a> {
    fn issue(&self, engine: &Engine) -> String {
        let (arn, shard, position) = (self.stream_arn, self.shard, self.position);
        format!("{arn}|{shard}|{position}|{}", engine.now_ms())
    }

    fn accept(text: &'a str, engine: &Engine) -> Result<Self, ApiError> {
        let invalid = || ApiError::validation("Invalid ShardIterator.");
        let mut parts = text.split('|');
        let mut next = || parts.next().ok_or_else(invalid);
        let (stream_arn, shard, position, issued) = (next()?, next()?, next()?, next()?);
        let number = |text: &str| text.parse::<i64>().ok().ok_or_else(invalid);
        let (position, issued_ms) = (number(position)?, number(issued)?);
        if engine.now_ms().saturating_sub(issued_ms) > ITERATOR_LIFETIME_MS {
            return Err(ApiError::service(
                "ExpiredIteratorException",
                "The shard iterator has expired and can no longer be used to retrieve stream records.",
            ));
        }
        Ok(Self { stream_arn, shard, position })
    }
}

fn find(engine: &Engine, arn: &str) -> Result<Stream, ApiError> {
    stream::table_of(arn)
        .and_then(|table| engine.stream(table))
        .filter(|stream| stream.arn() == arn)
        .ok_or_else(|| StreamError::NoSuchStream.into())
}

/// The items after `start`, at most `limit`, and the name of the last one when more follow.
fn page<T>(
    items: Vec<T>,
    name: impl Fn(&T) -> String,
    start: Option<&str>,
    limit: Option<usize>,
) -> (Vec<T>, Option<String>) {
    let mut rest: Vec<T> = match start {
        Some(start) => items.into_iter().skip_while(|item| name(item) != start).skip(1).collect(),
        None => items,
    };
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let more = rest.len() > limit;
    rest.truncate(limit);
    let last = rest.last().filter(|_| more).map(name);
    (rest, last)
}

fn with_last(mut answer: Value, member: &str, last: Option<String>) -> Value {
    if let (Some(last), Some(object)) = (last, answer.as_object_mut()) {
        object.insert(member.to_owned(), Value::String(last));
    }
    answer
}
