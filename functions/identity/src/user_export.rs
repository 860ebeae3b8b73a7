//! Hands the caller everything that is kept of them, as one file (GDPR articles 15 and 20; see
//! `archive.rs`).

use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::{Operation, RateClass};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::personal::PersonalReader;
use rollcall_store::{Capability, PortError};

use crate::archive::{self, Archive};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-export",
    purpose: "Hands the caller everything that is kept of them.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/users/me/export" })],
    rate: RateClass::Credential,
    grants: &[PersonalReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Archive>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    personal: PersonalReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { personal: startup.capability()? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    _input: NoInput,
) -> Result<Response, UserExportError> {
    let holdings = ports.personal.everything(&caller.user).await?;
    Ok(archive::answer(&caller.user, holdings, context.now))
}

#[derive(Debug, thiserror::Error)]
enum UserExportError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<UserExportError> for Problem {
    fn from(error: UserExportError) -> Self {
        match error {
            UserExportError::Port(error) => Self::port(&error),
        }
    }
}
