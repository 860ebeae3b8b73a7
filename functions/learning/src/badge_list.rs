//! Lists the caller's badges, the one that was earned last first. Badges are awarded behind the stream
//! of progress (`award`), so a new one is there within moments.

use std::cmp::Reverse;

use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::badges::BadgeLister;
use rollcall_store::catalog::CatalogReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::view::BadgeView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "badge-list",
    purpose: "Lists the caller's badges.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/badges" })],
    grants: &[BadgeLister::GRANTS, CatalogReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    badges: BadgeLister,
    catalog: CatalogReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { badges: startup.capability()?, catalog: startup.capability()? })
    }
}

/// The caller's badges.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Badges")]
struct Output {
    /// The last earned first.
    badges: Vec<BadgeView>,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    _input: NoInput,
) -> Result<Response, BadgeListError> {
    let mut badges = ports.badges.all(&caller.user).await?;
    badges.sort_by_key(|badge| Reverse(badge.earned_at));
    let catalog = ports.catalog.load(context.now).await?;
    let badges = badges.into_iter().map(|badge| BadgeView::new(&catalog, badge)).collect();
    Ok(Response::json(200, &Output { badges }))
}

#[derive(Debug, thiserror::Error)]
enum BadgeListError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<BadgeListError> for Problem {
    fn from(error: BadgeListError) -> Self {
        match error {
            BadgeListError::Port(error) => Self::port(&error),
        }
    }
}
