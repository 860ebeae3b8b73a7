//! Tells everybody which parts of Rollcall are open, in a way that front ends can show. It is never
//! closed itself, and tells nothing that an attacker could use: neither numbers nor causes.

use rollcall_domain::flag::{Flag, Rollout};
use rollcall_domain::route_group;
use rollcall_edge::{Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::flags::{FlagReader, SetValues};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "status",
    purpose: "Tells which parts of Rollcall are open.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/status" })],
    grants: &[FlagReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    flags: FlagReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { flags: startup.capability()? })
    }
}

/// What is open.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// `open`, or `partly_closed` while any group of routes is closed.
    status: &'static str,
    /// The groups of routes, by name.
    groups: Vec<GroupView>,
}

/// A group of routes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GroupView {
    /// Its name, such as `learning`.
    pub(crate) name: &'static str,
    /// Whether its routes answer; they follow within ten seconds.
    pub(crate) open: bool,
    /// When that was last changed (RFC 3339, UTC); none: never.
    pub(crate) since: Option<String>,
}

impl GroupView {
    /// A group and what somebody has set.
    pub(crate) fn new(group: &'static Flag, values: &SetValues) -> Self {
        let set = values.get(group.name);
        let rollout = set.and_then(|set| set.rollout).unwrap_or(group.default);
        Self {
            name: route_group::short_name(group),
            open: rollout == Rollout::On,
            since: set.map(|set| set.set_at.to_string()),
        }
    }
}

async fn handle(
    ports: &Ports,
    _context: &Context,
    _input: NoInput,
) -> Result<Response, StatusError> {
    let values = ports.flags.load().await?;
    let groups: Vec<GroupView> =
        route_group::ALL.into_iter().map(|group| GroupView::new(group, &values)).collect();
    let status = if groups.iter().all(|group| group.open) { "open" } else { "partly_closed" };
    Ok(Response::json(200, &Output { status, groups }))
}

#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<StatusError> for Problem {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::Port(error) => Self::port(&error),
        }
    }
}
