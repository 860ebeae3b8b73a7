//! Takes an open dead letter off the desk for good: nothing will be done about it. What was refused
//! stays refused until it changes; when something else of the same facet is refused then, the letter
//! is opened again.

use std::sync::Arc;

use rollcall_crm::dead_letter::Status;
use rollcall_crm::desk::{Discarded, Filed};
use rollcall_crm::limits::REASON_CHARACTERS_MAX;
use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::id::DeadLetterId;
use rollcall_domain::random::Random;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Principal, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, DeadLetterReplayer};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::letters::{self, DEAD_LETTER_CLOSED, LetterView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-discard",
    purpose: "Takes a dead letter off the desk without doing anything about it.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/dead-letters/{id}/discard",
    })],
    grants: &[DeadLetterReplayer::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<LetterView>),
        problems: &[&NOT_FOUND, &DEAD_LETTER_CLOSED, &CONFLICT, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

struct Ports {
    table: Arc<CrmTable>,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadLetterReplayer>()?.table();
        Ok(Self { table, random: startup.random() })
    }
}

/// Why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Discard")]
struct Body {
    /// For whoever reads the letter later: 1 to 500 characters, without personal data.
    reason: String,
}

#[derive(Debug)]
struct Input {
    id: DeadLetterId,
    reason: String,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let letters::Input(id) = letters::Input::from_request(request)?;
        let Body { reason } = request.json()?;
        let reason = reason.trim().to_owned();
        if !(1..=REASON_CHARACTERS_MAX).contains(&reason.chars().count()) {
            let detail = format!("must be 1 to {REASON_CHARACTERS_MAX} characters");
            return Err(Problem::invalid("/reason", "invalid-text", &detail));
        }
        Ok(Self { id, reason })
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { id, reason }: Input,
) -> Result<Response, DeadLetterDiscardError> {
    let table = &ports.table;
    let letter = table.letter(&id).await?.ok_or(DeadLetterDiscardError::NotFound)?;
    if letter.status != Status::Open {
        return Err(DeadLetterDiscardError::Closed);
    }
    let note = Discarded { by: operator.name().to_owned(), at: context.now, reason };
    let told = (operator.actor(), Action::DeadLetterDiscarded, Subject::DeadLetter(id.clone()));
    let entry = Entry::new(told, &context.trace_id, context.now, &*ports.random);
    if !table.discard(&letter, &note, &entry).await? {
        return Err(DeadLetterDiscardError::Meanwhile);
    }
    let letter = Filed { status: Status::Discarded, discarded: Some(note), ..letter };
    Ok(Response::json(200, &LetterView::from(letter)))
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterDiscardError {
    #[error("no such dead letter")]
    NotFound,
    #[error("the dead letter is not open")]
    Closed,
    #[error("somebody acts on the letter, or is sending about its user")]
    Meanwhile,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterDiscardError> for Problem {
    fn from(error: DeadLetterDiscardError) -> Self {
        match error {
            DeadLetterDiscardError::NotFound => Self::new(&NOT_FOUND),
            DeadLetterDiscardError::Closed => Self::new(&DEAD_LETTER_CLOSED),
            DeadLetterDiscardError::Meanwhile => Self::new(&CONFLICT),
            DeadLetterDiscardError::Port(error) => Self::port(&error),
        }
    }
}
