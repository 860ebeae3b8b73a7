//! Grades an attempt at a quiz. The attempt, what it changes in the learner's record and what that
//! completes are one transaction, and the limit of attempts is looked at on the same state.
//!
//! An attempt is submitted once: the same answers again get what the first time got, also when a
//! request is repeated whose process died before its answer was kept (fault D8).

use std::collections::BTreeMap;

use rollcall_domain::attempt::{Attempt, AttemptRefusal, OpenAttempt, admit};
use rollcall_domain::catalog::{Catalog, Module, QuizName, Task, TaskKind};
use rollcall_domain::id::AttemptId;
use rollcall_domain::learning::{Learner, Status};
use rollcall_domain::limits::QUESTIONS_MAX;
use rollcall_domain::progress::{TaskOutcome, perform};
use rollcall_domain::quiz::Quiz;
use rollcall_domain::slug::Slug;
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Idempotency, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::attempts::AttemptSubmitter;
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::Write;
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::{ATTEMPT_CLOSED, ATTEMPTS_EXHAUSTED, COOLING_DOWN, attempt_refused};
use crate::target::TaskInput;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "quiz-submit",
    purpose: "Grades an attempt at a quiz.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/modules/{slug}/quizzes/{quiz}/attempts",
    })],
    idempotency: Idempotency::Optional,
    grants: &[CatalogReader::GRANTS, AttemptSubmitter::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[
            &NOT_FOUND,
            &INVALID,
            &CONFLICT,
            &ATTEMPT_CLOSED,
            &ATTEMPTS_EXHAUSTED,
            &COOLING_DOWN,
        ],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// How often a write is tried again when the learner's progress changed in between.
const ATTEMPTS_MAX: u32 = 20;

struct Ports {
    catalog: CatalogReader,
    attempts: AttemptSubmitter,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()?, attempts: startup.capability()? })
    }
}

#[derive(Debug)]
struct Input {
    name: QuizName,
    id: AttemptId,
    answers: BTreeMap<Slug, Slug>,
}

/// The answers of an attempt.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The attempt that was started.
    attempt_id: String,
    /// One answer for each question at most; what is not answered is wrong.
    answers: Vec<AnswerBody>,
}

/// The answer to a question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    /// The question's id.
    id: String,
    /// The id of the chosen option.
    value: String,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let TaskInput(name) = TaskInput::from_request(request)?;
        let body: Body = request.json()?;
        let id = body.attempt_id.parse();
        let id = id.map_err(|error| Problem::invalid("/attempt_id", "invalid-id", &error))?;
        if body.answers.len() > QUESTIONS_MAX {
            let detail = format!("must hold at most {QUESTIONS_MAX} answers");
            return Err(Problem::invalid("/answers", "invalid-length", &detail));
        }
        let mut answers = BTreeMap::new();
        for (index, answer) in body.answers.iter().enumerate() {
            let question: Slug = slug(index, "id", &answer.id)?;
            if answers.insert(question, slug(index, "value", &answer.value)?).is_some() {
                let pointer = format!("/answers/{index}/id");
                return Err(Problem::invalid(pointer, "repeated", &"was answered before"));
            }
        }
        Ok(Self { name, id, answers })
    }
}

fn slug(index: usize, field: &str, text: &str) -> Result<Slug, Problem> {
    text.parse().map_err(|error| {
        Problem::invalid(format!("/answers/{index}/{field}"), "invalid-slug", &error)
    })
}

/// What the attempt was worth.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The attempt.
    attempt_id: String,
    /// The score, in percent.
    score: u32,
    /// Whether that is enough.
    passed: bool,
    /// Which attempt at this quiz it was; the first is 1.
    attempt_number: u32,
    /// The best score so far, in percent; it is the one that counts.
    best_score: u32,
    /// How many attempts are left; no limit if there is none.
    attempts_left: Option<u32>,
    /// Whether the module is complete.
    module_complete: bool,
}

fn output(attempt: &Attempt, module: &Module, task: &Task, learner: &Learner) -> Output {
    let progress = learner.modules.get(&module.slug);
    let record = progress.and_then(|progress| progress.tasks.get(&task.slug));
    let made = record.map_or(attempt.number, |record| record.attempts);
    let attempts_max = match &task.kind {
        TaskKind::Quiz(terms) => terms.attempts_max,
        TaskKind::Lab(_) => None,
    };
    Output {
        attempt_id: attempt.opened.id.to_string(),
        score: attempt.score,
        passed: attempt.passed,
        attempt_number: attempt.number,
        best_score: record.and_then(|record| record.best_score).unwrap_or(attempt.score),
        attempts_left: attempts_max.map(|max| max.saturating_sub(made)),
        module_complete: learner.module_status(module) == Status::Complete,
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, QuizSubmitError> {
    let catalog = ports.catalog.load(context.now).await?;
    let module = catalog.module(&input.name.module).ok_or(QuizSubmitError::NotFound)?;
    let task = module.task(&input.name.quiz).ok_or(QuizSubmitError::NotFound)?;
    for _attempt in 0..ATTEMPTS_MAX {
        let before = ports.attempts.load(&caller.user).await?;
        let open = ports.attempts.open(&caller.user, &input.name).await?;
        let Some(open) = open.filter(|open| open.id == input.id) else {
            let attempt = submitted(ports, caller, &input).await?;
            return Ok(Response::json(200, &output(&attempt, module, task, &before)));
        };
        let quiz = ports.catalog.quiz(&open.version, &open.name).await?;
        let quiz = quiz.ok_or(QuizSubmitError::NotFound)?;
        let attempt = graded(&before, task, open, &quiz, &input, context.now)?;
        let (score, passed) = (attempt.score, attempt.passed);
        let outcome = TaskOutcome::Graded { score, passed };
        let changes = perform(&before, &catalog, module, task, &outcome, context.now);
        let (user, trace_id) = (&caller.user, context.trace_id.as_str());
        let write = Write { user, before: &before, now: context.now, trace_id };
        match ports.attempts.submit(write, &changes, &attempt).await {
            Ok(()) => return Ok(answer(&catalog, &before, module, task, &attempt, &outcome)),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(QuizSubmitError::Contended)
}

/// The answer after a submission: with the learner as it is now.
fn answer(
    catalog: &Catalog,
    before: &Learner,
    module: &Module,
    task: &Task,
    attempt: &Attempt,
    outcome: &TaskOutcome,
) -> Response {
    let changes = perform(before, catalog, module, task, outcome, attempt.submitted_at);
    let mut after = before.clone();
    after.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
    Response::json(200, &output(attempt, module, task, &after))
}

/// The attempt that was submitted before with the same answers.
async fn submitted(
    ports: &Ports,
    caller: &Caller,
    input: &Input,
) -> Result<Attempt, QuizSubmitError> {
    let found = ports.attempts.find(&caller.user, &input.name.module, &input.id).await?;
    let attempt = found.filter(|attempt| attempt.opened.name == input.name);
    let attempt = attempt.ok_or(QuizSubmitError::NotFound)?;
    if attempt.answers == input.answers { Ok(attempt) } else { Err(QuizSubmitError::Closed) }
}

/// The attempt as it is submitted, if it may be.
fn graded(
    learner: &Learner,
    task: &Task,
    open: OpenAttempt,
    quiz: &Quiz,
    input: &Input,
    now: Timestamp,
) -> Result<Attempt, QuizSubmitError> {
    if !open.is_open(now) {
        return Err(QuizSubmitError::Closed);
    }
    let TaskKind::Quiz(terms) = &task.kind else {
        return Err(QuizSubmitError::NotFound);
    };
    let progress = learner.modules.get(&open.name.module);
    let record = progress.and_then(|progress| progress.tasks.get(&open.name.quiz));
    admit(terms, record, open.started_at)
        .map_err(|refusal| QuizSubmitError::Refused(refusal, now))?;
    for (index, (question, option)) in input.answers.iter().enumerate() {
        let known = quiz.question(question).is_some_and(|q| q.option(option).is_some());
        if !known {
            return Err(QuizSubmitError::Unknown(index));
        }
    }
    let grade = quiz.grade(&input.answers);
    Ok(Attempt {
        opened: open,
        submitted_at: now,
        answers: input.answers.clone(),
        number: record.map_or(0, |record| record.attempts).saturating_add(1),
        score: grade.score,
        passed: grade.passed,
    })
}

#[derive(Debug, thiserror::Error)]
enum QuizSubmitError {
    #[error("no such quiz or attempt")]
    NotFound,
    #[error("the attempt was submitted with other answers or is too old")]
    Closed,
    #[error("answer {0} is to no question or by no option of the quiz")]
    Unknown(usize),
    #[error("refused: {0}")]
    Refused(AttemptRefusal, Timestamp),
    #[error("too many writers of one learner's progress")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<QuizSubmitError> for Problem {
    fn from(error: QuizSubmitError) -> Self {
        match error {
            QuizSubmitError::NotFound => Self::new(&NOT_FOUND),
            QuizSubmitError::Closed => Self::new(&ATTEMPT_CLOSED),
            QuizSubmitError::Unknown(_) => {
                Self::invalid("/answers", "unknown-answer", &"must be options of its questions")
            }
            QuizSubmitError::Refused(refusal, now) => attempt_refused(&refusal, now),
            QuizSubmitError::Contended => Self::new(&CONFLICT),
            QuizSubmitError::Port(error) => Self::port(&error),
        }
    }
}
