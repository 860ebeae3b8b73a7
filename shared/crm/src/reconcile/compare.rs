//! What differs between a user and a contact. Pure, and without values: a difference is the name of
//! a property.

use std::collections::BTreeMap;

use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::time::Timestamp;

use super::{Class, Finding, Repair};
use crate::ledger::Ledger;
use crate::port::KeyKind;
use crate::projection::Projected;
use crate::removal::RemovalKind;
use crate::schema::{EMAIL, PropertyKind, SCHEMA, USER_ID};

/// A contact as the CRM shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactView {
    /// The CRM's own id.
    pub id: String,
    /// Properties that have a value.
    pub properties: BTreeMap<String, String>,
    /// Ids of contacts that were merged into this one.
    pub merged: Vec<String>,
}

impl ContactView {
    /// What stands in the property by which we know whose contact it is.
    pub fn owner(&self) -> Option<&str> {
        self.properties.get(USER_ID).map(String::as_str).filter(|owner| !owner.is_empty())
    }
}

/// What we know about a user in the CRM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The ledger; doubted if a sender began something of which nobody heard the end.
    pub ledger: Ledger,
    /// Somebody sends about the user now, or something waits to be sent.
    pub busy: bool,
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Nothing differs that is ours to say.
    Right,
    /// Something is on its way.
    InFlight,
    /// What differs was refused, and a person has to look at that first.
    AtDesk,
    /// Something differs.
    Differs(Vec<Finding>),
}

/// How the contact of `user` differs from `state`, the user's facets as the CRM should see them;
/// these are empty when the user does not exist.
pub fn of_user(
    user: &UserId,
    state: &BTreeMap<Facet, Projected>,
    known: &Known,
    contact: Option<&ContactView>,
    key: KeyKind,
) -> Compared {
    let ledger = &known.ledger;
    // Who leaves the CRM is looked at from the side of the contacts.
    if ledger.removal.is_some() || state.is_empty() {
        return Compared::Right;
    }
    if known.busy {
        return Compared::InFlight;
    }
    match contact {
        None => without_contact(user, state, ledger, key),
        Some(contact) => with_contact(user, state, ledger, contact),
    }
}

fn without_contact(
    user: &UserId,
    state: &BTreeMap<Facet, Projected>,
    ledger: &Ledger,
    key: KeyKind,
) -> Compared {
    let identity = state.get(&Facet::Identity);
    let has_address = identity.is_some_and(|identity| identity.properties.contains_key(EMAIL));
    if key == KeyKind::Email && !has_address {
        return Compared::Right;
    }
    if state.get(&Facet::Identity).is_some_and(|held| is_refused(ledger, Facet::Identity, held)) {
        return Compared::AtDesk;
    }
    // Of a user who never had a contact everything is sent anyway.
    let facets: Vec<Facet> = match ledger.contact_id {
        None => vec![Facet::Identity],
        Some(_) => Facet::ALL.to_vec(),
    };
    Compared::Differs(vec![finding(Class::Missing, user, None, names_of(&facets))])
}

fn with_contact(
    user: &UserId,
    state: &BTreeMap<Facet, Projected>,
    ledger: &Ledger,
    contact: &ContactView,
) -> Compared {
    let mut findings = Vec::new();
    let is_other = contact.owner().is_some_and(|owner| owner != user.as_str());
    let identity = state.get(&Facet::Identity);
    let refused = identity.is_some_and(|held| is_refused(ledger, Facet::Identity, held));
    // Nothing is sent before an identity makes the contact the user's.
    if refused && (is_other || ledger.contact_id.is_none()) {
        return Compared::AtDesk;
    }
    if is_other {
        let differences = BTreeMap::from([(Facet::Identity, vec![USER_ID.to_owned()])]);
        return Compared::Differs(vec![finding(
            Class::Merged,
            user,
            Some(&contact.id),
            differences,
        )]);
    }
    let mut behind = BTreeMap::new();
    let mut edited = BTreeMap::new();
    let mut at_desk = false;
    for (facet, projected) in state {
        let names = differing(projected, contact);
        if names.is_empty() {
            continue;
        }
        if is_refused(ledger, *facet, projected) {
            at_desk = true;
        } else if ledger.holds(*facet, &projected.hash) {
            edited.insert(*facet, names);
        } else {
            behind.insert(*facet, names);
        }
    }
    if ledger.contact_id.as_ref().is_some_and(|known| *known != contact.id) {
        // Whatever the CRM takes of the user tells the contact's new id; what stands refused does not.
        let sendable = state.iter().filter(|(facet, held)| !is_refused(ledger, **facet, held));
        let sendable: Vec<Facet> = sendable.map(|(facet, _)| *facet).collect();
        at_desk |= sendable.is_empty();
        if !sendable.is_empty() {
            let differences = names_of(&sendable);
            findings.push(finding(Class::Merged, user, Some(&contact.id), differences));
        }
    }
    if ledger.contact_id.is_none() && !at_desk {
        behind.entry(Facet::Identity).or_default();
    }
    for (class, differences) in [(Class::Stale, behind), (Class::Edited, edited)] {
        if !differences.is_empty() {
            findings.push(finding(class, user, Some(&contact.id), differences));
        }
    }
    match (findings.is_empty(), at_desk) {
        (false, _) => Compared::Differs(findings),
        (true, true) => Compared::AtDesk,
        (true, false) => Compared::Right,
    }
}

/// What has to be sent of a user so that the CRM gets to know what it did not acknowledge.
pub fn of_ledger(
    user: &UserId,
    state: &BTreeMap<Facet, Projected>,
    known: &Known,
    key: KeyKind,
) -> Compared {
    let ledger = &known.ledger;
    if ledger.removal.is_some() || state.is_empty() {
        return Compared::Right;
    }
    if known.busy {
        return Compared::InFlight;
    }
    if ledger.contact_id.is_none() {
        return without_contact(user, state, ledger, key);
    }
    let behind = state.iter().filter(|(facet, projected)| !ledger.holds(**facet, &projected.hash));
    let (refused, behind): (Vec<_>, Vec<_>) =
        behind.partition(|(facet, projected)| is_refused(ledger, **facet, projected));
    if behind.is_empty() {
        return if refused.is_empty() { Compared::Right } else { Compared::AtDesk };
    }
    let facets: Vec<Facet> = behind.into_iter().map(|(facet, _)| *facet).collect();
    let contact = ledger.contact_id.as_ref();
    Compared::Differs(vec![finding(Class::Stale, user, contact, names_of(&facets))])
}

/// What is wrong with a contact that carries the id of `user`, of whom `known` is known and who does
/// or does not exist.
pub fn of_contact(
    contact: &ContactView,
    user: &UserId,
    known: &Known,
    exists: bool,
    key: KeyKind,
) -> Compared {
    let found =
        |class| Compared::Differs(vec![finding(class, user, Some(&contact.id), BTreeMap::new())]);
    match &known.ledger.removal {
        Some(removal) if removal.done_at.is_none() => return Compared::InFlight,
        // People may bring back what was only archived.
        Some(removal) => {
            return match removal.kind {
                RemovalKind::Erase => found(Class::Erased),
                RemovalKind::Archive => Compared::Right,
            };
        }
        None => {}
    }
    if !exists {
        return found(Class::Foreign);
    }
    let own = known.ledger.contact_id.as_ref();
    let is_other = own.is_some_and(|own| *own != contact.id && !contact.merged.contains(own));
    match (key, is_other, known.busy) {
        (KeyKind::Email, true, true) => Compared::InFlight,
        (KeyKind::Email, true, false) => found(Class::Duplicate),
        (KeyKind::Email, false, _) | (KeyKind::UserId, _, _) => Compared::Right,
    }
}

/// A contact that carries something which is no user's id.
pub fn of_nobody(contact: &ContactView) -> Finding {
    Finding {
        class: Class::Foreign,
        user: None,
        contact_id: Some(contact.id.clone()),
        differences: BTreeMap::new(),
        repair: Repair::None,
    }
}

fn finding(
    class: Class,
    user: &UserId,
    contact: Option<&String>,
    differences: BTreeMap<Facet, Vec<String>>,
) -> Finding {
    let (user, contact_id) = (Some(user.clone()), contact.cloned());
    Finding { class, user, contact_id, differences, repair: Repair::None }
}

fn names_of(facets: &[Facet]) -> BTreeMap<Facet, Vec<String>> {
    facets.iter().map(|facet| (*facet, Vec::new())).collect()
}

fn is_refused(ledger: &Ledger, facet: Facet, projected: &Projected) -> bool {
    let entry = ledger.facets.get(&facet).and_then(|entry| entry.refused.as_ref());
    entry.is_some_and(|refused| refused.hash == projected.hash)
}

fn differing(projected: &Projected, contact: &ContactView) -> Vec<String> {
    let ours = projected.properties.iter();
    let differing = ours.filter(|(name, value)| {
        let theirs = contact.properties.get(**name).map(String::as_str).unwrap_or_default();
        !is_same(kind_of(name), value, theirs)
    });
    differing.map(|(name, _)| (*name).to_owned()).collect()
}

fn kind_of(name: &str) -> PropertyKind {
    let property = SCHEMA.properties.iter().find(|property| property.name == name);
    property.map_or(PropertyKind::Text, |property| property.kind)
}

/// Whether two texts are one value: a CRM keeps instants and numbers in forms of its own.
fn is_same(kind: PropertyKind, ours: &str, theirs: &str) -> bool {
    if ours == theirs {
        return true;
    }
    match kind {
        PropertyKind::Text | PropertyKind::LongText | PropertyKind::Date => false,
        PropertyKind::Number => match (ours.parse::<f64>(), theirs.parse::<f64>()) {
            (Ok(ours), Ok(theirs)) => ours.total_cmp(&theirs).is_eq(),
            _ => false,
        },
        PropertyKind::DateTime => match (ours.parse::<Timestamp>(), theirs.parse::<Timestamp>()) {
            (Ok(ours), Ok(theirs)) => ours.as_millisecond() == theirs.as_millisecond(),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests;
