//! Begins a comparison of all users with the CRM. The request only stores that it begins; the work is
//! done by `crm-reconcile`, which looks every minute.
//!
//! At most one is under way, so a repetition of a request whose process died before its answer was
//! kept has no second effect: it hears of the one that is at work.

use std::sync::Arc;

use rollcall_crm::reconcile::{Policy, Reconciliation};
use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::id::ReconciliationId;
use rollcall_domain::random::Random;
use rollcall_edge::problem::{CONFLICT, INVALID};
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Principal, Problem, Response};
use rollcall_runtime::declaration::{Idempotency, Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{ReconciliationStarter, Started};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::reconcile_view::ReconciliationView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-reconciliation-start",
    purpose: "Begins a comparison of all users with the CRM.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/admin/crm/reconciliations" })],
    idempotency: Idempotency::Optional,
    grants: &[ReconciliationStarter::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 202,
        response: Some(schema::<ReconciliationView>),
        problems: &[&INVALID, &CONFLICT, &RECONCILIATION_RUNNING],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// One at a time.
pub static RECONCILIATION_RUNNING: ProblemKind = ProblemKind {
    code: "reconciliation-running",
    status: 409,
    title: "Another reconciliation is under way.",
    advice: "Wait until the one that `detail` names is done; /admin/crm/reconciliations/{id} shows it.",
};

struct Ports {
    reconciliations: ReconciliationStarter,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { reconciliations: startup.capability()?, random: startup.random() })
    }
}

/// What is to be compared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// `report` changes nothing; `repair` makes everything as we have it; `repair-owned-only` leaves
    /// what people wrote into fields that the CRM brings with it, and contacts that are not our
    /// users'; `backfill` sends every user of whom the CRM did not acknowledge the present state.
    /// `report` by default.
    #[serde(default = "report")]
    policy: String,
    /// Whether repairs are only told.
    #[serde(default)]
    dry_run: bool,
}

fn report() -> String {
    Policy::Report.as_str().to_owned()
}

#[derive(Debug)]
struct Input {
    policy: Policy,
    dry_run: bool,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let nothing = Body { policy: report(), dry_run: false };
        let body = if request.has_body() { request.json()? } else { nothing };
        let Body { policy, dry_run } = body;
        let known = Policy::ALL.map(Policy::as_str).join(", ");
        let unknown =
            || Problem::invalid("/policy", "unknown-policy", &format!("is one of {known}"));
        Ok(Self { policy: Policy::named(&policy).ok_or_else(unknown)?, dry_run })
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input { policy, dry_run }: Input,
) -> Result<Response, CrmReconciliationStartError> {
    let (now, random) = (context.now, &*ports.random);
    let id = ReconciliationId::new(now, random);
    let started_by = operator.name().to_owned();
    let run = Reconciliation::begin(id.clone(), policy, dry_run, started_by, now);
    let action = Action::ReconciliationStarted { policy: policy.as_str(), dry_run };
    let told = (operator.actor(), action, Subject::Reconciliation(id));
    let entry = Entry::new(told, &context.trace_id, now, random);
    match ports.reconciliations.start(&run, &entry).await? {
        Started::Begun => {
            tracing::warn!(
                reconciliation = %run.id,
                policy = policy.as_str(),
                dry_run,
                operator = operator.name(),
                "a reconciliation begins"
            );
            Ok(Response::json(202, &ReconciliationView::from(run)))
        }
        Started::Busy(running) => Err(CrmReconciliationStartError::Running(running)),
    }
}

#[derive(Debug, thiserror::Error)]
enum CrmReconciliationStartError {
    #[error("{0} is under way")]
    Running(ReconciliationId),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CrmReconciliationStartError> for Problem {
    fn from(error: CrmReconciliationStartError) -> Self {
        match error {
            CrmReconciliationStartError::Running(id) => {
                Self::new(&RECONCILIATION_RUNNING).with_detail(id.to_string())
            }
            CrmReconciliationStartError::Port(error) => Self::port(&error),
        }
    }
}
