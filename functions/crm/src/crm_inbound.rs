//! Takes in what the CRM told: re-points contacts that were merged, erases people whom the CRM was
//! asked to erase, and notes what people changed of ours and, where our side wins, has it written again.
//!
//! A notice is taken by one conditional write for its delivery, so HubSpot's repetitions of it are
//! nothing, while a message that failed half-way goes on. Everything that follows may be done twice.
//! A contact that nobody knows may be so new that nobody knows it yet: merges and erasures of such
//! contacts are looked at once more after a quarter of an hour, and are then about nobody of ours.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use rollcall_crm::inbound::work::{Delivery, Intake, NoticeStore, TakenIn};
use rollcall_crm::inbound::{Drift, LOOK_AGAIN_SECONDS, Owner, Policy};
use rollcall_crm::pending::{Mark, token};
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::id::{MailId, UserId};
use rollcall_domain::mail::{Address, Letter, Mail};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::random::Random;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_queue::QueueSender;
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::QueueTrigger;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::crm::{InboundKeeper, PendingMarker};

use crate::settings::CRM_DRIFT;
use crate::waiting::DrainQueue;

/// How often an erasure is stored at most, when others change the account at the same moment.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-inbound",
    purpose: "Takes in what the CRM told us.",
    // One message each: it may hold a hundred notices.
    triggers: &[Trigger::Queue(QueueTrigger { queue: Queue::CrmInbound, batch_size: 1 })],
    grants: &[
        InboundKeeper::GRANTS,
        PendingMarker::GRANTS,
        &[Grant::send(Queue::CrmInbound), Grant::send(Queue::CrmDrain)],
    ],
    settings: &[&CRM_DRIFT],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

struct Ports {
    intake: Intake,
    again: QueueSender,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let (clock, random) = (startup.clock(), startup.random());
        let policy = match startup.setting(&CRM_DRIFT)? {
            "theirs" => Policy::Theirs,
            _ => Policy::Ours,
        };
        let table = startup.capability()?;
        let store = Keeper { table, clock: Arc::clone(&clock), random: Arc::clone(&random) };
        let intake = Intake {
            store: Arc::new(store),
            budget: startup.capability::<PendingMarker>()?.table(),
            nudge: Arc::new(DrainQueue::new(startup)?),
            clock,
            random,
            policy,
        };
        Ok(Self { intake, again: startup.queue(Queue::CrmInbound)? })
    }
}

/// A message that fails comes again, and ends in the dead-letter queue for an operator to see.
async fn handle(
    ports: &Ports,
    event: SqsEvent,
    _invocation: &Invocation,
) -> Result<SqsBatchResponse, CrmInboundError> {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        if let Err(error) = take_in(ports, &message.body.unwrap_or_default()).await {
            tracing::error!(error = chain(&error), "notices of the CRM could not be taken in");
            response.add_failure(message.message_id.unwrap_or_default());
        }
    }
    Ok(response)
}

async fn take_in(ports: &Ports, body: &str) -> Result<(), CrmInboundError> {
    let delivery: Delivery = serde_json::from_str(body)?;
    let TakenIn { taken, drifted, foreign, again } = ports.intake.take_in(&delivery).await?;
    if let Some(again) = again {
        ports.again.send(serde_json::to_string(&again)?, LOOK_AGAIN_SECONDS).await?;
    }
    let counts =
        [(Metric::CrmNotices, taken), (Metric::CrmDrift, drifted), (Metric::CrmForeign, foreign)];
    let now = ports.intake.clock.now();
    emit(now, &counts.map(|(metric, count)| (metric, f64::from(count))));
    tracing::info!(delivery = delivery.id, taken, drifted, foreign, "notices are taken in");
    Ok(())
}

/// The table, and what an erasure means for the account.
struct Keeper {
    table: InboundKeeper,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[async_trait]
impl NoticeStore for Keeper {
    async fn take(&self, notice: &str, delivery: &str, now: Timestamp) -> Result<bool, PortError> {
        self.table.take(notice, delivery, now).await
    }

    async fn owners(&self, contact: &str, now: Timestamp) -> Result<Vec<Owner>, PortError> {
        self.table.owners(contact, now).await
    }

    async fn repoint(
        &self,
        user: &UserId,
        ids: (&str, &str),
        aliases: &[String],
        marks: &[Mark],
        now: Timestamp,
    ) -> Result<(), PortError> {
        self.table.repoint(user, ids, aliases, marks, now).await?;
        tracing::info!(user.id = %user, "the contact of a user was merged");
        Ok(())
    }

    async fn unlink(&self, user: &UserId, from: &str, marks: &[Mark]) -> Result<(), PortError> {
        self.table.unlink(user, from, marks).await?;
        tracing::info!(user.id = %user, "a user has no contact any more");
        Ok(())
    }

    async fn note(&self, drift: &Drift, marks: &[Mark]) -> Result<(), PortError> {
        self.table.note(drift, marks).await?;
        let Drift { user, what, .. } = drift;
        tracing::info!(user.id = %user, what, "something of ours was changed in the CRM");
        Ok(())
    }

    /// The account is erased when its grace time is over; the person and the audit log are told.
    async fn erase(&self, user: &UserId, trace_id: &str) -> Result<(), PortError> {
        let random = self.random.as_ref();
        let mut contended = None;
        for _attempt in 0..STORE_ATTEMPTS_MAX {
            let now = self.clock.now();
            let account = self.table.user(user).await?;
            let email = account.as_ref().and_then(|account| account.email.clone());
            let removal = Removal::new(token(random), RemovalKind::Erase, email, now);
            let told = (
                Actor::Function(FUNCTION.name),
                Action::ErasureTakenIn,
                Subject::User(user.clone()),
            );
            let entry = Entry::new(told, trace_id, now, random);
            let leaving = account.and_then(|account| account.expel(now));
            let address = leaving.as_ref().and_then(|leaving| leaving.email.as_deref());
            let mail = address.and_then(|address| Address::parse(address).ok()).map(|to| Mail {
                id: MailId::new(now, random),
                to,
                letter: Letter::ErasureTakenIn,
                created_at: now,
            });
            let leaving = leaving.as_ref().map(|leaving| (leaving, mail.as_ref(), &entry));
            match self.table.erase(user, leaving, &removal).await {
                Ok(()) => {
                    tracing::info!(user.id = %user, "the CRM erased a user");
                    return Ok(());
                }
                Err(error) if error.class == PortErrorClass::Conflict => contended = Some(error),
                Err(error) => return Err(error),
            }
        }
        contended.map_or(Ok(()), Err)
    }
}

#[derive(Debug, thiserror::Error)]
enum CrmInboundError {
    #[error("the message is not a delivery of notices")]
    Message(#[from] serde_json::Error),
    #[error(transparent)]
    Port(#[from] PortError),
}
