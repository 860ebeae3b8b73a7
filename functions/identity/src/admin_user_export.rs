//! Hands an administrator everything that is kept of a user who asked for it in another way than by
//! signing in, such as by letter (GDPR articles 15 and 20; see `archive.rs`).
//!
//! The audit log is told before anything is answered, so nobody is handed a person's data unseen.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::id::UserId;
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, RateClass};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::audit::AuditTeller;
use rollcall_store::personal::PersonalReader;
use rollcall_store::users::UserDesk;
use rollcall_store::{Capability, PortError};

use crate::admin_user_get::ACCOUNT_MERGED;
use crate::archive::{self, Archive};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "admin-user-export",
    purpose: "Hands an administrator everything that is kept of a user.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/users/{id}/export" })],
    access: Access::Role(Role::Admin),
    rate: RateClass::Credential,
    grants: &[UserDesk::GRANTS, PersonalReader::GRANTS, AuditTeller::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Archive>),
        problems: &[&NOT_FOUND, &ACCOUNT_MERGED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    users: UserDesk,
    personal: PersonalReader,
    audit: AuditTeller,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            users: startup.capability()?,
            personal: startup.capability()?,
            audit: startup.capability()?,
            random: startup.random(),
        })
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
    caller: &Caller,
    context: &Context,
    Input(id): Input,
) -> Result<Response, AdminUserExportError> {
    if ports.users.find(&id).await?.is_none() {
        let into = ports.users.merged_into(&id).await?;
        return Err(into.map_or(AdminUserExportError::NotFound, AdminUserExportError::Merged));
    }
    let holdings = ports.personal.everything(&id).await?;
    let told = (Actor::User(caller.user.clone()), Action::UserExported, Subject::User(id.clone()));
    let entry = Entry::new(told, &context.trace_id, context.now, ports.random.as_ref());
    ports.audit.tell(&entry).await?;
    tracing::info!(user.id = %id, operator = %caller.user, "a user was exported");
    Ok(archive::answer(&id, holdings, context.now))
}

#[derive(Debug, thiserror::Error)]
enum AdminUserExportError {
    #[error("no such user")]
    NotFound,
    #[error("the account was merged into {0}")]
    Merged(UserId),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AdminUserExportError> for Problem {
    fn from(error: AdminUserExportError) -> Self {
        match error {
            AdminUserExportError::NotFound => Self::new(&NOT_FOUND),
            AdminUserExportError::Merged(into) => Self::new(&ACCOUNT_MERGED).with_detail(into),
            AdminUserExportError::Port(error) => Self::port(&error),
        }
    }
}
