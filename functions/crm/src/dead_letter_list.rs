//! Lists dead letters for an operator: those that are open unless another status is asked for, the
//! last refused first.
//!
//! A page may hold fewer letters than it could and yet have a next one, where a filter passes over
//! many: the table is read up to a bound for each page, and the cursor goes on from there.

use std::sync::Arc;

use rollcall_edge::problem::INVALID;
use rollcall_edge::{
    Context, Cursors, FromRequest, HttpRequest, Operator, Page, Problem, Response,
};
use rollcall_runtime::declaration::{Operation, Parameter};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, DeadLetterLister};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::letters::{self, Asked, LetterView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-list",
    purpose: "Lists changes and messages that a person has to look at.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/dead-letters" })],
    grants: &[DeadLetterLister::GRANTS, Cursors::GRANTS],
    operation: Operation {
        query: PARAMETERS,
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

const PARAMETERS: &[Parameter] = &[
    letters::STATUS,
    letters::KIND,
    letters::FINGERPRINT,
    letters::FACET,
    letters::USER,
    letters::SINCE,
    Parameter { name: "limit", description: "How many to list: 1 to 100, 20 by default." },
    Parameter { name: "cursor", description: "Where to go on: `cursor` of the page before." },
];

struct Ports {
    table: Arc<CrmTable>,
    cursors: Cursors,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadLetterLister>()?.table();
        Ok(Self { table, cursors: Cursors::new(startup)? })
    }
}

#[derive(Debug)]
struct Input {
    asked: Asked,
    page: Page,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let page = Page::from_request(request)?;
        Ok(Self { asked: Asked::from_request(request)?, page })
    }
}

/// A page of dead letters.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// By status, and within a status the last refused first.
    dead_letters: Vec<LetterView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { asked: Asked(filter), page }: Input,
) -> Result<Response, DeadLetterListError> {
    let cursors = ports.cursors.filtered(&filter.name());
    let position = cursors.open(page.cursor.as_deref(), operator, context).await?;
    let page = ports.table.letters(&filter, position.as_deref(), page.limit).await?;
    let dead_letters = page.letters.into_iter().map(LetterView::from).collect();
    let cursor = cursors.seal(page.position.as_deref(), operator, context).await?;
    Ok(Response::json(200, &Output { dead_letters, cursor }))
}

#[derive(Debug)]
enum DeadLetterListError {
    Cursor(Problem),
    Port(PortError),
}

impl From<Problem> for DeadLetterListError {
    fn from(problem: Problem) -> Self {
        Self::Cursor(problem)
    }
}

impl From<PortError> for DeadLetterListError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<DeadLetterListError> for Problem {
    fn from(error: DeadLetterListError) -> Self {
        match error {
            DeadLetterListError::Cursor(problem) => problem,
            DeadLetterListError::Port(error) => Self::port(&error),
        }
    }
}
