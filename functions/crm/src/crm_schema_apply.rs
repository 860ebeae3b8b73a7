//! Creates in the portal what is declared in `rollcall_crm::schema` and not there. What is there in
//! another form is never changed: then nothing is created, and the answer says what to decide.
//!
//! That somebody orders it is told before the first call, since the effect is the CRM's and there is
//! no transaction with it. What exists already counts as created, so a repetition has no second effect.

use std::sync::Arc;

use rollcall_crm::schema_desk::{Outcome, SchemaDesk};
use rollcall_crm::schema_plan::{Obstacle, Plan};
use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::random::Random;
use rollcall_edge::{Context, FieldError, NoInput, Operator, Principal, Problem, Response};
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::SchemaApplier;
use rollcall_store::{Capability, PortError};

use crate::schema_view::{self, CRM_REFUSED, CRM_UNAVAILABLE, PlanView};
use crate::settings;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-schema-apply",
    purpose: "Creates in the CRM what it lacks of the declared properties and events.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/admin/crm/schema" })],
    grants: &[SchemaApplier::GRANTS, &[Grant::secret(SecretName::HubSpotToken)]],
    settings: settings::ALL,
    operation: Operation {
        success_status: 200,
        response: Some(schema::<PlanView>),
        problems: &[&CRM_SCHEMA_DIFFERS, &CRM_UNAVAILABLE, &CRM_REFUSED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// The portal has something in another form.
pub static CRM_SCHEMA_DIFFERS: ProblemKind = ProblemKind {
    code: "crm-schema-differs",
    status: 409,
    title: "The CRM has declared properties in another form.",
    advice: "Nothing was created. `errors` says for each property what is wrong and what can be done.",
};

struct Ports {
    table: SchemaApplier,
    desk: SchemaDesk,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<SchemaApplier>()?;
        let desk = schema_view::desk(startup, table.table())?;
        Ok(Self { table, desk, random: startup.random() })
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    _input: NoInput,
) -> Result<Response, CrmSchemaApplyError> {
    let plan = planned(ports.desk.plan(&context.trace_id).await?)?;
    if !plan.obstacles.is_empty() {
        return Err(CrmSchemaApplyError::Differs(plan.obstacles));
    }
    if plan.is_empty() {
        return Ok(Response::json(200, &PlanView::from(&plan)));
    }
    let steps = plan.steps.len();
    let told = (operator.actor(), Action::CrmSchemaApplied { steps }, Subject::CrmSchema);
    let entry = Entry::new(told, &context.trace_id, context.now, &*ports.random);
    ports.table.tell(&entry).await?;
    let left = planned(ports.desk.apply(&plan, &context.trace_id).await?)?;
    tracing::warn!(steps, operator = operator.name(), "definitions were created in the CRM");
    Ok(Response::json(200, &PlanView::from(&left)))
}

fn planned(outcome: Outcome) -> Result<Plan, CrmSchemaApplyError> {
    match outcome {
        Outcome::Plan(plan) => Ok(plan),
        Outcome::Refused(failure) => {
            Err(CrmSchemaApplyError::Crm(Box::new(schema_view::refused(&failure))))
        }
        Outcome::Later => Err(CrmSchemaApplyError::Crm(Box::new(schema_view::later()))),
    }
}

#[derive(Debug)]
enum CrmSchemaApplyError {
    Differs(Vec<Obstacle>),
    Crm(Box<Problem>),
    Port(PortError),
}

impl From<PortError> for CrmSchemaApplyError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<CrmSchemaApplyError> for Problem {
    fn from(error: CrmSchemaApplyError) -> Self {
        match error {
            CrmSchemaApplyError::Differs(obstacles) => {
                let errors = obstacles.iter().map(|obstacle| FieldError {
                    pointer: format!("crm:{}", obstacle.property()),
                    code: obstacle.code(),
                    detail: obstacle.explanation(),
                });
                Self { errors: errors.collect(), ..Self::new(&CRM_SCHEMA_DIFFERS) }
            }
            CrmSchemaApplyError::Crm(problem) => *problem,
            CrmSchemaApplyError::Port(error) => Self::port(&error),
        }
    }
}
