//! Takes back an invitation that an operator sent: its link opens nothing any more, and its mail is
//! not sent if it still waits. What was accepted stays accepted.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::id::InvitationId;
use rollcall_domain::random::Random;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Principal, Problem, Response};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::invitations::{InvitationWithdrawer, Withdrawn};
use rollcall_store::{Capability, PortError};

use crate::invitation_view::invitation;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "invitation-withdraw",
    purpose: "Takes back an invitation that an operator sent.",
    triggers: &[Trigger::Http(Route { method: Method::Delete, path: "/admin/invitations/{id}" })],
    grants: &[InvitationWithdrawer::GRANTS],
    operation: Operation { problems: &[&NOT_FOUND, &INVITATION_ACCEPTED], ..Operation::EMPTY },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// There is an account by now.
static INVITATION_ACCEPTED: ProblemKind = ProblemKind {
    code: "invitation-accepted",
    status: 409,
    title: "An account was made with the invitation.",
    advice: "Suspend the user at /admin/users if they must not sign in.",
};

struct Ports {
    invitations: InvitationWithdrawer,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { invitations: startup.capability()?, random: startup.random() })
    }
}

struct Input(InvitationId);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        invitation(request).map(Self)
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input(id): Input,
) -> Result<Response, InvitationWithdrawError> {
    let told = (operator.actor(), Action::InvitationWithdrawn, Subject::Invitation(id.clone()));
    let entry = Entry::new(told, &context.trace_id, context.now, ports.random.as_ref());
    match ports.invitations.withdraw(&id, &entry).await? {
        Withdrawn::Done => {
            tracing::info!(invitation = %id, operator = operator.name(), "an invitation is taken back");
            Ok(Response::no_content())
        }
        Withdrawn::NotThere => Err(InvitationWithdrawError::NotFound),
        Withdrawn::Accepted => Err(InvitationWithdrawError::Accepted),
    }
}

#[derive(Debug, thiserror::Error)]
enum InvitationWithdrawError {
    #[error("no such invitation")]
    NotFound,
    #[error("the invitation was accepted")]
    Accepted,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<InvitationWithdrawError> for Problem {
    fn from(error: InvitationWithdrawError) -> Self {
        match error {
            InvitationWithdrawError::NotFound => Self::new(&NOT_FOUND),
            InvitationWithdrawError::Accepted => Self::new(&INVITATION_ACCEPTED),
            InvitationWithdrawError::Port(error) => Self::port(&error),
        }
    }
}
