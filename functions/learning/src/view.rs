//! How catalogue entries and enrolments look on the wire.

use rollcall_domain::catalog::{Course, Module, Pathway};
use rollcall_domain::enrollment::Enrollment;
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

impl From<&Pathway> for PathwayView {
    fn from(pathway: &Pathway) -> Self {
        Self {
            slug: pathway.slug.to_string(),
            title: pathway.title.clone(),
            summary: pathway.summary.clone(),
            courses: pathway.courses.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&Course> for CourseView {
    fn from(course: &Course) -> Self {
        Self {
            slug: course.slug.to_string(),
            title: course.title.clone(),
            summary: course.summary.clone(),
            modules: course.modules.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&Module> for ModuleView {
    fn from(module: &Module) -> Self {
        Self {
            slug: module.slug.to_string(),
            title: module.title.clone(),
            summary: module.summary.clone(),
            estimated_minutes: module.estimated_minutes,
        }
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
