//! Records what the caller did in modules, up to fifty events at once: all of them count or none.
//!
//! Times are the server's and the first time wins. When the events complete a course or a pathway,
//! the completion is part of the same transaction; it is never taken back later.
//!
//! Events that count already change nothing, so a repetition of a request whose process died before
//! its answer was kept has no second effect.

use rollcall_domain::limits::{EVENTS_PER_REQUEST_MAX, TRANSACTION_ITEMS_MAX};
use rollcall_domain::progress::{EventRefusal, LearningEvent, ModuleAction, record};
use rollcall_domain::slug::Slug;
use rollcall_edge::problem::{CONFLICT, INVALID};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::LearnerRecorder;
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "event-track",
    purpose: "Records modules that the caller started or completed.",
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

/// Something that happened to a module.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventBody {
    /// What happened.
    event_name: EventName,
    /// To which module.
    module_slug: String,
    /// Within which course, if the page knows; the caller is then enrolled in it.
    course_slug: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum EventName {
    LearningModuleStarted,
    LearningModuleCompleted,
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
        let events = body.events.iter().enumerate().map(|(index, event)| {
            let course = event.course_slug.as_deref();
            Ok(LearningEvent {
                action: match event.event_name {
                    EventName::LearningModuleStarted => ModuleAction::Started,
                    EventName::LearningModuleCompleted => ModuleAction::Completed,
                },
                module: slug(index, "module_slug", &event.module_slug)?,
                course: course.map(|text| slug(index, "course_slug", text)).transpose()?,
            })
        });
        Ok(Self { events: events.collect::<Result<_, Problem>>()? })
    }
}

fn slug(index: usize, field: &str, text: &str) -> Result<Slug, Problem> {
    text.parse().map_err(|error| {
        Problem::invalid(format!("/events/{index}/{field}"), "invalid-slug", &error)
    })
}

/// What the events changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// How many events were recorded: all that were sent.
    recorded: usize,
    /// The modules whose progress changed.
    modules: Vec<String>,
    /// The courses and pathways that are complete since now.
    completed: Vec<CompletedView>,
}

/// A course or pathway that is complete since now.
#[derive(Debug, Serialize, JsonSchema)]
struct CompletedView {
    /// `pathway` or `course`.
    kind: &'static str,
    /// Which one.
    slug: String,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, EventTrackError> {
    let catalog = ports.catalog.load(context.now).await?;
    for _attempt in 0..ATTEMPTS_MAX {
        let learner = ports.learners.load(&caller.user).await?;
        let changes = record(&learner, &catalog, &input.events, context.now)?;
        // One item of the transaction is the learner itself.
        if changes.len() >= TRANSACTION_ITEMS_MAX {
            return Err(EventTrackError::TooManyChanges);
        }
        let output = Output {
            recorded: input.events.len(),
            modules: changes.modules.iter().map(|module| module.module.to_string()).collect(),
            completed: changes
                .completions
                .iter()
                .map(|completion| CompletedView {
                    kind: completion.target.kind.as_str(),
                    slug: completion.target.slug.to_string(),
                })
                .collect(),
        };
        if changes.is_empty() {
            return Ok(Response::json(200, &output));
        }
        let (user, trace_id) = (&caller.user, &context.trace_id);
        match ports.learners.store(user, &learner, &changes, context.now, trace_id).await {
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
                let (field, code) = match refusal {
                    EventRefusal::UnknownModule => ("module_slug", "unknown-module"),
                    EventRefusal::UnknownCourse => ("course_slug", "unknown-course"),
                    EventRefusal::NotInCourse => ("course_slug", "not-in-course"),
                };
                Self::invalid(format!("/events/{index}/{field}"), code, &refusal)
            }
            EventTrackError::TooManyChanges => {
                Self::invalid("/events", "too-many-changes", &"send fewer events at once")
            }
            EventTrackError::Contended => Self::new(&CONFLICT),
            EventTrackError::Port(error) => Self::port(&error),
        }
    }
}
