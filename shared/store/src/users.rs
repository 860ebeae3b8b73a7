//! The table `users`: a user under `user#{id}` / `profile`, under `identity#{issuer}#{subject}` /
//! `link` the claim that makes one identity one user, and under `username#{name}` / `claim` the one
//! that makes a username one user's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::profile::{Edit, Field, Profile, Visibility};
use rollcall_domain::role::Role;
use rollcall_domain::user::{Edited, OwnNames, User};
use rollcall_domain::username::{Claim, Claims, Username};
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::tables::{Tables, capability};

const PROFILE: &str = "profile";
const LINK: &str = "link";
const CLAIM: &str = "claim";

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
    username: Option<Username>,
    renamed_at: Option<Timestamp>,
    // Users who joined before there were profiles lack the rest until they sign in again.
    #[serde(default)]
    given_name_is_own: bool,
    #[serde(default)]
    family_name_is_own: bool,
    #[serde(default)]
    about: String,
    avatar_url: Option<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    skills: Vec<String>,
    #[serde(default)]
    languages: Vec<String>,
    #[serde(default)]
    visibility: BTreeMap<Field, Visibility>,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClaimItem {
    pk: String,
    sk: String,
    username: Username,
    user_id: UserId,
    held_until: Option<Timestamp>,
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
            own_names: OwnNames { given: item.given_name_is_own, family: item.family_name_is_own },
            username: item.username,
            renamed_at: item.renamed_at,
            profile: Profile {
                about: item.about,
                avatar_url: item.avatar_url,
                categories: item.categories,
                skills: item.skills,
                languages: item.languages,
                visibility: item.visibility,
            },
            version: item.version,
        }
    }
}

impl From<ClaimItem> for Claim {
    fn from(item: ClaimItem) -> Self {
        Self {
            username: item.username,
            user: item.user_id,
            held_until: item.held_until,
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

fn username_key(username: &Username) -> String {
    format!("username#{username}")
}

fn claim_item(claim: &Claim, updated_at: Timestamp, trace_id: &str) -> ClaimItem {
    ClaimItem {
        pk: username_key(&claim.username),
        sk: CLAIM.to_owned(),
        username: claim.username.clone(),
        user_id: claim.user.clone(),
        held_until: claim.held_until,
        version: claim.version,
        updated_at,
        trace_id: trace_id.to_owned(),
    }
}

async fn find(tables: &Tables, user: &UserId) -> Result<Option<User>, PortError> {
    let item: Option<UserItem> = tables.get(Table::Users, &user_key(user), PROFILE).await?;
    Ok(item.map(User::from))
}

async fn find_claim(tables: &Tables, username: &Username) -> Result<Option<Claim>, PortError> {
    let item: Option<ClaimItem> = tables.get(Table::Users, &username_key(username), CLAIM).await?;
    Ok(item.map(Claim::from))
}

fn user_item(user: &User, updated_at: Timestamp, trace_id: &str) -> UserItem {
    let Profile { about, avatar_url, categories, skills, languages, visibility } =
        user.profile.clone();
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
        username: user.username.clone(),
        renamed_at: user.renamed_at,
        given_name_is_own: user.own_names.given,
        family_name_is_own: user.own_names.family,
        about,
        avatar_url,
        categories,
        skills,
        languages,
        visibility,
        version: user.version,
        updated_at,
        trace_id: trace_id.to_owned(),
    }
}

fn signed_in_item(user: &User, trace_id: &str) -> UserItem {
    user_item(user, user.last_seen_at, trace_id)
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

    /// The user who goes by a name now, strongly consistent.
    pub async fn find_by_username(&self, username: &Username) -> Result<Option<User>, PortError> {
        let claim = find_claim(&self.tables, username).await?;
        let Some(claim) = claim.filter(Claim::is_in_use) else { return Ok(None) };
        let user = find(&self.tables, &claim.user).await?;
        // Somebody who is renamed between the two reads does not go by the name any more.
        Ok(user.filter(|user| user.username.as_ref() == Some(username)))
    }
}

capability! {
    /// Changes profiles.
    ProfileWriter, Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"])
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

    /// Stores a changed user together with the claims on usernames; `Conflict`, and nothing is
    /// stored, when somebody else changed any of them in between.
    pub async fn store(&self, edited: &Edited, trace_id: &str) -> Result<(), PortError> {
        let Edited { user, claims, at } = edited;
        let item = user_item(user, *at, trace_id);
        if claims.is_empty() {
            return self.tables.put_version(Table::Users, &item, user.version).await;
        }
        let mut parts = vec![self.tables.put_version_part(Table::Users, &item, user.version)?];
        for claim in claims {
            let item = claim_item(claim, *at, trace_id);
            parts.push(self.tables.put_version_part(Table::Users, &item, claim.version)?);
        }
        self.tables.transact("store a profile", parts).await
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
        find(&self.tables, &link.user_id).await
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
            self.tables.put_version_part(Table::Users, &signed_in_item(user, trace_id), 1)?,
        ];
        self.tables.transact("store a new user", parts).await
    }

    /// Stores a changed user; `Conflict` when somebody else changed it in between.
    pub async fn update(&self, user: &User, trace_id: &str) -> Result<(), PortError> {
        self.tables.put_version(Table::Users, &signed_in_item(user, trace_id), user.version).await
    }
}
