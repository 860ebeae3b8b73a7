//! Lists open dead letters for an operator, the last refused first. What they show of a request is
//! property names and hashes, since more people read it than may read the contact.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_crm::dead_letter::DeadLetter;
use rollcall_crm::port::DeadLetterStore;
use rollcall_edge::cursor::PAGE_PARAMETERS;
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Context, Cursors, Operator, Page, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, DeadLetterLister};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-list",
    purpose: "Lists changes that the CRM refused and a person has to look at.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/dead-letters" })],
    grants: &[DeadLetterLister::GRANTS, Cursors::GRANTS],
    operation: Operation {
        query: PAGE_PARAMETERS,
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

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

/// A page of open dead letters.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The last refused first.
    dead_letters: Vec<DeadLetterView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

/// A change that the CRM refused.
#[derive(Debug, Serialize, JsonSchema)]
struct DeadLetterView {
    /// The id.
    id: String,
    /// Whose change.
    user_id: String,
    /// Of which facet: `identity` or `learning`.
    facet: &'static str,
    /// The milestone that was refused, if it was one and not the facet: such as `signed_in`.
    milestone: Option<&'static str>,
    /// `open`.
    status: &'static str,
    /// The CRM's category.
    category: String,
    /// The CRM's message, without personal data.
    message: String,
    /// The same for refusals with the same cause.
    fingerprint: String,
    /// What was sent: of each property the length of its value and the start of its hash.
    request: BTreeMap<String, String>,
    /// When it was first refused (RFC 3339, UTC).
    first_seen_at: String,
    /// When it was last refused (RFC 3339, UTC).
    last_seen_at: String,
    /// How often it was refused.
    tries: u32,
    /// The version of the program that sent it last.
    function_version: String,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id.into(),
            user_id: letter.user.into(),
            facet: letter.facet.as_str(),
            milestone: letter.milestone.map(|milestone| milestone.kind.as_str()),
            status: letter.status.as_str(),
            category: letter.cause.category,
            message: letter.cause.message,
            fingerprint: letter.cause.fingerprint,
            request: letter.cause.request,
            first_seen_at: letter.first_seen_at.to_string(),
            last_seen_at: letter.last_seen_at.to_string(),
            tries: letter.tries,
            function_version: letter.function_version,
        }
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    page: Page,
) -> Result<Response, DeadLetterListError> {
    let cursors = &ports.cursors;
    let position = cursors.open(page.cursor.as_deref(), operator, context).await?;
    let page = ports.table.open(page.limit, position.as_deref()).await?;
    let dead_letters = page.dead_letters.into_iter().map(DeadLetterView::from).collect();
    let cursor = cursors.seal(page.cursor.as_deref(), operator, context).await?;
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
