//! Asks another member for a connection. When the other one asked before, the two are connected: to
//! accept is to ask as well. Asking twice changes nothing, so a request may be sent again.
//!
//! Whoever may not be seen by members cannot be asked, and looks like nobody.

use rollcall_domain::connection::{Connection, ConnectionState, WithOneself};
use rollcall_domain::profile::Audience;
use rollcall_domain::time::date;
use rollcall_domain::username::Username;
use rollcall_edge::problem::{CONFLICT, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::users::{Connector, UserReader};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::Serialize;

/// How often a connection is stored at most, when the other side changes it at the same moment.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// Nobody is connected to themselves.
static CONNECTION_WITH_ONESELF: ProblemKind = ProblemKind {
    code: "connection-with-oneself",
    status: 409,
    title: "Nobody is connected to themselves.",
    advice: "Name another member.",
};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-connect",
    purpose: "Asks another member for a connection, or accepts one.",
    triggers: &[Trigger::Http(Route { method: Method::Put, path: "/users/{username}/connect" })],
    grants: &[UserReader::GRANTS, Connector::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &CONNECTION_WITH_ONESELF, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    users: UserReader,
    connector: Connector,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { users: startup.capability()?, connector: startup.capability()? })
    }
}

/// Whom a connection is with, from the path.
pub(crate) struct Input {
    /// The other one's name.
    pub(crate) username: Username,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let username = request.path_parameter("username").parse();
        Ok(Self { username: username.map_err(|_error| Problem::new(&NOT_FOUND))? })
    }
}

/// How the connection stands now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConnectionState")]
struct Output {
    /// `asked` until the other one asks as well; `connected` from then on.
    state: &'static str,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, ConnectError> {
    let other = ports.users.find_by_username(&input.username).await?;
    let today = date(context.now);
    let other = other.filter(|other| other.shown_to(Audience::Member, today).is_some());
    let other = other.ok_or(ConnectError::NotFound)?.id;
    for _attempt in 0..STORE_ATTEMPTS_MAX {
        let before = ports.connector.find(&caller.user, &other).await?;
        let Some(after) = Connection::ask(&caller.user, &other, before.as_ref(), context.now)?
        else {
            let state = before.map_or(ConnectionState::Asked, |before| before.state);
            return Ok(Output::of(state));
        };
        match ports.connector.store(&after, &context.trace_id).await {
            Ok(()) => return Ok(Output::of(after.state)),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ConnectError::Contended)
}

impl Output {
    fn of(state: ConnectionState) -> Response {
        Response::json(200, &Self { state: state.as_str() })
    }
}

#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("nobody whom the caller may see goes by this name")]
    NotFound,
    #[error(transparent)]
    WithOneself(#[from] WithOneself),
    #[error("the other side changed the connection again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotFound => Self::new(&NOT_FOUND),
            ConnectError::WithOneself(WithOneself) => Self::new(&CONNECTION_WITH_ONESELF),
            ConnectError::Contended => Self::new(&CONFLICT),
            ConnectError::Port(error) => Self::port(&error),
        }
    }
}
