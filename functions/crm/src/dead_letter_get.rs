//! Shows one dead letter, whatever became of it.

use std::sync::Arc;

use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, Operator, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, DeadLetterFinder};
use rollcall_store::{Capability, PortError};

use crate::letters::{Input, LetterView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-get",
    purpose: "Shows one dead letter.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/dead-letters/{id}" })],
    grants: &[DeadLetterFinder::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<LetterView>),
        problems: &[&NOT_FOUND],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

struct Ports {
    table: Arc<CrmTable>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { table: startup.capability::<DeadLetterFinder>()?.table() })
    }
}

async fn handle(
    ports: &Ports,
    _operator: &Operator,
    _context: &Context,
    Input(id): Input,
) -> Result<Response, DeadLetterGetError> {
    let letter = ports.table.letter(&id).await?.ok_or(DeadLetterGetError::NotFound)?;
    Ok(Response::json(200, &LetterView::from(letter)))
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterGetError {
    #[error("no such dead letter")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterGetError> for Problem {
    fn from(error: DeadLetterGetError) -> Self {
        match error {
            DeadLetterGetError::NotFound => Self::new(&NOT_FOUND),
            DeadLetterGetError::Port(error) => Self::port(&error),
        }
    }
}
