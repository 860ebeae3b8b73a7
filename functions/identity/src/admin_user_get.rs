//! Shows an administrator one user, with the entity tag that a change has to name.

use futures::future::try_join;
use rollcall_domain::role::Role;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::sessions::SessionLister;
use rollcall_store::users::UserDesk;
use rollcall_store::{Capability, PortError};

use crate::admin_account::{ACCOUNT_MERGED, AccountInput, NoAccount, account};
use crate::admin_user_view::{self, UserView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "admin-user-get",
    purpose: "Shows an administrator one user.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/users/{id}" })],
    access: Access::Role(Role::Admin),
    grants: &[UserDesk::GRANTS, SessionLister::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<UserView>),
        problems: &[&NOT_FOUND, &ACCOUNT_MERGED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    users: UserDesk,
    sessions: SessionLister,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { users: startup.capability()?, sessions: startup.capability()? })
    }
}

async fn handle(
    ports: &Ports,
    _caller: &Caller,
    context: &Context,
    AccountInput(id): AccountInput,
) -> Result<Response, AdminUserGetError> {
    let user = account(&ports.users, &id).await?;
    let (identities, sessions) =
        try_join(ports.users.identities(&user), ports.sessions.list(&id, context.now)).await?;
    Ok(admin_user_view::answer(&user, identities, sessions.len()))
}

#[derive(Debug, thiserror::Error)]
enum AdminUserGetError {
    #[error(transparent)]
    Account(#[from] NoAccount),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AdminUserGetError> for Problem {
    fn from(error: AdminUserGetError) -> Self {
        match error {
            AdminUserGetError::Account(error) => error.into(),
            AdminUserGetError::Port(error) => Self::port(&error),
        }
    }
}
