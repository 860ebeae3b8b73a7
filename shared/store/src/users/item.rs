//! The items of the table `users`, and their keys.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use rollcall_domain::id::UserId;
use rollcall_domain::profile::{Contacts, Field, Physical, Profile, Visibility};
use rollcall_domain::role::Role;
use rollcall_domain::standing::Standing;
use rollcall_domain::user::{OwnNames, Plan, User};
use rollcall_domain::username::{Claim, Username};
use serde::{Deserialize, Serialize};

use crate::item::sortable;

/// Sort key of a user.
pub(crate) const PROFILE: &str = "profile";
/// Sort key of what makes one identity one user.
pub(crate) const LINK: &str = "link";
/// Sort key of what makes a username or an address one user's.
pub(crate) const CLAIM: &str = "claim";
/// The one part of the index `erasures`: people leave far more seldom than one partition can take.
pub(crate) const ERASURE_SHARD: &str = "leaving";

/// A user. Attributes with a default are lacking in items from before there was such a thing.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an attribute of the item by itself")]
pub(super) struct UserItem {
    pk: String,
    sk: String,
    user_id: UserId,
    issuer: String,
    subject: String,
    #[serde(default = "one")]
    identities: u32,
    email: Option<String>,
    given_name: String,
    family_name: String,
    /// The provider's part of the roles.
    roles: Vec<Role>,
    #[serde(default)]
    granted_roles: Vec<Role>,
    #[serde(default)]
    standing: Standing,
    /// Lists the user in the index `erasures` while they are to be erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    erase_shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erase_at: Option<String>,
    #[serde(default)]
    plan: Plan,
    #[serde(default)]
    verified: bool,
    #[serde(default = "yes")]
    crm_sync: bool,
    joined_at: Timestamp,
    last_seen_at: Timestamp,
    username: Option<Username>,
    renamed_at: Option<Timestamp>,
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
    birth_date: Option<Date>,
    #[serde(default)]
    physical: Physical,
    #[serde(default)]
    contacts: Contacts,
    #[serde(default)]
    visibility: BTreeMap<Field, Visibility>,
    version: u64,
    profile_version: Option<u64>,
    #[serde(default = "first")]
    desk_version: u64,
    /// By which users are listed; see [`joined_shard`].
    #[serde(default)]
    joined_shard: String,
    updated_at: Timestamp,
    trace_id: String,
}

/// The claim on a username.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClaimItem {
    pk: String,
    sk: String,
    username: Username,
    user_id: UserId,
    held_until: Option<Timestamp>,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// A name that its user gave up and that is still held for them, in their list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeldNameItem {
    pk: String,
    sk: String,
    pub(super) username: Username,
    held_until: Option<Timestamp>,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// What points to a user: the link of an identity, or the claim on an address.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PointerItem {
    pk: String,
    sk: String,
    pub(super) user_id: UserId,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// An identity in its user's list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IdentityItem {
    pk: String,
    sk: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) linked_at: Timestamp,
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
            identities: item.identities,
            email: item.email,
            given_name: item.given_name,
            family_name: item.family_name,
            provider_roles: item.roles,
            granted_roles: item.granted_roles,
            standing: item.standing,
            plan: item.plan,
            verified: item.verified,
            crm_sync: item.crm_sync,
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
                birth_date: item.birth_date,
                physical: item.physical,
                contacts: item.contacts,
                visibility: item.visibility,
            },
            version: item.version,
            profile_version: item.profile_version.unwrap_or(item.version),
            desk_version: item.desk_version,
        }
    }
}

impl UserItem {
    pub(super) fn new(user: &User, updated_at: Timestamp, trace_id: &str) -> Self {
        let Profile {
            about,
            avatar_url,
            categories,
            skills,
            languages,
            birth_date,
            physical,
            contacts,
            visibility,
        } = user.profile.clone();
        Self {
            pk: user_key(&user.id),
            sk: PROFILE.to_owned(),
            user_id: user.id.clone(),
            issuer: user.issuer.clone(),
            subject: user.subject.clone(),
            identities: user.identities,
            email: user.email.clone(),
            given_name: user.given_name.clone(),
            family_name: user.family_name.clone(),
            roles: user.provider_roles.clone(),
            granted_roles: user.granted_roles.clone(),
            standing: user.standing,
            erase_shard: user.standing.erase_at().map(|_| ERASURE_SHARD.to_owned()),
            erase_at: user.standing.erase_at().map(sortable),
            plan: user.plan,
            verified: user.verified,
            crm_sync: user.crm_sync,
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
            birth_date,
            physical,
            contacts,
            visibility,
            version: user.version,
            profile_version: Some(user.profile_version),
            desk_version: user.desk_version,
            joined_shard: shard_of(&user.id),
            updated_at,
            trace_id: trace_id.to_owned(),
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

impl ClaimItem {
    pub(super) fn new(claim: &Claim, updated_at: Timestamp, trace_id: &str) -> Self {
        Self {
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
}

impl HeldNameItem {
    pub(super) fn new(claim: &Claim, updated_at: Timestamp, trace_id: &str) -> Self {
        Self {
            pk: user_key(&claim.user),
            sk: username_key(&claim.username),
            username: claim.username.clone(),
            held_until: claim.held_until,
            version: claim.version,
            updated_at,
            trace_id: trace_id.to_owned(),
        }
    }
}

impl PointerItem {
    pub(super) fn new(
        (pk, sk): (String, &str),
        user: &UserId,
        updated_at: Timestamp,
        trace_id: &str,
    ) -> Self {
        Self {
            pk,
            sk: sk.to_owned(),
            user_id: user.clone(),
            version: 1,
            updated_at,
            trace_id: trace_id.to_owned(),
        }
    }
}

impl IdentityItem {
    pub(super) fn new(
        user: &UserId,
        (issuer, subject): (&str, &str),
        linked_at: Timestamp,
        trace_id: &str,
    ) -> Self {
        Self {
            pk: user_key(user),
            sk: identity_key(issuer, subject),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            linked_at,
            version: 1,
            updated_at: linked_at,
            trace_id: trace_id.to_owned(),
        }
    }
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn first() -> u64 {
    1
}

/// The name of a shard of the list of users.
pub(crate) fn joined_shard(number: u8) -> String {
    format!("{number:x}")
}

/// The shard of a user: the last digit of the id, which is random.
fn shard_of(user: &UserId) -> String {
    user.as_str().chars().next_back().map(String::from).unwrap_or_default()
}

pub(crate) fn user_key(user: &UserId) -> String {
    format!("user#{user}")
}

pub(crate) fn identity_key(issuer: &str, subject: &str) -> String {
    format!("identity#{issuer}#{subject}")
}

pub(crate) fn username_key(username: &Username) -> String {
    format!("username#{username}")
}

pub(crate) fn email_key(address: &str) -> String {
    format!("email#{address}")
}
