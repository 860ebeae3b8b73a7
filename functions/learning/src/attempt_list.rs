//! Lists the caller's attempts at the quizzes of a module, newest first, each reviewed against the
//! questions it was made at (fault C9: they were reviewed against other ones, by names that no
//! question had). A review says whether an answer was right and never what would have been; the
//! explanation is for who found it.

use std::collections::BTreeMap;

use rollcall_domain::attempt::Attempt;
use rollcall_domain::catalog::{CatalogVersion, QuizName};
use rollcall_domain::quiz::{Question, Quiz};
use rollcall_domain::slug::Slug;
use rollcall_edge::cursor::PAGE_PARAMETERS;
use rollcall_edge::problem::{INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, Cursors, FromRequest, HttpRequest, Page, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::attempts::AttemptLister;
use rollcall_store::catalog::CatalogReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::target::slug;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "attempt-list",
    purpose: "Lists the caller's attempts at the quizzes of a module, with a review of each.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/modules/{slug}/attempts" })],
    grants: &[CatalogReader::GRANTS, AttemptLister::GRANTS, Cursors::GRANTS],
    operation: Operation {
        query: PAGE_PARAMETERS,
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    catalog: CatalogReader,
    attempts: AttemptLister,
    cursors: Cursors,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let (catalog, attempts) = (startup.capability()?, startup.capability()?);
        Ok(Self { catalog, attempts, cursors: Cursors::new(startup)? })
    }
}

#[derive(Debug)]
struct Input {
    module: Slug,
    page: Page,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self { module: slug(request)?, page: Page::from_request(request)? })
    }
}

/// A page of attempts.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Newest first.
    attempts: Vec<AttemptView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

/// An attempt.
#[derive(Debug, Serialize, JsonSchema)]
struct AttemptView {
    /// Its id.
    attempt_id: String,
    /// The quiz.
    quiz: String,
    /// The version of the catalogue whose questions it was made at.
    version: String,
    /// When it was started (RFC 3339, UTC).
    started_at: String,
    /// When it was submitted (RFC 3339, UTC).
    submitted_at: String,
    /// Which attempt at this quiz it was; the first is 1.
    attempt_number: u32,
    /// The score, in percent.
    score: u32,
    /// Whether that was enough.
    passed: bool,
    /// Its questions, in the order they were shown in.
    review: Vec<ReviewView>,
}

/// A question and how it was answered.
#[derive(Debug, Serialize, JsonSchema)]
struct ReviewView {
    /// The question.
    question_id: String,
    /// What was asked.
    question_text: String,
    /// The chosen option, if any.
    submitted_answer_id: Option<String>,
    /// What the chosen option says.
    submitted_answer_text: Option<String>,
    /// Whether it was right.
    is_correct: bool,
    /// Why it was right, if it was.
    explanation: Option<String>,
}

fn review(attempt: &Attempt, question: &Question) -> ReviewView {
    let chosen = attempt.answers.get(&question.id);
    let text = chosen.and_then(|id| question.option(id)).map(|option| option.text.clone());
    let is_correct = question.is_right(&attempt.answers);
    ReviewView {
        question_id: question.id.to_string(),
        question_text: question.stem.clone(),
        submitted_answer_id: chosen.map(ToString::to_string),
        submitted_answer_text: text,
        is_correct,
        explanation: question.explanation.clone().filter(|_| is_correct),
    }
}

fn view(attempt: &Attempt, quiz: Option<&Quiz>) -> AttemptView {
    let opened = &attempt.opened;
    let questions = quiz.map(|quiz| opened.questions(quiz)).unwrap_or_default();
    AttemptView {
        attempt_id: opened.id.to_string(),
        quiz: opened.name.quiz.to_string(),
        version: opened.version.to_string(),
        started_at: opened.started_at.to_string(),
        submitted_at: attempt.submitted_at.to_string(),
        attempt_number: attempt.number,
        score: attempt.score,
        passed: attempt.passed,
        review: questions.into_iter().map(|question| review(attempt, question)).collect(),
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { module, page }: Input,
) -> Result<Response, AttemptListError> {
    let cursors = &ports.cursors;
    let position = cursors.open(page.cursor.as_deref(), caller, context).await?;
    let found = ports.attempts.page(&caller.user, &module, page.limit, position.as_deref()).await?;
    // Attempts stay readable when the catalogue has dropped the module.
    if found.attempts.is_empty() && ports.catalog.load(context.now).await?.module(&module).is_none()
    {
        return Err(AttemptListError::NotFound);
    }
    let mut quizzes: BTreeMap<(CatalogVersion, QuizName), Option<Quiz>> = BTreeMap::new();
    let mut attempts = Vec::new();
    for attempt in &found.attempts {
        let key = (attempt.opened.version.clone(), attempt.opened.name.clone());
        if !quizzes.contains_key(&key) {
            let quiz = ports.catalog.quiz(&key.0, &key.1).await?;
            quizzes.insert(key.clone(), quiz);
        }
        attempts.push(view(attempt, quizzes.get(&key).and_then(Option::as_ref)));
    }
    let cursor = cursors.seal(found.position.as_deref(), caller, context).await?;
    Ok(Response::json(200, &Output { attempts, cursor }))
}

#[derive(Debug, thiserror::Error)]
enum AttemptListError {
    #[error("no such module")]
    NotFound,
    #[error("the cursor is refused")]
    Cursor(Problem),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<Problem> for AttemptListError {
    fn from(problem: Problem) -> Self {
        Self::Cursor(problem)
    }
}

impl From<AttemptListError> for Problem {
    fn from(error: AttemptListError) -> Self {
        match error {
            AttemptListError::NotFound => Self::new(&NOT_FOUND),
            AttemptListError::Cursor(problem) => problem,
            AttemptListError::Port(error) => Self::port(&error),
        }
    }
}
