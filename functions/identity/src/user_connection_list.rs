//! Lists the caller's connections, those first whose other side joined last: all of them, or those in
//! one state. A page is full unless it is the last one.
//!
//! Of the other one it shows what any member sees, at the time of the call.

use rollcall_domain::connection::{Connection, ConnectionState};
use rollcall_domain::id::UserId;
use rollcall_domain::profile::Audience;
use rollcall_domain::time::{Date, date};
use rollcall_domain::user::User;
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Caller, Context, Cursors, FromRequest, HttpRequest, Page, Problem, Response};
use rollcall_runtime::declaration::{Operation, Parameter};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::users::ConnectionLister;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::user_public::PublicView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-connection-list",
    purpose: "Lists the caller's connections.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/users/me/connections" })],
    grants: &[ConnectionLister::GRANTS, Cursors::GRANTS],
    operation: Operation {
        query: &[
            Parameter {
                name: "state",
                description: "Only these: `connected`, `asked` by the caller, or `asked_by` the other one.",
            },
            Parameter { name: "limit", description: "How many to list: 1 to 100, 20 by default." },
            Parameter {
                name: "cursor",
                description: "Where to go on: `cursor` of the page before.",
            },
        ],
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    lister: ConnectionLister,
    cursors: Cursors,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { lister: startup.capability()?, cursors: Cursors::new(startup)? })
    }
}

struct Input {
    state: Option<ConnectionState>,
    page: Page,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let state = match request.query_parameter("state") {
            None => None,
            Some(name) => Some(ConnectionState::named(&name).ok_or_else(|| {
                let detail = "must be connected, asked or asked_by";
                Problem::invalid("query:state", "unknown-state", &detail)
            })?),
        };
        Ok(Self { state, page: Page::from_request(request)? })
    }
}

/// A page of connections.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Connections")]
struct Output {
    /// The connections.
    connections: Vec<ConnectionView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

/// A connection.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Connection")]
struct ConnectionView {
    /// `asked` by the caller, `asked_by` the other one, or `connected`.
    state: &'static str,
    /// Since when (RFC 3339, UTC).
    since: String,
    /// What members see of the other one; null when that is nothing.
    user: Option<PublicView>,
}

impl ConnectionView {
    fn new((side, other): (Connection, Option<User>), today: Date) -> Self {
        let shown = other.and_then(|other| other.shown_to(Audience::Member, today));
        Self {
            state: side.state.as_str(),
            since: side.since.to_string(),
            user: shown.map(PublicView::from),
        }
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, ConnectionListError> {
    let Input { state, page } = input;
    let cursors = ports.cursors.filtered(state.map_or("", ConnectionState::as_str));
    let position = cursors.open(page.cursor.as_deref(), caller, context).await?;
    let after = position.as_deref().and_then(|id| id.parse::<UserId>().ok());
    let found = ports.lister.list(&caller.user, state, after.as_ref(), page.limit).await?;
    let next = found.next.as_ref().map(UserId::as_str);
    let cursor = cursors.seal(next, caller, context).await?;
    let today = date(context.now);
    let view = |connection| ConnectionView::new(connection, today);
    let connections = found.connections.into_iter().map(view).collect();
    Ok(Response::json(200, &Output { connections, cursor }))
}

#[derive(Debug)]
enum ConnectionListError {
    Cursor(Problem),
    Port(PortError),
}

impl From<Problem> for ConnectionListError {
    fn from(problem: Problem) -> Self {
        Self::Cursor(problem)
    }
}

impl From<PortError> for ConnectionListError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<ConnectionListError> for Problem {
    fn from(error: ConnectionListError) -> Self {
        match error {
            ConnectionListError::Cursor(problem) => problem,
            ConnectionListError::Port(error) => Self::port(&error),
        }
    }
}
