//! The table `users`:
//!
//! - `user#{id}` / `profile`: a user; `user#{id}` / `identity#{issuer}#{subject}`: each identity that
//!   signs in as the user, so that they can be listed and erased;
//! - `identity#{issuer}#{subject}` / `link`: what makes one identity one user;
//! - `user#{id}` / `username#{name}`: each name that the user gave up, for the same reasons;
//! - `user#{id}` / `connection#{other}`: the user's side of a connection;
//! - `user#{id}` / `merged`: what is left of a user who was merged into another; `user#{id}` /
//!   `absorbed#{other}`: that another was merged into this one;
//! - `username#{name}` / `claim` and `email#{address}` / `claim`: what makes a username, or an address
//!   that the provider verified, one user's.
//!
//! What belongs together is written in one transaction.

mod connections;
mod desk;
mod directory;
mod item;
mod linking;
mod merge;
mod standing;

use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem};
use rollcall_domain::id::UserId;
use rollcall_domain::limits::IDENTITIES_PER_USER_MAX;
use rollcall_domain::port::PortError;
use rollcall_domain::profile::Edit;
use rollcall_domain::user::{Edited, User};
use rollcall_domain::username::{Claim, Claims, Username};
use rollcall_resources::{Grant, Table};

pub use self::connections::{ConnectionLister, ConnectionPage, Connector, Disconnector};
pub(crate) use self::connections::{end_connections, move_connections};
pub use self::desk::{LinkedIdentity, UserAdministrator, UserDesk, UserLister, UserPage};
pub use self::directory::{UserDirectory, UserJoiner};
pub(crate) use self::item::{
    CLAIM, ERASURE_SHARD, LINK, PROFILE, email_key, identity_key, joined_shard, user_key,
    username_key,
};
use self::item::{ClaimItem, HeldNameItem, IdentityItem, PointerItem, UserItem};
pub use self::linking::{IdentityLinker, LinkKeeper};
pub(crate) use self::merge::{
    ABSORBED, MERGE_SHARD, TOMBSTONE, TombstoneItem, absorbed, move_held_names,
    release_address_part, settle_address_parts, tombstone,
};
pub use self::merge::{AccountMerger, Merge, MergeFollower, Tombstone};
pub use self::standing::{ErasureArranger, StandingWriter};
pub(crate) use self::standing::{due, forget_parts, free_held_names, put_part};
use crate::error::corrupt;
use crate::item::{Attributes, from_item, key};
use crate::search;
use crate::tables::{Tables, capability};

pub(crate) async fn find(tables: &Tables, user: &UserId) -> Result<Option<User>, PortError> {
    let item: Option<UserItem> = tables.get(Table::Users, &user_key(user), PROFILE).await?;
    Ok(item.map(User::from))
}

/// The user of a stored item.
pub(crate) fn user_of(item: Attributes) -> Result<User, PortError> {
    Ok(User::from(from_item::<UserItem>(item)?))
}

/// That a user is there and not about to go, as a part of a transaction: whoever is being erased or was
/// merged into another gets nothing new, so nothing is left behind.
pub(crate) fn in_use_part(tables: &Tables, user: &UserId) -> Result<TransactWriteItem, PortError> {
    let check = ConditionCheck::builder()
        .table_name(tables.name(Table::Users))
        .set_key(Some(key(&user_key(user), PROFILE)))
        .condition_expression("attribute_exists(pk) AND attribute_not_exists(closed_at_ms)");
    let check = check.build().map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
}

/// The identities that are listed for a user; more than a user may have are an error.
async fn listed_identities(tables: &Tables, user: &UserId) -> Result<Vec<IdentityItem>, PortError> {
    let identities_max = usize::try_from(IDENTITIES_PER_USER_MAX).unwrap_or(usize::MAX);
    tables.query(Table::Users, &user_key(user), "identity#", identities_max).await
}

async fn find_claim(tables: &Tables, username: &Username) -> Result<Option<Claim>, PortError> {
    let item: Option<ClaimItem> = tables.get(Table::Users, &username_key(username), CLAIM).await?;
    Ok(item.map(Claim::from))
}

/// The users of these, strongly consistent, in any order; who is not there is left out.
pub(crate) async fn find_all(tables: &Tables, users: &[UserId]) -> Result<Vec<User>, PortError> {
    let keys = users.iter().map(|user| key(&user_key(user), PROFILE)).collect();
    let items: Vec<UserItem> = tables.get_all("read users", Table::Users, keys).await?;
    Ok(items.into_iter().map(User::from).collect())
}

/// Whom a link or a claim points to.
async fn find_by_pointer(tables: &Tables, pk: &str, sk: &str) -> Result<Option<UserId>, PortError> {
    let item: Option<PointerItem> = tables.get(Table::Users, pk, sk).await?;
    Ok(item.map(|pointer| pointer.user_id))
}

/// Who has proven an address, in the form in which it is stored.
pub(crate) async fn find_by_email(
    tables: &Tables,
    email: &str,
) -> Result<Option<UserId>, PortError> {
    find_by_pointer(tables, &email_key(email), CLAIM).await
}

async fn find_by_identity(
    tables: &Tables,
    issuer: &str,
    subject: &str,
) -> Result<Option<User>, PortError> {
    match find_by_pointer(tables, &identity_key(issuer, subject), LINK).await? {
        Some(user) => find(tables, &user).await,
        None => Ok(None),
    }
}

capability! {
    /// Reads users.
    UserReader, Grant::table(Table::Users, &["dynamodb:GetItem"])
}

impl UserReader {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// Who it is that an identity names, strongly consistent.
    pub async fn find_id_by_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<UserId>, PortError> {
        find_by_pointer(&self.tables, &identity_key(issuer, subject), LINK).await
    }

    /// The user who goes by a name now, strongly consistent.
    pub async fn find_by_username(&self, username: &Username) -> Result<Option<User>, PortError> {
        let claim = find_claim(&self.tables, username).await?;
        let Some(claim) = claim.filter(Claim::is_in_use) else { return Ok(None) };
        let user = find(&self.tables, &claim.user).await?;
        // Somebody who is renamed between the two reads does not go by the name any more.
        Ok(user.filter(|user| user.username.as_ref() == Some(username)))
    }

    /// The user that an identity names, strongly consistent.
    pub async fn find_by_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<User>, PortError> {
        find_by_identity(&self.tables, issuer, subject).await
    }

    /// The user whose verified address this is, strongly consistent. `address` is in the form of
    /// `rollcall_domain::text::email`.
    pub async fn find_by_email(&self, address: &str) -> Result<Option<User>, PortError> {
        let owner = find_by_pointer(&self.tables, &email_key(address), CLAIM).await?;
        let Some(owner) = owner else { return Ok(None) };
        let user = find(&self.tables, &owner).await?;
        Ok(user.filter(|user| user.email.as_deref() == Some(address)))
    }
}

capability! {
    /// Changes profiles.
    ProfileWriter, Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"]),
    search::MAINTAIN,
}

impl ProfileWriter {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// The claims on the names that `user` has and, by `edit`, wants, strongly consistent; none when
    /// the user keeps their name.
    pub async fn claims(&self, user: &User, edit: &Edit) -> Result<Claims, PortError> {
        let Some(wanted) = user.wanted_username(edit) else { return Ok(Claims::default()) };
        let wanted = find_claim(&self.tables, wanted).await?;
        let current = match &user.username {
            Some(username) => find_claim(&self.tables, username).await?,
            None => None,
        };
        Ok(Claims { current, wanted })
    }

    /// Stores a changed user together with the claims on usernames and the index by which members
    /// find the user; `Conflict`, and nothing is stored, when somebody else changed the user or a
    /// claim in between.
    pub async fn store(&self, edited: &Edited, trace_id: &str) -> Result<(), PortError> {
        let Edited { user, claims, places, at } = edited;
        let item = UserItem::new(user, *at, trace_id);
        if claims.is_empty() && places.is_empty() {
            return self.tables.put_version(Table::Users, &item, user.version).await;
        }
        let mut parts = vec![self.tables.put_version_part(Table::Users, &item, user.version)?];
        for claim in claims {
            let item = ClaimItem::new(claim, *at, trace_id);
            parts.push(self.tables.put_version_part(Table::Users, &item, claim.version)?);
            if claim.held_until.is_some() {
                let listed = HeldNameItem::new(claim, *at, trace_id);
                parts.push(self.tables.put_part(Table::Users, &listed)?);
            }
        }
        for change in places {
            parts.push(search::part(&self.tables, &user.id, change)?);
        }
        self.tables.transact("store a profile", parts).await
    }
}
