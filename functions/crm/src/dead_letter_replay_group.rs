//! Sends all changes with one cause again: one of them ahead, as the canary, and the others only when
//! the CRM has acknowledged that one.
//!
//! Each request takes the next step and says which it was, so whoever asks goes on asking until it is
//! `done`, and may stop at any time. What was refused after the canary was sent is left alone: what
//! helped the canary did not help it. Which letter is the canary stands in the table, so steps of two
//! operators are steps of the same walk.

use futures::{StreamExt, TryStreamExt, stream};
use rollcall_crm::dead_letter::Status;
use rollcall_crm::desk::{Canary, Filed, Filter, Kind, Step, step};
use rollcall_crm::limits::{REPLAYED_LETTERS_MAX, STORE_CALLS_AT_ONCE};
use rollcall_domain::id::DeadLetterId;
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::{CONFLICT, NOT_FOUND};
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Problem, Response};
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{DeadLetterSpreader, Replay};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::letters::{Replayer, fingerprint};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-replay-group",
    purpose: "Sends changes with one cause again, one of them ahead of the others.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/dead-letters/groups/{fingerprint}/replay",
    })],
    grants: &[DeadLetterSpreader::GRANTS, &[Grant::send(Queue::CrmDrain)]],
    operation: Operation {
        success_status: 202,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &CANARY_REFUSED, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// Pages of the list that one request passes over when letters with other causes fill them.
const PAGES_MAX: usize = 10;

/// The cause is still there.
static CANARY_REFUSED: ProblemKind = ProblemKind {
    code: "canary-refused",
    status: 409,
    title: "The change that was sent ahead was refused again, so the others stay.",
    advice: "See to the cause, which the dead letter that `detail` names tells; then ask again.",
};

struct Ports {
    replayer: Replayer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadLetterSpreader>()?.table();
        Ok(Self { replayer: Replayer::new(startup, table)? })
    }
}

#[derive(Debug)]
struct Input(String);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let cause = fingerprint(request.path_parameter("fingerprint"));
        cause.map(Self).ok_or_else(|| Problem::new(&NOT_FOUND))
    }
}

/// The step that was taken.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GroupReplay")]
struct Output {
    /// `canary`: one was sent ahead; `waiting`: it is not known yet what becomes of it; `spreading`:
    /// others were sent, and there may be more; `done`: there are no more.
    step: &'static str,
    /// The letter that was sent ahead.
    canary: Option<String>,
    /// How many letters this request sent.
    replayed: usize,
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    Input(cause): Input,
) -> Result<Response, DeadLetterReplayGroupError> {
    let table = &ports.replayer.table;
    let canary = table.canary(&cause).await?;
    let status = match &canary {
        None => None,
        Some(canary) => table.letter(&canary.letter).await?.map(|letter| letter.status),
    };
    let by = (operator, context);
    let output = match (step(canary.as_ref().map(|canary| (canary, status))), canary) {
        (Step::Begin, canary) => {
            begin(ports, &cause, canary.map(|canary| canary.letter), by).await?
        }
        (Step::Wait, canary) => Output {
            step: "waiting",
            canary: canary.map(|canary| canary.letter.into()),
            replayed: 0,
        },
        (Step::Stop, Some(canary)) => {
            table.forget_canary(&cause, &canary).await?;
            return Err(DeadLetterReplayGroupError::Refused(canary.letter));
        }
        (Step::Spread, Some(canary)) => spread(ports, &cause, canary, by).await?,
        (Step::Stop | Step::Spread, None) => return Err(DeadLetterReplayGroupError::Meanwhile),
    };
    Ok(Response::json(202, &output))
}

/// Open letters about changes with this cause, at most `letters_max` of those last refused before a
/// time, and whether there may be more.
async fn open(
    ports: &Ports,
    cause: &str,
    before: Option<Timestamp>,
    letters_max: usize,
) -> Result<(Vec<Filed>, bool), PortError> {
    let filter = Filter {
        status: Some(Status::Open),
        fingerprint: Some(cause.to_owned()),
        before,
        ..Filter::default()
    };
    let mut position = None;
    for _page in 0..PAGES_MAX {
        let page = ports.replayer.table.letters(&filter, position.as_deref(), letters_max).await?;
        let mut letters = page.letters;
        letters.retain(|letter| letter.kind() != Kind::Message);
        if !letters.is_empty() || page.position.is_none() {
            return Ok((letters, page.position.is_some()));
        }
        position = page.position;
    }
    Ok((Vec::new(), true))
}

async fn begin(
    ports: &Ports,
    cause: &str,
    before: Option<DeadLetterId>,
    by: (&Operator, &Context),
) -> Result<Output, DeadLetterReplayGroupError> {
    let (letters, _) = open(ports, cause, None, 1).await?;
    let Some(letter) = letters.into_iter().next() else {
        return Ok(Output { step: "done", canary: None, replayed: 0 });
    };
    if !ports.replayer.replay(&letter, Replay::Canary(before.as_ref()), by).await? {
        return Err(DeadLetterReplayGroupError::Meanwhile);
    }
    ports.replayer.wake().await;
    Ok(Output { step: "canary", canary: Some(letter.id.into()), replayed: 1 })
}

async fn spread(
    ports: &Ports,
    cause: &str,
    canary: Canary,
    by: (&Operator, &Context),
) -> Result<Output, DeadLetterReplayGroupError> {
    let (letters, more) = open(ports, cause, Some(canary.at), REPLAYED_LETTERS_MAX).await?;
    let replaying = letters.iter().map(|letter| ports.replayer.replay(letter, Replay::Plain, by));
    let replaying = stream::iter(replaying).buffer_unordered(STORE_CALLS_AT_ONCE);
    let replayed: Result<Vec<bool>, PortError> = replaying.try_collect().await;
    // What was marked before a failure waits already.
    ports.replayer.wake().await;
    let replayed = replayed?.into_iter().filter(|replays| *replays).count();
    if letters.is_empty() && !more {
        ports.replayer.table.forget_canary(cause, &canary).await?;
        return Ok(Output { step: "done", canary: Some(canary.letter.into()), replayed });
    }
    Ok(Output { step: "spreading", canary: Some(canary.letter.into()), replayed })
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterReplayGroupError {
    #[error("the canary {0} was refused again")]
    Refused(DeadLetterId),
    #[error("somebody else took a step at the same moment")]
    Meanwhile,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterReplayGroupError> for Problem {
    fn from(error: DeadLetterReplayGroupError) -> Self {
        match error {
            DeadLetterReplayGroupError::Refused(letter) => {
                Self::new(&CANARY_REFUSED).with_detail(letter)
            }
            DeadLetterReplayGroupError::Meanwhile => Self::new(&CONFLICT),
            DeadLetterReplayGroupError::Port(error) => Self::port(&error),
        }
    }
}
