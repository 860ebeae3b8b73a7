//! Records what front ends saw the caller do, up to fifty events at once: all of them count or none.
//!
//! Times are the server's and the first time wins. When the events complete a course or a pathway,
//! the completion is part of the same transaction; it is never taken back later. A report that
//! something is complete is no proof: it is taken when it is true and refused when it is not, with
//! how much is missing.
//!
//! Events that count already change nothing but the page viewed last, so a repetition of a request
//! whose process died before its answer was kept has no second effect.

use rollcall_domain::limits::{EVENTS_PER_REQUEST_MAX, TRANSACTION_ITEMS_MAX};
use rollcall_domain::progress::{EventRefusal, LearningEvent, record};
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
    name: "event-track",
    purpose: "Records what the caller did in the catalogue.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/events/track" })],
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
        if body.events.is_empty() || body.events.len() > EVENTS_PER_REQUEST_MAX {
            let detail = format!("must hold 1 to {EVENTS_PER_REQUEST_MAX} events");
            return Err(Problem::invalid("/events", "invalid-length", &detail));
        }
        let events = body.events.into_iter().enumerate();
        let events = events.map(|(index, event)| event.read(format!("/events/{index}")));
        Ok(Self { events: events.collect::<Result<_, Problem>>()? })
    }
}

/// What the events changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// How many events were recorded: all that were sent.
    recorded: usize,
    /// The modules whose progress changed.
    modules: Vec<String>,
    /// The courses and pathways that the caller is enrolled in since now.
    enrolled: Vec<TargetView>,
    /// The courses and pathways that are complete since now.
    completed: Vec<TargetView>,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, EventTrackError> {
    let catalog = ports.catalog.load(context.now).await?;
    for _attempt in 0..ATTEMPTS_MAX {
        let before = ports.learners.load(&caller.user).await?;
        let changes = record(&before, &catalog, &input.events, context.now)?;
        // One item of the transaction is the learner itself.
        if changes.len() >= TRANSACTION_ITEMS_MAX {
            return Err(EventTrackError::TooManyChanges);
        }
        let enrolled = changes.enrollments.iter().map(|enrollment| &enrollment.target);
        let completed = changes.completions.iter().map(|completion| &completion.target);
        let output = Output {
            recorded: input.events.len(),
            modules: changes.modules.iter().map(|module| module.module.to_string()).collect(),
            enrolled: enrolled.map(TargetView::from).collect(),
            completed: completed.map(TargetView::from).collect(),
        };
        if changes.is_empty() {
            return Ok(Response::json(200, &output));
        }
        let (user, trace_id) = (&caller.user, context.trace_id.as_str());
        let write = Write { user, before: &before, now: context.now, trace_id };
        match ports.learners.store(write, &changes).await {
            Ok(()) => return Ok(Response::json(200, &output)),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(EventTrackError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum EventTrackError {
    #[error("event {0} is refused: {1}")]
    Refused(usize, EventRefusal),
    #[error("the events change more than one transaction can hold")]
    TooManyChanges,
    #[error("too many writers of one learner's progress")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<(usize, EventRefusal)> for EventTrackError {
    fn from((index, refusal): (usize, EventRefusal)) -> Self {
        Self::Refused(index, refusal)
    }
}

impl From<EventTrackError> for Problem {
    fn from(error: EventTrackError) -> Self {
        match error {
            EventTrackError::Refused(index, refusal) => {
                let (field, code) = event::told(&refusal);
                Self::invalid(format!("/events/{index}{field}"), code, &refusal)
            }
            EventTrackError::TooManyChanges => {
                Self::invalid("/events", "too-many-changes", &"send fewer events at once")
            }
            EventTrackError::Contended => Self::new(&CONFLICT),
            EventTrackError::Port(error) => Self::port(&error),
        }
    }
}
