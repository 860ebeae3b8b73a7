//! Shows an operator how far a comparison of all users with the CRM came.

use rollcall_domain::id::ReconciliationId;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::ReconciliationViewer;
use rollcall_store::{Capability, PortError};

use crate::reconcile_view::ReconciliationView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-reconciliation-get",
    purpose: "Shows how far a comparison of all users with the CRM came.",
    triggers: &[Trigger::Http(Route {
        method: Method::Get,
        path: "/admin/crm/reconciliations/{id}",
    })],
    grants: &[ReconciliationViewer::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<ReconciliationView>),
        problems: &[&NOT_FOUND],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

struct Ports {
    reconciliations: ReconciliationViewer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { reconciliations: startup.capability()? })
    }
}

#[derive(Debug)]
struct Input(ReconciliationId);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = request.path_parameter("id").parse();
        id.map(Self).map_err(|_error| Problem::new(&NOT_FOUND))
    }
}

async fn handle(
    ports: &Ports,
    _operator: &Operator,
    _context: &Context,
    Input(id): Input,
) -> Result<Response, CrmReconciliationGetError> {
    let found = ports.reconciliations.find(&id).await?;
    let run = found.ok_or(CrmReconciliationGetError::NotFound)?;
    Ok(Response::json(200, &ReconciliationView::from(run)))
}

#[derive(Debug, thiserror::Error)]
enum CrmReconciliationGetError {
    #[error("no such reconciliation")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CrmReconciliationGetError> for Problem {
    fn from(error: CrmReconciliationGetError) -> Self {
        match error {
            CrmReconciliationGetError::NotFound => Self::new(&NOT_FOUND),
            CrmReconciliationGetError::Port(error) => Self::port(&error),
        }
    }
}
