//! Makes what somebody did before they signed in theirs: their browser hands in the events that it
//! kept. An event that does not count, since the catalogue has changed or since it is not true, keeps
//! none of the others out, and the answer says of each what became of it.
//!
//! The browser's times are nobody's word but its own: they are bounded, and override nothing. The same
//! events again change nothing, whoever sends them and how often, so a repetition of a request whose
//! process died before its answer was kept has no second effect.

use rollcall_domain::limits::{
    EVENT_ID_CHARACTERS_MAX, EVENTS_PER_REQUEST_MAX, TRANSACTION_ITEMS_MAX,
};
use rollcall_domain::progress::{Changes, EventRefusal, KeptEvent, record_kept};
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::{CONFLICT, INVALID};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::{LearnerRecorder, Write};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{self, EventBody, TargetView};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "progress-merge",
    purpose: "Makes what somebody did before they signed in theirs.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/progress/merge" })],
    idempotency: Idempotency::Optional,
    grants: &[CatalogReader::GRANTS, LearnerRecorder::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// How often a write is tried again when the learner's progress changed in between.
const ATTEMPTS_MAX: u32 = 20;

struct Ports {
    catalog: CatalogReader,
    learners: LearnerRecorder,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()?, learners: startup.capability()? })
    }
}

/// What happened before somebody signed in, in any order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeptEvents")]
struct Body {
    /// One to fifty events.
    events: Vec<KeptBody>,
}

/// An event that a browser kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeptEvent")]
struct KeptBody {
    /// How the browser tells it from others: 1 to 64 letters, digits, dashes and underscores.
    id: String,
    /// When it happened (RFC 3339). Nothing counts as of the future, or as older than ninety days.
    occurred_at: String,
    /// What happened, as `POST /events/track` takes it.
    event: EventBody,
}

#[derive(Debug)]
struct Input {
    events: Vec<KeptEvent>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let body: Body = request.json()?;
        if body.events.is_empty() || body.events.len() > EVENTS_PER_REQUEST_MAX {
            let detail = format!("must hold 1 to {EVENTS_PER_REQUEST_MAX} events");
            return Err(Problem::invalid("/events", "invalid-length", &detail));
        }
        let events = body.events.into_iter().enumerate().map(|(index, kept)| read(index, kept));
        Ok(Self { events: events.collect::<Result<_, Problem>>()? })
    }
}

fn read(index: usize, kept: KeptBody) -> Result<KeptEvent, Problem> {
    let KeptBody { id, occurred_at, event } = kept;
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.is_empty() || id.len() > EVENT_ID_CHARACTERS_MAX || !id.bytes().all(is_id) {
        let detail = format!("must be 1 to {EVENT_ID_CHARACTERS_MAX} letters, digits, - and _");
        return Err(Problem::invalid(format!("/events/{index}/id"), "invalid-id", &detail));
    }
    let at: Timestamp = occurred_at.parse().map_err(|_error| {
        let pointer = format!("/events/{index}/occurred_at");
        Problem::invalid(pointer, "invalid-time", &"must be a time as RFC 3339 has it")
    })?;
    Ok(KeptEvent { id, at, event: event.read(format!("/events/{index}/event"))? })
}

/// What became of the events.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MergedEvents")]
struct Output {
    /// Each event, in the order of the request. None needs to be sent again.
    events: Vec<OutcomeView>,
    /// The modules whose progress changed.
    modules: Vec<String>,
    /// The courses and pathways that the caller is enrolled in since now.
    enrolled: Vec<TargetView>,
    /// The courses and pathways that are complete since now.
    completed: Vec<TargetView>,
}

/// What became of one event.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MergedEvent")]
struct OutcomeView {
    /// The event's id.
    id: String,
    /// `recorded`, also when it was known already, or `refused`.
    status: &'static str,
    /// Why it is refused, by a name that does not change.
    code: Option<&'static str>,
    /// Why it is refused, for people.
    detail: Option<String>,
}

impl OutcomeView {
    fn new(event: &KeptEvent, outcome: &Result<(), EventRefusal>) -> Self {
        let (status, code, detail) = match outcome {
            Ok(()) => ("recorded", None, None),
            Err(refusal) => ("refused", Some(event::told(refusal).1), Some(refusal.to_string())),
        };
        Self { id: event.id.clone(), status, code, detail }
    }
}

impl Output {
    fn new(events: &[KeptEvent], outcomes: &[Result<(), EventRefusal>], changes: &Changes) -> Self {
        let outcomes = events.iter().zip(outcomes);
        let enrolled = changes.enrollments.iter().map(|enrollment| &enrollment.target);
        let completed = changes.completions.iter().map(|completion| &completion.target);
        Self {
            events: outcomes.map(|(event, outcome)| OutcomeView::new(event, outcome)).collect(),
            modules: changes.modules.iter().map(|module| module.module.to_string()).collect(),
            enrolled: enrolled.map(TargetView::from).collect(),
            completed: completed.map(TargetView::from).collect(),
        }
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { events }: Input,
) -> Result<Response, ProgressMergeError> {
    let catalog = ports.catalog.load(context.now).await?;
    for _attempt in 0..ATTEMPTS_MAX {
        let before = ports.learners.load(&caller.user).await?;
        let (changes, outcomes) = record_kept(&before, &catalog, &events, context.now);
        // One item of the transaction is the learner itself.
        if changes.len() >= TRANSACTION_ITEMS_MAX {
            return Err(ProgressMergeError::TooManyChanges);
        }
        let answer = || Response::json(200, &Output::new(&events, &outcomes, &changes));
        if changes.is_empty() {
            return Ok(answer());
        }
        let (user, trace_id) = (&caller.user, context.trace_id.as_str());
        let write = Write { user, before: &before, now: context.now, trace_id };
        match ports.learners.store(write, &changes).await {
            Ok(()) => return Ok(answer()),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ProgressMergeError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum ProgressMergeError {
    #[error("the events change more than one transaction can hold")]
    TooManyChanges,
    #[error("too many writers of one learner's progress")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<ProgressMergeError> for Problem {
    fn from(error: ProgressMergeError) -> Self {
        match error {
            ProgressMergeError::TooManyChanges => {
                Self::invalid("/events", "too-many-changes", &"send fewer events at once")
            }
            ProgressMergeError::Contended => Self::new(&CONFLICT),
            ProgressMergeError::Port(error) => Self::port(&error),
        }
    }
}
