//! Takes the streams of users, enrolments, progress, badges and certificates, and brings what changed
//! to the CRM.
//!
//! A record only says which user and facet changed; the engine reads their state, so a record that
//! comes twice or late does no harm. Milestones alone come from its images, and their ids make one that
//! comes twice the same. What the CRM cannot take now becomes pending, at full speed:
//! nothing waits on a shard. A batch fails only where our own tables fail, from the first record
//! whose change could not be stored anywhere. What Lambda gives up goes to `crm-recover`.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lambda_events::dynamodb::{Event, EventRecord};
// Streams and queues are answered alike; only this type of the crate can be filled.
use aws_lambda_events::sqs::SqsBatchResponse as BatchResponse;
use rollcall_crm::engine::Engine;
use rollcall_crm::milestone::Milestone;
use rollcall_crm::pending::Dirty;
use rollcall_domain::id::UserId;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_resources::{Queue, Table};
use rollcall_runtime::declaration::StreamTrigger;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::crm::ChangeSender;
use serde::Deserialize;

use crate::change::{Keys, dirty, milestones, table_of};
use crate::engine::{self, CALLS, FEED_KEY, STATES};
use crate::{report, settings};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-sync",
    purpose: "Brings changes of users, enrolments, progress, badges and certificates to the CRM.",
    triggers: &[
        stream(Table::Users),
        stream(Table::Enrollments),
        stream(Table::Progress),
        stream(Table::Badges),
        stream(Table::Certificates),
    ],
    grants: &[
        ChangeSender::GRANTS,
        STATES[0],
        STATES[1],
        STATES[2],
        STATES[3],
        STATES[4],
        CALLS,
        FEED_KEY,
    ],
    settings: settings::SENDERS,
    reserved_concurrency: Some(CONCURRENCY),
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

/// Half of the 24 hours for which a stream keeps a record: the other half is left to recovery.
const RECORD_AGE_SECONDS_MAX: u32 = 12 * 60 * 60;

/// Kept free for the sync whatever the API does, and as many as the CRM's limits can feed: a stream
/// that finds them all busy waits and loses nothing.
const CONCURRENCY: u32 = 30;

const fn stream(table: Table) -> Trigger {
    Trigger::Stream(StreamTrigger {
        table,
        batch_size: 100,
        batch_window_seconds: 0,
        parallelization_factor: 4,
        retry_attempts_max: 3,
        record_age_seconds_max: RECORD_AGE_SECONDS_MAX,
        failure_queue: Queue::CrmStreamFailures,
    })
}

struct Ports {
    engine: Engine,
    stage: String,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<ChangeSender>()?.table();
        Ok(Self {
            engine: engine::new(startup, &table)?,
            stage: startup.stage()?.to_owned(),
            clock: startup.clock(),
        })
    }
}

/// A record of a change that concerns the CRM.
struct Change {
    dirty: Dirty,
    milestones: Vec<Milestone>,
    sequence_number: String,
    written_at: Option<Timestamp>,
}

/// What every item carries about its last write; nothing is left of it when the item was removed.
#[derive(Debug, Default, Deserialize)]
struct Stamp {
    updated_at: Option<Timestamp>,
    trace_id: Option<String>,
}

async fn handle(
    ports: &Ports,
    event: Event,
    invocation: &Invocation,
) -> Result<BatchResponse, CrmSyncError> {
    let mut changes = Vec::new();
    for record in event.records {
        changes.extend(change(record, &ports.stage)?);
    }
    let oldest = changes.iter().filter_map(|change| change.written_at).min();
    let dirty = changes.iter().map(|change| change.dirty.clone()).collect();
    let milestones = changes.iter().flat_map(|change| change.milestones.clone()).collect();
    let report = Box::pin(ports.engine.sync(dirty, milestones, invocation.deadline)).await;
    report::tell(&report, oldest, ports.clock.now());
    if let Some(error) = &report.error {
        tracing::error!(error = chain(error), "a part of the sync failed");
    }
    // Behind a user's first record come all others, so that one is enough to try all again.
    let mut first_failed: BTreeMap<&UserId, &str> = BTreeMap::new();
    for change in &changes {
        if report.failed.contains(&change.dirty.user) {
            first_failed.entry(&change.dirty.user).or_insert(&change.sequence_number);
        }
    }
    let mut response = BatchResponse::default();
    response.set_failures(first_failed.into_values());
    Ok(response)
}

fn change(record: EventRecord, stage: &str) -> Result<Option<Change>, CrmSyncError> {
    let arn = record.event_source_arn.unwrap_or_default();
    let Some(table) = table_of(&arn, stage) else {
        return Err(CrmSyncError::Stream { arn });
    };
    let keys: Keys = serde_dynamo::from_item(record.change.keys)?;
    let (before, after) = (record.change.old_image, record.change.new_image.clone());
    let milestones = milestones(table, &keys, before, after)?;
    let stamp: Stamp = serde_dynamo::from_item(record.change.new_image)?;
    let sequence_number = record.change.sequence_number.ok_or(CrmSyncError::SequenceNumber)?;
    Ok(dirty(table, &keys.pk, stamp.trace_id).map(|dirty| Change {
        dirty,
        milestones,
        sequence_number,
        written_at: stamp.updated_at,
    }))
}

#[derive(Debug, thiserror::Error)]
enum CrmSyncError {
    #[error("{arn} is not the stream of a table whose changes the CRM hears about")]
    Stream { arn: String },
    #[error("a record has no sequence number")]
    SequenceNumber,
    #[error("a record is not of an item as we store it")]
    Item(#[from] serde_dynamo::Error),
}
