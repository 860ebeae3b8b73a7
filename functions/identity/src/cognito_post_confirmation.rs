//! Makes the account of somebody who has confirmed their address at the user pool.
//!
//! Cognito shows a failure of this function to the person, although they are signed up by then. So it
//! never fails: what could not be stored in time goes to the queue of `user-sweep`, and if even that
//! does not work, the first sign-in makes the account. It has five seconds in all.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rollcall_domain::port::PortError;
use rollcall_domain::random::Random;
use rollcall_domain::time::Clock;
use rollcall_queue::QueueSender;
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::{COGNITO_TIMEOUT_SECONDS, CognitoTrigger};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::users::UserJoiner;
use serde_json::Value;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::pool::PoolEvent;
use crate::settings::OIDC_ISSUER;
use crate::welcome::{Newcomer, Welcome, welcome};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "cognito-post-confirmation",
    purpose: "Makes the account of somebody who has signed up at the user pool.",
    triggers: &[Trigger::Cognito(CognitoTrigger::PostConfirmation)],
    grants: &[UserJoiner::GRANTS, &[Grant::send(Queue::UserSweep)]],
    settings: &[&OIDC_ISSUER],
    timeout_seconds: COGNITO_TIMEOUT_SECONDS,
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

/// How long storing may take. With [`QUEUE_TIMEOUT`] it leaves a second and a half to start in.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long handing over to the sweep may take.
const QUEUE_TIMEOUT: Duration = Duration::from_millis(1500);
/// When the sweep looks first: most trouble with a table is over by then.
const SWEEP_DELAY_SECONDS: u32 = 30;

struct Ports {
    users: UserJoiner,
    sweep: QueueSender,
    issuer: String,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            users: startup.capability()?,
            sweep: startup.queue(Queue::UserSweep)?,
            issuer: startup.setting(&OIDC_ISSUER)?.to_owned(),
            random: startup.random(),
            clock: startup.clock(),
        })
    }
}

/// Who has signed up; `None` when the event tells of something else, such as a new password.
fn newcomer(event: &Value, issuer: &str) -> Option<Newcomer> {
    let event = PoolEvent::of(event, issuer)?;
    if event.source() != "PostConfirmation_ConfirmSignUp" {
        return None;
    }
    let text = |name| event.attribute(name).unwrap_or_default().to_owned();
    Some(Newcomer {
        issuer: issuer.to_owned(),
        subject: event.subject()?.to_owned(),
        email: event.attribute("email").map(ToOwned::to_owned),
        email_verified: event.attribute("email_verified") == Some("true"),
        given_name: text("given_name"),
        family_name: text("family_name"),
    })
}

/// Gives the event back as it came, whatever happens.
async fn handle(ports: &Ports, event: Value, invocation: &Invocation) -> Result<Value, Infallible> {
    match newcomer(&event, &ports.issuer) {
        None => tracing::info!("nobody has signed up with us"),
        Some(newcomer) => {
            if let Err(error) = store(ports, newcomer.clone(), invocation).await {
                tracing::error!(error = chain(&error), "a new account could not be stored");
                hand_over(ports, &newcomer).await;
            }
        }
    }
    Ok(event)
}

async fn store(
    ports: &Ports,
    newcomer: Newcomer,
    invocation: &Invocation,
) -> Result<(), WelcomeError> {
    let moment = (ports.clock.now(), invocation.trace_id.as_str());
    let welcomed = welcome(&ports.users, newcomer, moment, ports.random.as_ref());
    match timeout(STORE_TIMEOUT, welcomed).await?? {
        Welcome::Made(user) => tracing::info!(user.id = %user, "signed up"),
        Welcome::Known => tracing::info!("somebody who has an account confirmed their address"),
        Welcome::AddressTaken => tracing::info!("there is an account with this address already"),
    }
    Ok(())
}

async fn hand_over(ports: &Ports, newcomer: &Newcomer) {
    if let Err(error) = send(ports, newcomer).await {
        let error = chain(&error);
        tracing::error!(error, "a new account has to wait for the first sign-in");
    }
}

async fn send(ports: &Ports, newcomer: &Newcomer) -> Result<(), WelcomeError> {
    let message = serde_json::to_string(newcomer)?;
    Ok(timeout(QUEUE_TIMEOUT, ports.sweep.send(message, SWEEP_DELAY_SECONDS)).await??)
}

#[derive(Debug, thiserror::Error)]
enum WelcomeError {
    #[error("it took too long")]
    TooLong(#[from] Elapsed),
    #[error("the message cannot be written")]
    Message(#[from] serde_json::Error),
    #[error(transparent)]
    Port(#[from] PortError),
}
