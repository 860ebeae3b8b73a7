//! How accounts stand: changes of it, and what is left of an account when it goes.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use rollcall_domain::audit::Entry;
use rollcall_domain::id::UserId;
use rollcall_domain::mail::Mail;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Timestamp;
use rollcall_domain::user::User;
use rollcall_domain::username::Username;
use rollcall_resources::table::USER_ERASURES;
use rollcall_resources::{Grant, Table};
use serde::Deserialize;

use super::item::{
    CLAIM, HeldNameItem, LINK, UserItem, email_key, identity_key, user_key, username_key,
};
use super::{find, find_claim, listed_identities};
use crate::error::{corrupt, failed};
use crate::item::{from_item, key, sortable, text};
use crate::tables::{Tables, capability};
use crate::vault::Sealed;
use crate::{audit, mail};

/// Names that one user gave up: one a week for decades.
const NAMES_MAX: usize = 2_000;

#[derive(Debug, Deserialize)]
struct DueItem {
    user_id: UserId,
}

/// Accounts that are to go for the reason that `shard` names, and whose time has come, those first that
/// wait longest.
pub(crate) async fn due(
    tables: &Tables,
    shard: &str,
    now: Timestamp,
    users_max: i32,
) -> Result<Vec<UserId>, PortError> {
    let page = tables
        .client
        .query()
        .table_name(tables.name(Table::Users))
        .index_name(USER_ERASURES.name)
        .key_condition_expression("#shard = :shard AND #at <= :now")
        .expression_attribute_names("#shard", USER_ERASURES.partition_key)
        .expression_attribute_names("#at", USER_ERASURES.sort_key)
        .expression_attribute_values(":shard", text(shard))
        .expression_attribute_values(":now", text(sortable(now)))
        .limit(users_max)
        .send()
        .await
        .map_err(failed("list accounts that are to go"))?;
    let items = page.items.unwrap_or_default().into_iter();
    items.map(|item| Ok(from_item::<DueItem>(item)?.user_id)).collect()
}

capability! {
    /// Changes how accounts stand, and tells the audit log.
    StandingWriter,
    Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"]),
    audit::APPEND,
}

impl StandingWriter {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// Stores a changed user together with an entry in the audit log; `Conflict`, and nothing is
    /// stored, when somebody else changed the user in between.
    pub async fn store(&self, user: &User, entry: &Entry) -> Result<(), PortError> {
        let parts = vec![
            put_part(&self.tables, user, entry.at, &entry.trace_id)?,
            audit::part(&self.tables, entry)?,
        ];
        self.tables.transact("store how an account stands", parts).await
    }
}

/// A changed user as a part of a transaction, behind the version that was changed.
pub(crate) fn put_part(
    tables: &Tables,
    user: &User,
    at: Timestamp,
    trace_id: &str,
) -> Result<TransactWriteItem, PortError> {
    tables.put_version_part(Table::Users, &UserItem::new(user, at, trace_id), user.version)
}

capability! {
    /// Arranges that accounts are erased, and tells their users and the audit log.
    ErasureArranger,
    Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"]),
    Grant::table(Table::Mail, &["dynamodb:PutItem"]),
    audit::APPEND,
}

impl ErasureArranger {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// Stores a user who is to be erased, as [`StandingWriter::store`] does, together with the mail
    /// that tells them; a user without an address gets none.
    pub async fn store(
        &self,
        user: &User,
        mail: Option<&Mail<Sealed>>,
        entry: &Entry,
    ) -> Result<(), PortError> {
        let item = UserItem::new(user, entry.at, &entry.trace_id);
        let mut parts = vec![self.tables.put_version_part(Table::Users, &item, user.version)?];
        if let Some(mail) = mail {
            parts.push(mail::part(&self.tables, mail, &entry.trace_id)?);
        }
        parts.push(audit::part(&self.tables, entry)?);
        self.tables.transact("arrange an erasure", parts).await
    }
}

/// The names that a user gave up.
pub(super) async fn held_names(tables: &Tables, user: &UserId) -> Result<Vec<Username>, PortError> {
    let names: Vec<HeldNameItem> =
        tables.query(Table::Users, &user_key(user), "username#", NAMES_MAX).await?;
    Ok(names.into_iter().map(|held| held.username).collect())
}

/// Frees the names that a user gave up and that are still held for them.
pub(crate) async fn free_held_names(tables: &Tables, user: &UserId) -> Result<(), PortError> {
    for username in held_names(tables, user).await? {
        let claim = find_claim(tables, &username).await?;
        // Somebody else may have the name by now.
        if claim.is_some_and(|claim| claim.user == *user) {
            let freed = own(tables, &username_key(&username), CLAIM, user)?;
            tables.commit("free a username", vec![freed]).await?;
        }
    }
    Ok(())
}

/// What has to be deleted with an account: its identities and what it claims.
pub(crate) async fn forget_parts(
    tables: &Tables,
    user: &UserId,
) -> Result<Vec<TransactWriteItem>, PortError> {
    let Some(account) = find(tables, user).await? else { return Ok(Vec::new()) };
    let pk = user_key(user);
    let identities = listed_identities(tables, user).await?;
    let mut links: Vec<String> =
        identities.iter().map(|listed| identity_key(&listed.issuer, &listed.subject)).collect();
    let mut parts = Vec::new();
    for listed in &links {
        parts.push(own(tables, &pk, listed, user)?);
    }
    // Accounts from before identities were listed have the one they were made for.
    links.push(identity_key(&account.issuer, &account.subject));
    links.sort_unstable();
    links.dedup();
    for link in &links {
        parts.push(own(tables, link, LINK, user)?);
    }
    if let Some(username) = &account.username {
        parts.push(own(tables, &username_key(username), CLAIM, user)?);
    }
    if let Some(email) = &account.email {
        parts.push(own(tables, &email_key(email), CLAIM, user)?);
    }
    Ok(parts)
}

/// The deletion of an item, if it is this user's.
fn own(tables: &Tables, pk: &str, sk: &str, user: &UserId) -> Result<TransactWriteItem, PortError> {
    let delete = Delete::builder()
        .table_name(tables.name(Table::Users))
        .set_key(Some(key(pk, sk)))
        .condition_expression("attribute_not_exists(pk) OR pk = :own OR user_id = :user")
        .expression_attribute_values(":own", text(user_key(user)))
        .expression_attribute_values(":user", text(user.as_str()))
        .build()
        .map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}
