//! Starts an attempt at a quiz and shows its questions, without the keys, in an order of the
//! attempt's own. An attempt that was started and not submitted is shown again, so starting twice is
//! starting once; so is a repetition of a request whose process died before its answer was kept.

use std::sync::Arc;

use rollcall_domain::attempt::{AttemptRefusal, OpenAttempt, admit};
use rollcall_domain::catalog::{QuizName, TaskKind};
use rollcall_domain::id::AttemptId;
use rollcall_domain::progress::begin;
use rollcall_domain::quiz::Quiz;
use rollcall_domain::random::Random;
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::{CONFLICT, NOT_FOUND};
use rollcall_edge::{Caller, Context, Problem, Response};
use rollcall_runtime::declaration::{Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::attempts::AttemptStarter;
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::Write;
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::Serialize;

use crate::problem::{ATTEMPTS_EXHAUSTED, COOLING_DOWN, attempt_refused};
use crate::target::TaskInput;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "quiz-start",
    purpose: "Starts an attempt at a quiz and shows its questions.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/modules/{slug}/quizzes/{quiz}/start",
    })],
    idempotency: Idempotency::Optional,
    grants: &[CatalogReader::GRANTS, AttemptStarter::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &CONFLICT, &ATTEMPTS_EXHAUSTED, &COOLING_DOWN],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// How often a write is tried again when the learner's progress changed in between.
const ATTEMPTS_MAX: u32 = 20;

struct Ports {
    catalog: CatalogReader,
    attempts: AttemptStarter,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let (catalog, attempts) = (startup.capability()?, startup.capability()?);
        Ok(Self { catalog, attempts, random: startup.random() })
    }
}

/// An attempt that was started.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Its id, to submit it by.
    attempt_id: String,
    /// The version of the catalogue whose questions these are.
    version: String,
    /// When it was started (RFC 3339, UTC).
    started_at: String,
    /// The score from which on it is passed, in percent.
    passing_score: u32,
    /// The questions, in the order to show them in.
    questions: Vec<QuestionView>,
}

/// A question.
#[derive(Debug, Serialize, JsonSchema)]
struct QuestionView {
    /// Its name within the quiz.
    id: String,
    /// What is asked.
    stem: String,
    /// What it counts.
    points: u32,
    /// What may be answered, in the order to show it in.
    options: Vec<OptionView>,
}

/// What may be answered.
#[derive(Debug, Serialize, JsonSchema)]
struct OptionView {
    /// Its name within the question.
    id: String,
    /// What it says.
    text: String,
}

fn output(open: &OpenAttempt, quiz: &Quiz) -> Output {
    let questions = open.questions(quiz).into_iter().map(|question| {
        let options = open.options(question).into_iter();
        let option = |option: &rollcall_domain::quiz::QuestionOption| OptionView {
            id: option.id.to_string(),
            text: option.text.clone(),
        };
        QuestionView {
            id: question.id.to_string(),
            stem: question.stem.clone(),
            points: question.points,
            options: options.map(option).collect(),
        }
    });
    Output {
        attempt_id: open.id.to_string(),
        version: open.version.to_string(),
        started_at: open.started_at.to_string(),
        passing_score: quiz.terms.passing_score,
        questions: questions.collect(),
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    TaskInput(name): TaskInput,
) -> Result<Response, QuizStartError> {
    let now = context.now;
    let catalog = ports.catalog.load(now).await?;
    let module = catalog.module(&name.module).ok_or(QuizStartError::NotFound)?;
    let task = module.task(&name.quiz).ok_or(QuizStartError::NotFound)?;
    let TaskKind::Quiz(terms) = &task.kind else {
        return Err(QuizStartError::NotFound);
    };
    for _attempt in 0..ATTEMPTS_MAX {
        let existing = ports.attempts.open(&caller.user, &name).await?;
        if let Some(open) = existing.as_ref().filter(|open| open.is_open(now)) {
            return shown(ports, open).await;
        }
        let before = ports.attempts.load(&caller.user).await?;
        let progress = before.modules.get(&module.slug);
        let record = progress.and_then(|progress| progress.tasks.get(&task.slug));
        admit(terms, record, now).map_err(|refusal| QuizStartError::Refused(refusal, now))?;
        let changes = begin(&before, &catalog, module, now);
        let open = OpenAttempt {
            id: AttemptId::new(now, ports.random.as_ref()),
            name: QuizName::clone(&name),
            version: catalog.version().clone(),
            started_at: now,
        };
        let (user, trace_id) = (&caller.user, context.trace_id.as_str());
        let write = Write { user, before: &before, now, trace_id };
        match ports.attempts.start(write, &changes, &open, existing.as_ref()).await {
            Ok(()) => return shown(ports, &open).await,
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(QuizStartError::Contended)
}

async fn shown(ports: &Ports, open: &OpenAttempt) -> Result<Response, QuizStartError> {
    let quiz = ports.catalog.quiz(&open.version, &open.name).await?;
    let quiz = quiz.ok_or(QuizStartError::NotFound)?;
    Ok(Response::json(200, &output(open, &quiz)))
}

#[derive(Debug, thiserror::Error)]
enum QuizStartError {
    #[error("no such quiz")]
    NotFound,
    #[error("refused: {0}")]
    Refused(AttemptRefusal, Timestamp),
    #[error("too many writers of one learner's progress")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<QuizStartError> for Problem {
    fn from(error: QuizStartError) -> Self {
        match error {
            QuizStartError::NotFound => Self::new(&NOT_FOUND),
            QuizStartError::Refused(refusal, now) => attempt_refused(&refusal, now),
            QuizStartError::Contended => Self::new(&CONFLICT),
            QuizStartError::Port(error) => Self::port(&error),
        }
    }
}
