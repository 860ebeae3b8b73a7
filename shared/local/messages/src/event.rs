//! A received message as Lambda's event source mapping gives it to a function ("Using Lambda with
//! Amazon SQS", AWS Lambda Developer Guide).

use serde_json::{Map, Value, json};

use crate::arn;
use crate::queues::message::{md5_of_attributes, md5_of_body};
use crate::queues::queue::Delivery;
use crate::queues::settings::is_fifo;

/// One element of `Records`.
pub(crate) fn record(queue: &str, delivery: &Delivery) -> Value {
    let message = &delivery.message;
    let content = &message.content;
    let attributes: Map<String, Value> = content
        .attributes
        .iter()
        .map(|(name, value)| {
            let value = json!({
                "stringValue": value.string_value,
                "binaryValue": value.binary_value,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value.data_type,
            });
            (name.clone(), value)
        })
        .collect();
    let mut record = json!({
        "messageId": message.id,
        "receiptHandle": delivery.receipt_handle,
        "body": content.body,
        "attributes": message.system_attributes(is_fifo(queue)),
        "messageAttributes": attributes,
        "md5OfBody": md5_of_body(&content.body),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn::of_queue(queue),
        "awsRegion": arn::REGION,
    });
    if let (Some(digest), Some(record)) =
        (md5_of_attributes(&content.attributes), record.as_object_mut())
    {
        record.insert("md5OfMessageAttributes".to_owned(), digest.into());
    }
    record
}
