//! Shows an administrator one user, with the entity tag that a change has to name.

use futures::future::try_join;
use rollcall_domain::id::UserId;
use rollcall_domain::role::Role;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::sessions::SessionLister;
use rollcall_store::users::UserDesk;
use rollcall_store::{Capability, PortError};

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

/// There is an account, of another id.
pub(crate) static ACCOUNT_MERGED: ProblemKind = ProblemKind {
    code: "account-merged",
    status: 410,
    title: "The account was merged into another one.",
    advice: "The detail is the id of the other one.",
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

struct Input(UserId);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = request.path_parameter("id").parse();
        id.map(Self).map_err(|_error| Problem::new(&NOT_FOUND))
    }
}

async fn handle(
    ports: &Ports,
    _caller: &Caller,
    context: &Context,
    Input(id): Input,
) -> Result<Response, AdminUserGetError> {
    let Some(user) = ports.users.find(&id).await? else {
        let into = ports.users.merged_into(&id).await?;
        return Err(into.map_or(AdminUserGetError::NotFound, AdminUserGetError::Merged));
    };
    let (identities, sessions) =
        try_join(ports.users.identities(&user), ports.sessions.list(&id, context.now)).await?;
    Ok(admin_user_view::answer(&user, identities, sessions.len()))
}

#[derive(Debug, thiserror::Error)]
enum AdminUserGetError {
    #[error("no such user")]
    NotFound,
    #[error("the account was merged into {0}")]
    Merged(UserId),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AdminUserGetError> for Problem {
    fn from(error: AdminUserGetError) -> Self {
        match error {
            AdminUserGetError::NotFound => Self::new(&NOT_FOUND),
            AdminUserGetError::Merged(into) => Self::new(&ACCOUNT_MERGED).with_detail(into),
            AdminUserGetError::Port(error) => Self::port(&error),
        }
    }
}
