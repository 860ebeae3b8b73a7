//! Takes a badge back that an instructor gave. What people earned by what they did stays theirs: it
//! follows from facts, and facts are not taken back. Taking it back twice is taking it back once; the
//! second time there is none.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation};
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::badges::BadgeTaker;
use rollcall_store::{Capability, PortError};

use crate::badge_give::Input;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "badge-take-back",
    purpose: "Takes a badge back that an instructor gave.",
    triggers: &[Trigger::Http(Route {
        method: Method::Delete,
        path: "/admin/users/{id}/badges/{slug}",
    })],
    access: Access::Role(Role::Instructor),
    grants: &[BadgeTaker::GRANTS],
    operation: Operation { success_status: 204, problems: &[&NOT_FOUND], ..Operation::EMPTY },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    badges: BadgeTaker,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { badges: startup.capability()?, random: startup.random() })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { user, badge }: Input,
) -> Result<Response, BadgeTakeBackError> {
    let action = Action::BadgeTakenBack { badge: badge.clone() };
    let told = (Actor::User(caller.user.clone()), action, Subject::User(user.clone()));
    let entry = Entry::new(told, &context.trace_id, context.now, &*ports.random);
    if !ports.badges.take_back(&user, &badge, &entry).await? {
        return Err(BadgeTakeBackError::NotFound);
    }
    tracing::info!(user.id = %user, operator = %caller.user, "a badge was taken back");
    Ok(Response::no_content())
}

#[derive(Debug, thiserror::Error)]
enum BadgeTakeBackError {
    #[error("the user has no such badge")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<BadgeTakeBackError> for Problem {
    fn from(error: BadgeTakeBackError) -> Self {
        match error {
            BadgeTakeBackError::NotFound => Self::new(&NOT_FOUND),
            BadgeTakeBackError::Port(error) => Self::port(&error),
        }
    }
}
