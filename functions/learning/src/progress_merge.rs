//! Makes what somebody did before they signed in theirs: their browser hands in the events that it
//! kept. An event that does not count, since the catalogue has changed or since it is not true, keeps
//! none of the others out, and the answer says of each what became of it.
//!
//! The browser's times are nobody's word but its own: they are bounded, and override nothing. The same
//! events again change nothing, whoever sends them and how often, so a repetition of a request whose
//! process died before its answer was kept has no second effect.

use rollcall_domain::limits::EVENT_ID_CHARACTERS_MAX;
use rollcall_domain::progress::{EventRefusal, KeptEvent, record_kept};
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::{CONFLICT, INVALID};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Trigger};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{self, EventBody};
use crate::recording::{self, Recorded, Recorder, RecordingError, bounded};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "progress-merge",
    purpose: "Makes what somebody did before they signed in theirs.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/progress/merge" })],
    idempotency: Idempotency::Optional,
    grants: &recording::GRANTS,
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Recorder::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

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
        let events = bounded(body.events)?.into_iter().enumerate();
        let events = events.map(|(index, kept)| read(index, kept));
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
    #[serde(flatten)]
    changes: Recorded,
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

async fn handle(
    recorder: &Recorder,
    caller: &Caller,
    context: &Context,
    Input { events }: Input,
) -> Result<Response, RecordingError> {
    let recording = recorder.record(caller, context, |learner, catalog| {
        Ok(record_kept(learner, catalog, &events, context.now))
    });
    let (changes, outcomes) = recording.await?;
    let outcomes = events.iter().zip(&outcomes);
    let events = outcomes.map(|(event, outcome)| OutcomeView::new(event, outcome)).collect();
    Ok(Response::json(200, &Output { events, changes }))
}
