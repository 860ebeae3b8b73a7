//! The difference between the declared schema and the portal's, as operators see it, and why it
//! cannot be told.

use rollcall_crm::classifier::Failure;
use rollcall_crm::schema_desk::SchemaDesk;
use rollcall_crm::schema_plan::{Obstacle, Plan, Step};
use rollcall_crm::turns::Share;
use rollcall_edge::Problem;
use rollcall_runtime::declaration::ProblemKind;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::crm::CrmTable;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

use crate::{engine, settings};

/// HubSpot cannot be asked.
pub static CRM_UNAVAILABLE: ProblemKind = ProblemKind {
    code: "crm-unavailable",
    status: 503,
    title: "The CRM cannot be called now.",
    advice: "Look at /admin/crm/status for the reason, and try again after the time in Retry-After.",
};

/// HubSpot refuses it.
pub static CRM_REFUSED: ProblemKind = ProblemKind {
    code: "crm-refused",
    status: 502,
    title: "The CRM refuses what it was asked.",
    advice: "Check the portal and the permissions of its key; the log of the request says more.",
};

/// After this a caller may try again, in seconds.
const RETRY_AFTER_SECONDS: u32 = 30;

/// The desk, with turns of the budget in `table`.
pub(crate) fn desk(startup: &Startup, table: Arc<CrmTable>) -> Result<SchemaDesk, StartupError> {
    Ok(SchemaDesk {
        crm: Arc::new(engine::hubspot(startup)?),
        turns: engine::turns(startup, table, Share::Any),
        with_events: settings::with_events(startup)?,
    })
}

/// The difference between what is declared and what the portal has.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PlanView {
    /// Whether nothing is to be created and nothing stands in the way.
    in_place: bool,
    /// What is to be created, in this order.
    to_create: Vec<StepView>,
    /// What a person has to decide; while there is any of it, nothing is created.
    obstacles: Vec<ObstacleView>,
    /// Properties of our group that are not declared any more. They are left alone.
    undeclared: Vec<String>,
    /// Whether the portal has no custom events, so that milestones are told by properties alone.
    events_missing: bool,
}

/// Something to create.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StepView {
    /// `group`, `property` or `event`.
    kind: &'static str,
    /// Its name.
    name: &'static str,
}

/// Something that a person has to decide.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ObstacleView {
    /// `retyped`, `renamed` or `not_unique`.
    code: &'static str,
    /// The declared property that it is about.
    property: &'static str,
    /// What is wrong, and what can be done.
    explanation: String,
}

impl From<&Step> for StepView {
    fn from(step: &Step) -> Self {
        Self { kind: step.kind(), name: step.name() }
    }
}

impl From<&Obstacle> for ObstacleView {
    fn from(obstacle: &Obstacle) -> Self {
        Self {
            code: obstacle.code(),
            property: obstacle.property(),
            explanation: obstacle.explanation(),
        }
    }
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> Self {
        Self {
            in_place: plan.is_empty(),
            to_create: plan.steps.iter().map(StepView::from).collect(),
            obstacles: plan.obstacles.iter().map(ObstacleView::from).collect(),
            undeclared: plan.undeclared.clone(),
            events_missing: plan.events_missing,
        }
    }
}

/// The answer when HubSpot cannot be asked.
pub(crate) fn later() -> Problem {
    Problem::new(&CRM_UNAVAILABLE).with_retry_after(RETRY_AFTER_SECONDS)
}

/// The answer when HubSpot refuses; its words go to the log.
pub(crate) fn refused(failure: &Failure) -> Problem {
    let Failure { status, category, message, .. } = failure;
    tracing::error!(status, category, message, "the CRM refuses what it was asked");
    Problem::new(&CRM_REFUSED)
}
