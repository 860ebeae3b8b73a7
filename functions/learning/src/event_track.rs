//! Records what front ends saw the caller do, up to fifty events at once: all of them count or none.
//!
//! Times are the server's and the first time wins. When the events complete a course or a pathway,
//! the completion is part of the same transaction; it is never taken back later. A report that
//! something is complete is no proof: it is taken when it is true and refused when it is not, with
//! how much is missing.
//!
//! Events that count already change nothing but the page viewed last, so a repetition of a request
//! whose process died before its answer was kept has no second effect.

use rollcall_domain::progress::{LearningEvent, record};
use rollcall_edge::problem::{CONFLICT, INVALID};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Trigger};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::EventBody;
use crate::recording::{self, Recorded, Recorder, RecordingError, bounded};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "event-track",
    purpose: "Records what the caller did in the catalogue.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/events/track" })],
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

/// What happened, oldest first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// One to fifty events.
    events: Vec<EventBody>,
}

#[derive(Debug)]
struct Input {
    events: Vec<LearningEvent>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let body: Body = request.json()?;
        let events = bounded(body.events)?.into_iter().enumerate();
        let events = events.map(|(index, event)| event.read(format!("/events/{index}")));
        Ok(Self { events: events.collect::<Result<_, Problem>>()? })
    }
}

/// What the events changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// How many events were recorded: all that were sent.
    recorded: usize,
    #[serde(flatten)]
    changes: Recorded,
}

async fn handle(
    recorder: &Recorder,
    caller: &Caller,
    context: &Context,
    Input { events }: Input,
) -> Result<Response, RecordingError> {
    let recording = recorder.record(caller, context, |learner, catalog| {
        let changes = record(learner, catalog, &events, context.now);
        let changes =
            changes.map_err(|(index, refusal)| RecordingError::Refused(index, refusal))?;
        Ok((changes, ()))
    });
    let (changes, ()) = recording.await?;
    Ok(Response::json(200, &Output { recorded: events.len(), changes }))
}
