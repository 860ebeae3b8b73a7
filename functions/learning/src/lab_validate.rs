//! Asks the validator of labs whether what somebody attested is so, and records its answer. Until then
//! the attestation is pending; while the validator is away, or wants more time, the message comes again
//! every few minutes for half a day, and then lies on the dead-letter desk, from where an operator
//! returns it.
//!
//! A message only says where to look; who was merged into somebody since is looked for as the survivor.
//! What is not pending any more needs no answer, so messages may come late, twice and in any order.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use rollcall_domain::catalog::Catalog;
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::limits::MERGE_CHAIN_MAX;
use rollcall_domain::progress::{Review, TaskOutcome, TaskRecord, perform};
use rollcall_domain::secret::Secret;
use rollcall_domain::slug::Slug;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_feed::{AskError, KeySource, Webhook};
use rollcall_resources::{Grant, Queue, SecretName};
use rollcall_runtime::declaration::QueueTrigger;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_secrets::SecretReader;
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::{TaskRecorder, Write};
use rollcall_store::users::MergeFollower;
use rollcall_store::{Capability, PortError, PortErrorClass};
use serde::{Deserialize, Serialize};

use crate::settings::LAB_VALIDATOR;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "lab-validate",
    purpose: "Asks the validator of labs about what is attested.",
    triggers: &[Trigger::Queue(QueueTrigger { queue: Queue::LabValidations, batch_size: 1 })],
    grants: &[
        CatalogReader::GRANTS,
        TaskRecorder::GRANTS,
        MergeFollower::GRANTS,
        &[Grant::secret(SecretName::LabValidatorKey)],
    ],
    settings: &[&LAB_VALIDATOR],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

/// How often an answer is recorded anew when the learner's progress changed in between.
const ATTEMPTS_MAX: u32 = 20;
/// Bytes of the validator's answer.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

struct Ports {
    catalog: CatalogReader,
    learners: TaskRecorder,
    merges: MergeFollower,
    /// None where the stage has no validator.
    validator: Option<Webhook>,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let reader = startup.secret(SecretName::LabValidatorKey)?;
        let url = startup.setting(&LAB_VALIDATOR)?;
        let validator = if url == "none" {
            None
        } else {
            let keys = Keys { reader, clock: startup.clock() };
            let webhook = Webhook::public(url, Arc::new(keys));
            Some(webhook.map_err(|error| StartupError::Part {
                what: LAB_VALIDATOR.name,
                source: Box::new(error),
            })?)
        };
        Ok(Self {
            catalog: startup.capability()?,
            learners: startup.capability()?,
            merges: startup.capability()?,
            validator,
            clock: startup.clock(),
        })
    }
}

struct Keys {
    reader: SecretReader,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl KeySource for Keys {
    async fn keys(&self) -> Result<Vec<Secret>, PortError> {
        let now = self.clock.now();
        let keys = self.reader.keys(now).await.inspect_err(|error| {
            tracing::error!(error = chain(error), "the validator's key cannot be read");
        })?;
        Ok(keys.accepted(now).cloned().collect())
    }
}

/// Where an attestation is pending.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// Whose it was when it was attested.
    pub(crate) user: UserId,
    /// Of which module.
    pub(crate) module: Slug,
    /// Which lab.
    pub(crate) task: Slug,
    /// Whether another message asks again if this one is in vain.
    #[serde(default)]
    pub(crate) is_first: bool,
}

/// What the validator gets.
#[derive(Debug, Serialize)]
struct Question<'question> {
    r#type: &'static str,
    /// When it was attested, so that the same question is always the same text.
    timestamp: Timestamp,
    data: Attested<'question>,
}

#[derive(Debug, Serialize)]
struct Attested<'question> {
    user_id: &'question str,
    module: &'question str,
    task: &'question str,
    evidence_url: Option<&'question str>,
}

/// What the validator says.
#[derive(Debug, Deserialize)]
struct Answer {
    outcome: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Accepted,
    Refused,
    Pending,
}

async fn handle(
    ports: &Ports,
    event: SqsEvent,
    invocation: &Invocation,
) -> Result<SqsBatchResponse, LabValidateError> {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        let body = message.body.unwrap_or_default();
        let first = serde_json::from_str(&body).is_ok_and(|pending: Pending| pending.is_first);
        match settle(ports, &body, invocation).await {
            Ok(()) => {}
            Err(error) if first && error.is_of_the_validator() => {
                tracing::info!(error = chain(&error), "the validator is asked again later");
            }
            Err(error) => {
                if error.is_of_the_validator() {
                    tracing::warn!(error = chain(&error), "an attestation stays pending");
                } else {
                    tracing::error!(error = chain(&error), "an attestation cannot be settled");
                }
                response.add_failure(message.message_id.unwrap_or_default());
            }
        }
    }
    Ok(response)
}

async fn settle(
    ports: &Ports,
    body: &str,
    invocation: &Invocation,
) -> Result<(), LabValidateError> {
    let pending: Pending = serde_json::from_str(body)?;
    let catalog = ports.catalog.load(ports.clock.now()).await?;
    let Some((user, learner)) = find(ports, &pending).await? else { return Ok(()) };
    let Some((record, since)) = pending_record(&learner, &pending) else {
        return Ok(());
    };
    let accepted = match ask(ports, (&user, &pending), record, since).await? {
        Verdict::Accepted => true,
        Verdict::Refused => false,
        Verdict::Pending => return Err(LabValidateError::Undecided),
    };
    let outcome = TaskOutcome::Reviewed { since, accepted };
    record_answer(ports, &catalog, &pending, &outcome, invocation).await
}

/// Who has what is pending, and what they did; `None` when it is not pending any more. What an account
/// did moves to its survivor piece by piece, so each account on the way is looked at, in the order in
/// which it moves.
async fn find(
    ports: &Ports,
    pending: &Pending,
) -> Result<Option<(UserId, Learner)>, LabValidateError> {
    let mut user = pending.user.clone();
    for _account in 0..MERGE_CHAIN_MAX {
        let learner = ports.learners.load(&user).await?;
        if pending_record(&learner, pending).is_some() {
            return Ok(Some((user, learner)));
        }
        match ports.merges.merged_into(&user).await? {
            Some(into) => user = into,
            None => return Ok(None),
        }
    }
    Err(LabValidateError::Merges)
}

/// The record of what is pending, and since when it is.
fn pending_record<'learner>(
    learner: &'learner Learner,
    pending: &Pending,
) -> Option<(&'learner TaskRecord, Timestamp)> {
    let record = learner.modules.get(&pending.module)?.tasks.get(&pending.task)?;
    match record.review {
        Some(Review::Pending(since)) => Some((record, since)),
        Some(Review::Refused(_)) | None => None,
    }
}

async fn ask(
    ports: &Ports,
    (user, pending): (&UserId, &Pending),
    record: &TaskRecord,
    since: Timestamp,
) -> Result<Verdict, LabValidateError> {
    let validator = ports.validator.as_ref().ok_or(LabValidateError::NoValidator)?;
    let question = Question {
        r#type: "lab.attested",
        timestamp: since,
        data: Attested {
            user_id: user.as_str(),
            module: pending.module.as_str(),
            task: pending.task.as_str(),
            evidence_url: record.evidence_url.as_deref(),
        },
    };
    let body = serde_json::to_vec(&question)?;
    let answer = validator.ask(body, ports.clock.now(), ANSWER_BYTES_MAX).await?;
    let answer: Answer =
        serde_json::from_slice(&answer).map_err(|_strange| LabValidateError::Strange)?;
    Ok(answer.outcome)
}

async fn record_answer(
    ports: &Ports,
    catalog: &Catalog,
    pending: &Pending,
    outcome: &TaskOutcome,
    invocation: &Invocation,
) -> Result<(), LabValidateError> {
    let module = catalog.module(&pending.module);
    let found = module.and_then(|module| Some((module, module.task(&pending.task)?)));
    // What the catalogue has dropped completes nothing.
    let Some((module, task)) = found else { return Ok(()) };
    for _attempt in 0..ATTEMPTS_MAX {
        let Some((user, before)) = find(ports, pending).await? else { return Ok(()) };
        let now = ports.clock.now();
        let changes = perform(&before, catalog, module, task, outcome, now);
        let trace_id = invocation.trace_id.as_str();
        let write = Write { user: &user, before: &before, now, trace_id };
        match ports.learners.store(write, &changes).await {
            Ok(()) => return Ok(()),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(LabValidateError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum LabValidateError {
    #[error("the message says nothing that is known")]
    Message(#[from] serde_json::Error),
    #[error("this stage has no validator")]
    NoValidator,
    #[error("the validator gives no answer")]
    Ask(#[from] AskError),
    #[error("the validator's answer is none")]
    Strange,
    #[error("the validator has not decided yet")]
    Undecided,
    #[error("too many writers of one learner's progress")]
    Contended,
    #[error("too many merges upon merges")]
    Merges,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl LabValidateError {
    fn is_of_the_validator(&self) -> bool {
        match self {
            Self::NoValidator | Self::Ask(_) | Self::Strange | Self::Undecided => true,
            Self::Message(_) | Self::Contended | Self::Merges | Self::Port(_) => false,
        }
    }
}
