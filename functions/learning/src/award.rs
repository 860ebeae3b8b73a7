//! Awards badges and certificates, behind the stream of progress and never in a request. The record only
//! says whose progress changed: what was earned follows from the state as it is now
//! (`rollcall_domain::badge`, `rollcall_domain::certificate`), and each is stored once, on condition. So
//! records may come late, twice and in any order, and what was missed comes with the next record of
//! its user (fault C8: a certificate that failed was never tried again).
//!
//! One function awards both, since DynamoDB advises at most two readers of a shard, and the other one
//! is the CRM's.
//!
//! What Lambda gave up after its tries comes back through a queue that says where in the stream it
//! was; it is read there again.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lambda_events::sqs::SqsBatchResponse as BatchResponse;
use rollcall_domain::badge;
use rollcall_domain::certificate::{self, Certificate};
use rollcall_domain::id::UserId;
use rollcall_domain::learning::Learner;
use rollcall_domain::random::Random;
use rollcall_domain::time::Clock;
use rollcall_resources::{Queue, Table};
use rollcall_runtime::declaration::{QueueTrigger, StreamTrigger};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::badges::BadgeAwarder;
use rollcall_store::catalog::CatalogReader;
use rollcall_store::certificates::CertificateAwarder;
use rollcall_store::streams::{Change, Reread, StreamRange, StreamReader, StreamRecord};
use rollcall_store::{Capability, PortError};
use serde::Deserialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "award",
    purpose: "Awards badges and certificates for what people learned.",
    triggers: &[
        Trigger::Stream(StreamTrigger {
            table: Table::Progress,
            batch_size: RECORDS_MAX,
            batch_window_seconds: 0,
            parallelization_factor: 1,
            retry_attempts_max: 3,
            record_age_seconds_max: RECORD_AGE_SECONDS_MAX,
            failure_queue: Queue::AwardStreamFailures,
        }),
        Trigger::Queue(QueueTrigger { queue: Queue::AwardStreamFailures, batch_size: 1 }),
    ],
    grants: &[
        BadgeAwarder::GRANTS,
        CertificateAwarder::GRANTS,
        CatalogReader::GRANTS,
        StreamReader::OF_PROGRESS,
    ],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

/// Records of one invocation: as many users are looked at in time when each takes a second.
const RECORDS_MAX: u32 = 25;
/// Records that are older are given up, while there is time to read them again: streams keep a day.
const RECORD_AGE_SECONDS_MAX: u32 = 6 * 60 * 60;

struct Ports {
    badges: BadgeAwarder,
    certificates: CertificateAwarder,
    catalog: CatalogReader,
    streams: StreamReader,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            badges: startup.capability()?,
            certificates: startup.capability()?,
            catalog: startup.capability()?,
            streams: StreamReader::new(startup.connection()),
            clock: startup.clock(),
            random: startup.random(),
        })
    }
}

/// Records of the stream, or messages of the queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// Only records of the stream have it.
    dynamodb: Option<StreamRecord>,
    /// Only messages have it.
    body: Option<String>,
    /// Only messages have it.
    message_id: Option<String>,
}

/// Whose progress changed, and how the record or message is named when it fails.
struct Changed {
    users: BTreeSet<UserId>,
    name: String,
}

async fn handle(
    ports: &Ports,
    event: Event,
    invocation: &Invocation,
) -> Result<BatchResponse, AwardError> {
    let mut settled: BTreeSet<UserId> = BTreeSet::new();
    let mut failed = Vec::new();
    for record in event.records {
        let changed = match record {
            Record { dynamodb: Some(change), .. } => {
                let users = user_of(change.partition_key()).into_iter().collect();
                Changed { users, name: change.sequence_number }
            }
            Record { body, message_id, .. } => {
                let name = message_id.unwrap_or_default();
                match given_up(ports, &body.unwrap_or_default()).await {
                    Ok(users) => Changed { users, name },
                    Err(error) => {
                        tracing::error!(error = chain(&error), "progress could not be read again");
                        failed.push(name);
                        continue;
                    }
                }
            }
        };
        for user in changed.users {
            if settled.contains(&user) {
                continue;
            }
            match award(ports, &user, invocation).await {
                Ok(()) => drop(settled.insert(user)),
                Err(error) => {
                    tracing::error!(user.id = %user, error = chain(&error), "an award has to wait");
                    failed.push(changed.name.clone());
                }
            }
        }
    }
    let mut response = BatchResponse::default();
    response.set_failures(failed);
    Ok(response)
}

fn user_of(partition_key: &str) -> Option<UserId> {
    partition_key.strip_prefix("user#")?.parse().ok()
}

/// The users of records that were given up. When the stream has forgotten them, the message is kept for
/// an operator.
async fn given_up(ports: &Ports, body: &str) -> Result<BTreeSet<UserId>, AwardError> {
    let range = StreamRange::of_report(body)?;
    let Reread::Changed(changes) = ports.streams.reread(&range).await? else {
        return Err(AwardError::Gone);
    };
    let keys = changes.iter().filter_map(Change::partition_key);
    Ok(keys.filter_map(|key| user_of(&key)).collect())
}

async fn award(ports: &Ports, user: &UserId, invocation: &Invocation) -> Result<(), PortError> {
    let learner = ports.badges.learner(user).await?;
    badges(ports, user, &learner, invocation).await?;
    certificates(ports, user, &learner, invocation).await
}

async fn badges(
    ports: &Ports,
    user: &UserId,
    learner: &Learner,
    invocation: &Invocation,
) -> Result<(), PortError> {
    let catalog = ports.catalog.load(ports.clock.now()).await?;
    let earned = badge::earned(learner, &catalog);
    if earned.is_empty() {
        return Ok(());
    }
    let awarded = ports.badges.all(user).await?;
    let written = (ports.clock.now(), invocation.trace_id.as_str());
    for badge in badge::missing(earned, &awarded) {
        if ports.badges.award(user, &badge, written).await? {
            tracing::info!(user.id = %user, kind = badge.name.kind.as_str(), "a badge is awarded");
        }
    }
    Ok(())
}

async fn certificates(
    ports: &Ports,
    user: &UserId,
    learner: &Learner,
    invocation: &Invocation,
) -> Result<(), PortError> {
    let earned = certificate::earned(learner);
    if earned.is_empty() {
        return Ok(());
    }
    let awarded = ports.certificates.awarded(user).await?;
    let (now, random) = (ports.clock.now(), ports.random.as_ref());
    let written = (now, invocation.trace_id.as_str());
    for earned in certificate::missing(earned, &awarded) {
        let then = ports.catalog.at_version(&earned.catalog).await?;
        let current = ports.catalog.load(now).await?;
        let at = |place| Certificate::award(earned.clone(), [&then, &current], place, now, random);
        if let Some(new) = ports.certificates.award(user, at, random, written).await? {
            let (id, kind) = (&new.id, new.earned.name.kind.as_str());
            tracing::info!(user.id = %user, certificate = %id, kind, "a certificate is awarded");
        }
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum AwardError {
    #[error("the message is not a report of records that were given up")]
    Message(#[from] serde_json::Error),
    #[error("the records are no longer in the stream")]
    Gone,
    #[error(transparent)]
    Port(#[from] PortError),
}
