//! Records what front ends saw the caller do, up to fifty events at once: all of them count or none.
//!
//! Times are the server's and the first time wins. When the events complete a course or a pathway,
//! the completion is part of the same transaction; it is never taken back later. A report that
//! something is complete is no proof: it is taken when it is true and refused when it is not, with
//! how much is missing.
//!
//! Events that count already change nothing but the page viewed last, so a repetition of a request
//! whose process died before its answer was kept has no second effect.

use rollcall_domain::enrollment::Target;
use rollcall_domain::limits::{
    ENROLLMENT_SOURCE_CHARACTERS_MAX, EVENTS_PER_REQUEST_MAX, TRANSACTION_ITEMS_MAX,
};
use rollcall_domain::progress::{EventRefusal, LearningEvent, ModuleAction, PageKind, record};
use rollcall_domain::slug::Slug;
use rollcall_domain::text;
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

/// Something that happened. Which fields an event has depends on its name, and no others may stand
/// with it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventBody {
    /// What happened.
    event_name: EventName,
    /// Module events: the module.
    module_slug: Option<String>,
    /// Module events: the course that the page is about, if any; the caller is then enrolled in it
    /// where its terms allow. Course events: the course.
    course_slug: Option<String>,
    /// Pathway events: the pathway.
    pathway_slug: Option<String>,
    /// Enrolments: the page or campaign, for statistics.
    enrollment_source: Option<String>,
    /// Page views: what the page shows.
    content_type: Option<ContentType>,
    /// Page views: which one.
    slug: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "these are the names on the wire")]
enum EventName {
    LearningModuleStarted,
    LearningModuleCompleted,
    LearningCourseEnrolled,
    LearningPathwayEnrolled,
    LearningCourseCompleted,
    LearningPathwayCompleted,
    LearningPageViewed,
}

/// What a page shows.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ContentType {
    Pathway,
    Course,
    Module,
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
        let events = events.map(|(index, event)| Fields { index, event }.read());
        Ok(Self { events: events.collect::<Result<_, Problem>>()? })
    }
}

/// The fields of one event, taken out one by one; what is left over is refused.
struct Fields {
    index: usize,
    event: EventBody,
}

impl Fields {
    fn read(mut self) -> Result<LearningEvent, Problem> {
        let event = match self.event.event_name {
            EventName::LearningModuleStarted => self.module(ModuleAction::Started)?,
            EventName::LearningModuleCompleted => self.module(ModuleAction::Completed)?,
            EventName::LearningCourseEnrolled => self.enrolled(Self::course)?,
            EventName::LearningPathwayEnrolled => self.enrolled(Self::pathway)?,
            EventName::LearningCourseCompleted => LearningEvent::Completed(self.course()?),
            EventName::LearningPathwayCompleted => LearningEvent::Completed(self.pathway()?),
            EventName::LearningPageViewed => self.viewed()?,
        };
        let left = [
            ("module_slug", self.event.module_slug.is_some()),
            ("course_slug", self.event.course_slug.is_some()),
            ("pathway_slug", self.event.pathway_slug.is_some()),
            ("enrollment_source", self.event.enrollment_source.is_some()),
            ("content_type", self.event.content_type.is_some()),
            ("slug", self.event.slug.is_some()),
        ];
        match left.into_iter().find(|(_, is_left)| *is_left) {
            Some((field, _)) => {
                Err(self.invalid(field, "unexpected", &"does not go with the event"))
            }
            None => Ok(event),
        }
    }

    fn module(&mut self, action: ModuleAction) -> Result<LearningEvent, Problem> {
        let module = self.event.module_slug.take();
        let module = self.required("module_slug", module)?;
        let course = self.event.course_slug.take();
        let course = course.map(|text| self.slug("course_slug", &text)).transpose()?;
        Ok(LearningEvent::Module { action, module, course })
    }

    fn course(&mut self) -> Result<Target, Problem> {
        let course = self.event.course_slug.take();
        self.required("course_slug", course).map(Target::course)
    }

    fn pathway(&mut self) -> Result<Target, Problem> {
        let pathway = self.event.pathway_slug.take();
        self.required("pathway_slug", pathway).map(Target::pathway)
    }

    fn enrolled(
        &mut self,
        target: fn(&mut Self) -> Result<Target, Problem>,
    ) -> Result<LearningEvent, Problem> {
        let target = target(self)?;
        let source = self.event.enrollment_source.take();
        let source = source.map(|text| {
            text::normalize_required(&text, ENROLLMENT_SOURCE_CHARACTERS_MAX)
                .map_err(|error| self.invalid("enrollment_source", "invalid-text", &error))
        });
        Ok(LearningEvent::Enrolled { target, source: source.transpose()? })
    }

    fn viewed(&mut self) -> Result<LearningEvent, Problem> {
        let kind = match self.event.content_type.take() {
            Some(ContentType::Pathway) => PageKind::Pathway,
            Some(ContentType::Course) => PageKind::Course,
            Some(ContentType::Module) => PageKind::Module,
            None => return Err(self.invalid("content_type", "required", &"must be there")),
        };
        let slug = self.event.slug.take();
        Ok(LearningEvent::Viewed { kind, slug: self.required("slug", slug)? })
    }

    fn required(&self, field: &str, text: Option<String>) -> Result<Slug, Problem> {
        match text {
            Some(text) => self.slug(field, &text),
            None => Err(self.invalid(field, "required", &"must be there")),
        }
    }

    fn slug(&self, field: &str, text: &str) -> Result<Slug, Problem> {
        text.parse().map_err(|error| self.invalid(field, "invalid-slug", &error))
    }

    fn invalid(&self, field: &str, code: &'static str, detail: &impl ToString) -> Problem {
        Problem::invalid(format!("/events/{}/{field}", self.index), code, detail)
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

/// A course or a pathway.
#[derive(Debug, Serialize, JsonSchema)]
struct TargetView {
    /// `pathway` or `course`.
    kind: &'static str,
    /// Which one.
    slug: String,
}

impl From<&Target> for TargetView {
    fn from(target: &Target) -> Self {
        Self { kind: target.kind.as_str(), slug: target.slug.to_string() }
    }
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
                let (field, code) = match refusal {
                    EventRefusal::UnknownModule => ("/module_slug", "unknown-module"),
                    EventRefusal::UnknownCourse => ("/course_slug", "unknown-course"),
                    EventRefusal::UnknownPathway => ("/pathway_slug", "unknown-pathway"),
                    EventRefusal::NotInCourse => ("/course_slug", "not-in-course"),
                    EventRefusal::TasksMissing { .. } => ("/module_slug", "tasks-missing"),
                    EventRefusal::NotComplete { .. } => ("", "not-complete"),
                    EventRefusal::NotAdmitted(_) => ("", "not-admitted"),
                };
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
