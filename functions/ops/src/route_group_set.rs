//! Closes or opens a group of routes: the switch for whatever must stop at once. Every instance goes by
//! it within ten seconds; the audit log tells who used it. Setting what is set already changes nothing,
//! and who is second to set something else sets it again: the last order counts.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::flag::{Flag, Rollout};
use rollcall_domain::random::Random;
use rollcall_domain::route_group;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::flags::FlagWriter;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::status::GroupView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "route-group-set",
    purpose: "Closes or opens a group of routes.",
    triggers: &[Trigger::Http(Route { method: Method::Put, path: "/admin/route-groups/{name}" })],
    grants: &[FlagWriter::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<GroupView>),
        problems: &[&NOT_FOUND, &INVALID, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// How often a value is set again when somebody else set it in between.
const ATTEMPTS_MAX: u32 = 5;

struct Ports {
    flags: FlagWriter,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { flags: startup.capability()?, random: startup.random() })
    }
}

/// Whether the routes are to answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// `false` closes the group, `true` opens it.
    open: bool,
}

#[derive(Debug)]
struct Input {
    group: &'static Flag,
    rollout: Rollout,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let group = route_group::named(request.path_parameter("name"));
        let group = group.ok_or_else(|| Problem::new(&NOT_FOUND))?;
        let body: Body = request.json()?;
        Ok(Self { group, rollout: if body.open { Rollout::On } else { Rollout::Off } })
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { group, rollout }: Input,
) -> Result<Response, RouteGroupSetError> {
    for _attempt in 0..ATTEMPTS_MAX {
        let values = ports.flags.load().await?;
        let set = values.get(group.name);
        let before = set.and_then(|set| set.rollout).unwrap_or(group.default);
        if before == rollout {
            return Ok(Response::json(200, &GroupView::new(group, &values)));
        }
        let version = set.map_or(0, |set| set.version);
        let action = Action::FlagSet { from: before.to_string(), to: rollout.to_string() };
        let told = (operator.actor(), action, Subject::Flag(group.name));
        let entry = Entry::new(told, &context.trace_id, context.now, &*ports.random);
        if ports.flags.set(group, rollout, version, &entry).await? {
            tracing::warn!(group = group.name, value = %rollout, operator = %operator.actor(), "a group of routes is set");
            let view = GroupView {
                name: route_group::short_name(group),
                open: rollout == Rollout::On,
                since: Some(context.now.to_string()),
            };
            return Ok(Response::json(200, &view));
        }
    }
    Err(RouteGroupSetError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum RouteGroupSetError {
    #[error("others set the group again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<RouteGroupSetError> for Problem {
    fn from(error: RouteGroupSetError) -> Self {
        match error {
            RouteGroupSetError::Contended => Self::new(&CONFLICT),
            RouteGroupSetError::Port(error) => Self::port(&error),
        }
    }
}
