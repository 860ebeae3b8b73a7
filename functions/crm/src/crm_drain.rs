//! Sends to the CRM what could not be sent when it changed.
//!
//! A message says that something waits; once a minute the drain looks anyway, so a message that was
//! lost costs a minute at most. It works until nothing is due, the portal must be left alone, or its
//! time is nearly over, and then arranges its next call. Two drains at once do no harm: leases keep
//! them off each other's users, and the budget off the CRM's limits. So its concurrency is not
//! reserved: that would turn a second message into a refused one, and refusals count as receives.

use std::sync::Arc;

use aws_lambda_events::sqs::SqsBatchResponse;
use rollcall_crm::engine::Engine;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Clock;
use rollcall_resources::Queue;
use rollcall_runtime::declaration::QueueTrigger;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::crm::PendingDrainer;
use serde::de::IgnoredAny;

use crate::engine::{self, CALLS, FEED_KEY, STATES};
use crate::{report, settings};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-drain",
    purpose: "Sends to the CRM what is pending.",
    triggers: &[
        Trigger::Queue(QueueTrigger { queue: Queue::CrmDrain, batch_size: 10 }),
        Trigger::Schedule { every_minutes: 1 },
    ],
    grants: &[
        PendingDrainer::GRANTS,
        STATES[0],
        STATES[1],
        STATES[2],
        STATES[3],
        STATES[4],
        CALLS,
        FEED_KEY,
    ],
    settings: settings::SENDERS,
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

struct Ports {
    engine: Engine,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<PendingDrainer>()?.table();
        Ok(Self { engine: engine::new(startup, &table)?, clock: startup.clock() })
    }
}

/// Messages and schedules alike only say that it is time. What waits stays in the table whatever
/// becomes of this invocation, so a failure is told by failing, and Lambda comes again.
async fn handle(
    ports: &Ports,
    _event: IgnoredAny,
    invocation: &Invocation,
) -> Result<SqsBatchResponse, CrmDrainError> {
    let report = Box::pin(ports.engine.drain(invocation.deadline)).await;
    report::tell(&report, None, ports.clock.now());
    match report.error {
        None => Ok(SqsBatchResponse::default()),
        Some(error) => Err(CrmDrainError::Port(error)),
    }
}

#[derive(Debug, thiserror::Error)]
enum CrmDrainError {
    #[error(transparent)]
    Port(#[from] PortError),
}
