//! Shows how far the caller is in one pathway, by the same function that awards completions.

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
    name: "pathway-status",
    purpose: "Shows how far the caller is in a pathway.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/pathways/{slug}/status" })],
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

/// How far the caller is in the pathway.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The pathway.
    pathway_slug: String,
    /// Its name for people.
    pathway_title: String,
    /// `not_started`, `in_progress` or `complete`.
    pathway_status: &'static str,
    /// How many of the counted courses are complete.
    courses_completed: usize,
    /// How many are counted: those with modules that are.
    courses_total: usize,
    /// Its courses, in order.
    courses: Vec<CourseStatusView>,
}

/// How far the caller is in one course.
#[derive(Debug, Serialize, JsonSchema)]
struct CourseStatusView {
    /// The course.
    course_slug: String,
    /// Its name for people.
    course_title: String,
    /// `not_started`, `in_progress` or `complete`.
    course_status: &'static str,
    /// How many of the counted modules are complete.
    modules_completed: usize,
    /// How many are counted.
    modules_total: usize,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input(slug): Input,
) -> Result<Response, PathwayStatusError> {
    let catalog = ports.catalog.load(context.now).await?;
    let pathway = catalog.pathway(&slug).ok_or(PathwayStatusError::NotFound)?;
    let learner = ports.learners.load(&caller.user).await?;
    let status = learner.pathway_status(&catalog, pathway);
    let courses = status.courses.iter().map(|(slug, status)| CourseStatusView {
        course_slug: slug.to_string(),
        course_title: catalog.course(slug).map(|course| course.title.clone()).unwrap_or_default(),
        course_status: status.status.as_str(),
        modules_completed: status.modules_completed,
        modules_total: status.modules_total,
    });
    let output = Output {
        pathway_slug: pathway.slug.to_string(),
        pathway_title: pathway.title.clone(),
        pathway_status: status.status.as_str(),
        courses_completed: status.courses_completed,
        courses_total: status.courses_total,
        courses: courses.collect(),
    };
    Ok(Response::json(200, &output))
}

#[derive(Debug, thiserror::Error)]
enum PathwayStatusError {
    #[error("no such pathway")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<PathwayStatusError> for Problem {
    fn from(error: PathwayStatusError) -> Self {
        match error {
            PathwayStatusError::NotFound => Self::new(&NOT_FOUND),
            PathwayStatusError::Port(error) => Self::port(&error),
        }
    }
}
