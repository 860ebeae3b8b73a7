//! Ends a connection with another member, whatever it is: takes back what the caller asked for,
//! declines what the other one asked for, or parts two who were connected. It is gone on both sides at
//! once. Ending what is not there changes nothing.

use rollcall_edge::problem::{CONFLICT, NOT_FOUND};
use rollcall_edge::{Caller, Context, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::users::{Disconnector, UserReader};
use rollcall_store::{Capability, PortError, PortErrorClass};

use crate::user_connect::Input;

/// How often an end is stored at most, when the other side changes the connection at the same moment.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-disconnect",
    purpose: "Ends a connection with another member, or declines one.",
    triggers: &[Trigger::Http(Route { method: Method::Delete, path: "/users/{username}/connect" })],
    grants: &[UserReader::GRANTS, Disconnector::GRANTS],
    operation: Operation { problems: &[&NOT_FOUND, &CONFLICT], ..Operation::EMPTY },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    users: UserReader,
    connector: Disconnector,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { users: startup.capability()?, connector: startup.capability()? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    _context: &Context,
    input: Input,
) -> Result<Response, DisconnectError> {
    let other = ports.users.find_by_username(&input.username).await?;
    let other = other.ok_or(DisconnectError::NotFound)?.id;
    for _attempt in 0..STORE_ATTEMPTS_MAX {
        let Some(side) = ports.connector.find(&caller.user, &other).await? else {
            return Ok(Response::no_content());
        };
        match ports.connector.remove(&side).await {
            Ok(()) => return Ok(Response::no_content()),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DisconnectError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum DisconnectError {
    #[error("nobody goes by this name")]
    NotFound,
    #[error("the other side changed the connection again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DisconnectError> for Problem {
    fn from(error: DisconnectError) -> Self {
        match error {
            DisconnectError::NotFound => Self::new(&NOT_FOUND),
            DisconnectError::Contended => Self::new(&CONFLICT),
            DisconnectError::Port(error) => Self::port(&error),
        }
    }
}
