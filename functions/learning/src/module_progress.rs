//! Shows how far the caller is in one module, task by task.

use rollcall_domain::catalog::{Task, TaskKind};
use rollcall_domain::grading::Grading;
use rollcall_domain::progress::{Review, TaskRecord};
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
    name: "module-progress",
    purpose: "Shows how far the caller is in a module, task by task.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/modules/{slug}/progress" })],
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

/// How far the caller is in the module.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The module.
    module_slug: String,
    /// Its name for people.
    module_title: String,
    /// `not_started`, `in_progress`, `complete` or `no_tasks`.
    module_status: &'static str,
    /// Whether it has tasks that complete it.
    has_required_tasks: bool,
    /// When it was begun (RFC 3339, UTC).
    started_at: Option<String>,
    /// When it was completed (RFC 3339, UTC).
    completed_at: Option<String>,
    /// The version of the catalogue that it was completed by.
    completed_version: Option<String>,
    /// Its tasks, in order.
    tasks: Vec<TaskProgressView>,
    /// The slugs of the courses that it is part of.
    courses: Vec<String>,
}

/// How far the caller is with one task.
#[derive(Debug, Serialize, JsonSchema)]
struct TaskProgressView {
    /// The task.
    task_slug: String,
    /// `quiz` or `lab`.
    task_type: &'static str,
    /// Its name for people.
    task_title: String,
    /// Whether the module is complete only with it.
    required: bool,
    /// `not_started`, `failed`, `passed`, `attested`, or of a lab that is validated `pending` or `refused`.
    status: &'static str,
    /// The best score so far, in percent, of a quiz.
    best_score: Option<u32>,
    /// How often it was tried.
    attempt_count: u32,
    /// How many attempts are left, where they are limited.
    attempts_left: Option<u32>,
    /// When it was last tried (RFC 3339, UTC).
    last_attempt_at: Option<String>,
    /// When it was first passed or attested (RFC 3339, UTC).
    done_at: Option<String>,
    /// The score from which on it is passed, in percent, of a quiz.
    passing_score: Option<u32>,
    /// What an instructor last said about it.
    grading: Option<GradingView>,
}

/// What an instructor said about a task.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Grading")]
struct GradingView {
    /// When (RFC 3339, UTC).
    graded_at: String,
    /// The score, in percent, of a quiz.
    score: Option<u32>,
    /// Why.
    reason: String,
}

impl From<&Grading> for GradingView {
    fn from(grading: &Grading) -> Self {
        let Grading { at, score, reason, .. } = grading;
        Self { graded_at: at.to_string(), score: *score, reason: reason.clone() }
    }
}

fn view(task: &Task, record: Option<&TaskRecord>) -> TaskProgressView {
    let made = record.map_or(0, |record| record.attempts);
    let (passing_score, attempts_max, done) = match &task.kind {
        TaskKind::Quiz(terms) => (Some(terms.passing_score), terms.attempts_max, "passed"),
        TaskKind::Lab(_) => (None, None, "attested"),
    };
    let status = match record {
        None => "not_started",
        Some(record) if record.done_at.is_some() => done,
        Some(record) => match record.review {
            Some(Review::Pending(_)) => "pending",
            Some(Review::Refused(_)) => "refused",
            None => "failed",
        },
    };
    TaskProgressView {
        task_slug: task.slug.to_string(),
        task_type: task.kind.as_str(),
        task_title: task.title.clone(),
        required: task.required,
        status,
        best_score: record.and_then(|record| record.best_score),
        attempt_count: made,
        attempts_left: attempts_max.map(|max| max.saturating_sub(made)),
        last_attempt_at: record.map(|record| record.last_at.to_string()),
        done_at: record.and_then(|record| record.done_at).map(|at| at.to_string()),
        passing_score,
        grading: record.and_then(|record| record.grading.as_ref()).map(GradingView::from),
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input(slug): Input,
) -> Result<Response, ModuleProgressError> {
    let catalog = ports.catalog.load(context.now).await?;
    let module = catalog.module(&slug).ok_or(ModuleProgressError::NotFound)?;
    let learner = ports.learners.load(&caller.user).await?;
    let progress = learner.modules.get(&slug);
    let completion = progress.and_then(|progress| progress.completion.as_ref());
    let record = |task: &Task| progress.and_then(|progress| progress.tasks.get(&task.slug));
    let courses = catalog.courses().filter(|course| course.modules.contains(&slug));
    let output = Output {
        module_slug: module.slug.to_string(),
        module_title: module.title.clone(),
        module_status: learner.module_status(module).as_str(),
        has_required_tasks: module.is_counted(),
        started_at: progress.map(|progress| progress.started_at.to_string()),
        completed_at: completion.map(|completion| completion.completed_at.to_string()),
        completed_version: completion.map(|completion| completion.version.to_string()),
        tasks: module.tasks.iter().map(|task| view(task, record(task))).collect(),
        courses: courses.map(|course| course.slug.to_string()).collect(),
    };
    Ok(Response::json(200, &output))
}

#[derive(Debug, thiserror::Error)]
enum ModuleProgressError {
    #[error("no such module")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<ModuleProgressError> for Problem {
    fn from(error: ModuleProgressError) -> Self {
        match error {
            ModuleProgressError::NotFound => Self::new(&NOT_FOUND),
            ModuleProgressError::Port(error) => Self::port(&error),
        }
    }
}
