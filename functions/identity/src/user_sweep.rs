//! Makes the accounts that `cognito-post-confirmation` could not store.
//!
//! A message that fails comes again every six minutes for half a day, and ends in the dead-letter
//! queue for an operator to see. Messages hold what people told at the provider; how long they wait is
//! bounded by `Queue::retention_seconds`, and none of it is logged.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use rollcall_domain::port::PortError;
use rollcall_domain::random::Random;
use rollcall_domain::time::Clock;
use rollcall_resources::Queue;
use rollcall_runtime::declaration::QueueTrigger;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::users::UserJoiner;

use crate::welcome::{Newcomer, Welcome, welcome};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-sweep",
    purpose: "Makes the accounts that could not be stored when people signed up.",
    triggers: &[Trigger::Queue(QueueTrigger { queue: Queue::UserSweep, batch_size: 10 })],
    grants: &[UserJoiner::GRANTS],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

struct Ports {
    users: UserJoiner,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { users: startup.capability()?, random: startup.random(), clock: startup.clock() })
    }
}

async fn handle(
    ports: &Ports,
    event: SqsEvent,
    invocation: &Invocation,
) -> Result<SqsBatchResponse, UserSweepError> {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        if let Err(error) = sweep(ports, &message.body.unwrap_or_default(), invocation).await {
            tracing::error!(error = chain(&error), "a new account could not be stored again");
            response.add_failure(message.message_id.unwrap_or_default());
        }
    }
    Ok(response)
}

async fn sweep(ports: &Ports, body: &str, invocation: &Invocation) -> Result<(), UserSweepError> {
    // What serde says about a text may quote it.
    let newcomer: Newcomer =
        serde_json::from_str(body).map_err(|_personal| UserSweepError::Message)?;
    let moment = (ports.clock.now(), invocation.trace_id.as_str());
    match welcome(&ports.users, newcomer, moment, ports.random.as_ref()).await? {
        Welcome::Made(user) => tracing::warn!(user.id = %user, "an account was made late"),
        Welcome::Known => tracing::info!("an account was made by a sign-in in the meantime"),
        Welcome::AddressTaken => tracing::info!("there is an account with this address already"),
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum UserSweepError {
    #[error("the message does not tell who signed up")]
    Message,
    #[error(transparent)]
    Port(#[from] PortError),
}
