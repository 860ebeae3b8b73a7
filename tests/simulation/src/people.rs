//! People at work in the CRM: they change what is ours, merge, archive and erase contacts. The CRM
//! tells us of it late, twice, in any order, or never.

use std::collections::BTreeMap;

use rollcall_crm::inbound::work::Delivery;
use rollcall_crm::inbound::{Author, Happened, Notice, Screened, screen};
use rollcall_crm::pending::token;
use rollcall_crm::port::KeyKind;
use rollcall_crm::schema::{EMAIL, SCHEMA, USER_ID};
use rollcall_domain::time::Clock;

use crate::world::{State, World};

/// Addresses that a contact took over from those which were merged into it.
pub(crate) const MORE_ADDRESSES: &str = "hs_additional_emails";
const TOLD_AFTER_MS_MAX: usize = 120_000;

impl World {
    /// Somebody does something to a random contact.
    pub(crate) fn meddle(&self) {
        let contacts: Vec<String> = self.state().contacts.keys().cloned().collect();
        let Some(contact) = contacts.get(self.below(contacts.len())).cloned() else { return };
        let other = contacts[self.below(contacts.len())].clone();
        let happened = match self.below(20) {
            0 => {
                self.state().contacts.remove(&contact);
                Happened::Erased { contact }
            }
            1 | 2 => {
                self.state().contacts.remove(&contact);
                Happened::Archived { contact }
            }
            3..6 if other != contact && self.may_merge(&contact, &other) => {
                self.merge(contact, other)
            }
            _ => self.edit(contact),
        };
        self.tell_us(happened);
    }

    /// Where contacts are found by address alone, nobody can tell two members on one contact apart, nor
    /// find who lost address or key (docs/decisions/0018-what-the-crm-tells-us.md).
    fn may_merge(&self, one: &str, other: &str) -> bool {
        let state = self.state();
        let is_ours = |contact| state.contacts[contact].contains_key(USER_ID);
        self.key == KeyKind::UserId || !(is_ours(one) && is_ours(other))
    }

    fn edit(&self, contact: String) -> Happened {
        let property = SCHEMA.properties[self.below(SCHEMA.properties.len())].name;
        let number = self.below(1_000_000);
        let mut state = self.state();
        let held = state.contacts.get_mut(&contact).unwrap();
        match property {
            USER_ID | EMAIL if self.key == KeyKind::Email => {}
            USER_ID => drop(held.remove(USER_ID)),
            EMAIL => drop(held.insert(EMAIL.to_owned(), format!("edited-{number}@example.org"))),
            _ => drop(held.insert(property.to_owned(), format!("edited {number}"))),
        }
        Happened::Changed { contact, property: property.to_owned() }
    }

    /// The values of `primary` win, and its id stays or there is a new one.
    fn merge(&self, primary: String, merged: String) -> Happened {
        let is_new = self.below(2) == 0;
        let mut state = self.state();
        let survivor = if is_new { state.next_contact() } else { primary.clone() };
        let mut values = state.contacts.remove(&primary).unwrap();
        let others = state.contacts.remove(&merged).unwrap();
        let addresses = [values.get(MORE_ADDRESSES), others.get(EMAIL), others.get(MORE_ADDRESSES)];
        let addresses: Vec<String> = addresses.into_iter().flatten().cloned().collect();
        for (name, value) in others {
            values.entry(name).or_insert(value);
        }
        values.insert(MORE_ADDRESSES.to_owned(), addresses.join(";"));
        state.contacts.insert(survivor.clone(), values);
        for old in [&primary, &merged].into_iter().filter(|old| **old != survivor) {
            state.merged.insert(old.clone(), survivor.clone());
        }
        Happened::Merged { primary, merged: vec![merged], survivor }
    }

    /// The CRM tells us, unless that is lost. An erasure never is: nothing else could tell of it.
    fn tell_us(&self, happened: Happened) {
        if screen(&happened, Author::Other) != Screened::Concerns {
            return;
        }
        if !matches!(happened, Happened::Erased { .. }) && self.below(5) == 0 {
            return;
        }
        let notice = Notice { id: token(&*self.random), at: self.now(), happened };
        for _ in 0..=usize::from(self.below(4) == 0) {
            let (id, trace_id) = (token(&*self.random), "told".to_owned());
            let delivery = Delivery { id, trace_id, looks: 0, notices: vec![notice.clone()] };
            self.deliver(delivery, self.below(TOLD_AFTER_MS_MAX));
        }
    }

    /// Hands a delivery to a function in `delay_ms`.
    pub(crate) fn deliver(&self, delivery: Delivery, delay_ms: usize) {
        let mut state = self.state();
        let at = state.now + i64::try_from(delay_ms).unwrap();
        state.deliveries.push((at, delivery));
    }
}

impl State {
    pub(crate) fn next_contact(&mut self) -> String {
        self.last_contact += 1;
        self.last_contact.to_string()
    }

    /// The id that a contact has now, after every merge.
    pub(crate) fn resolved(&self, contact: &str) -> String {
        let mut contact = contact.to_owned();
        while let Some(survivor) = self.merged.get(&contact) {
            contact.clone_from(survivor);
        }
        contact
    }

    /// The contact that has an address, be it its first or one that it took over.
    pub(crate) fn by_address(&self, address: &str) -> Option<String> {
        let has = |contact: &BTreeMap<String, String>| {
            let more = contact.get(MORE_ADDRESSES).map(String::as_str).unwrap_or_default();
            contact.get(EMAIL).is_some_and(|held| held == address)
                || more.split(';').any(|held| held == address)
        };
        let mut contacts = self.contacts.iter();
        contacts.find(|(_, contact)| has(contact)).map(|(id, _)| id.clone())
    }
}
