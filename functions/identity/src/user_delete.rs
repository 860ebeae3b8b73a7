//! Takes the caller's wish to be erased. For seven days they may call it off
//! ([`crate::user_restore`]); then everything that is kept of them goes, here and in the CRM
//! ([`crate::user_erase`]).
//!
//! Asking again does not put the day off. The caller is told by a mail that the same transaction
//! writes, and stays signed in, so that a wish which somebody else uttered at an open browser can be
//! called off from any of the caller's devices.

use rollcall_domain::audit::Action;
use rollcall_domain::standing::Standing;
use rollcall_domain::user::User;
use rollcall_edge::problem::{CONFLICT, UNAUTHENTICATED};
use rollcall_edge::{Caller, Context, NoInput, Response};
use rollcall_runtime::declaration::{Operation, RateClass};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::users::ErasureArranger;
use schemars::JsonSchema;
use serde::Serialize;

use crate::leaving::{Accounts, LeavingError};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-delete",
    purpose: "Arranges that the caller's account is erased after seven days.",
    triggers: &[Trigger::Http(Route { method: Method::Delete, path: "/users/me" })],
    rate: RateClass::Credential,
    grants: &[ErasureArranger::GRANTS],
    operation: Operation {
        success_status: 202,
        response: Some(schema::<Output>),
        problems: &[&UNAUTHENTICATED, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    accounts: Accounts<ErasureArranger>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { accounts: Accounts::new(startup)? })
    }
}

/// An account that is going to be erased.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Leaving")]
struct Output {
    /// When everything is erased (RFC 3339, UTC); until then the wish can be called off.
    erase_at: Option<String>,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    _input: NoInput,
) -> Result<Response, LeavingError> {
    let leave = |user: User| match user.standing {
        Standing::Leaving { .. } => Ok(user),
        Standing::Active | Standing::Suspended { .. } => user.leave(context.now),
    };
    let user = ports.accounts.change(caller, context, Action::ErasureAsked, leave).await?;
    let erase_at = user.standing.erase_at().map(|at| at.to_string());
    Ok(Response::json(202, &Output { erase_at }))
}
