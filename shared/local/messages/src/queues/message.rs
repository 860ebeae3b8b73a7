//! A message: what its sender wrote, what the queue knows about it, and its digests.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::error::QueueError;
use crate::arn;

/// The largest message, with its attributes, and the largest batch, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1_048_576;
const ATTRIBUTES_MAX: usize = 10;
const ATTRIBUTE_NAME_CHARS_MAX: usize = 256;
const GROUP_CHARS_MAX: usize = 128;

/// A message attribute, shaped as on the wire: a string or base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeValue {
    pub(crate) data_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) string_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binary_value: Option<String>,
}

/// Attributes by name.
pub(crate) type Attributes = BTreeMap<String, AttributeValue>;

/// What the sender of a message decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) body: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: Attributes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_header: Option<String>,
    pub(crate) sender: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deduplication_id: Option<String>,
}

/// A message in a queue. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) content: Content,
    /// Its place in the queue that it is in.
    pub(crate) sequence: u64,
    pub(crate) sent_ms: i64,
    pub(crate) visible_at_ms: i64,
    pub(crate) receive_count: u32,
    pub(crate) first_received_ms: Option<i64>,
    pub(crate) last_received_ms: Option<i64>,
    /// The queue whose redrive policy put it into this dead-letter queue.
    pub(crate) dead_letter_source: Option<String>,
}

impl AttributeValue {
    fn bytes(&self) -> Option<Vec<u8>> {
        match (&self.string_value, &self.binary_value) {
            (Some(text), None) if !self.is_binary() => Some(text.clone().into_bytes()),
            (None, Some(encoded)) if self.is_binary() => STANDARD.decode(encoded).ok(),
            _ => None,
        }
    }

    fn is_binary(&self) -> bool {
        self.logical_type() == "Binary"
    }

    fn logical_type(&self) -> &str {
        // "Number.int" is a Number with a label of the sender's own.
        self.data_type.split('.').next().unwrap_or_default()
    }
}

impl Content {
    /// What counts against the size limits: the body and each attribute's name, type and value.
    pub(crate) fn size_bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| {
            name.len() + value.data_type.len() + value.bytes().map_or(0, |bytes| bytes.len())
        });
        self.body.len() + attributes.sum::<usize>()
    }

    /// Checks the rules that hold in every queue ("SendMessage", Amazon SQS API Reference).
    pub(crate) fn validate(&self, bytes_max: usize) -> Result<(), QueueError> {
        if self.body.is_empty() {
            return Err(QueueError::MissingParameter("MessageBody"));
        }
        if !self.body.chars().all(is_xml_character) {
            return Err(QueueError::InvalidContents);
        }
        if self.attributes.len() > ATTRIBUTES_MAX {
            return Err(QueueError::InvalidParameter(format!(
                "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES_MAX}].",
                self.attributes.len()
            )));
        }
        for (name, value) in &self.attributes {
            validate_attribute(name, value)?;
        }
        validate_token("MessageGroupId", self.group.as_deref())?;
        validate_token("MessageDeduplicationId", self.deduplication_id.as_deref())?;
        if self.size_bytes() > bytes_max {
            return Err(QueueError::InvalidParameter(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {bytes_max} bytes."
            )));
        }
        Ok(())
    }
}

impl Message {
    /// The system attributes of a received message ("ReceiveMessage", Amazon SQS API Reference).
    pub(crate) fn system_attributes(&self, fifo: bool) -> BTreeMap<&'static str, String> {
        let first = self.first_received_ms.unwrap_or(self.sent_ms);
        let sequence = fifo.then(|| sequence_number(self.sequence));
        let source = self.dead_letter_source.as_deref().map(arn::of_queue);
        [
            ("SenderId", Some(self.content.sender.clone())),
            ("SentTimestamp", Some(self.sent_ms.to_string())),
            ("ApproximateReceiveCount", Some(self.receive_count.to_string())),
            ("ApproximateFirstReceiveTimestamp", Some(first.to_string())),
            ("SequenceNumber", sequence),
            ("MessageGroupId", self.content.group.clone()),
            ("MessageDeduplicationId", self.content.deduplication_id.clone()),
            ("AWSTraceHeader", self.content.trace_header.clone()),
            ("DeadLetterQueueSourceArn", source),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// A FIFO queue's sequence number: twenty digits, so that text and number sort alike.
pub(crate) fn sequence_number(sequence: u64) -> String {
    format!("{sequence:020}")
}

/// MD5 of a body, in lower-case hexadecimal.
pub(crate) fn md5_of_body(body: &str) -> String {
    hexadecimal(&Md5::digest(body.as_bytes()))
}

/// `MD5OfMessageAttributes`; `None` when there are none. Sorted by name, each name, type and value
/// is preceded by its length, and each value by its transport type ("Calculating the MD5 message
/// digest for message attributes", Amazon SQS Developer Guide).
pub(crate) fn md5_of_attributes(attributes: &Attributes) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    let mut add = |bytes: &[u8], transport: Option<u8>| {
        if let Some(transport) = transport {
            digest.update([transport]);
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        digest.update(length.to_be_bytes());
        digest.update(bytes);
    };
    for (name, value) in attributes {
        add(name.as_bytes(), None);
        add(value.data_type.as_bytes(), None);
        let transport = if value.is_binary() { 2 } else { 1 };
        add(&value.bytes().unwrap_or_default(), Some(transport));
    }
    Some(hexadecimal(&digest.finalize()))
}

/// Lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn is_xml_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn validate_attribute(name: &str, value: &AttributeValue) -> Result<(), QueueError> {
    let lower = name.to_ascii_lowercase();
    let well_named = !name.is_empty()
        && name.len() <= ATTRIBUTE_NAME_CHARS_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.");
    if !well_named {
        return Err(QueueError::InvalidParameter(format!(
            "The message attribute name '{name}' is invalid."
        )));
    }
    if !["String", "Number", "Binary"].contains(&value.logical_type()) {
        return Err(QueueError::InvalidParameter(format!(
            "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
        )));
    }
    let bytes = value.bytes().unwrap_or_default();
    let number = value.logical_type() != "Number"
        || std::str::from_utf8(&bytes).is_ok_and(|text| text.trim().parse::<f64>().is_ok());
    if bytes.is_empty() || !number {
        return Err(QueueError::InvalidParameter(format!(
            "The message attribute '{name}' must contain a non-empty value of type '{}'.",
            value.data_type
        )));
    }
    Ok(())
}

fn validate_token(parameter: &str, value: Option<&str>) -> Result<(), QueueError> {
    let valid = value.is_none_or(|value| {
        (1..=GROUP_CHARS_MAX).contains(&value.len()) && value.chars().all(|c| c.is_ascii_graphic())
    });
    if valid {
        return Ok(());
    }
    Err(QueueError::InvalidParameter(format!(
        "Value {} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric and punctuation characters. 1 to {GROUP_CHARS_MAX} in length.",
        value.unwrap_or_default()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attributes: &[(&str, &str, &str)], digest: &str) {
        let attributes = attributes
            .iter()
            .map(|(name, data_type, value)| {
                let binary = *data_type == "Binary";
                let value = AttributeValue {
                    data_type: (*data_type).to_owned(),
                    string_value: (!binary).then(|| (*value).to_owned()),
                    binary_value: binary.then(|| (*value).to_owned()),
                };
                ((*name).to_owned(), value)
            })
            .collect();
        assert_eq!(md5_of_attributes(&attributes).as_deref(), Some(digest));
    }

    #[test]
    fn the_digest_of_attributes_is_the_one_that_clients_compute() {
        check(&[("timestamp", "Number", "1493147359900")], "235c5c510d26fb653d073faed50ae77c");
        check(
            &[("one", "String", "1"), ("two", "Binary", "AAEC")],
            "587bcd144c5a6cf64e536b15f2fdd3b9",
        );
    }
}
