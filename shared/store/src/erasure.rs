//! Erasing people: whoever asked for it and did not call it off in time goes from every table, and the
//! CRM is told to forget them in the same transaction in which the last of their items goes.
//!
//! 1. *Close* ([`UserEraser::close`]): from the end of the grace time on nobody signs in as them, since
//!    the domain refuses that; what is left are the sessions, which whoever erases ends.
//! 2. *Remove* ([`UserEraser::remove`]), once every request that came in before is over: their
//!    partitions in all tables ([`crate::personal`]).
//! 3. *Forget* ([`UserEraser::forget`]): the user, their identities and what they claimed, at once.
//!
//! Each step may be repeated. A crash anywhere leaves the user in the index `erasures`, and the next
//! round goes on; until the last step nothing is lost that names what is left to do.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use jiff::Timestamp;
use rollcall_crm::pending::token;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::audit::Entry;
use rollcall_domain::id::UserId;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::random::Random;
use rollcall_resources::table::{MAIL_DUE, USER_ERASURES};
use rollcall_resources::{Grant, Table};
use serde::Deserialize;

use crate::crm::ContactErasure;
use crate::error::corrupt;
use crate::item::{from_item, key, number, sortable, text};
use crate::tables::{Capability, capability};
use crate::update::{Applied, ItemUpdate};
use crate::{audit, invitations, merge, search, users};

/// Tables whose partitions of a user are removed one item after the other. The CRM's is not among
/// them: what it remembers is needed to erase the contact, and goes with it.
pub(crate) const REMOVED: [Table; 7] = [
    Table::Enrollments,
    Table::Progress,
    Table::Attempts,
    Table::Edge,
    Table::Portfolio,
    Table::Badges,
    Table::Certificates,
];

const SWEEP: &[&str] = &["dynamodb:BatchWriteItem", "dynamodb:Query"];

#[derive(Debug, Deserialize)]
struct ClosedItem {
    closed_at_ms: Option<i64>,
    email: Option<String>,
}

/// An account that nobody signs in with any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Since when.
    pub since: Timestamp,
    /// The address, for the CRM.
    pub email: Option<String>,
}

capability! {
    /// Erases people.
    UserEraser,
    Grant::index(Table::Users, USER_ERASURES.name),
    Grant::table(
        Table::Users,
        &[
            "dynamodb:BatchWriteItem",
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ],
    ),
    Grant::table(Table::Enrollments, SWEEP),
    Grant::table(Table::Progress, SWEEP),
    Grant::table(Table::Attempts, SWEEP),
    Grant::table(Table::Edge, SWEEP),
    Grant::table(Table::Portfolio, SWEEP),
    Grant::table(Table::Badges, SWEEP),
    Grant::table(Table::Certificates, SWEEP),
    Grant::table(Table::Directory, &["dynamodb:DeleteItem"]),
    Grant::table(Table::Mail, &["dynamodb:DeleteItem", "dynamodb:GetItem"]),
    Grant::index(Table::Mail, MAIL_DUE.name),
    audit::APPEND,
    Grant::table(Table::Crm, &["dynamodb:UpdateItem"]),
}

impl UserEraser {
    /// Users whose grace time is over, those first whose is over longest.
    pub async fn due(&self, now: Timestamp, users_max: i32) -> Result<Vec<UserId>, PortError> {
        users::due(&self.tables, users::ERASURE_SHARD, now, users_max).await
    }

    /// Closes the account if its grace time is over; `None` when there is nothing to erase.
    pub async fn close(&self, user: &UserId, now: Timestamp) -> Result<Option<Closed>, PortError> {
        let update = ItemUpdate::of(&users::user_key(user), users::PROFILE)
            .set_once("closed_at_ms", number(now.as_millisecond()))
            .name(USER_ERASURES.sort_key)
            .value("now", text(sortable(now)))
            .only_if("#erase_at <= :now");
        let before = self.tables.apply("close an account", Table::Users, update).await?;
        let Some(before) = before else { return Ok(None) };
        let ClosedItem { closed_at_ms, email } = from_item(before)?;
        let since = closed_at_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Ok(Some(Closed { since: since.unwrap_or(now), email }))
    }

    /// Removes all that is kept of a user but the account itself, and all that is left of accounts that
    /// were merged into it.
    pub async fn remove(&self, user: &UserId, email: Option<&str>) -> Result<(), PortError> {
        if let Some(email) = email {
            invitations::forget(&self.tables, email).await?;
        }
        merge::discard_absorbed(&self.tables, user).await?;
        for table in REMOVED {
            self.tables.remove_personal(table, user, |_| true).await?;
        }
        users::free_held_names(&self.tables, user).await?;
        users::end_connections(&self.tables, user).await?;
        let stays = |sk: &str| sk == users::PROFILE || sk.starts_with("identity#");
        self.tables.remove_personal(Table::Users, user, |sk| !stays(sk)).await
    }

    /// Forgets a closed account, if there is still one: the account, its identities and what it
    /// claimed go, and where members found them, and the order to the CRM and `entry` come, in one
    /// transaction.
    pub async fn forget(
        &self,
        user: &UserId,
        email: Option<String>,
        entry: &Entry,
        random: &dyn Random,
    ) -> Result<(), PortError> {
        let operation = "forget a user";
        let removal = Removal::new(token(random), RemovalKind::Erase, email, entry.at);
        let mut parts = vec![self.closed_part(user)?];
        parts.extend(search::forget_parts(&self.tables, user).await?);
        parts.extend(users::forget_parts(&self.tables, user).await?);
        parts.extend(ContactErasure::new(&self.tables).parts(user, &removal)?);
        parts.push(audit::part(&self.tables, entry)?);
        match self.tables.commit(operation, parts).await? {
            // Refused is the condition that the account is there and closed: it is forgotten already.
            Applied::All | Applied::Refused(0) => Ok(()),
            Applied::Refused(_) => {
                let text = "something changed meanwhile";
                Err(PortError::new(operation, PortErrorClass::Conflict, text))
            }
        }
    }

    fn closed_part(&self, user: &UserId) -> Result<TransactWriteItem, PortError> {
        let delete = Delete::builder()
            .table_name(self.tables.name(Table::Users))
            .set_key(Some(key(&users::user_key(user), users::PROFILE)))
            .condition_expression("attribute_exists(closed_at_ms)");
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}
