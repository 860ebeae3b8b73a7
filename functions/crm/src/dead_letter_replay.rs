//! Sends a refused change again, after somebody has seen to its cause. The request only marks it:
//! the drain sends the newest state, not the one that was refused, and closes the dead letter or
//! opens it again.
//!
//! A message goes back to its queue, with the name of its letter on it. It is sent before that is noted,
//! so a process that dies in between leaves a letter that can be replayed again, and never a message
//! that is nowhere; queues may deliver twice anyway.
//!
//! Only an open dead letter is replayed, and replaying takes it off the desk in the same transaction,
//! so a repetition of a request whose process died before its answer was kept has no second effect:
//! it hears that nothing has to be done.

use rollcall_crm::dead_letter::Status;
use std::collections::BTreeMap;

use rollcall_crm::desk::{About, Filed, QueueMessage};
use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, Operator, Principal, Problem, Response};
use rollcall_queue::QueueSender;
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::{Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{DeadLetterReplayer, Replay};
use rollcall_store::{Capability, PortError};

use crate::dead_letter_drain::LETTER_ATTRIBUTE;
use crate::letters::{DEAD_LETTER_CLOSED, Input, Replayer, Replaying};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-replay",
    purpose: "Sends a change that the CRM refused again.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/dead-letters/{id}/replay",
    })],
    idempotency: Idempotency::Optional,
    grants: &[DeadLetterReplayer::GRANTS, &RETURNS],
    operation: Operation {
        success_status: 202,
        response: Some(schema::<Replaying>),
        problems: &[&NOT_FOUND, &DEAD_LETTER_CLOSED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// The queues that messages come from, and go back to.
const RETURNED_TO: [Queue; 7] = [
    Queue::CrmDrain,
    Queue::CrmStreamFailures,
    Queue::CrmInbound,
    Queue::UserSweep,
    Queue::MailStreamFailures,
    Queue::AwardStreamFailures,
    Queue::LabValidations,
];

const RETURNS: [Grant; RETURNED_TO.len()] = {
    let [drain, streams, inbound, sweep, mail, badges, labs] = RETURNED_TO;
    [
        Grant::send(drain),
        Grant::send(streams),
        Grant::send(inbound),
        Grant::send(sweep),
        Grant::send(mail),
        Grant::send(badges),
        Grant::send(labs),
    ]
};

struct Ports {
    replayer: Replayer,
    queues: BTreeMap<&'static str, QueueSender>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadLetterReplayer>()?.table();
        let queues = RETURNED_TO.into_iter().map(|queue| Ok((queue.name(), startup.queue(queue)?)));
        let queues = queues.collect::<Result<_, StartupError>>()?;
        Ok(Self { replayer: Replayer::new(startup, table)?, queues })
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input(id): Input,
) -> Result<Response, DeadLetterReplayError> {
    let replayer = &ports.replayer;
    let letter = replayer.table.letter(&id).await?.ok_or(DeadLetterReplayError::NotFound)?;
    if let About::Message(message) = &letter.about {
        give_back(ports, &letter, message, (operator, context)).await?;
        let output = Replaying { id: id.into(), status: Status::Returned.as_str() };
        return Ok(Response::json(202, &output));
    }
    if !replayer.replay(&letter, Replay::Plain, (operator, context)).await? {
        return Err(DeadLetterReplayError::Closed);
    }
    replayer.wake().await;
    let output = Replaying { id: id.into(), status: Status::Replaying.as_str() };
    Ok(Response::json(202, &output))
}

/// Sends a message back to its queue.
async fn give_back(
    ports: &Ports,
    letter: &Filed,
    message: &QueueMessage,
    (operator, context): (&Operator, &Context),
) -> Result<(), DeadLetterReplayError> {
    let Replayer { table, random, .. } = &ports.replayer;
    let body = message.body.clone().ok_or(DeadLetterReplayError::Closed)?;
    let queue = ports.queues.get(message.queue.as_str()).ok_or(DeadLetterReplayError::Closed)?;
    let action = Action::DeadMessageReturned { queue: message.queue.clone() };
    let told = (operator.actor(), action, Subject::DeadLetter(letter.id.clone()));
    let entry = Entry::new(told, &context.trace_id, context.now, &**random);
    if !table.begin_return(letter, context.now, &entry).await? {
        return Err(DeadLetterReplayError::Closed);
    }
    queue.send_marked(body, (LETTER_ATTRIBUTE, letter.id.as_str())).await?;
    table.finish_return(&letter.id, context.now).await?;
    tracing::info!(dead_letter = %letter.id, operator = operator.name(), "a message is returned");
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterReplayError {
    #[error("no such dead letter")]
    NotFound,
    #[error("the dead letter is not open")]
    Closed,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterReplayError> for Problem {
    fn from(error: DeadLetterReplayError) -> Self {
        match error {
            DeadLetterReplayError::NotFound => Self::new(&NOT_FOUND),
            DeadLetterReplayError::Closed => Self::new(&DEAD_LETTER_CLOSED),
            DeadLetterReplayError::Port(error) => Self::port(&error),
        }
    }
}
