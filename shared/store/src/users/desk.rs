//! Users as administrators see and change them.

use futures::future::try_join_all;
use jiff::Timestamp;
use rollcall_domain::audit::Entry;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::user::User;
use rollcall_resources::table::{USERS_JOINED, USERS_JOINED_SHARDS};
use rollcall_resources::{Grant, Table};

use super::item::{IdentityItem, UserItem, joined_shard};
use super::merge::tombstone;
use super::{find, listed_identities};
use crate::audit;
use crate::error::failed;
use crate::item::{from_item, text};
use crate::tables::{Tables, capability};

/// An identity that signs in as a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// The provider.
    pub issuer: String,
    /// The person at that provider.
    pub subject: String,
    /// Since when.
    pub linked_at: Timestamp,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPage {
    /// Who joined last comes first.
    pub users: Vec<User>,
    /// Where the next page begins; none on the last page.
    pub position: Option<UserId>,
}

capability! {
    /// Lists all users.
    UserLister, Grant::index(Table::Users, USERS_JOINED.name)
}

impl UserLister {
    /// The users behind a position that an earlier page named, who joined last first; the index
    /// follows the table within moments.
    ///
    /// Ids sort by the time they were made, so the users of all shards merge into one order.
    pub async fn list(
        &self,
        position: Option<&UserId>,
        users_max: usize,
    ) -> Result<UserPage, PortError> {
        let reading = (0..USERS_JOINED_SHARDS).map(|shard| self.shard(shard, position, users_max));
        let mut users: Vec<User> = try_join_all(reading).await?.into_iter().flatten().collect();
        users.sort_unstable_by(|one, other| other.id.cmp(&one.id));
        let more = users.len() > users_max;
        users.truncate(users_max);
        let position = users.last().filter(|_| more).map(|user| user.id.clone());
        Ok(UserPage { users, position })
    }

    /// The first users of one shard behind the position: one more than wanted, if there are so many,
    /// to know whether there are more.
    async fn shard(
        &self,
        shard: u8,
        position: Option<&UserId>,
        users_max: usize,
    ) -> Result<Vec<User>, PortError> {
        let wanted = users_max.saturating_add(1);
        let (mut users, mut start) = (Vec::new(), None);
        // A page ends at its limit or at a megabyte, so each holds something or is the last.
        for _page in 0..wanted {
            let page = self
                .tables
                .client
                .query()
                .table_name(self.tables.name(Table::Users))
                .index_name(USERS_JOINED.name)
                .key_condition_expression("#shard = :shard AND #id < :position")
                .expression_attribute_names("#shard", USERS_JOINED.partition_key)
                .expression_attribute_names("#id", USERS_JOINED.sort_key)
                .expression_attribute_values(":shard", text(joined_shard(shard)))
                .expression_attribute_values(":position", text(behind(position)))
                .scan_index_forward(false)
                .limit(i32::try_from(wanted - users.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(failed("list users"))?;
            for item in page.items.unwrap_or_default() {
                users.push(User::from(from_item::<UserItem>(item)?));
            }
            start = page.last_evaluated_key;
            if start.is_none() || users.len() >= wanted {
                break;
            }
        }
        Ok(users)
    }
}

/// The id before which a page begins: the last one seen, or what comes after all ids.
fn behind(position: Option<&UserId>) -> String {
    position.map_or_else(|| format!("{}~", UserId::PREFIX), ToString::to_string)
}

capability! {
    /// Shows administrators one user.
    UserDesk, Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:Query"])
}

impl UserDesk {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// Into whom an account was merged, strongly consistent.
    pub async fn merged_into(&self, user: &UserId) -> Result<Option<UserId>, PortError> {
        Ok(tombstone(&self.tables, user).await?.map(|tombstone| tombstone.into))
    }

    /// The identities that sign in as a user, strongly consistent, the account's own first. An
    /// account from before identities were listed has none in its list but those linked since, and
    /// its own stands in the user's item.
    pub async fn identities(&self, user: &User) -> Result<Vec<LinkedIdentity>, PortError> {
        identities(&self.tables, user).await
    }
}

pub(super) async fn identities(
    tables: &Tables,
    user: &User,
) -> Result<Vec<LinkedIdentity>, PortError> {
    let items = listed_identities(tables, &user.id).await?;
    let own = LinkedIdentity {
        issuer: user.issuer.clone(),
        subject: user.subject.clone(),
        linked_at: user.joined_at,
    };
    let mut others: Vec<LinkedIdentity> = items.into_iter().map(LinkedIdentity::from).collect();
    others.retain(|other| (&other.issuer, &other.subject) != (&own.issuer, &own.subject));
    others.sort_by_key(|other| other.linked_at);
    Ok([vec![own], others].concat())
}

impl From<IdentityItem> for LinkedIdentity {
    fn from(item: IdentityItem) -> Self {
        Self { issuer: item.issuer, subject: item.subject, linked_at: item.linked_at }
    }
}

capability! {
    /// Changes users in the name of an administrator, and tells the audit log.
    UserAdministrator,
    Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"]),
    audit::APPEND
}

impl UserAdministrator {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        find(&self.tables, user).await
    }

    /// Stores a changed user with what was done; `Conflict`, and nothing is stored, when somebody
    /// else changed the user in between.
    pub async fn store(
        &self,
        user: &User,
        entries: &[Entry],
        now: Timestamp,
        trace_id: &str,
    ) -> Result<(), PortError> {
        let item = UserItem::new(user, now, trace_id);
        let mut parts = vec![self.tables.put_version_part(Table::Users, &item, user.version)?];
        for entry in entries {
            parts.push(audit::part(&self.tables, entry)?);
        }
        self.tables.transact("store what an administrator changed", parts).await
    }
}
