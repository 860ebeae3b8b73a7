//! The HTTP front: AWS JSON 1.0, who is asking, whether they may, and whether a fault is due.
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::access::{self, Access};
use crate::error::ApiError;
use crate::faults::{Fault, split_batch};
use crate::{DynamoDb, stream_api};

/// DynamoDB accepts bodies up to 16 MB.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What programs that wait for the service to be up ask for.
const HEALTHY: &str = "healthy: dynamodb.us-east-1.amazonaws.com ";

static REQUESTS: AtomicU64 = AtomicU64::new(1);

pub(crate) fn router(database: DynamoDb) -> Router {
    Router::new()
        .route("/", post(handle).get(async || HEALTHY))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(database)
}

async fn handle(State(database): State<DynamoDb>, headers: HeaderMap, body: Bytes) -> Response {
    let operation = target(&headers).map_or("", |(_, operation)| operation);
    let answer = if database.faults.hold(operation, &body).await {
        Err(ApiError::internal("the request was held on demand"))
    } else {
        database.answer(&headers, &body)
    };
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (error.status, error.body),
    };
    // AWS's ids have 52 characters of [0-9A-Z].
    let request_id = format!("{:052X}", REQUESTS.fetch_add(1, Ordering::Relaxed));
    let headers =
        [("content-type", "application/x-amz-json-1.0"), ("x-amzn-requestid", request_id.as_str())];
    (status, headers, body).into_response()
}

/// Service and operation of a request.
fn target(headers: &HeaderMap) -> Option<(&str, &str)> {
    headers.get("x-amz-target")?.to_str().ok()?.split_once('.')
}

impl DynamoDb {
    fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, ApiError> {
        let (service, operation) = target(headers).ok_or_else(ApiError::unknown_operation)?;
        let principal = self.iam.principal(headers).ok_or_else(ApiError::unrecognized_client)?;
        let mut request: Value =
            serde_json::from_slice(body).map_err(|error| ApiError::unreadable(&error))?;
        let accesses =
            access::needed(operation, &request).ok_or_else(ApiError::unknown_operation)?;
        for access in &accesses {
            self.iam.authorize(&principal, &access.action, &access.resource)?;
        }
        let unprocessed = self.meet_fault(operation, &mut request, &accesses)?;
        let answer = match service {
            "DynamoDB_20120810" => self.engine.call(operation, request),
            "DynamoDBStreams_20120810" => stream_api::call(&self.engine, operation, request),
            _ => Err(ApiError::unknown_operation()),
        }?;
        match unprocessed {
            Some(rest) => add_unprocessed(operation, &answer, rest),
            None => Ok(answer),
        }
    }

    /// Fails if a fault is due; of a batch, returns the items that must stay unprocessed instead.
    fn meet_fault(
        &self,
        operation: &str,
        request: &mut Value,
        accesses: &[Access],
    ) -> Result<Option<Map<String, Value>>, ApiError> {
        let tables: Vec<&str> = accesses.iter().map(|a| a.table.as_str()).collect();
        let Some((fault, table)) = self.faults.take(operation, &tables) else {
            return Ok(None);
        };
        tracing::info!(operation, table, ?fault, "fault on demand");
        match (operation, fault) {
            ("TransactWriteItems" | "TransactGetItems", _) => {
                Err(fault.cancellation(&tables, &table))
            }
            ("BatchWriteItem" | "BatchGetItem", Fault::TransactionConflict) => Err(fault.error()),
            ("BatchWriteItem" | "BatchGetItem", _) => match split_batch(request, &table) {
                Some(rest) => Ok(Some(rest)),
                None => Err(fault.error()),
            },
            _ => Err(fault.error()),
        }
    }
}

fn add_unprocessed(
    operation: &str,
    answer: &str,
    rest: Map<String, Value>,
) -> Result<String, ApiError> {
    let mut answer: Value =
        serde_json::from_str(answer).map_err(|error| ApiError::internal(&error.to_string()))?;
    let member = match operation {
        "BatchGetItem" => "UnprocessedKeys",
        _ => "UnprocessedItems",
    };
    if let Some(answer) = answer.as_object_mut() {
        answer.insert(member.to_owned(), Value::Object(rest));
    }
    Ok(answer.to_string())
}
