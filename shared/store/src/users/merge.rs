//! Accounts that were merged into others. What is left of one is `user#{id}` / `merged`, a tombstone
//! that names the survivor, and `user#{survivor}` / `absorbed#{id}` lists it where the survivor's
//! export and erasure find it. As long as something is left to move, the tombstone stands in the index
//! `erasures`, in a part of its own.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use jiff::Timestamp;
use rollcall_crm::pending::token;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::audit::Entry;
use rollcall_domain::id::UserId;
use rollcall_domain::limits::IDENTITIES_PER_USER_MAX;
use rollcall_domain::merge::{AddressTransfer, Merged};
use rollcall_domain::port::PortError;
use rollcall_domain::random::Random;
use rollcall_domain::user::User;
use rollcall_domain::username::Claim;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use super::desk::{LinkedIdentity, identities};
use super::item::{
    CLAIM, ClaimItem, HeldNameItem, IdentityItem, LINK, PROFILE, PointerItem, UserItem, email_key,
    identity_key, user_key,
};
use super::{find, find_claim};
use crate::crm::ContactErasure;
use crate::error::corrupt;
use crate::item::{key, number, sortable, text, to_item};
use crate::tables::{Capability, Tables, capability};
use crate::{audit, search, sessions};

/// Sort key of a tombstone.
pub(crate) const TOMBSTONE: &str = "merged";
/// What the sort key of an account begins with that was merged into the partition's user.
pub(crate) const ABSORBED: &str = "absorbed#";
/// The part of the index `erasures` that lists merges which are not finished.
pub(crate) const MERGE_SHARD: &str = "merging";
/// An item that is the absorbed account's, or nobody's.
const OWN: &str = "attribute_not_exists(pk) OR user_id = :from";

/// What is left of an account that was merged into another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TombstoneItem {
    pk: String,
    sk: String,
    pub(crate) user_id: UserId,
    pub(crate) into: UserId,
    pub(crate) merged_at: Timestamp,
    /// Since when no session of the account is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) closed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) erase_shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erase_at: Option<String>,
    /// Where members found the account: keys of the table `directory`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) places: Vec<(String, String)>,
    /// The address that becomes the survivor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// That an account was merged into the user whose partition this is in.
#[derive(Debug, Serialize, Deserialize)]
struct AbsorbedItem {
    pk: String,
    sk: String,
    absorbed_id: UserId,
    merged_at: Timestamp,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// An account that was merged into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Into whom.
    pub into: UserId,
    /// Whether all that it had is the survivor's by now.
    pub is_finished: bool,
}

pub(crate) async fn tombstone(
    tables: &Tables,
    user: &UserId,
) -> Result<Option<TombstoneItem>, PortError> {
    tables.get(Table::Users, &user_key(user), TOMBSTONE).await
}

capability! {
    /// Follows accounts that were merged into others.
    MergeFollower, Grant::table(Table::Users, &["dynamodb:GetItem"])
}

impl MergeFollower {
    /// Into whom an account was merged, strongly consistent; they may have been merged since, too.
    pub async fn merged_into(&self, user: &UserId) -> Result<Option<UserId>, PortError> {
        Ok(tombstone(&self.tables, user).await?.map(|tombstone| tombstone.into))
    }
}

/// A merge, as it is stored.
#[derive(Debug)]
pub struct Merge<'merge> {
    /// The account that is merged into another, as it was read.
    pub from: &'merge User,
    /// Who signs in as it.
    pub identities: &'merge [LinkedIdentity],
    /// What it becomes a part of.
    pub merged: &'merge Merged,
    /// What the audit log is told.
    pub entries: &'merge [Entry],
    /// The id through which the request can be found in logs.
    pub trace_id: &'merge str,
}

capability! {
    /// Merges accounts, and tells the audit log.
    AccountMerger,
    Grant::table(
        Table::Users,
        &["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
    ),
    Grant::table(Table::Directory, &["dynamodb:PutItem"]),
    Grant::table(Table::Edge, &["dynamodb:UpdateItem"]),
    Grant::table(Table::Crm, &["dynamodb:UpdateItem"]),
    audit::APPEND,
}

impl AccountMerger {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// What is left of an account that was merged, strongly consistent.
    pub async fn tombstone(&self, user: &UserId) -> Result<Option<Tombstone>, PortError> {
        let item = tombstone(&self.tables, user).await?;
        Ok(item.map(|item| Tombstone { into: item.into, is_finished: item.erase_shard.is_none() }))
    }

    /// Who signs in as a user, strongly consistent.
    pub async fn identities(&self, user: &User) -> Result<Vec<LinkedIdentity>, PortError> {
        identities(&self.tables, user).await
    }

    /// The claim on the username that a user has, strongly consistent.
    pub async fn claim(&self, user: &User) -> Result<Option<Claim>, PortError> {
        match &user.username {
            Some(username) => find_claim(&self.tables, username).await,
            None => Ok(None),
        }
    }

    /// Stores the survivor, to whom identities, name and address of the other account belong from then
    /// on, and the tombstone in place of the other account, and asks the CRM to archive its contact,
    /// all in one transaction; `Conflict`, and nothing is stored, when somebody else changed one of the
    /// two in between. Access tokens of both count no more, since those that the other account had
    /// revoked would be the survivor's.
    pub async fn merge(&self, merge: &Merge<'_>, random: &dyn Random) -> Result<(), PortError> {
        let tables = &self.tables;
        let Merge { from, merged, trace_id, .. } = merge;
        let (user, at) = (&merged.user, merged.at);
        let mut parts = vec![
            tables.put_version_part(
                Table::Users,
                &UserItem::new(user, at, trace_id),
                user.version,
            )?,
            self.gone_part(from)?,
            tables.put_version_part(Table::Users, &tombstone_item(merge), 1)?,
            tables.put_part(Table::Users, &absorbed_item(merge))?,
            sessions::refuse_tokens_part(tables, &user.id, at)?,
        ];
        for identity in merge.identities {
            parts.extend(self.identity_parts(merge, identity)?);
        }
        parts.extend(self.name_parts(merged, trace_id)?);
        parts.extend(self.address_part(merge)?);
        for change in &merged.entered {
            parts.push(search::part(tables, &user.id, change)?);
        }
        let removal =
            Removal::new(token(random), RemovalKind::Archive, from.email.clone(), merged.at);
        parts.extend(ContactErasure::new(tables).parts(&from.id, &removal)?);
        for entry in merge.entries {
            parts.push(audit::part(tables, entry)?);
        }
        tables.transact("merge accounts", parts).await
    }

    fn gone_part(&self, from: &User) -> Result<TransactWriteItem, PortError> {
        let delete = Delete::builder()
            .table_name(self.tables.name(Table::Users))
            .set_key(Some(key(&user_key(&from.id), PROFILE)))
            .condition_expression("version = :version")
            .expression_attribute_values(":version", number(from.version));
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    fn identity_parts(
        &self,
        merge: &Merge<'_>,
        identity: &LinkedIdentity,
    ) -> Result<Vec<TransactWriteItem>, PortError> {
        let Merge { from, merged, trace_id, .. } = merge;
        let tables = &self.tables;
        let named = (identity.issuer.as_str(), identity.subject.as_str());
        let link = identity_key(named.0, named.1);
        let pointer = PointerItem::new((link.clone(), LINK), &merged.user.id, merged.at, trace_id);
        let listed = IdentityItem::new(&merged.user.id, named, identity.linked_at, trace_id);
        let unlisted = Delete::builder()
            .table_name(tables.name(Table::Users))
            .set_key(Some(key(&user_key(&from.id), &link)))
            .build()
            .map_err(corrupt("build a transaction"))?;
        Ok(vec![
            self.taken_part(&pointer, from)?,
            TransactWriteItem::builder().delete(unlisted).build(),
            tables.put_part(Table::Users, &listed)?,
        ])
    }

    /// Stores what points to a user in place of what points to `from`.
    fn taken_part(
        &self,
        pointer: &PointerItem,
        from: &User,
    ) -> Result<TransactWriteItem, PortError> {
        let put = Put::builder()
            .table_name(self.tables.name(Table::Users))
            .set_item(Some(to_item(pointer)?))
            .condition_expression(OWN)
            .expression_attribute_values(":from", text(from.id.as_str()));
        let put = put.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn name_parts(
        &self,
        merged: &Merged,
        trace_id: &str,
    ) -> Result<Vec<TransactWriteItem>, PortError> {
        let Some(claim) = &merged.claim else { return Ok(Vec::new()) };
        let item = ClaimItem::new(claim, merged.at, trace_id);
        let mut parts = vec![self.tables.put_version_part(Table::Users, &item, claim.version)?];
        if claim.held_until.is_some() {
            let listed = HeldNameItem::new(claim, merged.at, trace_id);
            parts.push(self.tables.put_part(Table::Users, &listed)?);
        }
        Ok(parts)
    }

    fn address_part(&self, merge: &Merge<'_>) -> Result<Option<TransactWriteItem>, PortError> {
        let Merge { from, merged, trace_id, .. } = merge;
        Ok(match &merged.address {
            AddressTransfer::None => None,
            AddressTransfer::Released(email) => {
                Some(release_address_part(&self.tables, email, &from.id)?)
            }
            AddressTransfer::Taken(email) => {
                let claim = (email_key(email), CLAIM);
                let claim = PointerItem::new(claim, &merged.user.id, merged.at, trace_id);
                Some(self.taken_part(&claim, from)?)
            }
        })
    }
}

fn tombstone_item(merge: &Merge<'_>) -> TombstoneItem {
    let Merge { from, merged, trace_id, .. } = merge;
    let email = match &merged.address {
        AddressTransfer::Taken(email) => Some(email.clone()),
        AddressTransfer::None | AddressTransfer::Released(_) => None,
    };
    TombstoneItem {
        pk: user_key(&from.id),
        sk: TOMBSTONE.to_owned(),
        user_id: from.id.clone(),
        into: merged.user.id.clone(),
        merged_at: merged.at,
        closed_at: Some(merged.at),
        erase_shard: Some(MERGE_SHARD.to_owned()),
        erase_at: Some(sortable(merged.at)),
        places: merged.left.iter().map(search::place_key).collect(),
        email,
        version: 1,
        updated_at: merged.at,
        trace_id: (*trace_id).to_owned(),
    }
}

fn absorbed_item(merge: &Merge<'_>) -> AbsorbedItem {
    let Merge { from, merged, trace_id, .. } = merge;
    AbsorbedItem {
        pk: user_key(&merged.user.id),
        sk: format!("{ABSORBED}{}", from.id),
        absorbed_id: from.id.clone(),
        merged_at: merged.at,
        version: 1,
        updated_at: merged.at,
        trace_id: (*trace_id).to_owned(),
    }
}

/// The accounts that were merged into a user and are listed there.
pub(crate) async fn absorbed(tables: &Tables, user: &UserId) -> Result<Vec<UserId>, PortError> {
    // Each came with an identity of its own, of which a user has so many, and those it had absorbed.
    let items_max = usize::try_from(IDENTITIES_PER_USER_MAX).unwrap_or(usize::MAX);
    let items: Vec<AbsorbedItem> =
        tables.query(Table::Users, &user_key(user), ABSORBED, items_max).await?;
    Ok(items.into_iter().map(|item| item.absorbed_id).collect())
}

/// Removes the claim on an address, if it is this user's.
pub(crate) fn release_address_part(
    tables: &Tables,
    email: &str,
    user: &UserId,
) -> Result<TransactWriteItem, PortError> {
    let delete = Delete::builder()
        .table_name(tables.name(Table::Users))
        .set_key(Some(key(&email_key(email), CLAIM)))
        .condition_expression(OWN)
        .expression_attribute_values(":from", text(user.as_str()));
    let delete = delete.build().map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// Moves the names that `from` gave up, and that are held for them, to `into`.
pub(crate) async fn move_held_names(
    tables: &Tables,
    (from, into): (&UserId, &UserId),
    (now, trace_id): (Timestamp, &str),
) -> Result<(), PortError> {
    for held in super::standing::held_names(tables, from).await? {
        let unlisted = Delete::builder()
            .table_name(tables.name(Table::Users))
            .set_key(Some(key(&user_key(from), &super::item::username_key(&held))))
            .build()
            .map_err(corrupt("build a transaction"))?;
        let mut parts = vec![TransactWriteItem::builder().delete(unlisted).build()];
        // Somebody else may have the name by now.
        let claim = find_claim(tables, &held).await?.filter(|claim| claim.user == *from);
        if let Some(claim) = claim {
            let claim = Claim { user: into.clone(), version: claim.version + 1, ..claim };
            let item = ClaimItem::new(&claim, now, trace_id);
            parts.push(tables.put_version_part(Table::Users, &item, claim.version)?);
            parts.push(tables.put_part(Table::Users, &HeldNameItem::new(&claim, now, trace_id))?);
        }
        tables.transact("move a username", parts).await?;
    }
    Ok(())
}

/// Stores a survivor who has taken an address over, or lets go of the address where they have another
/// by now, as a part of the transaction that finishes the merge.
pub(crate) fn settle_address_parts(
    tables: &Tables,
    user: &User,
    email: &str,
    (now, trace_id): (Timestamp, &str),
) -> Result<Vec<TransactWriteItem>, PortError> {
    let item = UserItem::new(user, now, trace_id);
    let mut parts = vec![tables.put_version_part(Table::Users, &item, user.version)?];
    if user.email.as_deref() != Some(email) {
        parts.push(release_address_part(tables, email, &user.id)?);
    }
    Ok(parts)
}
