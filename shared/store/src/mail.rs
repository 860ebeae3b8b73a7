//! The table `mail`: a mail under `mail#{id}` / `outbox`, written in the transaction of the fact that
//! causes it.
//!
//! While a mail waits it stands in the index `due`, so nothing that a stream or a process forgets is
//! lost. Whoever sends a mail takes it first: that counts an attempt and puts the mail off for a
//! lease, by one conditional update, so of any number of senders one gets it. When it was sent or
//! refused, its reader and its words are removed, and what is left expires.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use futures::future::try_join_all;
use rollcall_domain::id::MailId;
use rollcall_domain::limits::{MAIL_KEPT_SECONDS, MAIL_LEASE_SECONDS};
use rollcall_domain::mail::{Address, Letter, Mail, Refusal};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_resources::table::{EXPIRES_AT, MAIL_DUE, PARTITION_KEY, SORT_KEY};
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::{corrupt, failed};
use crate::item::{from_item, key, number, sortable, text};
use crate::tables::{Tables, capability};
use crate::update::ItemUpdate;
use crate::vault::Sealed;

const OUTBOX: &str = "outbox";
/// Before the id in a mail's partition key.
const KEY_PREFIX: &str = "mail#";
/// Parts of the index of what is due: one part alone would bound how much can be written.
const DUE_SHARDS: u8 = 4;
/// Pages of a part of the index that are read for one address, of a megabyte each.
const WAITING_PAGES_MAX: u32 = 200;

/// Where a mail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Waiting,
    Sent,
    Refused,
}

#[derive(Debug, Serialize, Deserialize)]
struct MailItem {
    pk: String,
    sk: String,
    mail_id: MailId,
    kind: String,
    state: State,
    recipient: Option<Address>,
    letter: Option<Letter<Sealed>>,
    attempts: u32,
    created_at: Timestamp,
    due_shard: String,
    due_at: String,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// A mail that waits, as the index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub id: MailId,
    /// How often it was taken.
    pub attempts: u32,
}

/// A mail in the hands of one sender.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The mail.
    pub mail: Mail<Sealed>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

#[derive(Debug, Deserialize)]
struct WaitingItem {
    mail_id: MailId,
    attempts: u32,
}

fn mail_key(id: &MailId) -> String {
    format!("{KEY_PREFIX}{id}")
}

/// The mail that an item of the table is, by the item's key; `None` for items of other kinds.
pub fn id_of(partition_key: &str) -> Option<MailId> {
    partition_key.strip_prefix(KEY_PREFIX)?.parse().ok()
}

/// The part of the index that lists a mail. The last digit of an id is random.
fn shard(id: &MailId) -> String {
    let digit = id.as_str().bytes().last().unwrap_or_default();
    shard_name(digit % DUE_SHARDS)
}

fn shard_name(shard: u8) -> String {
    format!("mail#{shard}")
}

/// The part of a transaction by which a mail that still waits is never sent.
pub(crate) fn forget_part(tables: &Tables, id: &MailId) -> Result<TransactWriteItem, PortError> {
    let delete = Delete::builder()
        .table_name(tables.name(Table::Mail))
        .set_key(Some(key(&mail_key(id), OUTBOX)))
        .build()
        .map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// The parts of the index that list mails.
pub(crate) fn shard_names() -> impl Iterator<Item = String> {
    (0..DUE_SHARDS).map(shard_name)
}

/// Removes what waits in a part of the index for the reader of an address, whether somebody is about to
/// send it or not.
pub(crate) async fn forget_waiting(
    tables: &Tables,
    shard: &str,
    address: &Address,
) -> Result<(), PortError> {
    let operation = "forget what waits for an address";
    let mut start = None;
    for _page in 0..WAITING_PAGES_MAX {
        let page = tables
            .client
            .query()
            .table_name(tables.name(Table::Mail))
            .index_name(MAIL_DUE.name)
            .key_condition_expression("#shard = :shard")
            .filter_expression("recipient = :address OR address = :address")
            .expression_attribute_names("#shard", MAIL_DUE.partition_key)
            .expression_attribute_values(":shard", text(shard))
            .expression_attribute_values(":address", text(address.as_str()))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(failed(operation))?;
        for item in page.items.unwrap_or_default() {
            let keys = [PARTITION_KEY, SORT_KEY];
            let key = item.into_iter().filter(|(name, _)| keys.contains(&name.as_str()));
            let delete = tables.client.delete_item().table_name(tables.name(Table::Mail));
            let delete = delete.set_key(Some(key.collect()));
            delete.send().await.map_err(failed(operation))?;
        }
        start = page.last_evaluated_key;
        if start.is_none() {
            return Ok(());
        }
    }
    Err(PortError::new(operation, PortErrorClass::Throttled, "too much waits"))
}

/// The part of a transaction that writes a mail, which is due at once.
pub(crate) fn part(
    tables: &Tables,
    mail: &Mail<Sealed>,
    trace_id: &str,
) -> Result<TransactWriteItem, PortError> {
    tables.put_version_part(Table::Mail, &item(mail, trace_id), 1)
}

fn item(mail: &Mail<Sealed>, trace_id: &str) -> MailItem {
    MailItem {
        pk: mail_key(&mail.id),
        sk: OUTBOX.to_owned(),
        mail_id: mail.id.clone(),
        kind: mail.letter.kind().to_owned(),
        state: State::Waiting,
        recipient: Some(mail.to.clone()),
        letter: Some(mail.letter.clone()),
        attempts: 0,
        created_at: mail.created_at,
        due_shard: shard(&mail.id),
        due_at: sortable(mail.created_at),
        version: 1,
        updated_at: mail.created_at,
        trace_id: trace_id.to_owned(),
    }
}

capability! {
    /// Takes mails that wait, and settles what became of them.
    MailSender,
    Grant::table(Table::Mail, &["dynamodb:UpdateItem"]),
    Grant::index(Table::Mail, MAIL_DUE.name),
}

impl MailSender {
    /// Mails that are due, the longest overdue first; the index may be a moment behind.
    pub async fn due(&self, now: Timestamp, rows_max: usize) -> Result<Vec<Waiting>, PortError> {
        let of_shards = (0..DUE_SHARDS).map(|shard| self.due_of_shard(shard, now, rows_max));
        let mut rows = try_join_all(of_shards).await?.concat();
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        rows.truncate(rows_max);
        Ok(rows.into_iter().map(|(_, waiting)| waiting).collect())
    }

    async fn due_of_shard(
        &self,
        shard: u8,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<(String, Waiting)>, PortError> {
        #[derive(Deserialize)]
        struct Row {
            due_at: String,
            #[serde(flatten)]
            waiting: WaitingItem,
        }
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Mail))
            .index_name(MAIL_DUE.name)
            .key_condition_expression("#shard = :shard AND #due <= :now")
            .expression_attribute_names("#shard", MAIL_DUE.partition_key)
            .expression_attribute_names("#due", MAIL_DUE.sort_key)
            .expression_attribute_values(":shard", text(shard_name(shard)))
            .expression_attribute_values(":now", text(sortable(now)))
            .limit(i32::try_from(rows_max).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(failed("list mails that are due"))?;
        let items = page.items.unwrap_or_default().into_iter();
        let rows = items.map(|item| {
            let Row { due_at, waiting: WaitingItem { mail_id, attempts } } = from_item(item)?;
            Ok((due_at, Waiting { id: mail_id, attempts }))
        });
        rows.collect()
    }

    /// Takes a mail, to send it within [`MAIL_LEASE_SECONDS`]; `None` when somebody else took it, or
    /// when it does not wait any more.
    pub async fn take(
        &self,
        waiting: &Waiting,
        now: Timestamp,
    ) -> Result<Option<Taken>, PortError> {
        let attempt = waiting.attempts.saturating_add(1);
        let update = waits(&waiting.id, waiting.attempts)
            .set_to("attempts", ":attempt")
            .value("attempt", number(attempt))
            .remove("reason")
            .set("due_at", text(sortable(after_seconds(now, MAIL_LEASE_SECONDS))));
        let Some(before) = self.tables.apply("take a mail", Table::Mail, update).await? else {
            return Ok(None);
        };
        let item: MailItem = from_item(before)?;
        let (Some(to), Some(letter)) = (item.recipient, item.letter) else {
            let text = "a mail that waits, without a reader or a letter";
            return Err(PortError::new("take a mail", PortErrorClass::Corrupt, text));
        };
        let mail = Mail { id: item.mail_id, to, letter, created_at: item.created_at };
        Ok(Some(Taken { mail, attempt }))
    }

    /// The mail was sent.
    pub async fn sent(&self, taken: &Taken, now: Timestamp) -> Result<(), PortError> {
        let update = closed(taken, "sent", now);
        self.tables.apply("close a mail that was sent", Table::Mail, update).await.map(drop)
    }

    /// The mail will never be sent.
    pub async fn refused(
        &self,
        taken: &Taken,
        refusal: Refusal,
        now: Timestamp,
    ) -> Result<(), PortError> {
        let update = closed(taken, "refused", now).set("reason", text(refusal.as_str()));
        self.tables.apply("close a mail that was refused", Table::Mail, update).await.map(drop)
    }

    /// The mail waits until `due_at`, for a reason that an operator who looks may want to know.
    pub async fn later(
        &self,
        taken: &Taken,
        reason: PortErrorClass,
        due_at: Timestamp,
    ) -> Result<(), PortError> {
        let update = waits(&taken.mail.id, taken.attempt)
            .set("reason", text(delay_name(reason)))
            .set("due_at", text(sortable(due_at)));
        self.tables.apply("put a mail off", Table::Mail, update).await.map(drop)
    }
}

/// A change of a mail that waits and was taken `attempts` times. Who took it and was overtaken after
/// the lease changes nothing any more.
fn waits(id: &MailId, attempts: u32) -> ItemUpdate {
    ItemUpdate::of(&mail_key(id), OUTBOX)
        .name("state")
        .name("attempts")
        .value("waiting", text("waiting"))
        .value("attempts", number(attempts))
        .only_if("#state = :waiting AND #attempts = :attempts")
}

const fn delay_name(reason: PortErrorClass) -> &'static str {
    match reason {
        PortErrorClass::Throttled => "throttled",
        PortErrorClass::Unavailable => "unavailable",
        PortErrorClass::Rejected => "misconfigured",
        PortErrorClass::Conflict | PortErrorClass::Corrupt => "unusable",
    }
}

fn closed(taken: &Taken, state: &str, now: Timestamp) -> ItemUpdate {
    waits(&taken.mail.id, taken.attempt)
        .set_to("state", ":closed")
        .value("closed", text(state))
        .set("updated_at", text(now.to_string()))
        .set(EXPIRES_AT, number(after_seconds(now, MAIL_KEPT_SECONDS).as_second()))
        .remove("recipient")
        .remove("letter")
        .remove(MAIL_DUE.partition_key)
        .remove(MAIL_DUE.sort_key)
}
