//! Shows everything the caller is enrolled in or has begun, in one answer (the system before this one
//! asked once per course).

use std::collections::BTreeSet;

use rollcall_domain::catalog::Catalog;
use rollcall_domain::enrollment::{Enrollment, Target, TargetKind};
use rollcall_domain::learning::{Learner, Status};
use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::LearnerReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "progress-get",
    purpose: "Shows everything the caller is enrolled in or has begun.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/progress" })],
    grants: &[CatalogReader::GRANTS, LearnerReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    catalog: CatalogReader,
    learners: LearnerReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()?, learners: startup.capability()? })
    }
}

/// Everything the caller is enrolled in or has begun.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Pathways and courses, by kind and slug.
    progress: Vec<ProgressView>,
    /// How many modules the caller has completed, each counted once.
    modules_completed: usize,
    /// The page that was viewed last.
    last_viewed: Option<ViewedView>,
}

/// How far the caller is in a pathway or a course.
#[derive(Debug, Serialize, JsonSchema)]
struct ProgressView {
    /// `pathway` or `course`.
    kind: &'static str,
    /// Which one.
    slug: String,
    /// Its name for people; none when the catalogue no longer has it.
    title: Option<String>,
    /// `not_started`, `in_progress` or `complete`.
    status: &'static str,
    /// How many of its counted courses or modules are complete.
    completed: usize,
    /// How many are counted.
    total: usize,
    /// Whether the caller is enrolled now.
    enrolled: bool,
    /// When the caller first enrolled (RFC 3339, UTC).
    enrolled_at: Option<String>,
    /// When it was completed (RFC 3339, UTC).
    completed_at: Option<String>,
}

/// A page that was viewed.
#[derive(Debug, Serialize, JsonSchema)]
struct ViewedView {
    /// `pathway`, `course` or `module`.
    content_type: &'static str,
    /// Which one.
    slug: String,
    /// When (RFC 3339, UTC).
    viewed_at: String,
}

fn view(catalog: &Catalog, learner: &Learner, target: &Target) -> ProgressView {
    let (status, completed, total) = learner.target_status(catalog, target);
    let recorded = learner.completions.get(target);
    let enrollment = learner.enrollments.get(target);
    let title = match target.kind {
        TargetKind::Pathway => catalog.pathway(&target.slug).map(|entry| entry.title.clone()),
        TargetKind::Course => catalog.course(&target.slug).map(|entry| entry.title.clone()),
    };
    ProgressView {
        kind: target.kind.as_str(),
        slug: target.slug.to_string(),
        title,
        status: if recorded.is_some() { Status::Complete } else { status }.as_str(),
        completed,
        total,
        enrolled: enrollment.is_some_and(Enrollment::is_active),
        enrolled_at: enrollment.map(|enrollment| enrollment.enrolled_at.to_string()),
        completed_at: recorded.map(|completion| completion.completed_at.to_string()),
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    _input: NoInput,
) -> Result<Response, ProgressGetError> {
    let catalog = ports.catalog.load(context.now).await?;
    let learner = ports.learners.load(&caller.user).await?;
    let active = learner.enrollments.values().filter(|enrollment| enrollment.is_active());
    let mut targets: BTreeSet<Target> =
        active.map(|enrollment| enrollment.target.clone()).collect();
    targets.extend(learner.completions.keys().cloned());
    let courses = catalog.courses().map(|course| Target::course(course.slug.clone()));
    let pathways = catalog.pathways().map(|pathway| Target::pathway(pathway.slug.clone()));
    let is_begun =
        |target: &Target| learner.target_status(&catalog, target).0 != Status::NotStarted;
    targets.extend(courses.chain(pathways).filter(is_begun));
    let output = Output {
        progress: targets.iter().map(|target| view(&catalog, &learner, target)).collect(),
        modules_completed: learner.modules_completed(),
        last_viewed: learner.viewed.as_ref().map(|viewed| ViewedView {
            content_type: viewed.kind.as_str(),
            slug: viewed.slug.to_string(),
            viewed_at: viewed.viewed_at.to_string(),
        }),
    };
    Ok(Response::json(200, &output))
}

#[derive(Debug, thiserror::Error)]
enum ProgressGetError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<ProgressGetError> for Problem {
    fn from(error: ProgressGetError) -> Self {
        match error {
            ProgressGetError::Port(error) => Self::port(&error),
        }
    }
}
