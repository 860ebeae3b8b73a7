//! Sends several refused changes again, each as if it were replayed by itself, and says of each what
//! became of it. Replaying takes a letter off the desk, so a repetition has no second effect.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use rollcall_crm::limits::{REPLAYED_LETTERS_MAX, STORE_CALLS_AT_ONCE};
use rollcall_domain::id::DeadLetterId;
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Problem, Response};
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{DeadLetterReplayer, Replay};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::letters::Replayer;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-replay-some",
    purpose: "Sends several changes that the CRM refused again.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/admin/dead-letters/replay" })],
    grants: &[DeadLetterReplayer::GRANTS, &[Grant::send(Queue::CrmDrain)]],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 202,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

struct Ports {
    replayer: Replayer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadLetterReplayer>()?.table();
        Ok(Self { replayer: Replayer::new(startup, table)? })
    }
}

/// Which letters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplaySome")]
struct Body {
    /// Their ids, at most 25.
    ids: Vec<String>,
}

#[derive(Debug)]
struct Input(BTreeSet<DeadLetterId>);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let Body { ids } = request.json()?;
        if !(1..=REPLAYED_LETTERS_MAX).contains(&ids.len()) {
            let detail = format!("must be 1 to {REPLAYED_LETTERS_MAX} ids");
            return Err(Problem::invalid("/ids", "out-of-range", &detail));
        }
        let ids = ids.iter().enumerate().map(|(place, id)| {
            id.parse().map_err(|error| Problem::invalid(format!("/ids/{place}"), "invalid", &error))
        });
        ids.collect::<Result<_, _>>().map(Self)
    }
}

/// What became of the letters.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Letter by letter.
    dead_letters: Vec<Became>,
}

/// What became of one letter.
#[derive(Debug, Serialize, JsonSchema)]
struct Became {
    /// Which.
    id: String,
    /// `replaying`; `closed` when it is not open; `unknown` when there is none; `message` when it is
    /// a message, which goes back to its queue by itself.
    outcome: &'static str,
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input(ids): Input,
) -> Result<Response, DeadLetterReplaySomeError> {
    let replaying = ids.into_iter().map(|id| async move {
        let outcome = replay(ports, &id, (operator, context)).await?;
        Ok::<_, PortError>(Became { id: id.into(), outcome })
    });
    let replayed = stream::iter(replaying).buffered(STORE_CALLS_AT_ONCE).try_collect().await;
    // What was marked before a failure waits already.
    ports.replayer.wake().await;
    Ok(Response::json(202, &Output { dead_letters: replayed? }))
}

async fn replay(
    ports: &Ports,
    id: &DeadLetterId,
    by: (&Operator, &Context),
) -> Result<&'static str, PortError> {
    let Some(letter) = ports.replayer.table.letter(id).await? else { return Ok("unknown") };
    if letter.dirty("").is_none() {
        return Ok("message");
    }
    let replays = ports.replayer.replay(&letter, Replay::Plain, by).await?;
    Ok(if replays { "replaying" } else { "closed" })
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterReplaySomeError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterReplaySomeError> for Problem {
    fn from(error: DeadLetterReplaySomeError) -> Self {
        match error {
            DeadLetterReplaySomeError::Port(error) => Self::port(&error),
        }
    }
}
