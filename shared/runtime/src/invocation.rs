//! One invocation: what a handler gets, and how it fails.

use std::fmt::Display;
use std::rc::Rc;

use futures::future::{FutureExt, LocalBoxFuture};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What is known about an invocation beside its payload.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's id of the invocation.
    pub request_id: String,
    /// When Lambda kills it.
    pub deadline: Timestamp,
    /// One id through requests, streams, queues and CRM calls.
    pub trace_id: String,
}

impl Invocation {
    /// How long the invocation may still run.
    pub fn remaining(&self, now: Timestamp) -> SignedDuration {
        self.deadline.duration_since(now)
    }
}

/// A failed invocation, as Lambda and its alarms see it.
#[derive(Debug, thiserror::Error)]
#[error("{error_type}: {message}")]
pub struct Failure {
    /// A stable name of ours that alarms may filter on.
    pub error_type: &'static str,
    /// What failed, with its causes.
    pub message: String,
}

impl Failure {
    /// A failure of the kind `error_type`, with the whole chain of `error`.
    pub fn new(error_type: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self { error_type, message: chain(error) }
    }
}

/// An error's text followed by the texts of its causes.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A prepared handler: payload and invocation in, answer or failure out.
pub type Handler =
    Box<dyn Fn(Value, Invocation) -> LocalBoxFuture<'static, Result<Value, Failure>>>;

/// The handler of a function behind a stream, a queue or a schedule: decodes the event, calls
/// `handle`, encodes its answer.
pub fn event<P, I, O, E, H>(ports: P, handle: H) -> Handler
where
    P: 'static,
    I: DeserializeOwned + 'static,
    O: Serialize + 'static,
    E: std::error::Error + 'static,
    H: AsyncFn(&P, I, &Invocation) -> Result<O, E> + 'static,
{
    let shared = Rc::new((ports, handle));
    Box::new(move |payload, invocation| {
        let shared = Rc::clone(&shared);
        async move {
            let (ports, handle) = shared.as_ref();
            let input = serde_json::from_value(payload).map_err(malformed)?;
            let output = handle(ports, input, &invocation)
                .await
                .map_err(|error| Failure::new("HandlerError", &error))?;
            serde_json::to_value(output).map_err(malformed)
        }
        .boxed_local()
    })
}

fn malformed(error: impl Display) -> Failure {
    Failure { error_type: "MalformedEvent", message: error.to_string() }
}
