//! Whether a user wants the CRM to hear of them: the wish on the account, and what follows for the
//! contact, in one transaction.

use rollcall_crm::pending::Mark;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::audit::Entry;
use rollcall_domain::id::UserId;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::user::User;
use rollcall_resources::{Grant, Table};

use super::ledger::LEDGER;
use super::{ContactErasure, pending, user_key};
use crate::item::text;
use crate::tables::{Capability, capability};
use crate::update::{Applied, ItemUpdate};
use crate::{audit, users};

capability! {
    /// Lets users out of the CRM, and back in.
    ConsentWriter,
    Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"]),
    Grant::table(Table::Crm, &["dynamodb:UpdateItem"]),
    audit::APPEND,
}

/// What became of the wish to be in the CRM again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptIn {
    /// It is stored.
    Stored,
    /// The user was erased from the CRM, which is closed to them for good; nothing is stored.
    Closed,
}

impl ConsentWriter {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        users::find(&self.tables, user).await
    }

    /// Stores that a user is out of the CRM, with the wish that their contact is archived; `Conflict`,
    /// and nothing is stored, when somebody else changed the user in between.
    pub async fn opt_out(
        &self,
        user: &User,
        removal: &Removal,
        entry: &Entry,
    ) -> Result<(), PortError> {
        let mut parts = vec![users::put_part(&self.tables, user, entry.at, &entry.trace_id)?];
        parts.extend(ContactErasure::new(&self.tables).parts(&user.id, removal)?);
        parts.push(audit::part(&self.tables, entry)?);
        self.tables.transact("let a user out of the CRM", parts).await
    }

    /// Stores that a user is in the CRM again: the wish to archive the contact is taken back, fulfilled
    /// or not, and everything is sent; `Conflict` as above. Whoever is at work on the archiving finds the
    /// wish gone when it confirms, so that it confirms nothing.
    pub async fn opt_in(
        &self,
        user: &User,
        marks: &[Mark],
        entry: &Entry,
    ) -> Result<OptIn, PortError> {
        let operation = "let a user into the CRM";
        let crm = self.tables.name(Table::Crm);
        let lifted = ItemUpdate::of(&user_key(&user.id), LEDGER)
            .remove("removal")
            .remove("removal_id")
            .remove("removal_email")
            .remove("removal_asked_at")
            .remove("removed_at")
            // It may be archived: nothing is told to it until the CRM names one anew.
            .remove("contact_id")
            .value("archive", text(RemovalKind::Archive.as_str()))
            .only_if("attribute_not_exists(#removal) OR #removal = :archive");
        let mut parts = vec![
            users::put_part(&self.tables, user, entry.at, &entry.trace_id)?,
            lifted.into_part(crm.clone())?,
        ];
        for mark in marks {
            parts.push(pending::forced(mark).into_part(crm.clone())?);
        }
        parts.push(audit::part(&self.tables, entry)?);
        match self.tables.commit(operation, parts).await? {
            Applied::All => Ok(OptIn::Stored),
            Applied::Refused(1) => Ok(OptIn::Closed),
            Applied::Refused(_) => {
                let text = "somebody else changed the user";
                Err(PortError::new(operation, PortErrorClass::Conflict, text))
            }
        }
    }
}
