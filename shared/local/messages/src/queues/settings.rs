//! What the owner of a queue decides, and its form as SQS attributes.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::QueueError;
use super::message::MESSAGE_BYTES_MAX;
use crate::arn;

/// The longest visibility timeout: twelve hours.
pub(crate) const VISIBILITY_SECONDS_MAX: u32 = 43_200;
/// The longest delay of a message.
pub(crate) const DELAY_SECONDS_MAX: u32 = 900;
/// The longest wait of one receive.
pub(crate) const WAIT_SECONDS_MAX: u32 = 20;
const RETENTION_SECONDS: RangeInclusive<u32> = 60..=1_209_600;
const MAX_RECEIVE_COUNT: RangeInclusive<u32> = 1..=1_000;
const MESSAGE_BYTES: RangeInclusive<u32> = 1_024..=1_048_576;
const FIFO_SUFFIX: &str = ".fifo";
const NAME_CHARS_MAX: usize = 80;

/// Attributes that are kept and given back. Encryption and resource policies mean nothing in a
/// local cloud, whose only policies are those of its functions.
const KEPT: [&str; 5] = [
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "Policy",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// The name of the dead-letter queue.
    pub dead_letter_queue: String,
    /// A message received this often moves instead of being received once more; 1 to 1000.
    pub max_receive_count: u32,
}

/// The attributes of one queue that can be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) fifo: bool,
    pub(crate) visibility_timeout_seconds: u32,
    pub(crate) retention_seconds: u32,
    pub(crate) delay_seconds: u32,
    pub(crate) receive_wait_seconds: u32,
    pub(crate) message_bytes_max: u32,
    pub(crate) content_based_deduplication: bool,
    pub(crate) redrive: Option<Redrive>,
    kept: BTreeMap<String, String>,
}

impl Settings {
    /// SQS's defaults for a queue of this name, whose suffix says whether it is a FIFO queue.
    pub(crate) fn new(name: &str) -> Result<Self, QueueError> {
        let stem = name.strip_suffix(FIFO_SUFFIX);
        let valid = !stem.unwrap_or(name).is_empty()
            && name.len() <= NAME_CHARS_MAX
            && stem
                .unwrap_or(name)
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !valid {
            return Err(QueueError::InvalidParameter(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
                    .to_owned(),
            ));
        }
        Ok(Self {
            fifo: stem.is_some(),
            visibility_timeout_seconds: 30,
            retention_seconds: 345_600,
            delay_seconds: 0,
            receive_wait_seconds: 0,
            message_bytes_max: *MESSAGE_BYTES.end(),
            content_based_deduplication: false,
            redrive: None,
            kept: BTreeMap::new(),
        })
    }

    /// Sets one attribute from its wire form ("SetQueueAttributes", Amazon SQS API Reference).
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), QueueError> {
        match name {
            "VisibilityTimeout" => {
                self.visibility_timeout_seconds =
                    number(name, value, &(0..=VISIBILITY_SECONDS_MAX))?;
            }
            "MessageRetentionPeriod" => {
                self.retention_seconds = number(name, value, &RETENTION_SECONDS)?;
            }
            "DelaySeconds" => {
                self.delay_seconds = number(name, value, &(0..=DELAY_SECONDS_MAX))?;
            }
            "ReceiveMessageWaitTimeSeconds" => {
                self.receive_wait_seconds = number(name, value, &(0..=WAIT_SECONDS_MAX))?;
            }
            "MaximumMessageSize" => self.message_bytes_max = number(name, value, &MESSAGE_BYTES)?,
            "ContentBasedDeduplication" if self.fifo => {
                self.content_based_deduplication =
                    value.parse().map_err(|_invalid| invalid(name))?;
            }
            "FifoQueue" if self.fifo => {
                if value != "true" {
                    return Err(invalid(name));
                }
            }
            "RedrivePolicy" => self.redrive = redrive(value)?,
            _ if KEPT.contains(&name) => {
                self.kept.insert(name.to_owned(), value.to_owned());
            }
            _ => return Err(QueueError::UnknownAttribute(name.to_owned())),
        }
        Ok(())
    }

    /// Refuses a dead-letter queue that is the queue itself or of the other kind, and a count out of
    /// range.
    pub(crate) fn check_redrive(&self, name: &str) -> Result<(), QueueError> {
        let fits = self.redrive.as_ref().is_none_or(|redrive| {
            redrive.dead_letter_queue != name
                && is_fifo(&redrive.dead_letter_queue) == self.fifo
                && MAX_RECEIVE_COUNT.contains(&redrive.max_receive_count)
        });
        if fits {
            return Ok(());
        }
        Err(refused_redrive(
            "The dead-letter queue must be another queue of the same kind, and maxReceiveCount between 1 and 1000.",
        ))
    }

    /// All attributes in their wire form.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = self.kept.clone();
        let mut put = |name: &str, value: String| attributes.insert(name.to_owned(), value);
        put("VisibilityTimeout", self.visibility_timeout_seconds.to_string());
        put("MessageRetentionPeriod", self.retention_seconds.to_string());
        put("DelaySeconds", self.delay_seconds.to_string());
        put("ReceiveMessageWaitTimeSeconds", self.receive_wait_seconds.to_string());
        put("MaximumMessageSize", self.message_bytes_max.to_string());
        if self.fifo {
            put("FifoQueue", "true".to_owned());
            put("ContentBasedDeduplication", self.content_based_deduplication.to_string());
        }
        if let Some(redrive) = &self.redrive {
            let policy = serde_json::json!({
                "deadLetterTargetArn": arn::of_queue(&redrive.dead_letter_queue),
                "maxReceiveCount": redrive.max_receive_count,
            });
            put("RedrivePolicy", policy.to_string());
        }
        attributes
    }

    /// The limit for one message of this queue.
    pub(crate) fn message_bytes(&self) -> usize {
        usize::try_from(self.message_bytes_max).unwrap_or(MESSAGE_BYTES_MAX)
    }
}

/// Whether a queue of this name is a FIFO queue.
pub(crate) fn is_fifo(name: &str) -> bool {
    name.strip_suffix(FIFO_SUFFIX).is_some()
}

/// A redrive policy that cannot be.
pub(crate) fn refused_redrive(reason: &str) -> QueueError {
    QueueError::InvalidParameter(format!(
        "Value for parameter RedrivePolicy is invalid. Reason: {reason}"
    ))
}

fn invalid(name: &str) -> QueueError {
    QueueError::InvalidAttribute(name.to_owned())
}

fn number(name: &str, value: &str, range: &RangeInclusive<u32>) -> Result<u32, QueueError> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| invalid(name))
}

/// `{"deadLetterTargetArn": …, "maxReceiveCount": 5 or "5"}`; an empty value removes the policy.
fn redrive(value: &str) -> Result<Option<Redrive>, QueueError> {
    if value.is_empty() {
        return Ok(None);
    }
    let refused = || invalid("RedrivePolicy");
    let policy: Value = serde_json::from_str(value).map_err(|_malformed| refused())?;
    let dead_letter_queue = policy
        .get("deadLetterTargetArn")
        .and_then(Value::as_str)
        .and_then(arn::queue_name)
        .ok_or_else(refused)?;
    let count = policy.get("maxReceiveCount").ok_or_else(refused)?;
    let count = match count {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|count| u32::try_from(count).ok()),
    };
    let max_receive_count =
        count.filter(|count| MAX_RECEIVE_COUNT.contains(count)).ok_or_else(refused)?;
    Ok(Some(Redrive { dead_letter_queue: dead_letter_queue.to_owned(), max_receive_count }))
}
