//! A person as they are in one stage, in the words of the other.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_crm::removal::RemovalKind;
use rollcall_domain::catalog::CatalogVersion;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Timestamp;
use rollcall_domain::user::User;
use rollcall_resources::Table;
use rollcall_resources::table::{PARTITION_KEY, SORT_KEY, USER_ERASURES};

use super::{COPIED, Identities, LeftOut, name};
use crate::crm;
use crate::error::corrupt;
use crate::item::{Attributes, key, text};
use crate::personal::partition;
use crate::tables::Tables;
use crate::users::{self, ABSORBED, CLAIM, LINK, PROFILE, TOMBSTONE};

/// Sort key of an account.
pub(super) const ACCOUNT: &str = PROFILE;
/// Sort key of what is left of an account that was merged into another.
pub(super) const MERGED: &str = TOMBSTONE;
/// Claims that are taken in one transaction: all that a person goes by, but names of long ago.
pub(super) const CLAIMS_AT_ONCE_MAX: usize = 50;
/// An attempt at a quiz that is not submitted ends with the stage: it is begun again.
pub(super) const OPEN: &str = "open#";
/// Set while somebody is at work on the erasure of an account.
const CLOSED: &str = "closed_at_ms";

/// A person as they are to be in the other stage.
pub(super) struct Person {
    pub(super) id: UserId,
    /// What is written last: the account, or what is left of it.
    pub(super) last: Attributes,
    /// The account; none of who was merged into another.
    pub(super) account: Option<User>,
    /// What makes identities, address and usernames theirs, those of long ago last.
    pub(super) claims: Vec<Attributes>,
    /// Everything else, and in which table.
    pub(super) items: Vec<(Table, Attributes)>,
    /// The wish that the CRM hears nothing of them.
    pub(super) removal: Option<RemovalKind>,
    /// The versions of the catalogue that their items name.
    pub(super) versions: BTreeSet<String>,
    /// Roles that were granted here.
    pub(super) roles_left: Vec<String>,
}

/// What there is of a person.
pub(super) enum Read {
    Person(Box<Person>),
    LeftOut(LeftOut),
    /// Nothing any more.
    Gone,
}

pub(super) async fn read(
    tables: &Tables,
    user: &UserId,
    identities: &Identities,
    now: Timestamp,
) -> Result<Read, PortError> {
    let mut own = tables.own_items(Table::Users, user).await?;
    let merges = own.values().filter(|item| name(item, SORT_KEY).starts_with(ABSORBED));
    let absorbed: Vec<String> = merges.map(|item| name(item, "absorbed_id").to_owned()).collect();
    let Some(stored) = own.remove(ACCOUNT).or_else(|| own.remove(MERGED)) else {
        return Ok(Read::Gone);
    };
    let is_account = name(&stored, SORT_KEY) == ACCOUNT;
    if is_unfinished(tables, is_account, &stored, &absorbed).await? {
        return Ok(Read::LeftOut(LeftOut::Merging));
    }
    let source = if is_account { Some(users::user_of(stored.clone())?) } else { None };
    let is_over = |user: &User| user.standing.erase_at().is_some_and(|at| at <= now);
    if stored.contains_key(CLOSED) || source.as_ref().is_some_and(is_over) {
        return Ok(Read::LeftOut(LeftOut::Erased));
    }
    let mut last = stored;
    let roles_left = texts(last.get("granted_roles"));
    if is_account {
        // Who may do what is decided in each stage: nobody becomes an administrator by coming.
        for roles in ["roles", "granted_roles"] {
            last.insert(roles.to_owned(), AttributeValue::L(Vec::new()));
        }
        if !rename(&mut last, identities) {
            return Ok(Read::LeftOut(LeftOut::Unmapped));
        }
    }
    let claims = match &source {
        Some(source) => claims(tables, source, &own, identities).await?,
        None => Some(Vec::new()),
    };
    let Some(claims) = claims else { return Ok(Read::LeftOut(LeftOut::Unmapped)) };
    let Some(items) = items(tables, user, own, identities).await? else {
        return Ok(Read::LeftOut(LeftOut::Unmapped));
    };
    let wish = crm::removal_of(tables, user).await?;
    let is_out = source.as_ref().is_some_and(|user| !user.crm_sync);
    let account = is_account.then(|| users::user_of(last.clone())).transpose()?;
    let mut versions = BTreeSet::new();
    for value in items.iter().flat_map(|(_, item)| item.values()) {
        named(value, &mut versions);
    }
    Ok(Read::Person(Box::new(Person {
        id: user.clone(),
        account,
        last,
        claims,
        items,
        removal: wish.or(is_out.then_some(RemovalKind::Archive)),
        versions,
        roles_left,
    })))
}

/// Everything of a person but the account; `None` where nobody said what an identity is called in the
/// other stage.
async fn items(
    tables: &Tables,
    user: &UserId,
    own: BTreeMap<String, Attributes>,
    identities: &Identities,
) -> Result<Option<Vec<(Table, Attributes)>>, PortError> {
    let mut items = Vec::new();
    for (sort, mut item) in own {
        if sort.starts_with("identity#") {
            if !rename(&mut item, identities) {
                return Ok(None);
            }
            let listed = users::identity_key(name(&item, "issuer"), name(&item, "subject"));
            item.insert(SORT_KEY.to_owned(), text(listed));
        }
        items.push((Table::Users, item));
    }
    for table in COPIED {
        let all = tables.partition_items(table, &partition(user)).await?.into_iter();
        let kept = all.filter(|item| !name(item, SORT_KEY).starts_with(OPEN));
        items.extend(kept.map(|item| (table, item)));
    }
    Ok(Some(items))
}

/// Whether a merge with another account is under way: what it still moves would be lost.
async fn is_unfinished(
    tables: &Tables,
    is_account: bool,
    stored: &Attributes,
    absorbed: &[String],
) -> Result<bool, PortError> {
    if !is_account {
        return Ok(stored.contains_key(USER_ERASURES.partition_key));
    }
    for other in absorbed {
        let other: UserId = other.parse().map_err(corrupt("decode an item"))?;
        let left = tables.item(Table::Users, &key(&partition(&other), MERGED)).await?;
        if left.is_some_and(|left| left.contains_key(USER_ERASURES.partition_key)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What makes names a person's; `None` where nobody said what an identity is called in the other stage.
async fn claims(
    tables: &Tables,
    user: &User,
    own: &BTreeMap<String, Attributes>,
    identities: &Identities,
) -> Result<Option<Vec<Attributes>>, PortError> {
    let listed = own.values().filter(|item| name(item, SORT_KEY).starts_with("identity#"));
    let mut named: BTreeSet<(String, String)> = listed
        .map(|item| (name(item, "issuer").to_owned(), name(item, "subject").to_owned()))
        .collect();
    named.insert((user.issuer.clone(), user.subject.clone()));
    let mut wanted = Vec::new();
    for (issuer, subject) in &named {
        let Some((there, other)) = identities.of(issuer, subject) else { return Ok(None) };
        let here = users::identity_key(issuer, subject);
        wanted.push((here, LINK, users::identity_key(&there, &other)));
    }
    let email = user.email.as_deref().map(users::email_key);
    let username = user.username.as_ref().map(users::username_key);
    let held = own.keys().filter(|sort| sort.starts_with("username#")).cloned();
    for pk in email.into_iter().chain(username).chain(held) {
        wanted.push((pk.clone(), CLAIM, pk));
    }
    let mut claims = Vec::new();
    for (here, sk, there) in wanted {
        let item = tables.item(Table::Users, &key(&here, sk)).await?;
        // A name of long ago may be somebody else's by now.
        let item = item.filter(|item| name(item, "user_id") == user.id.as_str());
        let known = |claims: &[Attributes]| claims.iter().any(|c| name(c, PARTITION_KEY) == there);
        if let Some(mut item) = item.filter(|_| !known(&claims)) {
            item.insert(PARTITION_KEY.to_owned(), text(there));
            claims.push(item);
        }
    }
    Ok(Some(claims))
}

/// Gives an item the name that its identity has in the other stage; `false` where nobody said.
fn rename(item: &mut Attributes, identities: &Identities) -> bool {
    let Some((issuer, subject)) = identities.of(name(item, "issuer"), name(item, "subject")) else {
        return false;
    };
    item.insert("issuer".to_owned(), text(issuer));
    item.insert("subject".to_owned(), text(subject));
    true
}

fn texts(list: Option<&AttributeValue>) -> Vec<String> {
    let list = list.and_then(|list| list.as_l().ok()).into_iter().flatten();
    list.filter_map(|value| value.as_s().ok().cloned()).collect()
}

/// The versions of the catalogue that a value names, wherever it does.
fn named(value: &AttributeValue, versions: &mut BTreeSet<String>) {
    match value {
        AttributeValue::S(text) => {
            versions.extend(text.parse::<CatalogVersion>().ok().map(|it| it.as_str().to_owned()));
        }
        AttributeValue::L(list) => {
            for value in list {
                named(value, versions);
            }
        }
        AttributeValue::M(map) => {
            for value in map.values() {
                named(value, versions);
            }
        }
        _ => {}
    }
}
