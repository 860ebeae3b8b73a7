//! Shows an operator what the portal lacks of the property group, the properties and the custom
//! events that are declared in `rollcall_crm::schema`, and what stands in the way of creating it.
//! Nothing is changed.

use rollcall_crm::schema_desk::{Outcome, SchemaDesk};
use rollcall_edge::{Context, NoInput, Operator, Problem, Response};
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::BudgetSharer;
use rollcall_store::{Capability, PortError};

use crate::schema_view::{self, CRM_REFUSED, CRM_UNAVAILABLE, PlanView};
use crate::settings;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-schema-plan",
    purpose: "Shows what the CRM lacks of the declared properties and events.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/crm/schema" })],
    grants: &[BudgetSharer::GRANTS, &[Grant::secret(SecretName::HubSpotToken)]],
    settings: settings::ALL,
    operation: Operation {
        success_status: 200,
        response: Some(schema::<PlanView>),
        problems: &[&CRM_UNAVAILABLE, &CRM_REFUSED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

struct Ports {
    desk: SchemaDesk,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<BudgetSharer>()?.table();
        Ok(Self { desk: schema_view::desk(startup, table)? })
    }
}

async fn handle(
    ports: &Ports,
    _operator: &Operator,
    context: &Context,
    _input: NoInput,
) -> Result<Response, CrmSchemaPlanError> {
    match ports.desk.plan(&context.trace_id).await? {
        Outcome::Plan(plan) => Ok(Response::json(200, &PlanView::from(&plan))),
        Outcome::Refused(failure) => {
            Err(CrmSchemaPlanError::Crm(Box::new(schema_view::refused(&failure))))
        }
        Outcome::Later => Err(CrmSchemaPlanError::Crm(Box::new(schema_view::later()))),
    }
}

#[derive(Debug)]
enum CrmSchemaPlanError {
    Crm(Box<Problem>),
    Port(PortError),
}

impl From<PortError> for CrmSchemaPlanError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<CrmSchemaPlanError> for Problem {
    fn from(error: CrmSchemaPlanError) -> Self {
        match error {
            CrmSchemaPlanError::Crm(problem) => *problem,
            CrmSchemaPlanError::Port(error) => Self::port(&error),
        }
    }
}
