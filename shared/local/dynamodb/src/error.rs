//! Errors: those of the Rust interface, and those of the wire in AWS's JSON shape.

use std::path::PathBuf;

use dynoxide::DynoxideError;
use http::StatusCode;
use rollcall_local_kit::Denied;
use serde_json::{Value, json};

/// The shape namespace of DynamoDB's own errors.
const SERVICE: &str = "com.amazonaws.dynamodb.v20120810";
/// The shape namespace of errors that AWS's front door answers.
const FRONT_DOOR: &str = "com.amazon.coral.service";

/// Why the database could not be opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("{path} cannot be used; check its permissions and the free disk space")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file exists and is not an intact database.
    #[error("{path} is damaged; start with RESET=1 to forget the local data")]
    Damaged {
        /// The file; empty for a database in memory.
        path: PathBuf,
        /// What the engine said.
        #[source]
        source: DynoxideError,
    },
}

/// Why a table could not be created or brought up to its definition.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It exists with other keys, which no table can change.
    #[error(
        "table {table} exists with another {what}; start with RESET=1 to forget the local data"
    )]
    Differs {
        /// The table.
        table: String,
        /// The part that differs.
        what: String,
    },
    /// The engine refused.
    #[error("table {table} cannot be created: {message}")]
    Refused {
        /// The table.
        table: String,
        /// The answer DynamoDB's own API would give.
        message: String,
    },
}

/// Why a stream could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The table does not exist or has no stream.
    #[error("the table has no stream")]
    NoSuchStream,
    /// The sequence number is none that this service ever gave.
    #[error("the sequence number is malformed")]
    MalformedSequence,
    /// Records after the given position are gone, by age or by a fault.
    #[error("records after the given sequence number are already trimmed")]
    Trimmed,
    /// A fault asked for it.
    #[error("the read was throttled")]
    Throttled,
    /// The database cannot be read.
    #[error("the stream cannot be read")]
    Engine(#[from] DynoxideError),
}

/// The database could not be written while sweeping.
#[derive(Debug, thiserror::Error)]
#[error("items past their time to live could not be deleted")]
pub struct SweepError(#[from] pub(crate) DynoxideError);

/// An error on the wire.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl ApiError {
    /// An error of DynamoDB itself.
    pub(crate) fn service(name: &str, message: &str) -> Self {
        Self::bad_request(&json!({ "__type": format!("{SERVICE}#{name}"), "message": message }))
    }

    /// A request that names no operation of this service.
    pub(crate) fn unknown_operation() -> Self {
        Self::bad_request(&json!({ "__type": format!("{FRONT_DOOR}#UnknownOperationException") }))
    }

    /// A body that is not what the operation reads.
    pub(crate) fn serialization(message: &str) -> Self {
        Self::bad_request(&json!({
            "__type": format!("{FRONT_DOOR}#SerializationException"),
            "Message": message,
        }))
    }

    /// A body whose values are not allowed.
    pub(crate) fn validation(message: &str) -> Self {
        Self::bad_request(&json!({
            "__type": "com.amazon.coral.validate#ValidationException",
            "message": message,
        }))
    }

    /// An unsigned request, or one signed by an unknown key.
    pub(crate) fn unrecognized_client() -> Self {
        Self::bad_request(&json!({
            "__type": format!("{FRONT_DOOR}#UnrecognizedClientException"),
            "message": "The security token included in the request is invalid.",
        }))
    }

    /// On-demand capacity was exceeded.
    pub(crate) fn throttling(message: &str) -> Self {
        Self::bad_request(&json!({
            "__type": "com.amazon.coral.availability#ThrottlingException",
            "message": message,
        }))
    }

    /// A transaction that did not happen; one reason per part.
    pub(crate) fn transaction_canceled(reasons: &[Value]) -> Self {
        let codes: Vec<&str> = reasons
            .iter()
            .filter_map(|reason| reason.get("Code").and_then(Value::as_str))
            .collect();
        Self::bad_request(&json!({
            "__type": format!("{SERVICE}#TransactionCanceledException"),
            "Message": format!(
                "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
                codes.join(", ")
            ),
            "CancellationReasons": reasons,
        }))
    }

    /// A failure of the emulator.
    pub(crate) fn internal(message: &str) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            body: json!({
                "__type": format!("{SERVICE}#InternalServerError"),
                "message": message,
            })
            .to_string(),
        }
    }

    /// A request body that the engine could not read, by the marker it puts before its message.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        let message = error.to_string();
        match message.split_once(':') {
            Some(("VALIDATION" | "VALIDATION_REQUEST" | "VALIDATION_AS_READ", message)) => {
                Self::validation(message)
            }
            Some(("SERIALIZATION" | "SERIALIZATION_AS_READ", message)) => {
                Self::serialization(message)
            }
            _ if ["missing field", "unknown variant", "AttributeValue", "null"]
                .iter()
                .any(|cause| message.contains(cause)) =>
            {
                Self::validation(&message)
            }
            _ => Self::serialization(&message),
        }
    }

    fn bad_request(body: &Value) -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: body.to_string() }
    }
}

impl From<DynoxideError> for ApiError {
    fn from(error: DynoxideError) -> Self {
        Self {
            status: StatusCode::from_u16(error.status_code())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: error.to_json(),
        }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::bad_request(&json!({
            "__type": format!("{FRONT_DOOR}#AccessDeniedException"),
            "Message": format!(
                "{denied} because no identity-based policy allows the {} action",
                denied.action
            ),
        }))
    }
}

impl From<StreamError> for ApiError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::NoSuchStream => Self::service(
                "ResourceNotFoundException",
                "Requested resource not found: Stream not found",
            ),
            StreamError::MalformedSequence => Self::validation("Invalid SequenceNumber"),
            StreamError::Trimmed => Self::service(
                "TrimmedDataAccessException",
                "The operation attempted to read past the oldest stream record in a shard.",
            ),
            StreamError::Throttled => Self::service(
                "ProvisionedThroughputExceededException",
                "The level of configured provisioned throughput for the stream was exceeded.",
            ),
            StreamError::Engine(error) => error.into(),
        }
    }
}
