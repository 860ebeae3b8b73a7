//! Measures every minute what waits for the CRM, also when nothing is sent: the metrics of the sync
//! itself fall silent when it stands still, which is when somebody has to know.

use std::sync::Arc;

use rollcall_crm::port::{Overseer, Overview};
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, SyncOverseer};
use rollcall_store::{Capability, PortError};
use serde::de::IgnoredAny;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-watch",
    purpose: "Measures what waits for the CRM.",
    triggers: &[Trigger::Schedule { every_minutes: 1 }],
    grants: &[SyncOverseer::GRANTS],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

struct Ports {
    table: Arc<CrmTable>,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<SyncOverseer>()?.table();
        Ok(Self { table, clock: startup.clock() })
    }
}

async fn handle(
    ports: &Ports,
    _event: IgnoredAny,
    _invocation: &Invocation,
) -> Result<(), CrmWatchError> {
    let overview = ports.table.overview().await?;
    let now = ports.clock.now();
    emit(now, &values(&overview, now));
    Ok(())
}

fn values(overview: &Overview, now: Timestamp) -> [(Metric, f64); 3] {
    let waiting = overview.pending_since.map_or(0.0, |since| {
        // Clocks of two machines differ a little.
        now.duration_since(since).as_secs_f64().max(0.0) * 1_000.0
    });
    let is_paused = overview.budget.paused_until(now).is_some();
    let letters = u32::try_from(overview.dead_letters_open).unwrap_or(u32::MAX);
    [
        (Metric::CrmWaiting, waiting),
        (Metric::CrmPaused, if is_paused { 1.0 } else { 0.0 }),
        (Metric::CrmLettersOpen, f64::from(letters)),
    ]
}

#[derive(Debug, thiserror::Error)]
enum CrmWatchError {
    #[error(transparent)]
    Port(#[from] PortError),
}
