//! Lists every feature flag that the code declares, with the value that counts now. Values of flags
//! that are declared no more are not shown: nothing asks for them.

use rollcall_domain::flag::Flag;
use rollcall_domain::role::Role;
use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::flags::FlagReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::flag_view::FlagView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "flag-list",
    purpose: "Lists the feature flags and for whom they are open.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/flags" })],
    access: Access::Role(Role::Admin),
    grants: &[FlagReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    flags: FlagReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { flags: startup.capability()? })
    }
}

/// Every flag.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// By name.
    flags: Vec<FlagView>,
}

async fn handle(
    ports: &Ports,
    _caller: &Caller,
    _context: &Context,
    _input: NoInput,
) -> Result<Response, FlagListError> {
    let values = ports.flags.load().await?;
    let flags = Flag::ALL.into_iter().map(|flag| FlagView::new(flag, values.get(flag.name)));
    Ok(Response::json(200, &Output { flags: flags.collect() }))
}

#[derive(Debug, thiserror::Error)]
enum FlagListError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<FlagListError> for Problem {
    fn from(error: FlagListError) -> Self {
        match error {
            FlagListError::Port(error) => Self::port(&error),
        }
    }
}
