//! The documents that other systems get.

use std::collections::BTreeMap;

use rollcall_crm::milestone::Milestone;
use rollcall_crm::port::Input;
use rollcall_crm::removal::RemovalKind;
use rollcall_domain::time::Timestamp;
use serde::Serialize;

/// A message: what happened, when it was written, and the newest state.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    #[serde(flatten)]
    event: Event<'a>,
    timestamp: Timestamp,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "data")]
enum Event<'a> {
    #[serde(rename = "contacts.changed")]
    ContactsChanged { contacts: Vec<Contact<'a>> },
    #[serde(rename = "milestones.reached")]
    MilestonesReached { milestones: Vec<Reached<'a>> },
    #[serde(rename = "contact.removed")]
    ContactRemoved { user_id: &'a str, kind: &'static str },
}

#[derive(Debug, Serialize)]
struct Contact<'a> {
    user_id: &'a str,
    facets: Vec<&'static str>,
    properties: &'a BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Reached<'a> {
    id: &'a str,
    user_id: &'a str,
    kind: &'static str,
    at: Timestamp,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
}

impl<'a> Message<'a> {
    /// These users have these properties now.
    pub(crate) fn contacts(inputs: &'a [Input], timestamp: Timestamp) -> Self {
        let contacts = inputs.iter().map(|input| Contact {
            user_id: input.user.as_str(),
            facets: input.facets.iter().map(|facet| facet.as_str()).collect(),
            properties: &input.properties,
        });
        Self { event: Event::ContactsChanged { contacts: contacts.collect() }, timestamp }
    }

    /// These things happened.
    pub(crate) fn milestones(told: &'a [(Milestone, String)], timestamp: Timestamp) -> Self {
        let milestones = told.iter().map(|(milestone, _contact)| Reached {
            id: &milestone.id,
            user_id: milestone.user.as_str(),
            kind: milestone.kind.as_str(),
            at: milestone.at,
            subject: &milestone.subject,
        });
        Self { event: Event::MilestonesReached { milestones: milestones.collect() }, timestamp }
    }

    /// This user has to be forgotten, or set aside.
    pub(crate) fn removed(user_id: &'a str, kind: RemovalKind, timestamp: Timestamp) -> Self {
        Self { event: Event::ContactRemoved { user_id, kind: kind.as_str() }, timestamp }
    }
}
