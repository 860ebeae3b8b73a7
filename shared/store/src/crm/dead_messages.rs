//! Messages that were given up, as letters of the desk.

use rollcall_crm::dead_letter::{Cause, Status};
use rollcall_crm::desk::{About, Filed, Kind, QueueMessage};
use rollcall_crm::limits::RETURN_SECONDS;
use rollcall_domain::audit::Entry;
use rollcall_domain::id::DeadLetterId;
use rollcall_domain::port::PortError;
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_resources::Table;
use rollcall_resources::table::EXPIRES_AT;

use super::CrmTable;
use super::dead_letters::{MessageItem, expiry, letter};
use crate::audit;
use crate::item::{number, text, to_value};
use crate::update::{Applied, ItemUpdate};

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadMessage {
    /// The letter that it becomes. The same message names the same letter, so it becomes one however
    /// often it is delivered.
    pub id: DeadLetterId,
    /// The letter it was before it went back to its queue.
    pub returned: Option<DeadLetterId>,
    /// The queue it failed in, without prefix and stage.
    pub queue: String,
    /// Its id there.
    pub message_id: String,
    /// Its body.
    pub body: String,
    /// What may be shown of the body.
    pub shown: String,
    /// How often it was received in vain.
    pub receives: u32,
    /// Why it was given up.
    pub cause: Cause,
    /// When it was given up, as far as we know.
    pub at: Timestamp,
    /// When the letter has to be gone whatever became of it, if it has to.
    pub expires_at: Option<Timestamp>,
    /// The version of our program.
    pub function_version: String,
}

impl CrmTable {
    /// Keeps a message as a letter; one that is kept already stays as it is.
    pub async fn keep_message(&self, message: &DeadMessage) -> Result<(), PortError> {
        if let Some(former) = &message.returned {
            let again = described(letter(former), message)?
                .set_to("tries", "#tries + :one")
                .value("one", number(1))
                .only_if("attribute_exists(#tries) AND #message_id <> :message_id");
            let kept = self.tables.apply("keep a message again", Table::Crm, again).await?;
            // Either it is kept already, or the former letter is gone.
            if kept.is_some() || self.holds(former, message).await? {
                return Ok(());
            }
        }
        let new = described(letter(&message.id), message)?
            .set("dead_letter_id", text(message.id.as_str()))
            .set("kind", text(Kind::Message.as_str()))
            .set("first_seen_at", text(message.at.to_string()))
            .set("tries", number(1))
            .only_if("attribute_not_exists(#dead_letter_id)");
        self.tables.apply("keep a message", Table::Crm, new).await?;
        Ok(())
    }

    async fn holds(&self, former: &DeadLetterId, message: &DeadMessage) -> Result<bool, PortError> {
        let former = self.letter(former).await?.map(|letter| letter.about);
        Ok(match former {
            Some(About::Message(QueueMessage { message_id, .. })) => {
                message_id == message.message_id
            }
            Some(About::Change { .. }) | None => false,
        })
    }

    /// Begins to return a message to its queue, with the audit entry that tells of it. `false`: it is
    /// not open, or somebody is returning it, or it is gone.
    pub async fn begin_return(
        &self,
        open: &Filed,
        now: Timestamp,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let stale = after_seconds(now, -RETURN_SECONDS).as_millisecond();
        let returning = letter(&open.id)
            .filed_as(Status::Replaying)
            .set("returned_at", number(now.as_millisecond()))
            .name("body")
            .name(EXPIRES_AT)
            .value("now", number(now.as_second()))
            .value("stale", number(stale))
            .value("open", text(Status::Open.as_str()))
            .value("replaying", text(Status::Replaying.as_str()))
            .only_if(
                "attribute_exists(#body) AND \
                 (attribute_not_exists(#expires_at) OR #expires_at > :now) AND \
                 (#letter_status = :open OR \
                 (#letter_status = :replaying AND #returned_at < :stale))",
            );
        let parts = vec![
            returning.into_part(self.tables.name(Table::Crm))?,
            audit::part(&self.tables, entry)?,
        ];
        let applied = self.tables.commit("return a message", parts).await?;
        Ok(applied == Applied::All)
    }

    /// Notes that a message went back to its queue, unless it has come again.
    pub async fn finish_return(&self, id: &DeadLetterId, now: Timestamp) -> Result<(), PortError> {
        let returned = letter(id)
            .filed_as(Status::Returned)
            .set(EXPIRES_AT, expiry(now))
            .remove("body")
            .value("replaying", text(Status::Replaying.as_str()))
            .only_if("#letter_status = :replaying");
        self.tables.apply("note that a message went back", Table::Crm, returned).await?;
        Ok(())
    }
}

fn described(update: ItemUpdate, message: &DeadMessage) -> Result<ItemUpdate, PortError> {
    let item = MessageItem {
        queue: message.queue.clone(),
        message_id: message.message_id.clone(),
        shown: message.shown.clone(),
        receives: message.receives,
    };
    Ok(update
        .refused_for(&message.cause, message.at, &message.function_version)?
        .filed_as(Status::Open)
        .put(EXPIRES_AT, message.expires_at.map(|at| number(at.as_second())))
        .set("queue_message", to_value(&item)?)
        .set("message_id", text(&message.message_id))
        .set("body", text(&message.body)))
}
