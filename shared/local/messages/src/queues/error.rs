//! What SQS refuses, in its own words.

/// A refusal by SQS. The text and the codes follow the "Common error types" and the per-action
/// errors of the Amazon SQS API Reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// No queue of that name or URL.
    #[error("The specified queue does not exist.")]
    NoSuchQueue,
    /// A queue of that name exists and has other attributes.
    #[error("A queue already exists with the same name and a different value for attribute(s)")]
    NameTaken,
    /// A parameter that cannot be, with the reason.
    #[error("{0}")]
    InvalidParameter(String),
    /// A parameter that must be given.
    #[error("The request must contain the parameter {0}.")]
    MissingParameter(&'static str),
    /// An attribute that queues of this kind do not have.
    #[error("Unknown Attribute {0}.")]
    UnknownAttribute(String),
    /// An attribute with a value out of its range.
    #[error("Invalid value for the parameter {0}.")]
    InvalidAttribute(String),
    /// A body with characters that XML 1.0 does not allow.
    #[error(
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
    )]
    InvalidContents,
    /// A receipt handle that this queue never gave.
    #[error("The input receipt handle \"{0}\" is not a valid receipt handle.")]
    ReceiptHandle(String),
    /// The message is visible again, so its timeout cannot be changed.
    #[error("The message referred to isn't in flight.")]
    NotInFlight,
    /// The queue was purged less than a minute ago.
    #[error("Only one PurgeQueue operation on {0} is allowed every 60 seconds.")]
    PurgeInProgress(String),
    /// A batch without entries.
    #[error("There should be at least one SendMessageBatchRequestEntry in the request.")]
    EmptyBatch,
    /// A batch with more than ten entries.
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntries(usize),
    /// Two entries of a batch with one id.
    #[error("Id {0} repeated.")]
    EntryIdsNotDistinct(String),
    /// An entry id with other than letters, digits, hyphens and underscores, or none at all.
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
    )]
    EntryId,
    /// All messages of a batch together are too large.
    #[error("Batch requests cannot be longer than {max} bytes. You have sent {sent} bytes.")]
    BatchTooLong {
        /// The limit in bytes.
        max: usize,
        /// What was sent, in bytes.
        sent: usize,
    },
    /// A move task names a queue or task that does not exist.
    #[error("The resource that you specified for the {0} parameter doesn't exist.")]
    NoSuchResource(&'static str),
}

/// How one refusal looks on the wire.
pub(crate) struct Codes {
    pub(crate) status: u16,
    /// The `__type` of the JSON body.
    pub(crate) kind: &'static str,
    /// The code of the older query protocol, which SDKs still report.
    pub(crate) query: &'static str,
}

impl QueueError {
    pub(crate) fn codes(&self) -> Codes {
        let (status, kind, query) = match self {
            Self::NoSuchQueue => (
                400,
                "com.amazonaws.sqs#QueueDoesNotExist",
                "AWS.SimpleQueueService.NonExistentQueue",
            ),
            Self::NameTaken => (400, "com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists"),
            Self::InvalidParameter(_) => (
                400,
                "com.amazon.coral.service#InvalidParameterValueException",
                "InvalidParameterValue",
            ),
            Self::MissingParameter(_) => (
                400,
                "com.amazon.coral.service#MissingRequiredParameterException",
                "MissingParameter",
            ),
            Self::UnknownAttribute(_) => {
                (400, "com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName")
            }
            Self::InvalidAttribute(_) => {
                (400, "com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue")
            }
            Self::InvalidContents => {
                (400, "com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents")
            }
            Self::ReceiptHandle(_) => {
                (404, "com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid")
            }
            Self::NotInFlight => (
                400,
                "com.amazonaws.sqs#MessageNotInflight",
                "AWS.SimpleQueueService.MessageNotInflight",
            ),
            Self::PurgeInProgress(_) => (
                403,
                "com.amazonaws.sqs#PurgeQueueInProgress",
                "AWS.SimpleQueueService.PurgeQueueInProgress",
            ),
            Self::NoSuchResource(_) => {
                (404, "com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException")
            }
            Self::EmptyBatch
            | Self::TooManyEntries(_)
            | Self::EntryIdsNotDistinct(_)
            | Self::EntryId
            | Self::BatchTooLong { .. } => return self.batch_codes(),
        };
        Codes { status, kind, query }
    }

    fn batch_codes(&self) -> Codes {
        let (kind, query) = match self {
            Self::EmptyBatch => {
                ("com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest")
            }
            Self::TooManyEntries(_) => (
                "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            ),
            Self::EntryIdsNotDistinct(_) => (
                "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            ),
            Self::BatchTooLong { .. } => (
                "com.amazonaws.sqs#BatchRequestTooLong",
                "AWS.SimpleQueueService.BatchRequestTooLong",
            ),
            _ => (
                "com.amazonaws.sqs#InvalidBatchEntryId",
                "AWS.SimpleQueueService.InvalidBatchEntryId",
            ),
        };
        Codes { status: 400, kind, query }
    }
}
