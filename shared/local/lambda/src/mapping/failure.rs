//! The message a failure destination gets when records are given up: where they were, not what.
//!
//! Followed: "Retain discarded batch records for a DynamoDB event source in Lambda".

use jiff::Timestamp;
use serde_json::{Value, json};

use super::record;
use crate::function_arn;

/// Why records are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    RetryAttemptsExhausted,
    RecordAgeExceeded,
}

/// The last invocation with the records.
#[derive(Clone, Debug)]
pub(super) struct LastInvocation {
    pub(super) request_id: String,
    pub(super) function_error: bool,
}

/// What was given up, and after what.
pub(super) struct GivenUp<'records> {
    pub(super) condition: Condition,
    pub(super) function: &'records str,
    pub(super) stream_arn: &'records str,
    pub(super) shard: &'records str,
    pub(super) records: &'records [Value],
    pub(super) invocations: u32,
    pub(super) last: Option<&'records LastInvocation>,
    pub(super) at: Timestamp,
}

/// The message body.
pub(super) fn message(given_up: &GivenUp<'_>) -> String {
    let records = given_up.records;
    let arrival = |record: Option<&Value>| {
        let created = record.and_then(record::created_ms)?;
        let created = Timestamp::from_millisecond(created).ok()?;
        Some(created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    let mut message = json!({
        "requestContext": {
            "requestId": given_up.last.map(|last| last.request_id.as_str()).unwrap_or_default(),
            "functionArn": function_arn(given_up.function),
            "condition": match given_up.condition {
                Condition::RetryAttemptsExhausted => "RetryAttemptsExhausted",
                Condition::RecordAgeExceeded => "RecordAgeExceeded",
            },
            "approximateInvokeCount": given_up.invocations,
        },
        "version": "1.0",
        "timestamp": given_up.at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        "DDBStreamBatchInfo": {
            "shardId": given_up.shard,
            "startSequenceNumber": records.first().map(record::sequence),
            "endSequenceNumber": records.last().map(record::sequence),
            "approximateArrivalOfFirstRecord": arrival(records.first()),
            "approximateArrivalOfLastRecord": arrival(records.last()),
            "batchSize": records.len(),
            "streamArn": given_up.stream_arn,
        },
    });
    if let (Some(last), Some(fields)) = (given_up.last, message.as_object_mut()) {
        let mut response = json!({ "statusCode": 200, "executedVersion": "$LATEST" });
        if let (true, Some(fields)) = (last.function_error, response.as_object_mut()) {
            fields.insert("functionError".to_owned(), json!("Unhandled"));
        }
        fields.insert("responseContext".to_owned(), response);
    }
    message.to_string()
}
