//! Lists the caller's badges, the one that was earned last first. Badges are awarded behind the stream
//! of progress (`badge-award`), so a new one is there within moments.

use std::cmp::Reverse;

use rollcall_domain::badge::Badge;
use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::badges::BadgeLister;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "badge-list",
    purpose: "Lists the caller's badges.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/badges" })],
    grants: &[BadgeLister::GRANTS],
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
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { badges: startup.capability()? })
    }
}

/// The caller's badges.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Badges")]
struct Output {
    /// The last earned first.
    badges: Vec<BadgeView>,
}

/// A badge.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Badge")]
struct BadgeView {
    /// `first_module`, `course`, `quick_course` (within seven days of joining) or `pathway`.
    kind: &'static str,
    /// For which module, course or pathway.
    slug: String,
    /// When it was earned (RFC 3339, UTC).
    earned_at: String,
}

impl From<Badge> for BadgeView {
    fn from(badge: Badge) -> Self {
        Self {
            kind: badge.name.kind.as_str(),
            slug: badge.name.slug.to_string(),
            earned_at: badge.earned_at.to_string(),
        }
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    _context: &Context,
    _input: NoInput,
) -> Result<Response, BadgeListError> {
    let mut badges = ports.badges.all(&caller.user).await?;
    badges.sort_by_key(|badge| Reverse(badge.earned_at));
    let badges = badges.into_iter().map(BadgeView::from).collect();
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
