//! Answers people who asked for an account: finds out who has the address, and tells its reader.
//!
//! A user is told that there is an account, somebody whom the CRM knows gets an invitation, and to
//! anybody else nothing is said. An address is looked up and written to at most once in ten minutes
//! and five times a day, whoever asks how often: the claim goes and the answer comes in one
//! transaction, under the version of what the address was answered before.
//!
//! The table's stream tells of a claim. What cannot be answered now, because the CRM is away or
//! busy, stays due in the table's index, and the schedule takes it up.

use std::sync::Arc;

use aws_lambda_events::sqs::SqsBatchResponse as BatchResponse;
use futures::{StreamExt, stream};
use rollcall_crm::finder::{Finder, Found};
use rollcall_domain::id::MailId;
use rollcall_domain::invitation::{Invitation, Known};
use rollcall_domain::mail::{Letter, Mail, retry_after_seconds};
use rollcall_domain::port::PortError;
use rollcall_domain::random::Random;
use rollcall_domain::time::{Clock, SignedDuration, Timestamp, after_seconds};
use rollcall_resources::{Grant, Queue, SecretName, Table};
use rollcall_runtime::declaration::StreamTrigger;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_secrets::SecretReader;
use rollcall_store::Capability;
use rollcall_store::crm::BudgetSharer;
use rollcall_store::invitations::{Answer, ClaimAnswerer, TakenClaim, WaitingClaim, claim_of};
use rollcall_store::streams::StreamRecord;
use rollcall_store::users::UserReader;
use rollcall_store::vault::Keyring;
use serde::Deserialize;

use crate::{engine, settings};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "claim-answer",
    purpose: "Answers people who asked for an account.",
    triggers: &[
        Trigger::Stream(StreamTrigger {
            table: Table::Mail,
            batch_size: RECORDS_MAX,
            batch_window_seconds: 0,
            parallelization_factor: 1,
            retry_attempts_max: 3,
            record_age_seconds_max: RECORD_AGE_SECONDS_MAX,
            failure_queue: Queue::MailStreamFailures,
        }),
        Trigger::Schedule { every_minutes: 1 },
    ],
    grants: &[
        ClaimAnswerer::GRANTS,
        UserReader::GRANTS,
        BudgetSharer::GRANTS,
        &engine::CREDENTIALS,
        &[Grant::secret(SecretName::TokenKey)],
    ],
    settings: settings::ALL,
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

/// Records of one invocation.
const RECORDS_MAX: u32 = 100;
/// A record that is older has long been found by its claim being due.
const RECORD_AGE_SECONDS_MAX: u32 = 60 * 60;
/// Claims that one invocation takes up because they are due.
const DUE_MAX: usize = 100;
/// Claims in one process's hands at a time.
const ANSWERED_AT_ONCE: usize = 4;
/// What a claim needs at most: a turn, two calls of the CRM, and what our tables take.
const ANSWER_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

struct Ports {
    claims: ClaimAnswerer,
    users: UserReader,
    finder: Finder,
    token_key: SecretReader,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            claims: startup.capability()?,
            users: startup.capability()?,
            finder: engine::finder(startup, startup.capability::<BudgetSharer>()?.table())?,
            token_key: startup.secret(SecretName::TokenKey)?,
            clock: startup.clock(),
            random: startup.random(),
        })
    }
}

/// Records of the stream, or nothing from the schedule.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Event {
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: String,
    dynamodb: StreamRecord,
}

async fn handle(
    ports: &Ports,
    event: Event,
    invocation: &Invocation,
) -> Result<BatchResponse, ClaimAnswerError> {
    let (waiting, sequence_numbers): (Vec<WaitingClaim>, Vec<String>) = if event.records.is_empty()
    {
        (ports.claims.due(ports.clock.now(), DUE_MAX).await?, Vec::new())
    } else {
        event.records.into_iter().filter_map(new_claim).unzip()
    };
    let answering = waiting.iter().map(|waiting| answer(ports, waiting, invocation));
    let outcomes: Vec<_> = stream::iter(answering).buffered(ANSWERED_AT_ONCE).collect().await;
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        tracing::error!(error = chain(error), "a claim could not be answered");
    }
    let mut response = BatchResponse::default();
    let failed = outcomes.iter().zip(sequence_numbers).filter(|(outcome, _)| outcome.is_err());
    response.set_failures(failed.map(|(_, sequence_number)| sequence_number));
    Ok(response)
}

fn new_claim(record: Record) -> Option<(WaitingClaim, String)> {
    let told = record.dynamodb;
    let id = claim_of(told.partition_key()).filter(|_| record.event_name == "INSERT")?;
    Some((WaitingClaim { id, attempts: 0 }, told.sequence_number))
}

async fn answer(
    ports: &Ports,
    waiting: &WaitingClaim,
    invocation: &Invocation,
) -> Result<(), ClaimAnswerError> {
    let now = ports.clock.now();
    if invocation.remaining(now) < ANSWER_TIMEOUT {
        return Ok(());
    }
    let Some(claim) = ports.claims.take(waiting, now).await? else { return Ok(()) };
    let claim_id = claim.id.as_str();
    let before = ports.claims.correspondence(&claim.address).await?;
    // Asked before anything is looked up, so that nobody can make us ask the CRM without end.
    if before.answer(None, now).is_none() {
        tracing::info!(claim_id, "a claim is dropped: its address was answered a moment ago");
        return Ok(ports.claims.forget(&claim).await?);
    }
    let Some(known) = known(ports, &claim).await? else {
        let due_at = after_seconds(ports.clock.now(), retry_after_seconds(claim.attempt));
        ports.claims.later(&claim, due_at).await?;
        tracing::info!(claim_id, attempt = claim.attempt, "a claim has to wait for the CRM");
        return Ok(());
    };
    let answer = compose(ports, &claim, known, now).await?;
    let invitation = answer.invitation.as_ref().map(|invitation| &invitation.hash);
    let stored = match before.answer(invitation, now) {
        Some(next) => ports.claims.answer(&claim, (&before, &next), &answer, now).await?,
        None => false,
    };
    if stored {
        tracing::info!(claim_id, ?known, "a claim is answered");
    } else {
        tracing::info!(claim_id, "a claim is dropped: another was answered first");
        ports.claims.forget(&claim).await?;
    }
    Ok(())
}

/// What is known about the address; `None` when the CRM cannot be asked now.
async fn known(ports: &Ports, claim: &TakenClaim) -> Result<Option<Known>, ClaimAnswerError> {
    let address = claim.address.as_str();
    if ports.users.find_by_email(address).await?.is_some() {
        return Ok(Some(Known::User));
    }
    Ok(match ports.finder.find(address, &claim.trace_id).await? {
        Found::Yes => Some(Known::Contact),
        Found::No => Some(Known::Nobody),
        Found::Later => None,
    })
}

async fn compose(
    ports: &Ports,
    claim: &TakenClaim,
    known: Known,
    now: Timestamp,
) -> Result<Answer, ClaimAnswerError> {
    let random = ports.random.as_ref();
    let (id, to) = (MailId::new(now, random), claim.address.clone());
    Ok(match known {
        Known::Nobody => Answer::default(),
        Known::User => Answer {
            mail: Some(Mail { id, to, letter: Letter::AccountExists, created_at: now }),
            invitation: None,
        },
        Known::Contact => {
            let (invitation, token) = Invitation::make(to.clone(), now, random);
            let keyring =
                Keyring::parse(&ports.token_key.read(now).await?).map_err(PortError::from)?;
            let token = keyring.seal(&token, id.as_str(), random).map_err(PortError::from)?;
            let letter = Letter::Invitation { token, name: None };
            Answer {
                mail: Some(Mail { id, to, letter, created_at: now }),
                invitation: Some(invitation),
            }
        }
    })
}

#[derive(Debug, thiserror::Error)]
enum ClaimAnswerError {
    #[error(transparent)]
    Port(#[from] PortError),
}
