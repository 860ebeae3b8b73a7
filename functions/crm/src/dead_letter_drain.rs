//! Takes messages that no function could handle to the dead-letter desk, so that there is one place to
//! look.
//!
//! A letter is stored before Lambda deletes the message, under an id that the message alone decides, so
//! a message that is delivered twice is one letter. A message that went back to its queue and failed
//! there again opens its letter again. Bodies that tell about people are kept for as long as their
//! queue would have kept them, and are shown to nobody.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use rollcall_crm::dead_letter::Cause;
use rollcall_crm::desk::{letter_of_message, shown};
use rollcall_crm::limits::PERSONAL_MESSAGE_KEPT_SECONDS;
use rollcall_domain::port::PortError;
use rollcall_domain::time::{Clock, Timestamp, after_seconds};
use rollcall_resources::Queue;
use rollcall_runtime::declaration::QueueTrigger;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::crm::{CrmTable, DeadMessage, DeadMessageKeeper};
use serde::Deserialize;

/// Where a message that goes back to its queue says which letter it was.
pub(crate) const LETTER_ATTRIBUTE: &str = "dead-letter";

/// Messages of one invocation.
const BATCH_MESSAGES: u32 = 10;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-drain",
    purpose: "Takes messages that no function could handle to the dead-letter desk.",
    triggers: &[
        drained(Queue::CrmDrainDead),
        drained(Queue::CrmStreamFailuresDead),
        drained(Queue::CrmInboundDead),
        drained(Queue::UserSweepDead),
        drained(Queue::MailStreamFailuresDead),
        drained(Queue::AwardStreamFailuresDead),
        drained(Queue::LabValidationsDead),
    ],
    grants: &[DeadMessageKeeper::GRANTS],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

const fn drained(queue: Queue) -> Trigger {
    Trigger::Queue(QueueTrigger { queue, batch_size: BATCH_MESSAGES })
}

struct Ports {
    table: Arc<CrmTable>,
    clock: Arc<dyn Clock>,
    stage: String,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadMessageKeeper>()?.table();
        Ok(Self { table, clock: startup.clock(), stage: startup.stage()?.to_owned() })
    }
}

/// What Lambda tells about records it gave up; other messages have none of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    #[serde(rename = "requestContext")]
    request: RequestContext,
    #[serde(rename = "responseContext")]
    response: ResponseContext,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequestContext {
    condition: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResponseContext {
    function_error: Option<String>,
}

/// A message that fails stays in its dead-letter queue, becomes visible again, and comes again.
async fn handle(
    ports: &Ports,
    event: SqsEvent,
    _invocation: &Invocation,
) -> Result<SqsBatchResponse, DeadLetterDrainError> {
    let mut response = SqsBatchResponse::default();
    let mut kept = 0.0;
    for message in event.records {
        let id = message.message_id.clone().unwrap_or_default();
        match keep(ports, message).await {
            Ok(()) => kept += 1.0,
            Err(error) => {
                tracing::error!(error = chain(&error), "a message could not be kept");
                response.add_failure(id);
            }
        }
    }
    emit(ports.clock.now(), &[(Metric::DeadMessages, kept)]);
    Ok(response)
}

async fn keep(ports: &Ports, message: SqsMessage) -> Result<(), DeadLetterDrainError> {
    let dead = dead_message(message, &ports.stage, ports.clock.now())?;
    ports.table.keep_message(&dead).await?;
    let (letter, queue) = (dead.returned.as_ref().unwrap_or(&dead.id), dead.queue.as_str());
    tracing::warn!(dead_letter = %letter, queue, "a message was given up");
    Ok(())
}

fn dead_message(
    message: SqsMessage,
    stage: &str,
    now: Timestamp,
) -> Result<DeadMessage, DeadLetterDrainError> {
    let arn = message.event_source_arn.unwrap_or_default();
    let name = arn.rsplit(':').next().unwrap_or_default();
    let dead = Queue::ALL.into_iter().find(|queue| queue.full_name(stage) == name);
    let queue = dead.and_then(Queue::gives_up_for).ok_or(DeadLetterDrainError::Queue { arn })?;
    let message_id = message.message_id.ok_or(DeadLetterDrainError::Nameless)?;
    let attribute = |name: &str| message.attributes.get(name).map(String::as_str);
    let sent_ms = attribute("SentTimestamp").and_then(|text| text.parse().ok());
    let sent_at = sent_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(now);
    let receives = attribute("ApproximateReceiveCount").and_then(|text| text.parse().ok());
    let returned = message.message_attributes.get(LETTER_ATTRIBUTE);
    let returned = returned.and_then(|letter| letter.string_value.as_deref()?.parse().ok());
    let body = message.body.unwrap_or_default();
    let report: Report = serde_json::from_str(&body).unwrap_or_default();
    let category = report.request.condition.as_deref().unwrap_or("RECEIVED_IN_VAIN");
    let reason = report.response.function_error.as_deref();
    let reason = reason.unwrap_or("no function could handle the message");
    let kept_until = after_seconds(sent_at, PERSONAL_MESSAGE_KEPT_SECONDS);
    Ok(DeadMessage {
        id: letter_of_message(queue.name(), &message_id, sent_at),
        returned,
        queue: queue.name().to_owned(),
        message_id,
        shown: shown(&body, queue.is_personal()),
        receives: receives.unwrap_or_default(),
        cause: Cause::of_message(queue.name(), category, reason),
        at: now,
        expires_at: queue.is_personal().then_some(kept_until),
        function_version: env!("CARGO_PKG_VERSION").to_owned(),
        body,
    })
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterDrainError {
    #[error("{arn} is not a dead-letter queue of ours")]
    Queue { arn: String },
    #[error("a message without an id")]
    Nameless,
    #[error(transparent)]
    Port(#[from] PortError),
}
