//! Identities that wait to become a user's, in the table `edge` under `link#{hash of the cookie}` /
//! `link`, and the one transaction by which they do.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use jiff::Timestamp;
use rollcall_domain::id::UserId;
use rollcall_domain::linking::PendingLink;
use rollcall_domain::port::PortError;
use rollcall_domain::session::SessionHash;
use rollcall_domain::user::User;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use super::item::{IdentityItem, LINK, PointerItem, UserItem, identity_key};
use super::{find, find_by_pointer};
use crate::error::corrupt;
use crate::item::key;
use crate::tables::capability;

#[derive(Debug, Serialize, Deserialize)]
struct PendingLinkItem {
    pk: String,
    sk: String,
    issuer: String,
    subject: String,
    owner: UserId,
    address_hash: String,
    started_at: Timestamp,
    expires_at: i64,
    trace_id: String,
}

fn pending_key(hash: &SessionHash) -> String {
    format!("link#{}", hash.as_str())
}

capability! {
    /// Lets identities wait to become a user's.
    LinkKeeper, Grant::table(Table::Edge, &["dynamodb:PutItem"])
}

impl LinkKeeper {
    /// Stores an identity that waits from now on.
    pub async fn keep(&self, link: &PendingLink, trace_id: &str) -> Result<(), PortError> {
        let item = PendingLinkItem {
            pk: pending_key(&link.hash),
            sk: LINK.to_owned(),
            issuer: link.issuer.clone(),
            subject: link.subject.clone(),
            owner: link.owner.clone(),
            address_hash: link.address_hash.clone(),
            started_at: link.started_at,
            expires_at: link.ends_at().as_second(),
            trace_id: trace_id.to_owned(),
        };
        self.tables.put_version(Table::Edge, &item, 1).await
    }
}

capability! {
    /// Makes identities that wait a user's.
    IdentityLinker,
    Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"]),
    Grant::table(Table::Edge, &["dynamodb:DeleteItem", "dynamodb:GetItem"])
}

impl IdentityLinker {
    /// The identity that waits for this browser, strongly consistent.
    pub async fn pending(&self, hash: &SessionHash) -> Result<Option<PendingLink>, PortError> {
        let pk = pending_key(hash);
        let item: Option<PendingLinkItem> = self.tables.get(Table::Edge, &pk, LINK).await?;
        Ok(item.map(|item| PendingLink {
            hash: hash.clone(),
            issuer: item.issuer,
            subject: item.subject,
            owner: item.owner,
            address_hash: item.address_hash,
            started_at: item.started_at,
        }))
    }

    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// Whom the identity names by now, strongly consistent.
    pub async fn owner(&self, link: &PendingLink) -> Result<Option<UserId>, PortError> {
        find_by_pointer(&self.tables, &identity_key(&link.issuer, &link.subject), LINK).await
    }

    /// Takes `link`, and stores its identity as `user`'s, in one transaction; `Conflict`, and nothing
    /// is stored, when the link was taken, the user was changed or the identity became somebody's in
    /// between.
    pub async fn link(
        &self,
        user: &User,
        link: &PendingLink,
        now: Timestamp,
        trace_id: &str,
    ) -> Result<(), PortError> {
        let tables = &self.tables;
        let identity = (link.issuer.as_str(), link.subject.as_str());
        let pointer = (identity_key(identity.0, identity.1), LINK);
        let pointer = PointerItem::new(pointer, &user.id, now, trace_id);
        let listed = IdentityItem::new(&user.id, identity, now, trace_id);
        let item = UserItem::new(user, now, trace_id);
        let taken = Delete::builder()
            .table_name(tables.name(Table::Edge))
            .set_key(Some(key(&pending_key(&link.hash), LINK)))
            .condition_expression("attribute_exists(pk)")
            .build()
            .map_err(corrupt("build a transaction"))?;
        let parts = vec![
            TransactWriteItem::builder().delete(taken).build(),
            tables.put_version_part(Table::Users, &item, user.version)?,
            tables.put_version_part(Table::Users, &pointer, 1)?,
            tables.put_version_part(Table::Users, &listed, 1)?,
        ];
        tables.transact("link an identity", parts).await
    }
}
