//! The AWS JSON protocol: one `POST` per call, the action in `X-Amz-Target`, errors with `__type`.
//!
//! SQS speaks version 1.0, Secrets Manager and Systems Manager 1.1 ("AWS JSON 1.0 protocol",
//! Smithy specification). A caller is who its access key says, and IAM decides before anything else.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use rollcall_local_kit::Principal;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::queues::error::QueueError;
use crate::{Messages, new_id, parameters, secrets, sqs};

/// Larger than any request that a service accepts, whatever its JSON escapes.
const REQUEST_BYTES_MAX: usize = 16 * 1_048_576;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Sqs,
    SecretsManager,
    SystemsManager,
}

/// A refusal as it goes out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub(crate) struct Fault {
    pub(crate) status: u16,
    /// The `__type` of the body.
    pub(crate) kind: &'static str,
    /// The code in `x-amzn-query-error`, which SQS alone sends.
    pub(crate) query: &'static str,
    pub(crate) message: String,
}

impl Fault {
    /// A refusal that the caller can mend.
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, kind, query: kind, message: message.into() }
    }

    fn unknown_caller(service: Service) -> Self {
        let message = "The security token included in the request is invalid.";
        match service {
            Service::Sqs => Self {
                status: 403,
                kind: "com.amazon.coral.service#UnrecognizedClientException",
                query: "InvalidClientTokenId",
                message: message.to_owned(),
            },
            Service::SecretsManager | Service::SystemsManager => {
                Self::new("UnrecognizedClientException", message)
            }
        }
    }
}

impl From<QueueError> for Fault {
    fn from(error: QueueError) -> Self {
        let codes = error.codes();
        Self {
            status: codes.status,
            kind: codes.kind,
            query: codes.query,
            message: error.to_string(),
        }
    }
}

/// One authenticated call.
pub(crate) struct Call<'a> {
    pub(crate) messages: &'a Messages,
    pub(crate) principal: Principal,
    service: Service,
    body: Value,
}

impl Call<'_> {
    /// The input of the action.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(&self.body).map_err(|error| Fault {
            query: "MalformedInput",
            ..Fault::new("com.amazon.coral.service#SerializationException", error.to_string())
        })
    }

    /// Lets the call pass, or refuses it as IAM does.
    pub(crate) fn authorize(&self, action: &str, resource: &str) -> Result<(), Fault> {
        let iam = &self.messages.shared.iam;
        let Err(denied) = iam.authorize(&self.principal, action, resource) else {
            return Ok(());
        };
        let message =
            format!("{denied} because no identity-based policy allows the {action} action");
        let fault = Fault::new("AccessDeniedException", message);
        Err(match self.service {
            Service::Sqs => Fault {
                status: 403,
                kind: "com.amazon.coral.service#AccessDeniedException",
                query: "AccessDenied",
                ..fault
            },
            Service::SecretsManager | Service::SystemsManager => fault,
        })
    }
}

/// Serves one request of any of the services.
pub(crate) async fn serve(State(messages): State<Messages>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let (service, action) = match target.and_then(|target| target.split_once('.')) {
        Some(("AmazonSQS", action)) => (Service::Sqs, action),
        Some(("secretsmanager", action)) => (Service::SecretsManager, action),
        Some(("AmazonSSM", action)) => (Service::SystemsManager, action),
        _ => return render(Service::Sqs, Err(unknown_action())),
    };
    let result = match authenticate(&messages, service, &parts.headers, body).await {
        Ok(call) => dispatch(&call, action).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = &result {
        tracing::debug!(action, code = fault.kind, status = fault.status, "refused");
    }
    render(service, result)
}

/// What an action that does not exist here is answered with.
pub(crate) fn unknown_action() -> Fault {
    Fault {
        query: "InvalidAction",
        ..Fault::new(
            "com.amazon.coral.service#UnknownOperationException",
            "The requested operation is not supported.",
        )
    }
}

async fn authenticate<'a>(
    messages: &'a Messages,
    service: Service,
    headers: &HeaderMap,
    body: Body,
) -> Result<Call<'a>, Fault> {
    let principal = messages.shared.iam.principal(headers);
    let principal = principal.ok_or_else(|| Fault::unknown_caller(service))?;
    let malformed = |message: String| Fault {
        query: "MalformedInput",
        ..Fault::new("com.amazon.coral.service#SerializationException", message)
    };
    let bytes =
        to_bytes(body, REQUEST_BYTES_MAX).await.map_err(|error| malformed(error.to_string()))?;
    let body = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    Ok(Call { messages, principal, service, body })
}

async fn dispatch(call: &Call<'_>, action: &str) -> Result<Value, Fault> {
    match call.service {
        Service::Sqs => sqs::act(call, action).await,
        Service::SecretsManager => secrets::act(call, action),
        Service::SystemsManager => parameters::act(call, action),
    }
}

fn render(service: Service, result: Result<Value, Fault>) -> Response {
    let content_type = match service {
        Service::Sqs => "application/x-amz-json-1.0",
        Service::SecretsManager | Service::SystemsManager => "application/x-amz-json-1.1",
    };
    let builder = Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header("x-amzn-requestid", new_id());
    let response = match result {
        Ok(output) => builder.body(Body::from(output.to_string())),
        Err(fault) => {
            let body = json!({ "__type": fault.kind, "message": fault.message });
            let builder = builder.status(fault.status);
            let builder = match service {
                Service::Sqs => {
                    builder.header("x-amzn-query-error", format!("{};Sender", fault.query))
                }
                Service::SecretsManager | Service::SystemsManager => builder,
            };
            builder.body(Body::from(body.to_string()))
        }
    };
    response.unwrap_or_else(|error| {
        tracing::error!(%error, "a response could not be built");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
