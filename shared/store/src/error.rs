//! The class of a DynamoDB failure, decided once, from the SDK's typed error.

use std::fmt::Debug;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use rollcall_domain::port::{PortError, PortErrorClass};

/// The port error of a failed call.
pub(crate) fn failed<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    move |error| {
        let class = match &error {
            SdkError::ServiceError(service) => class_of(service.err().code().unwrap_or("")),
            SdkError::ConstructionFailure(_) => PortErrorClass::Rejected,
            _ => PortErrorClass::Unavailable,
        };
        PortError::new(operation, class, error)
    }
}

fn class_of(code: &str) -> PortErrorClass {
    match code {
        "ConditionalCheckFailedException"
        | "TransactionConflictException"
        | "TransactionCanceledException"
        | "TransactionInProgressException" => PortErrorClass::Conflict,
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "RequestLimitExceeded" => PortErrorClass::Throttled,
        "AccessDeniedException"
        | "ResourceNotFoundException"
        | "ValidationException"
        | "UnrecognizedClientException"
        | "IdempotentParameterMismatchException"
        | "ItemCollectionSizeLimitExceededException" => PortErrorClass::Rejected,
        _ => PortErrorClass::Unavailable,
    }
}

/// Something stored that is not what we store.
pub(crate) fn corrupt<E>(operation: &'static str) -> impl FnOnce(E) -> PortError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |error| PortError::new(operation, PortErrorClass::Corrupt, error)
}
