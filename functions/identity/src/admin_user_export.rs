//! Hands an administrator everything that is kept of a user who asked for it in another way than by
//! signing in, such as by letter (GDPR articles 15 and 20; see `archive.rs`).
//!
//! The audit log is told before anything is answered, so nobody is handed a person's data unseen.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, RateClass};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::audit::AuditTeller;
use rollcall_store::personal::PersonalReader;
use rollcall_store::users::UserDesk;
use rollcall_store::{Capability, PortError};

use crate::admin_account::{ACCOUNT_MERGED, AccountInput, NoAccount, account};
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

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    AccountInput(id): AccountInput,
) -> Result<Response, AdminUserExportError> {
    account(&ports.users, &id).await?;
    let holdings = ports.personal.everything(&id).await?;
    let told = (Actor::User(caller.user.clone()), Action::UserExported, Subject::User(id.clone()));
    let entry = Entry::new(told, &context.trace_id, context.now, ports.random.as_ref());
    ports.audit.tell(&entry).await?;
    tracing::info!(user.id = %id, operator = %caller.user, "a user was exported");
    Ok(archive::answer(&id, holdings, context.now))
}

#[derive(Debug, thiserror::Error)]
enum AdminUserExportError {
    #[error(transparent)]
    Account(#[from] NoAccount),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AdminUserExportError> for Problem {
    fn from(error: AdminUserExportError) -> Self {
        match error {
            AdminUserExportError::Account(error) => error.into(),
            AdminUserExportError::Port(error) => Self::port(&error),
        }
    }
}
