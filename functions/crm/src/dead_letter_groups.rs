//! Counts dead letters by their causes, the most frequent first, so that an operator sees one fault
//! where it refused a thousand changes.
//!
//! One answer counts a bounded number of letters. Where there are more, its cursor leads to the counts
//! of the next ones: counts of one fingerprint on several pages are to be added.

use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_crm::desk::{Filed, Group, Kind, grouped};
use rollcall_crm::limits::GROUPED_LETTERS_MAX;
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Context, Cursors, FromRequest, HttpRequest, Operator, Problem, Response};
use rollcall_runtime::declaration::{Operation, Parameter};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, DeadLetterLister};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::letters::{self, Asked};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-groups",
    purpose: "Counts dead letters by their causes.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/dead-letters/groups" })],
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
    cursor: Option<String>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let cursor = request.query_parameter("cursor");
        Ok(Self { asked: Asked::from_request(request)?, cursor })
    }
}

/// Dead letters by cause.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The most frequent cause first.
    groups: Vec<GroupView>,
    /// Where the counts of further letters begin; none where all are counted.
    cursor: Option<String>,
}

/// Dead letters with one cause.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterGroup")]
struct GroupView {
    /// The cause.
    fingerprint: String,
    /// The CRM's category, or why messages were given up.
    category: String,
    /// The CRM's message about the last of them, without personal data.
    message: String,
    /// What they are: `facet`, `milestone`, `message`.
    kinds: BTreeSet<&'static str>,
    /// How many.
    count: usize,
    /// When the first of them was first refused (RFC 3339, UTC).
    first_seen_at: String,
    /// When the last of them was last refused (RFC 3339, UTC).
    last_seen_at: String,
    /// The id of the last of them.
    example: String,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self {
            fingerprint: group.fingerprint,
            category: group.category,
            message: group.message,
            kinds: group.kinds.into_iter().map(Kind::as_str).collect(),
            count: group.count,
            first_seen_at: group.first_seen_at.to_string(),
            last_seen_at: group.last_seen_at.to_string(),
            example: group.example.into(),
        }
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { asked: Asked(filter), cursor }: Input,
) -> Result<Response, DeadLetterGroupsError> {
    let cursors = ports.cursors.filtered(&filter.name());
    let position = cursors.open(cursor.as_deref(), operator, context).await?;
    let page = ports.table.letters(&filter, position.as_deref(), GROUPED_LETTERS_MAX).await?;
    let letters: Vec<Filed> = page.letters;
    let groups = grouped(&letters).into_iter().map(GroupView::from).collect();
    let cursor = cursors.seal(page.position.as_deref(), operator, context).await?;
    Ok(Response::json(200, &Output { groups, cursor }))
}

#[derive(Debug)]
enum DeadLetterGroupsError {
    Cursor(Problem),
    Port(PortError),
}

impl From<Problem> for DeadLetterGroupsError {
    fn from(problem: Problem) -> Self {
        Self::Cursor(problem)
    }
}

impl From<PortError> for DeadLetterGroupsError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<DeadLetterGroupsError> for Problem {
    fn from(error: DeadLetterGroupsError) -> Self {
        match error {
            DeadLetterGroupsError::Cursor(problem) => problem,
            DeadLetterGroupsError::Port(error) => Self::port(&error),
        }
    }
}
