//! Takes an instructor's grade of somebody's task, with a reason that the learner can read. It counts
//! as any outcome does, so module, course and pathway complete by the one rule; the better outcome
//! wins, so a grade takes nothing back. Attempts that were made stay as they were.
//!
//! The same grade by the same instructor again changes nothing and answers what is stored, so a
//! repetition of a request whose process died before its answer was kept has no second effect.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::catalog::{Module, Task};
use rollcall_domain::grading::{Grading, GradingRefusal, grade};
use rollcall_domain::id::UserId;
use rollcall_domain::learning::{Learner, Status};
use rollcall_domain::progress::{TaskOutcome, TaskRecord, perform};
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_domain::slug::Slug;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::grades::GradeRecorder;
use rollcall_store::learner::Write;
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::OWN_WORK;
use crate::target::slug;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "grade-override",
    purpose: "Takes an instructor's grade of somebody's task.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/users/{id}/modules/{slug}/tasks/{task}/grade",
    })],
    access: Access::Role(Role::Instructor),
    idempotency: Idempotency::Optional,
    grants: &[CatalogReader::GRANTS, GradeRecorder::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &INVALID, &CONFLICT, &OWN_WORK],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// How often a grade is decided anew when the learner's progress changed in between.
const ATTEMPTS_MAX: u32 = 20;

struct Ports {
    catalog: CatalogReader,
    grades: GradeRecorder,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let (catalog, grades) = (startup.capability()?, startup.capability()?);
        Ok(Self { catalog, grades, random: startup.random() })
    }
}

/// A grade.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Grade")]
struct Body {
    /// The score of a quiz, in percent. A lab has none: who grades it says that it is done.
    score: Option<u32>,
    /// Why, for the learner to read; at most 500 characters.
    reason: String,
}

#[derive(Debug)]
struct Input {
    learner: UserId,
    module: Slug,
    task: Slug,
    body: Body,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let learner = request.path_parameter("id").parse();
        let learner = learner.map_err(|_invalid| Problem::new(&NOT_FOUND))?;
        let task = request.path_parameter("task").parse();
        let task = task.map_err(|_invalid| Problem::new(&NOT_FOUND))?;
        Ok(Self { learner, module: slug(request)?, task, body: request.json()? })
    }
}

/// How the task stands with the grade.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GradedTask")]
struct Output {
    /// Whose.
    user_id: String,
    /// The module.
    module_slug: String,
    /// The task.
    task_slug: String,
    /// The best score, in percent, of a quiz: it is the one that counts.
    best_score: Option<u32>,
    /// How often the learner has tried, which no grade changes.
    attempt_count: u32,
    /// When it was first passed or attested (RFC 3339, UTC).
    done_at: Option<String>,
    /// When it was graded (RFC 3339, UTC).
    graded_at: String,
    /// Whether the module is complete.
    module_complete: bool,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, GradeOverrideError> {
    let (now, trace_id) = (context.now, context.trace_id.as_str());
    let Input { learner: user, module, task, body } = input;
    let catalog = ports.catalog.load(now).await?;
    let module = catalog.module(&module).ok_or(GradeOverrideError::NotFound)?;
    let task = module.task(&task).ok_or(GradeOverrideError::NotFound)?;
    let grading = grade((&caller.user, &user), task, body.score, &body.reason, now)?;
    for _attempt in 0..ATTEMPTS_MAX {
        let before = ports.grades.load(&user).await?;
        let record = record(&before, module, task);
        if grading.repeats(record) {
            return Ok(answer(&user, module, task, &before));
        }
        let outcome = TaskOutcome::Judged(grading.clone());
        let changes = perform(&before, &catalog, module, task, &outcome, now);
        let told = (
            Actor::User(caller.user.clone()),
            action(module, task, &grading),
            Subject::User(user.clone()),
        );
        let entry = Entry::new(told, trace_id, now, &*ports.random);
        let write = Write { user: &user, before: &before, now, trace_id };
        match ports.grades.store(write, &changes, &entry).await {
            Ok(true) => {
                tracing::info!(user.id = %user, operator = %caller.user, "a task was graded");
                let mut after = before.clone();
                after.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
                return Ok(answer(&user, module, task, &after));
            }
            Ok(false) => return Err(GradeOverrideError::NotFound),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(GradeOverrideError::Contended)
}

fn action(module: &Module, task: &Task, grading: &Grading) -> Action {
    let (module, task) = (module.slug.clone(), task.slug.clone());
    Action::TaskGraded { module, task, score: grading.score, passed: grading.passed }
}

fn record<'learner>(
    learner: &'learner Learner,
    module: &Module,
    task: &Task,
) -> Option<&'learner TaskRecord> {
    learner.modules.get(&module.slug)?.tasks.get(&task.slug)
}

fn answer(user: &UserId, module: &Module, task: &Task, learner: &Learner) -> Response {
    let record = record(learner, module, task);
    let graded = record.and_then(|record| record.grading.as_ref());
    let output = Output {
        user_id: user.to_string(),
        module_slug: module.slug.to_string(),
        task_slug: task.slug.to_string(),
        best_score: record.and_then(|record| record.best_score),
        attempt_count: record.map_or(0, |record| record.attempts),
        done_at: record.and_then(|record| record.done_at).map(|at| at.to_string()),
        graded_at: graded.map(|graded| graded.at.to_string()).unwrap_or_default(),
        module_complete: learner.module_status(module) == Status::Complete,
    };
    Response::json(200, &output)
}

#[derive(Debug, thiserror::Error)]
enum GradeOverrideError {
    #[error("no such user, module or task")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] GradingRefusal),
    #[error("too many writers of one learner's progress")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<GradeOverrideError> for Problem {
    fn from(error: GradeOverrideError) -> Self {
        match error {
            GradeOverrideError::NotFound => Self::new(&NOT_FOUND),
            GradeOverrideError::Refused(refusal) => match &refusal {
                GradingRefusal::OwnWork => Self::new(&OWN_WORK),
                GradingRefusal::Score | GradingRefusal::ScoreOfLab => {
                    Self::invalid("/score", "invalid-score", &refusal)
                }
                GradingRefusal::Reason(error) => Self::invalid("/reason", "invalid-text", error),
            },
            GradeOverrideError::Contended => Self::new(&CONFLICT),
            GradeOverrideError::Port(error) => Self::port(&error),
        }
    }
}
