//! Says whether requests can be answered: the gateway reached a function, and the function reached
//! the tables. The CRM and the identity provider do not count, since no request waits for them.

use rollcall_edge::{Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "health",
    purpose: "Says whether requests can be answered.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/health" })],
    grants: &[CatalogReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    catalog: CatalogReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()? })
    }
}

/// That all is well; otherwise the answer is a problem.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Always `ok`.
    status: &'static str,
    /// The version of the function's code.
    version: &'static str,
}

async fn handle(
    ports: &Ports,
    context: &Context,
    _input: NoInput,
) -> Result<Response, HealthError> {
    ports.catalog.load(context.now).await?;
    let output = Output { status: "ok", version: env!("CARGO_PKG_VERSION") };
    Ok(Response::json(200, &output))
}

#[derive(Debug, thiserror::Error)]
enum HealthError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<HealthError> for Problem {
    fn from(error: HealthError) -> Self {
        match error {
            HealthError::Port(error) => Self::port(&error),
        }
    }
}
