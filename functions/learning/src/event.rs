//! Events as front ends report them: how they read, and how a refusal of one is told.

use rollcall_domain::enrollment::Target;
use rollcall_domain::limits::ENROLLMENT_SOURCE_CHARACTERS_MAX;
use rollcall_domain::progress::{EventRefusal, LearningEvent, ModuleAction, PageKind};
use rollcall_domain::slug::Slug;
use rollcall_domain::text;
use rollcall_edge::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that happened. Which fields an event has depends on its name, and no others may stand
/// with it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventBody {
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

impl EventBody {
    /// The event, which stands `at` this JSON pointer in the request.
    pub(crate) fn read(self, at: String) -> Result<LearningEvent, Problem> {
        Fields { at, event: self }.read()
    }
}

/// Which field of an event a refusal is about, and the refusal's name.
pub(crate) fn told(refusal: &EventRefusal) -> (&'static str, &'static str) {
    match refusal {
        EventRefusal::UnknownModule => ("/module_slug", "unknown-module"),
        EventRefusal::UnknownCourse => ("/course_slug", "unknown-course"),
        EventRefusal::UnknownPathway => ("/pathway_slug", "unknown-pathway"),
        EventRefusal::NotInCourse => ("/course_slug", "not-in-course"),
        EventRefusal::TasksMissing { .. } => ("/module_slug", "tasks-missing"),
        EventRefusal::NotComplete { .. } => ("", "not-complete"),
        EventRefusal::NotAdmitted(_) => ("", "not-admitted"),
    }
}

/// The fields of one event, taken out one by one; what is left over is refused.
struct Fields {
    /// Where the event stands in the request, as a JSON pointer.
    at: String,
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
        Problem::invalid(format!("{}/{field}", self.at), code, detail)
    }
}

/// A course or a pathway.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TargetView {
    /// `pathway` or `course`.
    pub(crate) kind: &'static str,
    /// Which one.
    pub(crate) slug: String,
}

impl From<&Target> for TargetView {
    fn from(target: &Target) -> Self {
        Self { kind: target.kind.as_str(), slug: target.slug.to_string() }
    }
}
