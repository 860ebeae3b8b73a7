//! The table `users`: a user under `user#{id}` / `profile`, and under `identity#{issuer}#{subject}`
//! / `link` the claim that makes one identity one user.

use jiff::Timestamp;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::role::Role;
use rollcall_domain::user::User;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::tables::capability;

const PROFILE: &str = "profile";
const LINK: &str = "link";

#[derive(Debug, Serialize, Deserialize)]
struct UserItem {
    pk: String,
    sk: String,
    user_id: UserId,
    issuer: String,
    subject: String,
    email: Option<String>,
    given_name: String,
    family_name: String,
    roles: Vec<Role>,
    joined_at: Timestamp,
    last_seen_at: Timestamp,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct LinkItem {
    pk: String,
    sk: String,
    user_id: UserId,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

impl From<UserItem> for User {
    fn from(item: UserItem) -> Self {
        Self {
            id: item.user_id,
            issuer: item.issuer,
            subject: item.subject,
            email: item.email,
            given_name: item.given_name,
            family_name: item.family_name,
            roles: item.roles,
            joined_at: item.joined_at,
            last_seen_at: item.last_seen_at,
            version: item.version,
        }
    }
}

fn user_key(user: &UserId) -> String {
    format!("user#{user}")
}

fn identity_key(issuer: &str, subject: &str) -> String {
    format!("identity#{issuer}#{subject}")
}

fn user_item(user: &User, trace_id: &str) -> UserItem {
    UserItem {
        pk: user_key(&user.id),
        sk: PROFILE.to_owned(),
        user_id: user.id.clone(),
        issuer: user.issuer.clone(),
        subject: user.subject.clone(),
        email: user.email.clone(),
        given_name: user.given_name.clone(),
        family_name: user.family_name.clone(),
        roles: user.roles.clone(),
        joined_at: user.joined_at,
        last_seen_at: user.last_seen_at,
        version: user.version,
        updated_at: user.last_seen_at,
        trace_id: trace_id.to_owned(),
    }
}

capability! {
    /// Reads users by id.
    UserReader, Grant::table(Table::Users, &["dynamodb:GetItem"])
}

impl UserReader {
    /// A user, strongly consistent.
    pub async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        let item: Option<UserItem> =
            self.tables.get(Table::Users, &user_key(user), PROFILE).await?;
        Ok(item.map(User::from))
    }
}

capability! {
    /// Finds and stores the user that an identity names.
    UserDirectory, Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"])
}

impl UserDirectory {
    /// The user that an identity names.
    pub async fn find_by_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<User>, PortError> {
        let pk = identity_key(issuer, subject);
        let Some(link) = self.tables.get::<LinkItem>(Table::Users, &pk, LINK).await? else {
            return Ok(None);
        };
        let pk = user_key(&link.user_id);
        let item: Option<UserItem> = self.tables.get(Table::Users, &pk, PROFILE).await?;
        Ok(item.map(User::from))
    }

    /// Stores a new user together with the claim on its identity; `Conflict` when another sign-in
    /// of the same person was first.
    pub async fn join(&self, user: &User, trace_id: &str) -> Result<(), PortError> {
        let link = LinkItem {
            pk: identity_key(&user.issuer, &user.subject),
            sk: LINK.to_owned(),
            user_id: user.id.clone(),
            version: 1,
            updated_at: user.joined_at,
            trace_id: trace_id.to_owned(),
        };
        let parts = vec![
            self.tables.put_version_part(Table::Users, &link, 1)?,
            self.tables.put_version_part(Table::Users, &user_item(user, trace_id), 1)?,
        ];
        self.tables.transact("store a new user", parts).await
    }

    /// Stores a changed user; `Conflict` when somebody else changed it in between.
    pub async fn update(&self, user: &User, trace_id: &str) -> Result<(), PortError> {
        self.tables.put_version(Table::Users, &user_item(user, trace_id), user.version).await
    }
}
