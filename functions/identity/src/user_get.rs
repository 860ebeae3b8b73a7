//! Shows the caller their own profile, all of it, with the entity tag that a change has to name.

use rollcall_edge::problem::UNAUTHENTICATED;
use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::users::UserReader;
use rollcall_store::{Capability, PortError};

use crate::user_view::{self, ProfileView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-get",
    purpose: "Shows the caller their own profile.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/users/me" })],
    grants: &[UserReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<ProfileView>),
        problems: &[&UNAUTHENTICATED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    users: UserReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { users: startup.capability()? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    _input: NoInput,
) -> Result<Response, UserGetError> {
    let user = ports.users.find(&caller.user).await?;
    Ok(user_view::answer(&user.ok_or(UserGetError::Gone)?, context.now))
}

#[derive(Debug, thiserror::Error)]
enum UserGetError {
    #[error("the account is gone")]
    Gone,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<UserGetError> for Problem {
    fn from(error: UserGetError) -> Self {
        match error {
            UserGetError::Gone => Self::new(&UNAUTHENTICATED),
            UserGetError::Port(error) => Self::port(&error),
        }
    }
}
