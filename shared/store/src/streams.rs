//! DynamoDB Streams by hand: reading again what a failed batch of changes was about.
//!
//! Lambda reads streams itself and, when it gives a batch up, reports only where it was. The records
//! stay in the stream for 24 hours.

use std::cmp::Ordering;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use rollcall_aws::{Connection, Service};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_resources::{Grant, Resource, Table};
use serde::Deserialize;
use serde_dynamo::Item;

use crate::error::failed;

/// Places in a stream that are found anew before a reading is given up.
const PLACES_MAX: usize = 5;
/// Answers that are read for one range. Ranges are short; one that is longer is treated as gone.
const PAGES_MAX: usize = 1_000;

/// A range of a stream, both ends included, as Lambda reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRange {
    /// ARN of the stream.
    pub stream_arn: String,
    /// The shard.
    pub shard_id: String,
    /// Sequence number of the first record.
    pub first: String,
    /// Sequence number of the last record.
    pub last: String,
}

/// What Lambda tells about records it gave up ("Retain discarded batch records for a DynamoDB event
/// source in Lambda").
#[derive(Debug, Deserialize)]
struct GivenUp {
    #[serde(rename = "DDBStreamBatchInfo")]
    batch: BatchInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    stream_arn: String,
}

impl StreamRange {
    /// The range of the records that a report of Lambda says it gave up.
    ///
    /// # Errors
    ///
    /// The text is no such report.
    pub fn of_report(report: &str) -> Result<Self, serde_json::Error> {
        let GivenUp { batch } = serde_json::from_str(report)?;
        let BatchInfo { shard_id, start_sequence_number, end_sequence_number, stream_arn } = batch;
        Ok(Self { stream_arn, shard_id, first: start_sequence_number, last: end_sequence_number })
    }
}

/// What a record of a stream says of where it stands and whose item it is about, as Lambda hands it to
/// a function: its member `dynamodb`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamRecord {
    keys: RecordKeys,
    /// Names the record when it fails.
    pub sequence_number: String,
}

#[derive(Debug, Deserialize)]
struct RecordKeys {
    pk: TextAttribute,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TextAttribute {
    s: String,
}

impl StreamRecord {
    /// The item's partition key.
    pub fn partition_key(&self) -> &str {
        &self.keys.pk.s
    }
}

/// What is left of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reread {
    /// The changes, in order.
    Changed(Vec<Change>),
    /// Some of it is no longer there: too old, or its shard or stream is gone.
    Gone,
}

/// A change of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The item's keys.
    pub keys: Item,
    /// The item before, if there was one.
    pub before: Option<Item>,
    /// The item after, if there is one.
    pub after: Option<Item>,
}

#[derive(Debug, Deserialize)]
struct Keys {
    pk: String,
}

impl Change {
    /// The item's partition key; `None` when it is no text, as it always is.
    pub fn partition_key(&self) -> Option<String> {
        let keys: Result<Keys, serde_dynamo::Error> = serde_dynamo::from_item(self.keys.clone());
        keys.ok().map(|keys| keys.pk)
    }
}

/// Reads ranges of the streams of what the CRM hears about.
#[derive(Clone, Debug)]
pub struct StreamReader {
    client: Client,
}

const fn read(table: Table) -> Grant {
    Grant {
        resource: Resource::Stream(table),
        actions: &["dynamodb:GetRecords", "dynamodb:GetShardIterator"],
    }
}

impl StreamReader {
    /// The permissions its calls need.
    pub const GRANTS: &'static [Grant] = &[
        read(Table::Users),
        read(Table::Enrollments),
        read(Table::Progress),
        read(Table::Badges),
        read(Table::Certificates),
    ];

    /// The permissions that reading the stream of progress needs.
    pub const OF_PROGRESS: &'static [Grant] = &[read(Table::Progress)];

    /// Prepares the client; connects to nothing yet.
    pub fn new(connection: &Connection) -> Self {
        Self { client: Client::new(&connection.config(Service::DynamoDbStreams)) }
    }

    /// The changes in `range`. A place in the stream is good for minutes only, so a reader that was
    /// held up finds it anew behind what it has read.
    pub async fn reread(&self, range: &StreamRange) -> Result<Reread, PortError> {
        let (mut changes, mut last_read) = (Vec::new(), None);
        for _place in 0..PLACES_MAX {
            match self.read_on(range, &mut last_read, &mut changes).await? {
                Reading::Done => return Ok(Reread::Changed(changes)),
                Reading::Gone => return Ok(Reread::Gone),
                Reading::Expired => {}
            }
        }
        let text = "the places in the stream expire faster than they can be read";
        Err(PortError::new("read a stream", PortErrorClass::Unavailable, text))
    }

    /// Reads from behind `last_read` on, or from the range's beginning.
    async fn read_on(
        &self,
        range: &StreamRange,
        last_read: &mut Option<String>,
        changes: &mut Vec<Change>,
    ) -> Result<Reading, PortError> {
        let (kind, sequence) = match last_read.as_deref() {
            None => (ShardIteratorType::AtSequenceNumber, range.first.as_str()),
            Some(last) => (ShardIteratorType::AfterSequenceNumber, last),
        };
        let begun = self
            .client
            .get_shard_iterator()
            .stream_arn(&range.stream_arn)
            .shard_id(&range.shard_id)
            .shard_iterator_type(kind)
            .sequence_number(sequence)
            .send()
            .await;
        let mut iterator = match begun {
            Ok(answer) => answer.shard_iterator,
            Err(error) if is_gone(error.code()) => return Ok(Reading::Gone),
            Err(error) => return Err(failed("find a place in a stream")(error)),
        };
        for _page in 0..PAGES_MAX {
            // A shard that is closed ends here, and with it everything that was in the range.
            let Some(place) = iterator else {
                return Ok(Reading::Done);
            };
            let page = match self.client.get_records().shard_iterator(place).send().await {
                Ok(page) => page,
                Err(error) if is_gone(error.code()) => return Ok(Reading::Gone),
                Err(error) if error.code() == Some("ExpiredIteratorException") => {
                    return Ok(Reading::Expired);
                }
                Err(error) => return Err(failed("read a stream")(error)),
            };
            for record in page.records.unwrap_or_default() {
                let (sequence, change) = change(record)?;
                let place = compare(&sequence, &range.last);
                if place != Ordering::Greater {
                    changes.push(change);
                }
                if place != Ordering::Less {
                    return Ok(Reading::Done);
                }
                *last_read = Some(sequence);
            }
            iterator = page.next_shard_iterator;
        }
        Ok(Reading::Gone)
    }
}

/// How reading a part of a stream ended.
enum Reading {
    /// Everything was read.
    Done,
    /// The stream no longer has it.
    Gone,
    /// The place in the stream was good for too short a time.
    Expired,
}

fn is_gone(code: Option<&str>) -> bool {
    matches!(code, Some("TrimmedDataAccessException" | "ResourceNotFoundException"))
}

/// Sequence number of a record, and what changed.
fn change(record: Record) -> Result<(String, Change), PortError> {
    let corrupt = || {
        let text = "a record without sequence number or keys";
        PortError::new("read a stream", PortErrorClass::Corrupt, text)
    };
    let stream = record.dynamodb.ok_or_else(corrupt)?;
    let sequence = stream.sequence_number.ok_or_else(corrupt)?;
    let keys = Item::from(stream.keys.ok_or_else(corrupt)?);
    let (before, after) = (stream.old_image.map(Item::from), stream.new_image.map(Item::from));
    Ok((sequence, Change { keys, before, after }))
}

/// Sequence numbers are decimal numbers that fit into no integer type.
fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_as_numbers() {
        for (one, other, expected) in [
            ("9", "10", Ordering::Less),
            ("0010", "10", Ordering::Equal),
            ("300000000000000499660", "300000000000000499659", Ordering::Greater),
        ] {
            assert_eq!(compare(one, other), expected, "{one} {other}");
        }
    }
}
