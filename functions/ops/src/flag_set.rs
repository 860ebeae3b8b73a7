//! Sets for whom a feature is open. Every instance goes by it within seconds, without a deployment;
//! the audit log tells who set what. Setting what is set already changes nothing.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::flag::{Flag, Rollout};
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_domain::route_group;
use rollcall_edge::condition::{IfMatch, PRECONDITION_FAILED, entity_tag};
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::flags::{FlagWriter, SetValue};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::flag_view::{FlagView, value};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "flag-set",
    purpose: "Sets for whom a feature is open.",
    triggers: &[Trigger::Http(Route { method: Method::Put, path: "/admin/flags/{name}" })],
    access: Access::Role(Role::Admin),
    grants: &[FlagWriter::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<FlagView>),
        problems: &[&NOT_FOUND, &INVALID, &CONFLICT, &PRECONDITION_FAILED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
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

/// For whom the feature is open.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// `off`, `internal` (whoever has a role), a share from `1%` to `99%`, or `on`; a group of routes
    /// is `off` or `on`.
    value: String,
}

#[derive(Debug)]
struct Input {
    flag: &'static Flag,
    rollout: Rollout,
    /// The version that the caller saw, if they care.
    if_match: Option<IfMatch>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let flag = Flag::named(request.path_parameter("name"));
        let flag = flag.ok_or_else(|| Problem::new(&NOT_FOUND))?;
        let body: Body = request.json()?;
        let rollout = body.value.parse();
        let rollout =
            rollout.map_err(|error| Problem::invalid("/value", "invalid-value", &error))?;
        if route_group::is_one(flag) && !matches!(rollout, Rollout::On | Rollout::Off) {
            let detail = "a group of routes is on or off";
            return Err(Problem::invalid("/value", "invalid-value", &detail));
        }
        let if_match = request.header("if-match").map(|_| IfMatch::from_request(request));
        Ok(Self { flag, rollout, if_match: if_match.transpose()? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { flag, rollout, if_match }: Input,
) -> Result<Response, FlagSetError> {
    for _attempt in 0..ATTEMPTS_MAX {
        let values = ports.flags.load().await?;
        let set = values.get(flag.name);
        let version = set.map_or(0, |set| set.version);
        if let Some(if_match) = &if_match {
            if_match.check(version).map_err(FlagSetError::Changed)?;
        }
        if set.is_some_and(|set| set.rollout == Some(rollout)) {
            return Ok(answer(flag, set));
        }
        let from = value(flag, set).to_string();
        let action = Action::FlagSet { from, to: rollout.to_string() };
        let told = (Actor::User(caller.user.clone()), action, Subject::Flag(flag.name));
        let entry = Entry::new(told, &context.trace_id, context.now, &*ports.random);
        if ports.flags.set(flag, rollout, version, &entry).await? {
            tracing::warn!(flag = flag.name, value = %rollout, operator = %caller.user, "a flag is set");
            let set =
                SetValue { rollout: Some(rollout), version: version + 1, set_at: context.now };
            return Ok(answer(flag, Some(&set)));
        }
    }
    Err(FlagSetError::Contended)
}

fn answer(flag: &'static Flag, set: Option<&SetValue>) -> Response {
    let view = FlagView::new(flag, set);
    let tag = entity_tag(view.version);
    Response::json(200, &view).with_header("etag", &tag)
}

#[derive(Debug)]
enum FlagSetError {
    Changed(Problem),
    Contended,
    Port(PortError),
}

impl From<PortError> for FlagSetError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<FlagSetError> for Problem {
    fn from(error: FlagSetError) -> Self {
        match error {
            FlagSetError::Changed(problem) => problem,
            FlagSetError::Contended => Self::new(&CONFLICT),
            FlagSetError::Port(error) => Self::port(&error),
        }
    }
}
