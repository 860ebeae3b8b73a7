//! Lists what a comparison of all users with the CRM found so far, in the order in which it was found.
//! A finding names people and contacts by id and properties by name, and holds no values.

use rollcall_domain::id::ReconciliationId;
use rollcall_edge::cursor::PAGE_PARAMETERS;
use rollcall_edge::problem::{INVALID, NOT_FOUND};
use rollcall_edge::{
    Context, Cursors, FromRequest, HttpRequest, Operator, Page, Problem, Response,
};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::FindingLister;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::reconcile_view::FindingView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-finding-list",
    purpose: "Lists what a comparison of all users with the CRM found.",
    triggers: &[Trigger::Http(Route {
        method: Method::Get,
        path: "/admin/crm/reconciliations/{id}/findings",
    })],
    grants: &[FindingLister::GRANTS, Cursors::GRANTS],
    operation: Operation {
        query: PAGE_PARAMETERS,
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

struct Ports {
    findings: FindingLister,
    cursors: Cursors,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { findings: startup.capability()?, cursors: Cursors::new(startup)? })
    }
}

#[derive(Debug)]
struct Input {
    id: ReconciliationId,
    page: Page,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = request.path_parameter("id").parse();
        let id = id.map_err(|_error| Problem::new(&NOT_FOUND))?;
        Ok(Self { id, page: Page::from_request(request)? })
    }
}

/// A page of findings.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// In the order in which they were found.
    findings: Vec<FindingView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { id, page }: Input,
) -> Result<Response, CrmFindingListError> {
    let cursors = ports.cursors.filtered(id.as_str());
    let position = cursors.open(page.cursor.as_deref(), operator, context).await?;
    let found = ports.findings.list(&id, position.as_deref(), page.limit).await?;
    let found = found.ok_or_else(|| Problem::new(&NOT_FOUND))?;
    let cursor = cursors.seal(found.position.as_deref(), operator, context).await?;
    let findings = found.findings.into_iter().map(FindingView::from).collect();
    Ok(Response::json(200, &Output { findings, cursor }))
}

#[derive(Debug)]
enum CrmFindingListError {
    Edge(Problem),
    Port(PortError),
}

impl From<Problem> for CrmFindingListError {
    fn from(problem: Problem) -> Self {
        Self::Edge(problem)
    }
}

impl From<PortError> for CrmFindingListError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<CrmFindingListError> for Problem {
    fn from(error: CrmFindingListError) -> Self {
        match error {
            CrmFindingListError::Edge(problem) => problem,
            CrmFindingListError::Port(error) => Self::port(&error),
        }
    }
}
