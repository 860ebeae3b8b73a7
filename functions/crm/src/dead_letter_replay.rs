//! Sends a refused change again, after somebody has seen to its cause. The request only marks it:
//! the drain sends the newest state, not the one that was refused, and closes the dead letter or
//! opens it again.
//!
//! Only an open dead letter is replayed, and replaying takes it off the desk in the same transaction,
//! so a repetition of a request whose process died before its answer was kept has no second effect:
//! it hears that nothing has to be done.

use std::sync::Arc;

use rollcall_crm::dead_letter::Status;
use rollcall_crm::pending::{Dirty, Reason};
use rollcall_crm::port::DeadLetterStore;
use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::id::DeadLetterId;
use rollcall_domain::random::Random;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Principal, Problem, Response};
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::{Idempotency, Operation, ProblemKind};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::DeadLetterReplayer;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::waiting::Waiting;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-replay",
    purpose: "Sends a change that the CRM refused again.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/dead-letters/{id}/replay",
    })],
    idempotency: Idempotency::Optional,
    grants: &[DeadLetterReplayer::GRANTS, &[Grant::send(Queue::CrmDrain)]],
    operation: Operation {
        success_status: 202,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &DEAD_LETTER_CLOSED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// There is nothing to replay.
pub static DEAD_LETTER_CLOSED: ProblemKind = ProblemKind {
    code: "dead-letter-closed",
    status: 409,
    title: "The dead letter is not open.",
    advice: "Nothing has to be done: it is being replayed, or a later change has settled it.",
};

struct Ports {
    waiting: Waiting,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadLetterReplayer>()?.table();
        Ok(Self { waiting: Waiting::new(startup, table)?, random: startup.random() })
    }
}

#[derive(Debug)]
struct Input(DeadLetterId);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = request.path_parameter("id").parse();
        id.map(Self).map_err(|_error| Problem::new(&NOT_FOUND))
    }
}

/// A dead letter that is being sent again.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Which.
    id: String,
    /// `replaying`.
    status: &'static str,
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input(id): Input,
) -> Result<Response, DeadLetterReplayError> {
    let waiting = &ports.waiting;
    let letter = waiting.table.find(&id).await?.ok_or(DeadLetterReplayError::NotFound)?;
    let dirty = Dirty {
        user: letter.user.clone(),
        facet: letter.facet,
        trace_id: Some(context.trace_id.clone()),
    };
    let mark = waiting.mark(dirty, Reason::Replay);
    let action = Action::DeadLetterReplayed { user: letter.user.clone(), facet: letter.facet };
    let told = (operator.actor(), action, Subject::DeadLetter(id.clone()));
    let entry = Entry::new(told, &context.trace_id, context.now, &*ports.random);
    if letter.status != Status::Open || !waiting.table.replay(&letter, &mark, &entry).await? {
        return Err(DeadLetterReplayError::Closed);
    }
    tracing::info!(dead_letter = %id, operator = operator.name(), "a dead letter is replayed");
    if let Err(error) = waiting.wake().await {
        tracing::warn!(error = chain(&error), "the drain will only look at its next minute");
    }
    let output = Output { id: id.into(), status: Status::Replaying.as_str() };
    Ok(Response::json(202, &output))
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterReplayError {
    #[error("no such dead letter")]
    NotFound,
    #[error("the dead letter is not open")]
    Closed,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterReplayError> for Problem {
    fn from(error: DeadLetterReplayError) -> Self {
        match error {
            DeadLetterReplayError::NotFound => Self::new(&NOT_FOUND),
            DeadLetterReplayError::Closed => Self::new(&DEAD_LETTER_CLOSED),
            DeadLetterReplayError::Port(error) => Self::port(&error),
        }
    }
}
