//! Takes in what the CRM told: re-points contacts that were merged, erases people whom the CRM was
//! asked to erase, and notes what people changed of ours and, where our side wins, has it written again.
//!
//! A notice is taken by one conditional write for its delivery, so HubSpot's repetitions of it are
//! nothing, while a message that failed half-way goes on. Everything that follows may be done twice.
//! A contact that nobody knows may be so new that nobody knows it yet: merges and erasures of such
//! contacts are looked at once more after a quarter of an hour, and are then about nobody of ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use rollcall_crm::inbound::{
    Drift, Effect, LOOK_AGAIN_SECONDS, LOOKS_MAX, Notice, Owner, Policy, decide,
};
use rollcall_crm::pending::{Dirty, Mark, Reason, token};
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{MailId, UserId};
use rollcall_domain::mail::{Address, Letter, Mail};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::random::Random;
use rollcall_domain::time::Clock;
use rollcall_queue::QueueSender;
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::QueueTrigger;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::crm::{InboundKeeper, PendingMarker};

use crate::delivery::Delivery;
use crate::settings::CRM_DRIFT;
use crate::waiting::Waiting;

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
    keeper: InboundKeeper,
    waiting: Waiting,
    again: QueueSender,
    policy: Policy,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<PendingMarker>()?.table();
        let policy = match startup.setting(&CRM_DRIFT)? {
            "theirs" => Policy::Theirs,
            _ => Policy::Ours,
        };
        Ok(Self {
            keeper: startup.capability()?,
            waiting: Waiting::new(startup, table)?,
            again: startup.queue(Queue::CrmInbound)?,
            policy,
            clock: startup.clock(),
            random: startup.random(),
        })
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

/// What became of one notice.
enum Outcome {
    Taken(Vec<Effect>),
    Repeated,
    Unknown,
}

async fn take_in(ports: &Ports, body: &str) -> Result<(), CrmInboundError> {
    let delivery: Delivery = serde_json::from_str(body)?;
    let (mut taken, mut drifted, mut foreign) = (0_u32, 0_u32, 0_u32);
    let mut unknown = Vec::new();
    for notice in &delivery.notices {
        match take(ports, notice, &delivery.id).await? {
            Outcome::Taken(effects) => {
                taken += 1;
                for effect in effects {
                    drifted += u32::from(matches!(effect, Effect::Drift(_)));
                    carry_out(ports, effect, &delivery.trace_id).await?;
                }
            }
            Outcome::Repeated => {}
            Outcome::Unknown if may_look_again(notice, delivery.looks) => {
                unknown.push(notice.clone());
            }
            Outcome::Unknown => foreign += 1,
        }
    }
    if !unknown.is_empty() {
        let again = Delivery {
            looks: delivery.looks + 1,
            notices: unknown,
            id: delivery.id.clone(),
            trace_id: delivery.trace_id.clone(),
        };
        ports.again.send(serde_json::to_string(&again)?, LOOK_AGAIN_SECONDS).await?;
    }
    let counts =
        [(Metric::CrmNotices, taken), (Metric::CrmDrift, drifted), (Metric::CrmForeign, foreign)];
    emit(ports.clock.now(), &counts.map(|(metric, count)| (metric, f64::from(count))));
    tracing::info!(delivery = delivery.id, taken, drifted, foreign, "notices are taken in");
    Ok(())
}

fn may_look_again(notice: &Notice, looks: u32) -> bool {
    notice.happened.is_worth_another_look() && looks + 1 < LOOKS_MAX
}

async fn take(ports: &Ports, notice: &Notice, delivery: &str) -> Result<Outcome, CrmInboundError> {
    let now = ports.clock.now();
    if !ports.keeper.take(&notice.id, delivery, now).await? {
        return Ok(Outcome::Repeated);
    }
    let mut owners: BTreeMap<String, Vec<Owner>> = BTreeMap::new();
    for contact in notice.happened.contacts() {
        let found = ports.keeper.owners(contact, now).await?;
        owners.insert(contact.to_owned(), found);
    }
    if owners.values().all(Vec::is_empty) {
        return Ok(Outcome::Unknown);
    }
    Ok(Outcome::Taken(decide(notice, &owners, ports.policy)))
}

async fn carry_out(ports: &Ports, effect: Effect, trace_id: &str) -> Result<(), CrmInboundError> {
    let now = ports.clock.now();
    match effect {
        Effect::Repoint { user, from, to, aliases } => {
            let marks = marks(ports, &user, &Facet::ALL, trace_id);
            ports.keeper.repoint(&user, (&from, &to), &aliases, &marks, now).await?;
            tracing::info!(user.id = %user, "the contact of a user was merged");
        }
        Effect::Unlink { user, from } => {
            let marks = marks(ports, &user, &Facet::ALL, trace_id);
            ports.keeper.unlink(&user, &from, &marks).await?;
            tracing::info!(user.id = %user, "a user has no contact any more");
        }
        Effect::Erase { user } => erase(ports, &user, trace_id).await?,
        Effect::Drift(drift) => {
            let Drift { user, what, again, .. } = &drift;
            let marks = marks(ports, user, again, trace_id);
            ports.keeper.note(&drift, &marks).await?;
            tracing::info!(user.id = %user, what, "something of ours was changed in the CRM");
            if marks.is_empty() {
                return Ok(());
            }
        }
    }
    ports.waiting.wake().await?;
    Ok(())
}

fn marks(ports: &Ports, user: &UserId, facets: &[Facet], trace_id: &str) -> Vec<Mark> {
    let dirty = facets.iter().map(|facet| Dirty {
        user: user.clone(),
        facet: *facet,
        trace_id: Some(trace_id.to_owned()),
    });
    dirty.map(|dirty| ports.waiting.mark(dirty, Reason::Drift)).collect()
}

/// Closes the CRM to the user for good, and has the account erased when its grace time is over.
async fn erase(ports: &Ports, user: &UserId, trace_id: &str) -> Result<(), CrmInboundError> {
    let random = ports.random.as_ref();
    for _attempt in 0..STORE_ATTEMPTS_MAX {
        let now = ports.clock.now();
        let account = ports.keeper.user(user).await?;
        let email = account.as_ref().and_then(|account| account.email.clone());
        let removal = Removal::new(token(random), RemovalKind::Erase, email, now);
        let told =
            (Actor::Function(FUNCTION.name), Action::ErasureTakenIn, Subject::User(user.clone()));
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
        match ports.keeper.erase(user, leaving, &removal).await {
            Ok(()) => {
                tracing::info!(user.id = %user, "the CRM erased a user");
                return Ok(());
            }
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CrmInboundError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum CrmInboundError {
    #[error("the message is not a delivery of notices")]
    Message(#[from] serde_json::Error),
    #[error("others changed the account again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}
