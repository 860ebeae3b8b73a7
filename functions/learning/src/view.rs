//! How catalogue entries and enrolments look on the wire.

use rollcall_domain::badge::{Badge, BadgeKind};
use rollcall_domain::catalog::{Catalog, Course, Module, Pathway, Task, TaskKind, Terms};
use rollcall_domain::enrollment::Enrollment;
use rollcall_domain::quiz::QuizTerms;
use schemars::JsonSchema;
use serde::Serialize;

/// A pathway.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PathwayView {
    /// Its name in URLs.
    pub(crate) slug: String,
    /// Its name for people.
    pub(crate) title: String,
    /// What it is about.
    pub(crate) summary: String,
    /// The slugs of its courses, in order.
    pub(crate) courses: Vec<String>,
    /// On which terms one may enrol.
    pub(crate) enrollment: TermsView,
}

/// A course.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CourseView {
    /// Its name in URLs.
    pub(crate) slug: String,
    /// Its name for people.
    pub(crate) title: String,
    /// What it is about.
    pub(crate) summary: String,
    /// The slugs of its modules, in order.
    pub(crate) modules: Vec<String>,
    /// Those of its modules that it is complete without.
    pub(crate) optional: Vec<String>,
    /// How long its modules take together, in minutes.
    pub(crate) estimated_minutes: u32,
    /// On which terms one may enrol.
    pub(crate) enrollment: TermsView,
}

/// On which terms one may enrol.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TermsView {
    /// The slugs of courses that must be complete before.
    pub(crate) prerequisites: Vec<String>,
    /// How many may be enrolled at once; no limit if there is none.
    pub(crate) capacity: Option<u32>,
    /// From when on one may enrol (RFC 3339, UTC).
    pub(crate) opens_at: Option<String>,
    /// Until when one may enrol, exclusive (RFC 3339, UTC).
    pub(crate) closes_at: Option<String>,
}

/// A module.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ModuleView {
    /// Its name in URLs.
    pub(crate) slug: String,
    /// Its name for people.
    pub(crate) title: String,
    /// What it is about.
    pub(crate) summary: String,
    /// How long it takes, in minutes.
    pub(crate) estimated_minutes: u32,
    /// Words to find it by.
    pub(crate) tags: Vec<String>,
    /// What there is to do in it, in order.
    pub(crate) tasks: Vec<TaskView>,
    /// What it says, in Markdown.
    pub(crate) text: String,
}

/// Something to do in a module.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TaskView {
    /// Its name within the module.
    pub(crate) slug: String,
    /// `quiz` or `lab`.
    pub(crate) kind: &'static str,
    /// Its name for people.
    pub(crate) title: String,
    /// Whether the module is complete only with it.
    pub(crate) required: bool,
    /// On which terms a quiz is taken.
    pub(crate) quiz: Option<QuizTermsView>,
    /// Whether a lab's attestation must name the address of some evidence.
    pub(crate) evidence_required: Option<bool>,
    /// Whether a lab's attestation counts only when it was accepted.
    pub(crate) validated: Option<bool>,
}

/// On which terms a quiz is taken.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct QuizTermsView {
    /// How many questions there are.
    pub(crate) questions: u32,
    /// The score from which on it is passed, in percent.
    pub(crate) passing_score: u32,
    /// How often it may be taken; no limit if there is none.
    pub(crate) attempts_max: Option<u32>,
    /// How long one waits after an attempt that failed, in seconds.
    pub(crate) cool_down_seconds: u32,
}

/// An enrolment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EnrollmentView {
    /// `pathway` or `course`.
    pub(crate) kind: &'static str,
    /// Which one.
    pub(crate) slug: String,
    /// Where the enrolment came from, as first told.
    pub(crate) source: Option<String>,
    /// When the user first enrolled (RFC 3339, UTC).
    pub(crate) enrolled_at: String,
    /// When the user left, if they did (RFC 3339, UTC).
    pub(crate) withdrawn_at: Option<String>,
}

/// A badge.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Badge")]
pub(crate) struct BadgeView {
    /// `first_module`, `course`, `quick_course` (within seven days of joining), `pathway`, `streak` (a
    /// task on each of some days in a row) or `by_hand` (given by an instructor).
    pub(crate) kind: &'static str,
    /// For which module, course or pathway; of the other kinds, the badge's own name.
    pub(crate) slug: String,
    /// The name for people of what it is for; none if the catalogue has it no more.
    pub(crate) title: Option<String>,
    /// When it was earned (RFC 3339, UTC).
    pub(crate) earned_at: String,
}

impl BadgeView {
    pub(crate) fn new(catalog: &Catalog, badge: Badge) -> Self {
        let Badge { name, earned_at, given_by: _, is_history: _ } = badge;
        let slug = &name.slug;
        let title = match name.kind {
            BadgeKind::FirstModule => catalog.module(slug).map(|module| &module.title),
            BadgeKind::Course | BadgeKind::QuickCourse => {
                catalog.course(slug).map(|course| &course.title)
            }
            BadgeKind::Pathway => catalog.pathway(slug).map(|pathway| &pathway.title),
            BadgeKind::Streak | BadgeKind::ByHand => catalog.badge(slug).map(|badge| &badge.title),
        };
        Self {
            kind: name.kind.as_str(),
            title: title.cloned(),
            slug: name.slug.to_string(),
            earned_at: earned_at.to_string(),
        }
    }
}

impl From<&Pathway> for PathwayView {
    fn from(pathway: &Pathway) -> Self {
        Self {
            slug: pathway.slug.to_string(),
            title: pathway.title.clone(),
            summary: pathway.summary.clone(),
            courses: pathway.courses.iter().map(ToString::to_string).collect(),
            enrollment: TermsView::from(&pathway.terms),
        }
    }
}

impl CourseView {
    pub(crate) fn new(catalog: &Catalog, course: &Course) -> Self {
        let modules = course.modules.iter().filter_map(|slug| catalog.module(slug));
        Self {
            slug: course.slug.to_string(),
            title: course.title.clone(),
            summary: course.summary.clone(),
            modules: course.modules.iter().map(ToString::to_string).collect(),
            optional: course.optional.iter().map(ToString::to_string).collect(),
            estimated_minutes: modules.map(|module| module.estimated_minutes).sum(),
            enrollment: TermsView::from(&course.terms),
        }
    }
}

impl From<&Terms> for TermsView {
    fn from(terms: &Terms) -> Self {
        Self {
            prerequisites: terms.prerequisites.iter().map(ToString::to_string).collect(),
            capacity: terms.capacity,
            opens_at: terms.opens_at.map(|at| at.to_string()),
            closes_at: terms.closes_at.map(|at| at.to_string()),
        }
    }
}

impl ModuleView {
    pub(crate) fn new(module: &Module, text: String) -> Self {
        Self {
            slug: module.slug.to_string(),
            title: module.title.clone(),
            summary: module.summary.clone(),
            estimated_minutes: module.estimated_minutes,
            tags: module.tags.clone(),
            tasks: module.tasks.iter().map(TaskView::from).collect(),
            text,
        }
    }
}

impl From<&Task> for TaskView {
    fn from(task: &Task) -> Self {
        let (quiz, lab) = match &task.kind {
            TaskKind::Quiz(terms) => (Some(QuizTermsView::from(terms)), None),
            TaskKind::Lab(terms) => (None, Some(terms)),
        };
        Self {
            slug: task.slug.to_string(),
            kind: task.kind.as_str(),
            title: task.title.clone(),
            required: task.required,
            quiz,
            evidence_required: lab.map(|terms| terms.evidence_required),
            validated: lab.map(|terms| terms.validated),
        }
    }
}

impl From<&QuizTerms> for QuizTermsView {
    fn from(terms: &QuizTerms) -> Self {
        let QuizTerms { questions, passing_score, attempts_max, cool_down_seconds } = *terms;
        Self { questions, passing_score, attempts_max, cool_down_seconds }
    }
}

impl From<&Enrollment> for EnrollmentView {
    fn from(enrollment: &Enrollment) -> Self {
        Self {
            kind: enrollment.target.kind.as_str(),
            slug: enrollment.target.slug.to_string(),
            source: enrollment.source.clone(),
            enrolled_at: enrollment.enrolled_at.to_string(),
            withdrawn_at: enrollment.withdrawn_at.map(|at| at.to_string()),
        }
    }
}
