//! Takes up what `crm-sync` could not do and Lambda gave up.
//!
//! Lambda reports only where in a stream a batch was. Its records are read again, every user and facet
//! they name becomes pending, and the milestones in them are kept. A record that cannot be understood
//! keeps none of the others; its report comes again and ends at the dead-letter desk. When they are no longer in the stream, nobody knows which users
//! they were about: then the table is marked as one that has to be compared as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use rollcall_crm::milestone::Milestone;
use rollcall_crm::pending::{Dirty, Reason};
use rollcall_crm::port::Overseer;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Clock;
use rollcall_resources::{Grant, Queue, Table};
use rollcall_runtime::declaration::QueueTrigger;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::crm::PendingMarker;
use rollcall_store::streams::{Change as Record, Reread, StreamRange, StreamReader};

use crate::change::{Keys, dirty, milestones, table_of};
use crate::waiting::Waiting;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-recover",
    purpose: "Takes up changes that the CRM sync could not handle.",
    // One message each: reading a range again may take long.
    triggers: &[Trigger::Queue(QueueTrigger { queue: Queue::CrmStreamFailures, batch_size: 1 })],
    grants: &[PendingMarker::GRANTS, StreamReader::GRANTS, &[Grant::send(Queue::CrmDrain)]],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

struct Ports {
    streams: StreamReader,
    waiting: Waiting,
    stage: String,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<PendingMarker>()?.table();
        Ok(Self {
            streams: StreamReader::new(startup.connection()),
            waiting: Waiting::new(startup, table)?,
            stage: startup.stage()?.to_owned(),
            clock: startup.clock(),
        })
    }
}

/// A message that fails comes again, and ends in the dead-letter queue for an operator to see.
async fn handle(
    ports: &Ports,
    event: SqsEvent,
    _invocation: &Invocation,
) -> Result<SqsBatchResponse, CrmRecoverError> {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        if let Err(error) = recover(ports, &message.body.unwrap_or_default()).await {
            tracing::error!(error = chain(&error), "changes could not be recovered");
            response.add_failure(message.message_id.unwrap_or_default());
        }
    }
    Ok(response)
}

async fn recover(ports: &Ports, body: &str) -> Result<(), CrmRecoverError> {
    let range = StreamRange::of_report(body)?;
    let Some(table) = table_of(&range.stream_arn, &ports.stage) else {
        return Err(CrmRecoverError::Stream { arn: range.stream_arn });
    };
    match ports.streams.reread(&range).await? {
        Reread::Changed(records) => {
            let mut changes: BTreeMap<UserId, Dirty> = BTreeMap::new();
            let mut happened = Vec::new();
            let mut poison = None;
            for record in records {
                match taken_up(table, record) {
                    Ok((change, told)) => {
                        happened.extend(told);
                        // A table is of one facet.
                        changes.extend(change.map(|change| (change.user.clone(), change)));
                    }
                    // It must not keep the others; the message that names it ends at the desk.
                    Err(error) => poison = Some(error),
                }
            }
            let found = changes.len();
            ports.waiting.keep(happened).await?;
            ports.waiting.store(changes.into_values().collect(), Reason::Recovered).await?;
            tracing::warn!(table = table.name(), found, "changes were recovered");
            ports.waiting.wake().await?;
            if let Some(error) = poison {
                return Err(error.into());
            }
        }
        Reread::Gone => {
            ports.waiting.table.need_reconcile(table.name(), ports.clock.now()).await?;
            tracing::warn!(
                table = table.name(),
                "changes are lost to the stream; compare the table"
            );
        }
    }
    Ok(())
}

/// What a record says: whose change it was, and what happened for the first time.
fn taken_up(
    table: Table,
    Record { keys, before, after }: Record,
) -> Result<(Option<Dirty>, Vec<Milestone>), serde_dynamo::Error> {
    let keys: Keys = serde_dynamo::from_item(keys)?;
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let happened = milestones(table, &keys, before, after)?;
    Ok((dirty(table, &keys.pk, None), happened))
}

#[derive(Debug, thiserror::Error)]
enum CrmRecoverError {
    #[error("the message is not a report of records that were given up")]
    Message(#[from] serde_json::Error),
    #[error("{arn} is not the stream of a table whose changes the CRM hears about")]
    Stream { arn: String },
    #[error("a record is not of an item as we store it")]
    Item(#[from] serde_dynamo::Error),
    #[error(transparent)]
    Port(#[from] PortError),
}
