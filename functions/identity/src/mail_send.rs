//! Sends the mails that wait in the table `mail`.
//!
//! A mail is sent as soon as the table's stream tells of it. What could not be sent then, because the
//! mail service was away or slow, or because a process died, stays due in the table's index; once a
//! minute, and whenever Lambda reports records that it gave up, everything due is tried, later and
//! later, until it is sent or refused for good. No failure of the mail service fails an invocation,
//! so no mail holds up the others.
//!
//! A mail is sent at least once. It is sent twice when the service took it and the process then died,
//! got no answer within ten seconds, or could not write down that it was sent: two minutes later
//! another takes the mail and sends it again. Two senders at the same time never have the same mail.

use std::sync::Arc;

use aws_lambda_events::sqs::SqsBatchResponse as BatchResponse;
use futures::StreamExt;
use futures::stream;
use rollcall_domain::mail::retry_after_seconds;
use rollcall_domain::port::PortError;
use rollcall_domain::time::{Clock, SignedDuration, after_seconds};
use rollcall_mail::{Mailer, SEND_TIMEOUT, SendError};
use rollcall_resources::{Grant, Queue, SecretName, Table};
use rollcall_runtime::declaration::{QueueTrigger, StreamTrigger};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_secrets::SecretReader;
use rollcall_store::Capability;
use rollcall_store::mail::{MailSender, Taken, Waiting, id_of};
use rollcall_store::streams::StreamRecord;
use rollcall_store::vault::Keyring;
use serde::Deserialize;

use crate::settings::{MAIL_FROM, SITE_URL};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "mail-send",
    purpose: "Sends the mails that wait.",
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
        Trigger::Queue(QueueTrigger { queue: Queue::MailStreamFailures, batch_size: 10 }),
        Trigger::Schedule { every_minutes: 1 },
    ],
    grants: &[MailSender::GRANTS, &[Grant::mail()], &[Grant::secret(SecretName::TokenKey)]],
    settings: &[&SITE_URL, &MAIL_FROM],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

/// Records of one invocation: as many as are sent in time when each mail takes as long as it may.
const RECORDS_MAX: u32 = 25;
/// A record that is older has long been found by its mail being due.
const RECORD_AGE_SECONDS_MAX: u32 = 60 * 60;
/// Mails that one invocation takes up because they are due.
const DUE_MAX: usize = 100;
/// Mails in one process's hands at a time.
const SENT_AT_ONCE: usize = 8;
/// What a mail needs at least, beside [`SEND_TIMEOUT`], until it is settled.
const SETTLE_TIMEOUT: SignedDuration = SignedDuration::from_secs(5);

struct Ports {
    mails: MailSender,
    mailer: Mailer,
    token_key: SecretReader,
    site_url: String,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let mailer = Mailer::new(startup.connection(), startup.setting(&MAIL_FROM)?)
            .map_err(|error| StartupError::Part { what: MAIL_FROM.name, source: error.into() })?;
        Ok(Self {
            mails: startup.capability()?,
            mailer,
            token_key: startup.secret(SecretName::TokenKey)?,
            site_url: startup.setting(&SITE_URL)?.to_owned(),
            clock: startup.clock(),
        })
    }
}

/// Records of the stream, messages of the queue, or nothing from the schedule.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Event {
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// Only records of the stream have it.
    event_name: Option<String>,
    dynamodb: Option<StreamRecord>,
}

/// A new mail, and where the stream told of it.
struct New {
    waiting: Waiting,
    sequence_number: String,
}

async fn handle(
    ports: &Ports,
    event: Event,
    invocation: &Invocation,
) -> Result<BatchResponse, MailSendError> {
    let mut response = BatchResponse::default();
    let is_stream = event.records.iter().any(|record| record.dynamodb.is_some());
    let (waiting, sequence_numbers): (Vec<Waiting>, Vec<String>) = if is_stream {
        let new = event.records.into_iter().filter_map(new_mail);
        new.map(|new| (new.waiting, new.sequence_number)).unzip()
    } else {
        (ports.mails.due(ports.clock.now(), DUE_MAX).await?, Vec::new())
    };
    let sending = waiting.iter().map(|waiting| send(ports, waiting, invocation));
    let outcomes: Vec<_> = stream::iter(sending).buffered(SENT_AT_ONCE).collect().await;
    tell(ports, &outcomes);
    let failed = outcomes.iter().zip(sequence_numbers).filter(|(outcome, _)| outcome.is_err());
    response.set_failures(failed.map(|(_, sequence_number)| sequence_number));
    Ok(response)
}

fn new_mail(record: Record) -> Option<New> {
    let told = record.dynamodb?;
    let id =
        id_of(told.partition_key()).filter(|_| record.event_name.as_deref() == Some("INSERT"))?;
    Some(New { waiting: Waiting { id, attempts: 0 }, sequence_number: told.sequence_number })
}

/// What became of one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    Refused,
    Delayed,
    /// Somebody else has it, or there is no time left for it here; it stays due.
    Left,
}

async fn send(
    ports: &Ports,
    waiting: &Waiting,
    invocation: &Invocation,
) -> Result<Outcome, MailSendError> {
    let now = ports.clock.now();
    let needed = SignedDuration::try_from(SEND_TIMEOUT).unwrap_or(SignedDuration::MAX);
    if invocation.remaining(now) < needed.saturating_add(SETTLE_TIMEOUT) {
        return Ok(Outcome::Left);
    }
    let Some(taken) = ports.mails.take(waiting, now).await? else { return Ok(Outcome::Left) };
    let mail_id = taken.mail.id.as_str();
    let kind = taken.mail.letter.kind();
    let result = write_and_send(ports, &taken).await;
    let now = ports.clock.now();
    match result {
        Ok(()) => {
            ports.mails.sent(&taken, now).await?;
            tracing::info!(mail_id, kind, "a mail was sent");
            Ok(Outcome::Sent)
        }
        Err(SendError::Refused(refusal)) => {
            ports.mails.refused(&taken, refusal, now).await?;
            tracing::warn!(mail_id, kind, reason = refusal.as_str(), "a mail is refused for good");
            Ok(Outcome::Refused)
        }
        Err(SendError::Port(error)) => {
            let due_at = after_seconds(now, retry_after_seconds(taken.attempt));
            ports.mails.later(&taken, error.class, due_at).await?;
            let (attempt, error) = (taken.attempt, chain(&error));
            tracing::error!(mail_id, kind, attempt, error, "a mail has to wait");
            Ok(Outcome::Delayed)
        }
    }
}

async fn write_and_send(ports: &Ports, taken: &Taken) -> Result<(), SendError> {
    let mail = &taken.mail;
    let keyring = Keyring::parse(&ports.token_key.read(ports.clock.now()).await?);
    let keyring = keyring.map_err(PortError::from)?;
    let open = |sealed| keyring.open(&sealed, mail.id.as_str()).map_err(PortError::from);
    let letter = mail.letter.clone().try_map(open)?;
    ports.mailer.send(&mail.to, &letter.render(&ports.site_url)).await
}

fn tell(ports: &Ports, outcomes: &[Result<Outcome, MailSendError>]) {
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        tracing::error!(error = chain(error), "a mail could not be settled");
    }
    let count = |wanted: Outcome| {
        let number = outcomes.iter().flatten().filter(|outcome| **outcome == wanted).count();
        u32::try_from(number).map_or(f64::MAX, f64::from)
    };
    let values = [
        (Metric::MailSent, count(Outcome::Sent)),
        (Metric::MailDelayed, count(Outcome::Delayed)),
        (Metric::MailRefused, count(Outcome::Refused)),
    ];
    if values.iter().any(|(_, value)| *value > 0.0) {
        emit(ports.clock.now(), &values);
    }
}

#[derive(Debug, thiserror::Error)]
enum MailSendError {
    #[error(transparent)]
    Port(#[from] PortError),
}
