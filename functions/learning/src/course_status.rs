//! Shows how far the caller is in one course, by the same function that awards completions.

use rollcall_domain::catalog::Module;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Caller, Context, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::LearnerReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::status::{Input, Ports};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "course-status",
    purpose: "Shows how far the caller is in a course.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/courses/{slug}/status" })],
    grants: &[CatalogReader::GRANTS, LearnerReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

/// How far the caller is in the course.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The course.
    course_slug: String,
    /// Its name for people.
    course_title: String,
    /// `not_started`, `in_progress` or `complete`.
    course_status: &'static str,
    /// How many of the counted modules are complete.
    modules_completed: usize,
    /// How many are counted: those that are not optional and have required tasks.
    modules_total: usize,
    /// Its modules, in order.
    modules: Vec<ModuleStatusView>,
}

/// How far the caller is in one module.
#[derive(Debug, Serialize, JsonSchema)]
struct ModuleStatusView {
    /// The module.
    module_slug: String,
    /// Its name for people.
    module_title: String,
    /// `not_started`, `in_progress`, `complete` or `no_tasks`.
    module_status: &'static str,
    /// Whether it has tasks that complete it.
    has_required_tasks: bool,
    /// Whether the course is complete without it.
    optional: bool,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input(slug): Input,
) -> Result<Response, CourseStatusError> {
    let catalog = ports.catalog.load(context.now).await?;
    let course = catalog.course(&slug).ok_or(CourseStatusError::NotFound)?;
    let learner = ports.learners.load(&caller.user).await?;
    let status = learner.course_status(&catalog, course);
    let modules = status.modules.iter().map(|(slug, status)| {
        let module = catalog.module(slug);
        ModuleStatusView {
            module_slug: slug.to_string(),
            module_title: module.map(|module| module.title.clone()).unwrap_or_default(),
            module_status: status.as_str(),
            has_required_tasks: module.is_some_and(Module::is_counted),
            optional: course.optional.contains(slug),
        }
    });
    let output = Output {
        course_slug: course.slug.to_string(),
        course_title: course.title.clone(),
        course_status: status.status.as_str(),
        modules_completed: status.modules_completed,
        modules_total: status.modules_total,
        modules: modules.collect(),
    };
    Ok(Response::json(200, &output))
}

#[derive(Debug, thiserror::Error)]
enum CourseStatusError {
    #[error("no such course")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CourseStatusError> for Problem {
    fn from(error: CourseStatusError) -> Self {
        match error {
            CourseStatusError::NotFound => Self::new(&NOT_FOUND),
            CourseStatusError::Port(error) => Self::port(&error),
        }
    }
}
