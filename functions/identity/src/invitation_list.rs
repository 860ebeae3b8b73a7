//! Lists the invitations that operators sent, the newest first, with what has become of each. They
//! are forgotten a month after they ended.

use rollcall_domain::id::InvitationId;
use rollcall_edge::cursor::PAGE_PARAMETERS;
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Context, Cursors, Operator, Page, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::invitations::InvitationLister;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::invitation_view::InvitationView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "invitation-list",
    purpose: "Lists the invitations that operators sent.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/invitations" })],
    grants: &[InvitationLister::GRANTS, Cursors::GRANTS],
    operation: Operation {
        query: PAGE_PARAMETERS,
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

struct Ports {
    invitations: InvitationLister,
    cursors: Cursors,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { invitations: startup.capability()?, cursors: Cursors::new(startup)? })
    }
}

/// A page of invitations.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SentInvitations")]
struct Output {
    /// The newest first.
    invitations: Vec<InvitationView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    page: Page,
) -> Result<Response, InvitationListError> {
    let cursors = &ports.cursors;
    let position = cursors.open(page.cursor.as_deref(), operator, context).await;
    let position = position.map_err(InvitationListError::Cursor)?;
    let position: Option<InvitationId> = position.and_then(|position| position.parse().ok());
    let listed = ports.invitations.list(position.as_ref(), page.limit).await?;
    let next = listed.position.as_ref().map(InvitationId::as_str);
    let cursor = cursors.seal(next, operator, context).await;
    let cursor = cursor.map_err(InvitationListError::Cursor)?;
    let shown = listed.invitations.into_iter().map(|sent| InvitationView::of(sent, context.now));
    Ok(Response::json(200, &Output { invitations: shown.collect(), cursor }))
}

#[derive(Debug, thiserror::Error)]
enum InvitationListError {
    #[error("the cursor is none, or cannot be made")]
    Cursor(Problem),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<InvitationListError> for Problem {
    fn from(error: InvitationListError) -> Self {
        match error {
            InvitationListError::Cursor(problem) => problem,
            InvitationListError::Port(error) => Self::port(&error),
        }
    }
}
