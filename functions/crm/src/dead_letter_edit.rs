//! Sends a refused facet again with properties that an operator replaced or left out.
//!
//! What the operator replaces is a correction of the one state that was refused: it is applied while
//! the user's state is that one, and means nothing as soon as it changes. The letter keeps what was
//! refused, and a note about the replacements; the values themselves stand with the user, where an
//! erasure finds them.

use std::collections::BTreeMap;

use rollcall_crm::dead_letter::Status;
use rollcall_crm::desk::{About, Edit, Edited, Filed, InvalidEdit};
use rollcall_domain::id::DeadLetterId;
use rollcall_edge::problem::{INVALID, NOT_FOUND};
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Principal, Problem, Response};
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{DeadLetterEditor, Replay};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::letters::{self, DEAD_LETTER_CLOSED, Replayer, Replaying};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-edit",
    purpose: "Sends a facet that the CRM refused again with other properties.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/dead-letters/{id}/edit",
    })],
    grants: &[DeadLetterEditor::GRANTS, &[Grant::send(Queue::CrmDrain)]],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 202,
        response: Some(schema::<Replaying>),
        problems: &[&NOT_FOUND, &DEAD_LETTER_CLOSED, &NOT_EDITABLE, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// There are no properties to replace.
static NOT_EDITABLE: ProblemKind = ProblemKind {
    code: "not-editable",
    status: 409,
    title: "The dead letter is about no facet, so it has no properties.",
    advice: "Replay it as it is, or discard it.",
};

struct Ports {
    replayer: Replayer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadLetterEditor>()?.table();
        Ok(Self { replayer: Replayer::new(startup, table)? })
    }
}

/// What is replaced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLetterEdit")]
struct Body {
    /// New values by the names of properties of the letter's facet; null leaves a property out.
    properties: BTreeMap<String, Option<String>>,
}

struct Input {
    id: DeadLetterId,
    properties: BTreeMap<String, Option<String>>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let letters::Input(id) = letters::Input::from_request(request)?;
        let Body { properties } = request.json()?;
        Ok(Self { id, properties })
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { id, properties }: Input,
) -> Result<Response, DeadLetterEditError> {
    let replayer = &ports.replayer;
    let letter = replayer.table.letter(&id).await?.ok_or(DeadLetterEditError::NotFound)?;
    let edit = edit(ports, &letter, properties).await?;
    let (by, at) = (operator.name().to_owned(), context.now);
    let note = Edited { by, at, properties: edit.sketched() };
    let replay = Replay::Edited(&edit, &note);
    if !replayer.replay(&letter, replay, (operator, context)).await? {
        return Err(DeadLetterEditError::Closed);
    }
    replayer.wake().await;
    let output = Replaying { id: id.into(), status: Status::Replaying.as_str() };
    Ok(Response::json(202, &output))
}

/// The replacements in the state that `letter` is about.
async fn edit(
    ports: &Ports,
    letter: &Filed,
    properties: BTreeMap<String, Option<String>>,
) -> Result<Edit, DeadLetterEditError> {
    let About::Change { user, facet, milestone: None } = &letter.about else {
        return Err(DeadLetterEditError::NotEditable);
    };
    let ledger = ports.replayer.table.sync_of(user).await?.ledger.unwrap_or_default();
    let refused = ledger.facet(*facet).refused.filter(|refused| refused.dead_letter == letter.id);
    let refused = refused.ok_or(DeadLetterEditError::Closed)?;
    Ok(Edit::new(*facet, refused.hash, properties)?)
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterEditError {
    #[error("no such dead letter")]
    NotFound,
    #[error("the dead letter is not open")]
    Closed,
    #[error("the dead letter is about no facet")]
    NotEditable,
    #[error(transparent)]
    Invalid(#[from] InvalidEdit),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterEditError> for Problem {
    fn from(error: DeadLetterEditError) -> Self {
        match error {
            DeadLetterEditError::NotFound => Self::new(&NOT_FOUND),
            DeadLetterEditError::Closed => Self::new(&DEAD_LETTER_CLOSED),
            DeadLetterEditError::NotEditable => Self::new(&NOT_EDITABLE),
            DeadLetterEditError::Invalid(InvalidEdit { property, fault }) => {
                let property = property.replace('~', "~0").replace('/', "~1");
                let pointer = match property.as_str() {
                    "" => "/properties".to_owned(),
                    name => format!("/properties/{name}"),
                };
                Self::invalid(pointer, fault.code(), &fault)
            }
            DeadLetterEditError::Port(error) => Self::port(&error),
        }
    }
}
