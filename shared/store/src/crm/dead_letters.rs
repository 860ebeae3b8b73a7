//! Dead letters as items, and what the sync writes down about them. Each is listed by the index
//! `letters` under its status, so none is ever out of sight.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_crm::dead_letter::{Cause, DeadLetter, DeadLetterChange, Status};
use rollcall_crm::desk::{About, Discarded, Edited, Filed, Kind, QueueMessage};
use rollcall_crm::limits::DEAD_LETTER_KEPT_SECONDS;
use rollcall_crm::milestone::{Milestone, MilestoneKind};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_resources::table::{CRM_LETTERS, EXPIRES_AT};
use serde::{Deserialize, Serialize};

use super::{named, sortable};
use crate::item::{number, text, to_value};
use crate::update::ItemUpdate;

pub(super) const LETTER: &str = "letter";
/// What the partition keys of letters begin with.
pub(super) const PREFIX: &str = "dead#";

/// A letter as it is stored. Of a letter whose user left the CRM what it showed of the request is
/// gone.
#[derive(Debug, Deserialize)]
pub(super) struct LetterItem {
    dead_letter_id: DeadLetterId,
    user_id: Option<UserId>,
    facet: Option<Facet>,
    milestone: Option<MilestoneItem>,
    queue_message: Option<MessageItem>,
    /// Beside the rest of the message, since it goes first.
    body: Option<String>,
    #[serde(default)]
    request: BTreeMap<String, String>,
    category: String,
    #[serde(default)]
    message: String,
    fingerprint: String,
    first_seen_at: Timestamp,
    last_seen_at: Timestamp,
    tries: u32,
    letter_status: String,
    function_version: String,
    edited: Option<EditedItem>,
    discarded: Option<DiscardedItem>,
}

/// The milestone that was refused; absent when it was something else.
#[derive(Debug, Serialize, Deserialize)]
struct MilestoneItem {
    id: String,
    kind: String,
    at: Timestamp,
    #[serde(default)]
    subject: String,
}

/// The message that was given up; absent when it was something else.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MessageItem {
    pub(super) queue: String,
    pub(super) message_id: String,
    pub(super) shown: String,
    pub(super) receives: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EditedItem {
    pub(super) by: String,
    pub(super) at: Timestamp,
    pub(super) properties: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DiscardedItem {
    pub(super) by: String,
    pub(super) at: Timestamp,
    pub(super) reason: String,
}

impl From<&Milestone> for MilestoneItem {
    fn from(milestone: &Milestone) -> Self {
        let Milestone { id, kind, at, subject, .. } = milestone;
        let (id, subject) = (id.clone(), subject.clone());
        Self { id, kind: kind.as_str().to_owned(), at: *at, subject }
    }
}

impl TryFrom<LetterItem> for Filed {
    type Error = PortError;

    fn try_from(mut item: LetterItem) -> Result<Self, PortError> {
        let about = item.about()?;
        let LetterItem { request, category, message, fingerprint, .. } = item;
        Ok(Self {
            id: item.dead_letter_id,
            about,
            cause: Cause { request, category, message, fingerprint },
            first_seen_at: item.first_seen_at,
            last_seen_at: item.last_seen_at,
            tries: item.tries,
            status: named(&Status::ALL, Status::as_str, &item.letter_status)?,
            function_version: item.function_version,
            edited: item.edited.map(|EditedItem { by, at, properties }| Edited {
                by,
                at,
                properties,
            }),
            discarded: item.discarded.map(|DiscardedItem { by, at, reason }| Discarded {
                by,
                at,
                reason,
            }),
        })
    }
}

impl LetterItem {
    fn about(&mut self) -> Result<About, PortError> {
        if let Some(MessageItem { queue, message_id, shown, receives }) = self.queue_message.take()
        {
            let body = self.body.take();
            let message = QueueMessage { queue, message_id, body, shown, receives };
            return Ok(About::Message(message));
        }
        let (Some(user), Some(facet)) = (self.user_id.take(), self.facet) else {
            let text = "a letter about nobody";
            return Err(PortError::new("decode an item", PortErrorClass::Corrupt, text));
        };
        let milestone = match self.milestone.take() {
            None => None,
            Some(MilestoneItem { id, kind, at, subject }) => {
                let kind = named(&MilestoneKind::ALL, MilestoneKind::as_str, &kind)?;
                Some(Milestone { id, user: user.clone(), kind, at, subject })
            }
        };
        Ok(About::Change { user, facet, milestone })
    }
}

pub(super) fn letter_key(id: &DeadLetterId) -> String {
    format!("{PREFIX}{id}")
}

pub(super) fn letter(id: &DeadLetterId) -> ItemUpdate {
    ItemUpdate::of(&letter_key(id), LETTER)
}

/// When a letter that is closed at `at` may be removed.
pub(super) fn expiry(at: Timestamp) -> AttributeValue {
    number(after_seconds(at, DEAD_LETTER_KEPT_SECONDS).as_second())
}

impl ItemUpdate {
    pub(super) fn refused_for(
        self,
        cause: &Cause,
        at: Timestamp,
        version: &str,
    ) -> Result<Self, PortError> {
        Ok(self
            .set("request", to_value(&cause.request)?)
            .set("category", text(&cause.category))
            .set("message", text(&cause.message))
            .set("fingerprint", text(&cause.fingerprint))
            .set("last_seen_at", text(at.to_string()))
            .set("function_version", text(version))
            .set(CRM_LETTERS.sort_key, text(sortable(at))))
    }

    /// Under this status. Who names it in a condition writes `#letter_status`.
    pub(super) fn filed_as(self, status: Status) -> Self {
        self.set(CRM_LETTERS.partition_key, text(status.as_str()))
    }

    /// A person has to look, however long it takes.
    pub(super) fn on_the_desk(self) -> Self {
        self.filed_as(Status::Open).remove(EXPIRES_AT)
    }
}

fn milestone(letter: &DeadLetter) -> Result<Option<AttributeValue>, PortError> {
    letter.milestone.as_ref().map(|told| to_value(&MilestoneItem::from(told))).transpose()
}

/// A change of a dead letter as the update of its item.
pub(super) fn update(change: &DeadLetterChange) -> Result<ItemUpdate, PortError> {
    match change {
        DeadLetterChange::Open(new) => {
            let kind = if new.milestone.is_some() { Kind::Milestone } else { Kind::Facet };
            Ok(letter(&new.id)
                .refused_for(&new.cause, new.last_seen_at, &new.function_version)?
                .on_the_desk()
                .set("dead_letter_id", text(new.id.as_str()))
                .set("kind", text(kind.as_str()))
                .set("user_id", text(new.user.as_str()))
                .set("facet", text(new.facet.as_str()))
                .put("milestone", milestone(new)?)
                .set("first_seen_at", text(new.first_seen_at.to_string()))
                .set("tries", number(new.tries))
                .only_if("attribute_not_exists(#dead_letter_id)"))
        }
        DeadLetterChange::Repeat { id, cause, at, function_version } => Ok(letter(id)
            .refused_for(cause, *at, function_version)?
            .on_the_desk()
            .set_to("tries", "#tries + :one")
            .value("one", number(1))
            .only_if("attribute_exists(#tries)")),
        DeadLetterChange::Reopen { id } => {
            Ok(letter(id).on_the_desk().only_if("attribute_exists(#letter_status)"))
        }
        DeadLetterChange::Close { id, status, at } => {
            let closed = match status {
                Status::Withdrawn => {
                    letter(id).remove("request").remove("message").remove("edited")
                }
                Status::Open
                | Status::Replaying
                | Status::Returned
                | Status::Discarded
                | Status::Superseded
                | Status::Resolved => letter(id),
            };
            Ok(closed
                .filed_as(*status)
                .set(EXPIRES_AT, expiry(*at))
                .only_if("attribute_exists(#letter_status)"))
        }
    }
}
