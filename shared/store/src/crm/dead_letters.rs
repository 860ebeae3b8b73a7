//! The dead-letter desk.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_crm::dead_letter::{Cause, DeadLetter, DeadLetterChange, Status};
use rollcall_crm::limits::DEAD_LETTER_KEPT_SECONDS;
use rollcall_crm::milestone::{Milestone, MilestoneKind, MilestoneRow};
use rollcall_crm::pending::Mark;
use rollcall_crm::port::{DeadLetterPage, DeadLetterStore};
use rollcall_domain::audit::Entry;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_resources::Table;
use rollcall_resources::table::{CRM_OPEN, EXPIRES_AT};
use serde::{Deserialize, Serialize};

use super::{CrmTable, milestones, named, pending, sortable};
use crate::audit;
use crate::error::failed;
use crate::item::{Attributes, from_item, key, number, text, to_value};
use crate::update::{Applied, ItemUpdate};

const LETTER: &str = "letter";
/// The one part of the index: dead letters are few, and are read newest first across all users.
pub(super) const OPEN_SHARD: &str = "open";

#[derive(Debug, Deserialize)]
struct LetterItem {
    dead_letter_id: DeadLetterId,
    user_id: UserId,
    facet: Facet,
    // A letter whose user left the CRM lacks what it showed of the request.
    #[serde(default)]
    request: BTreeMap<String, String>,
    category: String,
    #[serde(default)]
    message: String,
    fingerprint: String,
    first_seen_at: Timestamp,
    last_seen_at: Timestamp,
    tries: u32,
    status: String,
    function_version: String,
    milestone: Option<MilestoneItem>,
}

/// The milestone that was refused; absent when it was a facet.
#[derive(Debug, Serialize, Deserialize)]
struct MilestoneItem {
    id: String,
    kind: String,
    at: Timestamp,
}

impl From<&Milestone> for MilestoneItem {
    fn from(milestone: &Milestone) -> Self {
        let Milestone { id, kind, at, .. } = milestone;
        Self { id: id.clone(), kind: kind.as_str().to_owned(), at: *at }
    }
}

impl TryFrom<LetterItem> for DeadLetter {
    type Error = PortError;

    fn try_from(item: LetterItem) -> Result<Self, PortError> {
        let LetterItem { request, category, message, fingerprint, .. } = item;
        let user = item.user_id;
        let milestone = |stored: MilestoneItem| {
            let kind = named(&MilestoneKind::ALL, MilestoneKind::as_str, &stored.kind)?;
            Ok::<_, PortError>(Milestone { id: stored.id, user: user.clone(), kind, at: stored.at })
        };
        let milestone = item.milestone.map(milestone).transpose()?;
        Ok(Self {
            id: item.dead_letter_id,
            user,
            facet: item.facet,
            milestone,
            cause: Cause { request, category, message, fingerprint },
            first_seen_at: item.first_seen_at,
            last_seen_at: item.last_seen_at,
            tries: item.tries,
            status: named(&Status::ALL, Status::as_str, &item.status)?,
            function_version: item.function_version,
        })
    }
}

/// Behind which dead letter a page begins. It grants nothing: whoever makes one up begins somewhere
/// else in the same list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterCursor {
    last_seen_ms: i64,
    id: DeadLetterId,
}

/// A text that is not a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of this list")]
pub struct InvalidCursor;

impl fmt::Display for DeadLetterCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.last_seen_ms, self.id)
    }
}

impl FromStr for DeadLetterCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (milliseconds, id) = text.split_once('.').ok_or(InvalidCursor)?;
        let last_seen_ms = milliseconds.parse().map_err(|_error| InvalidCursor)?;
        Timestamp::from_millisecond(last_seen_ms).map_err(|_error| InvalidCursor)?;
        let id = id.parse().map_err(|_error| InvalidCursor)?;
        Ok(Self { last_seen_ms, id })
    }
}

impl DeadLetterCursor {
    fn behind(letter: &DeadLetter) -> Self {
        Self { last_seen_ms: letter.last_seen_at.as_millisecond(), id: letter.id.clone() }
    }

    fn start_key(&self) -> Attributes {
        let at = Timestamp::from_millisecond(self.last_seen_ms).unwrap_or_default();
        let mut start = key(&letter_key(&self.id), LETTER);
        start.insert(CRM_OPEN.partition_key.to_owned(), text(OPEN_SHARD));
        start.insert(CRM_OPEN.sort_key.to_owned(), text(sortable(at)));
        start
    }
}

fn letter_key(id: &DeadLetterId) -> String {
    format!("dead#{id}")
}

fn letter(id: &DeadLetterId) -> ItemUpdate {
    ItemUpdate::of(&letter_key(id), LETTER)
}

impl ItemUpdate {
    fn refused_for(self, cause: &Cause, at: Timestamp, version: &str) -> Result<Self, PortError> {
        Ok(self
            .set("request", to_value(&cause.request)?)
            .set("category", text(&cause.category))
            .set("message", text(&cause.message))
            .set("fingerprint", text(&cause.fingerprint))
            .set("last_seen_at", text(at.to_string()))
            .set("function_version", text(version))
            .set(CRM_OPEN.sort_key, text(sortable(at)))
            .on_the_desk())
    }

    fn on_the_desk(self) -> Self {
        self.set("status", text(Status::Open.as_str()))
            .set(CRM_OPEN.partition_key, text(OPEN_SHARD))
    }

    fn off_the_desk(self, status: Status) -> Self {
        self.set("status", text(status.as_str())).remove(CRM_OPEN.partition_key)
    }
}

fn milestone(letter: &DeadLetter) -> Result<Option<AttributeValue>, PortError> {
    letter.milestone.as_ref().map(|told| to_value(&MilestoneItem::from(told))).transpose()
}

/// A change of a dead letter as the update of its item.
pub(super) fn update(change: &DeadLetterChange) -> Result<ItemUpdate, PortError> {
    match change {
        DeadLetterChange::Open(new) => Ok(letter(&new.id)
            .refused_for(&new.cause, new.last_seen_at, &new.function_version)?
            .set("dead_letter_id", text(new.id.as_str()))
            .set("user_id", text(new.user.as_str()))
            .set("facet", text(new.facet.as_str()))
            .put("milestone", milestone(new)?)
            .set("first_seen_at", text(new.first_seen_at.to_string()))
            .set("tries", number(new.tries))
            .only_if("attribute_not_exists(#dead_letter_id)")),
        DeadLetterChange::Repeat { id, cause, at, function_version } => Ok(letter(id)
            .refused_for(cause, *at, function_version)?
            .set_to("tries", "#tries + :one")
            .value("one", number(1))
            .only_if("attribute_exists(#tries)")),
        DeadLetterChange::Reopen { id } => {
            Ok(letter(id).on_the_desk().only_if("attribute_exists(#status)"))
        }
        DeadLetterChange::Close { id, status, at } => {
            let expires_at = after_seconds(*at, DEAD_LETTER_KEPT_SECONDS).as_second();
            let closed = match status {
                Status::Withdrawn => letter(id).remove("request").remove("message"),
                Status::Open | Status::Replaying | Status::Superseded | Status::Resolved => {
                    letter(id)
                }
            };
            Ok(closed
                .off_the_desk(*status)
                .set(EXPIRES_AT, number(expires_at))
                .only_if("attribute_exists(#status)"))
        }
    }
}

#[async_trait]
impl DeadLetterStore for CrmTable {
    async fn open(
        &self,
        letters_max: usize,
        cursor: Option<&str>,
    ) -> Result<DeadLetterPage, PortError> {
        let start = cursor.map(str::parse::<DeadLetterCursor>).transpose().map_err(|error| {
            PortError::new("list dead letters", PortErrorClass::Rejected, error)
        })?;
        let answer = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Crm))
            .index_name(CRM_OPEN.name)
            .key_condition_expression("#shard = :shard")
            .expression_attribute_names("#shard", CRM_OPEN.partition_key)
            .expression_attribute_values(":shard", text(OPEN_SHARD))
            .scan_index_forward(false)
            // One more than is shown tells whether there is another page.
            .limit(i32::try_from(letters_max + 1).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start.map(|start| start.start_key()))
            .send()
            .await
            .map_err(failed("list dead letters"))?;
        let items = answer.items.unwrap_or_default().into_iter();
        let mut dead_letters: Vec<DeadLetter> = items
            .map(|item| from_item::<LetterItem>(item).and_then(DeadLetter::try_from))
            .collect::<Result<_, _>>()?;
        let more = dead_letters.len() > letters_max || answer.last_evaluated_key.is_some();
        dead_letters.truncate(letters_max);
        let last = dead_letters.last().filter(|_| more);
        let cursor = last.map(|last| DeadLetterCursor::behind(last).to_string());
        Ok(DeadLetterPage { dead_letters, cursor })
    }

    async fn find(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, PortError> {
        let item: Option<LetterItem> = self.tables.get(Table::Crm, &letter_key(id), LETTER).await?;
        item.map(DeadLetter::try_from).transpose()
    }

    async fn replay(
        &self,
        open: &DeadLetter,
        mark: &Mark,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let replaying = letter(&open.id)
            .off_the_desk(Status::Replaying)
            .value("open", text(Status::Open.as_str()))
            .only_if("#status = :open");
        let waiting = match &open.milestone {
            None => pending::marked(mark).set("forced", AttributeValue::Bool(true)),
            Some(milestone) => milestones::kept(&MilestoneRow::new(milestone.clone(), mark.now)),
        };
        let crm = self.tables.name(Table::Crm);
        let parts = vec![
            replaying.into_part(crm.clone())?,
            waiting.into_part(crm)?,
            audit::part(&self.tables, entry)?,
        ];
        let applied = self.tables.commit("replay a dead letter", parts).await?;
        Ok(applied == Applied::All)
    }
}
