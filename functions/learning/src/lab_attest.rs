//! Records that the caller did a lab. The caller's word counts; some labs ask for the address of some
//! evidence, and some wait for the word of the stage's validator (`lab_validate.rs`): its answer is asked
//! for by a message that is on its way before the attestation is stored, so nothing is stored that nobody
//! asks about. Attesting again changes nothing and answers what is stored, so a repetition of a request
//! whose process died before its answer was kept has no second effect.

use rollcall_domain::catalog::{Module, QuizName, Task, TaskKind};
use rollcall_domain::id::UserId;
use rollcall_domain::learning::{Learner, Status};
use rollcall_domain::limits::URL_CHARACTERS_MAX;
use rollcall_domain::progress::{TaskOutcome, perform};
use rollcall_domain::slug::Slug;
use rollcall_domain::text;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_queue::QueueSender;
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::{HTTP_TIMEOUT_SECONDS, Idempotency, Operation};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::{TaskRecorder, Write};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lab_validate::Pending;
use crate::target::TaskInput;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "lab-attest",
    purpose: "Records that the caller did a lab.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/modules/{slug}/labs/{task}/attest",
    })],
    idempotency: Idempotency::Optional,
    grants: &[CatalogReader::GRANTS, TaskRecorder::GRANTS, &[Grant::send(Queue::LabValidations)]],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &INVALID, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// How often a write is tried again when the learner's progress changed in between.
const ATTEMPTS_MAX: u32 = 20;
/// The validator is asked so late that the attestation is stored by then, or never: longer than this
/// function may run.
const ASKED_AFTER_SECONDS: u32 = HTTP_TIMEOUT_SECONDS + 1;

struct Ports {
    catalog: CatalogReader,
    learners: TaskRecorder,
    validations: QueueSender,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            catalog: startup.capability()?,
            learners: startup.capability()?,
            validations: startup.queue(Queue::LabValidations)?,
        })
    }
}

#[derive(Debug)]
struct Input {
    module: Slug,
    task: Slug,
    evidence_url: Option<String>,
}

/// An attestation; the body may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The https address of some evidence.
    evidence_url: Option<String>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let TaskInput(QuizName { module, quiz: task }) = TaskInput::from_request(request)?;
        let body: Body = if request.has_body() { request.json()? } else { Body::default() };
        Ok(Self {
            module,
            task,
            evidence_url: body.evidence_url.as_deref().map(evidence).transpose()?,
        })
    }
}

fn evidence(url: &str) -> Result<String, Problem> {
    let url = text::normalize_required(url, URL_CHARACTERS_MAX)
        .map_err(|error| Problem::invalid("/evidence_url", "invalid-text", &error))?;
    let has_host = url.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)
    });
    if has_host {
        return Ok(url);
    }
    Err(Problem::invalid("/evidence_url", "invalid-url", &"must be an https address"))
}

/// That the lab is done.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The lab.
    task_slug: String,
    /// `attested`, or `pending` while its validator has not decided.
    status: &'static str,
    /// When it was first attested (RFC 3339, UTC).
    attested_at: Option<String>,
    /// The address of the evidence that was named then.
    evidence_url: Option<String>,
    /// Whether the module is complete.
    module_complete: bool,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, LabAttestError> {
    let catalog = ports.catalog.load(context.now).await?;
    let module = catalog.module(&input.module).ok_or(LabAttestError::NotFound)?;
    let task = module.task(&input.task).ok_or(LabAttestError::NotFound)?;
    let TaskKind::Lab(terms) = &task.kind else {
        return Err(LabAttestError::NotFound);
    };
    if terms.evidence_required && input.evidence_url.is_none() {
        return Err(LabAttestError::EvidenceMissing);
    }
    let outcome = if terms.validated {
        TaskOutcome::Claimed(input.evidence_url)
    } else {
        TaskOutcome::Attested(input.evidence_url)
    };
    let (user, trace_id) = (&caller.user, context.trace_id.as_str());
    let mut is_announced = !terms.validated;
    for _attempt in 0..ATTEMPTS_MAX {
        let before = ports.learners.load(user).await?;
        let progress = before.modules.get(&module.slug);
        let record = progress.and_then(|progress| progress.tasks.get(&task.slug));
        // Whoever attests again and again has the validator asked no more often.
        if record.is_some_and(|lab| lab.done_at.is_some() || lab.is_asked_about(context.now)) {
            return Ok(answer(&before, module, task));
        }
        if !is_announced {
            announce(ports, (user, module, task), ASKED_AFTER_SECONDS).await?;
            is_announced = true;
        }
        let changes = perform(&before, &catalog, module, task, &outcome, context.now);
        let write = Write { user, before: &before, now: context.now, trace_id };
        match ports.learners.store(write, &changes).await {
            Ok(()) => {
                if terms.validated
                    && let Err(error) = announce(ports, (user, module, task), 0).await
                {
                    tracing::warn!(error = chain(&error), "a validator is asked later");
                }
                let mut after = before.clone();
                after.modules.extend(changes.modules.into_iter().map(|m| (m.module.clone(), m)));
                return Ok(answer(&after, module, task));
            }
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(LabAttestError::Contended)
}

/// Has the validator asked: at once, and once more afterwards, until it has decided.
async fn announce(
    ports: &Ports,
    (user, module, task): (&UserId, &Module, &Task),
    delay_seconds: u32,
) -> Result<(), PortError> {
    let pending = Pending {
        user: user.clone(),
        module: module.slug.clone(),
        task: task.slug.clone(),
        is_first: delay_seconds == 0,
    };
    let body = serde_json::to_string(&pending)
        .map_err(|error| PortError::new("write a message", PortErrorClass::Corrupt, error))?;
    ports.validations.send(body, delay_seconds).await
}

fn answer(learner: &Learner, module: &Module, task: &Task) -> Response {
    let progress = learner.modules.get(&module.slug);
    let record = progress.and_then(|progress| progress.tasks.get(&task.slug));
    let is_done = record.is_some_and(|record| record.done_at.is_some());
    let output = Output {
        task_slug: task.slug.to_string(),
        status: if is_done { "attested" } else { "pending" },
        attested_at: record.and_then(|record| record.done_at).map(|at| at.to_string()),
        evidence_url: record.and_then(|record| record.evidence_url.clone()),
        module_complete: learner.module_status(module) == Status::Complete,
    };
    Response::json(200, &output)
}

#[derive(Debug, thiserror::Error)]
enum LabAttestError {
    #[error("no such lab")]
    NotFound,
    #[error("the lab asks for evidence")]
    EvidenceMissing,
    #[error("too many writers of one learner's progress")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<LabAttestError> for Problem {
    fn from(error: LabAttestError) -> Self {
        match error {
            LabAttestError::NotFound => Self::new(&NOT_FOUND),
            LabAttestError::EvidenceMissing => {
                Self::invalid("/evidence_url", "required", &"this lab asks for evidence")
            }
            LabAttestError::Contended => Self::new(&CONFLICT),
            LabAttestError::Port(error) => Self::port(&error),
        }
    }
}
