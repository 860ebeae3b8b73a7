//! The table `audit`: under `{subject}` / `{entry's id}`, what was done to a subject. Entries are
//! only ever added, in the transaction of what they tell of; no capability changes or removes one.
//!
//! The smallest example is `functions/ops/src/flag_set.rs`:
//!
//! ```text
//! let told = (Actor::User(caller.user.clone()), action, Subject::Flag(flag.name));
//! let entry = Entry::new(told, &context.trace_id, context.now, &*ports.random);
//! if ports.flags.set(flag, rollout, version, &entry).await? {
//! ```

use jiff::Timestamp;
use rollcall_domain::audit::{Details, Entry, Filter, Record};
use rollcall_domain::id::AuditId;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::day;
use rollcall_resources::table::{AUDIT_ACTOR, AUDIT_DAY};
use rollcall_resources::{Grant, Index, Table};
use serde::{Deserialize, Serialize};

use crate::item::{Attributes, Order, PageQuery, key, text};
use crate::tables::{Tables, capability};

/// What writing an entry needs, for capabilities whose effects are audited.
pub(crate) const APPEND: Grant = Grant::table(Table::Audit, &["dynamodb:PutItem"]);

#[derive(Debug, Serialize, Deserialize)]
struct EntryItem {
    pk: String,
    sk: AuditId,
    /// As `sk`, for the indexes.
    entry_id: AuditId,
    day: String,
    at: Timestamp,
    actor: String,
    action: String,
    details: Details,
    trace_id: String,
}

impl From<Record> for EntryItem {
    fn from(record: Record) -> Self {
        Self {
            pk: record.subject,
            sk: record.id.clone(),
            entry_id: record.id,
            day: day(record.at),
            at: record.at,
            actor: record.actor,
            action: record.action,
            details: record.details,
            trace_id: record.trace_id,
        }
    }
}

impl From<EntryItem> for Record {
    fn from(item: EntryItem) -> Self {
        Self {
            id: item.sk,
            at: item.at,
            actor: item.actor,
            action: item.action,
            subject: item.pk,
            details: item.details,
            trace_id: item.trace_id,
        }
    }
}

/// The part of a transaction that writes an entry. Put it last, so that the places of the other
/// parts stay what they are.
pub(crate) fn part(
    tables: &Tables,
    entry: &Entry,
) -> Result<aws_sdk_dynamodb::types::TransactWriteItem, PortError> {
    let item = EntryItem::from(Record::from(entry.clone()));
    // Of version 1: an entry with the same key is never replaced.
    tables.put_version_part(Table::Audit, &item, 1)
}

capability! {
    /// Tells of what leaves nothing else behind, such as that something was shown.
    AuditTeller, APPEND
}

impl AuditTeller {
    /// Writes an entry.
    ///
    /// # Errors
    ///
    /// What the table refuses.
    pub async fn tell(&self, entry: &Entry) -> Result<(), PortError> {
        let item = EntryItem::from(Record::from(entry.clone()));
        self.tables.put_version(Table::Audit, &item, 1).await
    }
}

/// A page of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The newest first.
    pub entries: Vec<Record>,
    /// Where the next page begins; none on the last page.
    pub position: Option<String>,
}

capability! {
    /// Reads the audit log.
    AuditReader,
    Grant::table(Table::Audit, &["dynamodb:Query"]),
    Grant::index(Table::Audit, AUDIT_ACTOR.name),
    Grant::index(Table::Audit, AUDIT_DAY.name),
}

impl AuditReader {
    /// The entries that `filter` picks behind a position that an earlier page of the same filter
    /// named, the newest first. Those about one subject are consistent, the others follow the
    /// indexes.
    pub async fn list(
        &self,
        filter: &Filter,
        position: Option<&str>,
        entries_max: usize,
    ) -> Result<AuditPage, PortError> {
        let (index, partition): (Option<Index>, &str) = match filter {
            Filter::Subject(subject) => (None, subject),
            Filter::Actor(actor) => (Some(AUDIT_ACTOR), actor),
            Filter::Day(day) => (Some(AUDIT_DAY), day),
        };
        let start = position.map(|position| start_key(position, index, partition)).transpose()?;
        let page = PageQuery {
            table: Table::Audit,
            index,
            partition,
            prefix: "",
            order: Order::Descending,
            start,
            items_max: entries_max,
        };
        let (items, more) = self.tables.page::<EntryItem>("read the audit log", page).await?;
        let entries: Vec<Record> = items.into_iter().map(Record::from).collect();
        let last = entries.last().filter(|_| more);
        let position = last.map(|last| format!("{} {}", last.id, last.subject));
        Ok(AuditPage { entries, position })
    }
}

fn start_key(
    position: &str,
    index: Option<Index>,
    partition: &str,
) -> Result<Attributes, PortError> {
    let (id, subject) = position.split_once(' ').ok_or_else(|| {
        let text = "not a position in the audit log";
        PortError::new("read the audit log", PortErrorClass::Rejected, text)
    })?;
    let mut start = key(subject, id);
    if let Some(index) = index {
        start.insert(index.partition_key.to_owned(), text(partition));
        start.insert(index.sort_key.to_owned(), text(id));
    }
    Ok(start)
}
