//! Calls off what [`crate::user_delete`] arranged, as long as the seven days are not over.

use rollcall_domain::audit::Action;
use rollcall_domain::user::User;
use rollcall_edge::problem::{CONFLICT, UNAUTHENTICATED};
use rollcall_edge::{Caller, Context, NoInput, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::users::StandingWriter;

use crate::leaving::{Accounts, LeavingError, NOT_LEAVING};
use crate::user_view::{self, ProfileView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-restore",
    purpose: "Calls off the erasure of the caller's account.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/users/me/restore" })],
    grants: &[StandingWriter::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<ProfileView>),
        problems: &[&UNAUTHENTICATED, &NOT_LEAVING, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    accounts: Accounts<StandingWriter>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { accounts: Accounts::new(startup)? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    _input: NoInput,
) -> Result<Response, LeavingError> {
    let stay = |user: User| user.stay(context.now);
    let user = ports.accounts.change(caller, context, Action::ErasureCalledOff, stay).await?;
    Ok(user_view::answer(&user, context.now))
}
