//! What the CRM tells us, stored: which notices were taken, whose a contact is, and what followed.

use rollcall_crm::inbound::{
    ALIAS_KEPT_SECONDS, DRIFT_KEPT_SECONDS, Drift, NOTICE_KEPT_SECONDS, Owner,
};
use rollcall_crm::pending::Mark;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::audit::Entry;
use rollcall_domain::id::UserId;
use rollcall_domain::mail::Mail;
use rollcall_domain::port::PortError;
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_domain::user::User;
use rollcall_resources::table::{CRM_CONTACT, EXPIRES_AT};
use rollcall_resources::{Grant, Table};
use serde::Deserialize;

use super::ledger::LEDGER;
use super::{ContactErasure, CrmTable, named, pending, sortable, user_key};
use crate::item::{Order, PageQuery, number, text};
use crate::tables::{Capability, capability};
use crate::update::ItemUpdate;
use crate::vault::Sealed;
use crate::{audit, mail, users};

/// Users whom one contact's id leads to: one, and a few more where people merged members.
const OWNERS_MAX: usize = 20;

/// Sort keys of old ids of a user's contact begin with this.
const ALIAS: &str = "contact#";
/// Sort keys of what somebody changed in the CRM begin with this.
pub(super) const DRIFT: &str = "drift#";
/// How an edit ended that our side won.
pub(super) const OURS: &str = "ours";

capability! {
    /// Takes in what the CRM tells.
    InboundKeeper,
    Grant::table(Table::Crm, &["dynamodb:UpdateItem"]),
    Grant::index(Table::Crm, CRM_CONTACT.name),
    Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"]),
    Grant::table(Table::Mail, &["dynamodb:PutItem"]),
    audit::APPEND,
}

/// A ledger row, or an old id of its contact.
#[derive(Debug, Deserialize)]
struct OwnerItem {
    pk: String,
    sk: String,
    removal: Option<String>,
    expires_at: Option<i64>,
}

impl InboundKeeper {
    /// Takes a notice for `delivery`, unless another delivery took it. The same delivery may take it
    /// again, so that one which failed half-way goes on.
    pub async fn take(
        &self,
        notice: &str,
        delivery: &str,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let expires_at = after_seconds(now, NOTICE_KEPT_SECONDS).as_second();
        let update = ItemUpdate::of(&format!("notice#{notice}"), "taken")
            .set("delivery", text(delivery))
            .set(EXPIRES_AT, number(expires_at))
            .value("now", number(now.as_second()))
            .only_if(
                "attribute_not_exists(#delivery) OR #delivery = :delivery OR #expires_at < :now",
            );
        Ok(self.tables.apply("take a notice", Table::Crm, update).await?.is_some())
    }

    /// Whose a contact is, or was before a merge. May be a moment behind.
    pub async fn owners(&self, contact: &str, now: Timestamp) -> Result<Vec<Owner>, PortError> {
        let page = PageQuery {
            table: Table::Crm,
            index: Some(CRM_CONTACT),
            partition: contact,
            prefix: "",
            order: Order::Ascending,
            start: None,
            items_max: OWNERS_MAX,
        };
        let (items, _): (Vec<OwnerItem>, bool) =
            self.tables.page("find whose a contact is", page).await?;
        let lives = |item: &OwnerItem| item.expires_at.is_none_or(|at| at > now.as_second());
        items.into_iter().filter(lives).filter_map(|item| owner(&item).transpose()).collect()
    }

    /// Gives a user's contact another id, keeps the old ones, and marks everything to be sent again;
    /// nothing, if the contact has got another id already.
    pub async fn repoint(
        &self,
        user: &UserId,
        (from, to): (&str, &str),
        aliases: &[String],
        marks: &[Mark],
        now: Timestamp,
    ) -> Result<(), PortError> {
        let expires_at = after_seconds(now, ALIAS_KEPT_SECONDS).as_second();
        let ledger = ItemUpdate::of(&user_key(user), LEDGER)
            .set(CRM_CONTACT.partition_key, text(to))
            .value("from", text(from))
            .only_if("#contact_id = :from");
        let aliases = aliases.iter().map(|alias| {
            ItemUpdate::of(&user_key(user), &format!("{ALIAS}{alias}"))
                .set(CRM_CONTACT.partition_key, text(alias))
                .set(EXPIRES_AT, number(expires_at))
        });
        let updates =
            std::iter::once(ledger).chain(aliases).chain(marks.iter().map(pending::forced));
        self.tables.apply_all("re-point a contact", Table::Crm, updates.collect()).await?;
        Ok(())
    }

    /// Forgets the id of a user's contact, if it is still this one, and marks everything to be sent
    /// again.
    pub async fn unlink(&self, user: &UserId, from: &str, marks: &[Mark]) -> Result<(), PortError> {
        let ledger = ItemUpdate::of(&user_key(user), LEDGER)
            .remove(CRM_CONTACT.partition_key)
            .value("from", text(from))
            .only_if("#contact_id = :from");
        let updates = std::iter::once(ledger).chain(marks.iter().map(pending::forced)).collect();
        self.tables.apply_all("unlink a contact", Table::Crm, updates).await?;
        Ok(())
    }

    /// Notes what somebody changed, and marks what is to be sent again. Of several changes of one
    /// property the last one stays, in whatever order they come.
    pub async fn note(&self, drift: &Drift, marks: &[Mark]) -> Result<(), PortError> {
        let Drift { user, what, at, again } = drift;
        let resolution = if again.is_empty() { "theirs" } else { OURS };
        let expires_at = after_seconds(*at, DRIFT_KEPT_SECONDS).as_second();
        let noted = ItemUpdate::of(&user_key(user), &format!("{DRIFT}{what}"))
            .set("drift_at", text(sortable(*at)))
            .set("resolution", text(resolution))
            .set(EXPIRES_AT, number(expires_at))
            .only_if("attribute_not_exists(#drift_at) OR #drift_at <= :drift_at");
        // What is to be sent again must not be lost to a newer note.
        for mark in marks {
            self.tables.apply("mark a drift", Table::Crm, pending::forced(mark)).await?;
        }
        self.tables.apply("note a drift", Table::Crm, noted).await?;
        Ok(())
    }

    /// A user, strongly consistent.
    pub async fn user(&self, user: &UserId) -> Result<Option<User>, PortError> {
        users::find(&self.tables, user).await
    }

    /// Asks that a user's contact leaves the CRM for good and, in the same transaction, stores when the
    /// account is erased, told in a mail, if there is one, and in the audit log; `Conflict`, and nothing is stored, when somebody else
    /// changed the user in between.
    pub async fn erase(
        &self,
        id: &UserId,
        leaving: Option<(&User, Option<&Mail<Sealed>>, &Entry)>,
        removal: &Removal,
    ) -> Result<(), PortError> {
        let mut parts = Vec::new();
        if let Some((user, letter, entry)) = leaving {
            parts.push(users::put_part(&self.tables, user, entry.at, &entry.trace_id)?);
            if let Some(letter) = letter {
                parts.push(mail::part(&self.tables, letter, &entry.trace_id)?);
            }
        }
        parts.extend(ContactErasure::new(&self.tables).parts(id, removal)?);
        if let Some((.., entry)) = leaving {
            parts.push(audit::part(&self.tables, entry)?);
        }
        self.tables.transact("take in an erasure", parts).await
    }
}

fn owner(item: &OwnerItem) -> Result<Option<Owner>, PortError> {
    let Some(user) = item.pk.strip_prefix("user#").and_then(|user| user.parse().ok()) else {
        return Ok(None);
    };
    let removal = item.removal.as_deref();
    let removal = removal.map(|kind| named(&RemovalKind::ALL, RemovalKind::as_str, kind));
    Ok(Some(Owner { user, is_current: item.sk == LEDGER, removal: removal.transpose()? }))
}

impl CrmTable {
    /// Removes what is remembered of a user's contact beside the ledger.
    pub(super) async fn forget(&self, user: &UserId) -> Result<(), PortError> {
        let goes = |sk: &str| sk.starts_with(ALIAS) || sk.starts_with(DRIFT);
        self.tables.remove_personal(Table::Crm, user, goes).await
    }
}
