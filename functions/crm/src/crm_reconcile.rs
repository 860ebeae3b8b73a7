//! Compares all users with the CRM, as far as its time goes, and has repaired what differs.
//!
//! An operator begins a reconciliation (`crm-reconciliation-start`); from then on the schedule calls
//! this function every minute until it is through. Each page is one commit of how far it came and what it
//! found, so an invocation that dies costs one page, and two at once do no harm: one of them finds
//! that the other was first. It calls the CRM only when nobody else wants the turn, and orders no
//! repairs while many rows are due.

use std::sync::Arc;

use rollcall_crm::reconcile::work::Reconciler;
use rollcall_crm::turns::Share;
use rollcall_domain::port::PortError;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::crm::{CrmTable, ReconcileWorker};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::engine::{self, CALLS, STATES};
use crate::settings;
use crate::waiting::DrainQueue;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-reconcile",
    purpose: "Compares all users with the CRM, page by page.",
    triggers: &[Trigger::Schedule { every_minutes: 1 }],
    grants: &[
        ReconcileWorker::GRANTS,
        STATES[0],
        STATES[1],
        STATES[2],
        STATES[3],
        STATES[4],
        CALLS,
    ],
    settings: settings::ALL,
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

struct Ports {
    reconciler: Reconciler,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<ReconcileWorker>()?.table();
        let reconciler = Reconciler {
            crm: Arc::new(engine::hubspot(startup)?),
            turns: engine::turns(startup, Arc::clone(&table), Share::Leftover),
            users: Arc::<CrmTable>::clone(&table),
            source: Arc::new(engine::states(startup)?),
            store: Arc::<CrmTable>::clone(&table),
            pending: table,
            nudge: Arc::new(DrainQueue::new(startup)?),
        };
        Ok(Self { reconciler })
    }
}

/// What the invocation did.
#[derive(Debug, Serialize)]
struct Output {
    /// Pages that were compared.
    pages: usize,
}

async fn handle(
    ports: &Ports,
    _event: IgnoredAny,
    invocation: &Invocation,
) -> Result<Output, CrmReconcileError> {
    let report = Box::pin(ports.reconciler.work(invocation.deadline)).await?;
    if let Some(run) = &report.last {
        let found: u64 = run.counts.found.values().sum();
        tracing::info!(
            reconciliation = %run.id,
            policy = run.policy.as_str(),
            phase = run.phase.as_str(),
            pages = report.pages,
            users = run.counts.users,
            contacts = run.counts.contacts,
            found,
            stopped = ?report.stopped,
            through = run.finished_at.is_some(),
            "users were compared with the CRM"
        );
    }
    Ok(Output { pages: report.pages })
}

#[derive(Debug, thiserror::Error)]
enum CrmReconcileError {
    #[error(transparent)]
    Port(#[from] PortError),
}
