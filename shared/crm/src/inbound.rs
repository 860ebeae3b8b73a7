//! What the CRM tells us: which of it matters, and what follows here.
//!
//! Notices may come late, twice and in any order. So none of them is taken for the state of anything:
//! each only says that something happened to a contact, and what follows is right whenever it is done.

use std::collections::BTreeMap;

use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::removal::RemovalKind;
use crate::schema::{LIFECYCLE_STAGE, SCHEMA};

pub mod work;

/// How often an unknown contact is looked up: soon after a contact was made, nobody may know yet
/// whose it is.
pub const LOOKS_MAX: u32 = 2;
/// Between the two looks.
pub const LOOK_AGAIN_SECONDS: u32 = 15 * 60;
/// A notice that was taken is remembered this long; the CRM repeats one for a day.
pub const NOTICE_KEPT_SECONDS: i64 = 3 * 24 * 60 * 60;
/// The old id of a merged contact leads to its user this long.
pub const ALIAS_KEPT_SECONDS: i64 = 90 * 24 * 60 * 60;
/// What a person changed in the CRM is remembered this long.
pub const DRIFT_KEPT_SECONDS: i64 = 90 * 24 * 60 * 60;
/// Contacts that one merge names.
pub const MERGED_MAX: usize = 20;
/// Notices in one delivery; HubSpot's own maximum.
pub const NOTICES_MAX: usize = 100;

/// Something that happened to a contact in the CRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Names it: the same notice never comes with another id.
    pub id: String,
    /// When it happened, as the CRM says.
    pub at: Timestamp,
    /// What.
    pub happened: Happened,
}

/// What happened to a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Happened {
    /// Several became one.
    Merged {
        /// The one whose values won.
        primary: String,
        /// The others.
        merged: Vec<String>,
        /// The one that there is now.
        survivor: String,
    },
    /// It was erased for good, since the person asked for that.
    Erased {
        /// Which.
        contact: String,
    },
    /// It was archived.
    Archived {
        /// Which.
        contact: String,
    },
    /// It was brought back from the archive.
    Restored {
        /// Which.
        contact: String,
    },
    /// A property changed.
    Changed {
        /// Which contact.
        contact: String,
        /// Which property, by its name in the CRM.
        property: String,
    },
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// Our own sync.
    Us,
    /// A person, or another program.
    Other,
}

/// What the CRM wants of an edit that a person made to something of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It is noted, and what we hold is written again.
    Ours,
    /// It is noted, and stays until the same facet changes here.
    Theirs,
}

/// What becomes of a notice before anything is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screened {
    /// It has to be looked at.
    Concerns,
    /// It tells us what we did ourselves.
    Echo,
    /// It is about nothing of ours.
    Foreign,
}

/// Whose a contact is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: UserId,
    /// Whether this is the contact's id now, and not one from before a merge.
    pub is_current: bool,
    /// The contact has to leave the CRM, or has left it.
    pub removal: Option<RemovalKind>,
}

/// What follows from a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The user's contact has another id from now on; the old ids still lead to the user. Everything is
    /// sent again, since values of others may have won.
    Repoint {
        /// Whose contact.
        user: UserId,
        /// Its id until now.
        from: String,
        /// Its id from now on.
        to: String,
        /// Ids that lead to the user.
        aliases: Vec<String>,
    },
    /// The user has no contact any more; the next sync makes one, or finds out why it cannot.
    Unlink {
        /// Whose contact.
        user: UserId,
        /// Its id until now.
        from: String,
    },
    /// The user is erased: in the CRM from now on, here when the grace time is over.
    Erase {
        /// Who.
        user: UserId,
    },
    /// Somebody changed what is ours.
    Drift(Drift),
}

/// Something of ours that somebody else changed in the CRM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Whose.
    pub user: UserId,
    /// What: a property's name, or [`WHOLE_CONTACT`].
    pub what: String,
    /// When, as the CRM says.
    pub at: Timestamp,
    /// The facets that are written again; none if the other side wins.
    pub again: Vec<Facet>,
}

/// Names the contact as a whole where a property could stand.
pub const WHOLE_CONTACT: &str = "contact";

impl Happened {
    /// The contacts that it is about, by the ids in the notice. Of a merge the new one comes first, since
    /// whoever is known by that has learned of the merge already, and then the one whose values won.
    pub fn contacts(&self) -> Vec<&str> {
        match self {
            Self::Merged { primary, merged, survivor } => {
                let old = std::iter::once(primary).chain(merged);
                let is_new = !old.clone().any(|contact| contact == survivor);
                let new = is_new.then_some(survivor);
                new.into_iter().chain(old).map(String::as_str).collect()
            }
            Self::Erased { contact }
            | Self::Archived { contact }
            | Self::Restored { contact }
            | Self::Changed { contact, .. } => vec![contact.as_str()],
        }
    }

    /// Whether it matters even though nobody knows the contact yet.
    pub fn is_worth_another_look(&self) -> bool {
        match self {
            Self::Merged { .. } | Self::Erased { .. } => true,
            Self::Archived { .. } | Self::Restored { .. } | Self::Changed { .. } => false,
        }
    }
}

/// The facet that owns a property and would write it again; the stage of a contact in the sales
/// process is the CRM's once the contact is made.
pub fn owner_of(property: &str) -> Option<Facet> {
    let mut owned = SCHEMA.properties.iter().filter(|owned| owned.name != LIFECYCLE_STAGE);
    owned.find(|owned| owned.name == property).map(|owned| owned.facet)
}

/// What becomes of a notice by `author`. Merges and erasures count whoever made them: to take one in
/// twice does no harm, and to miss one would.
pub fn screen(happened: &Happened, author: Author) -> Screened {
    match (happened, author) {
        (Happened::Merged { .. } | Happened::Erased { .. }, Author::Us | Author::Other) => {
            Screened::Concerns
        }
        (Happened::Changed { property, .. }, _) if owner_of(property).is_none() => {
            Screened::Foreign
        }
        (
            Happened::Archived { .. } | Happened::Restored { .. } | Happened::Changed { .. },
            Author::Us,
        ) => Screened::Echo,
        (
            Happened::Archived { .. } | Happened::Restored { .. } | Happened::Changed { .. },
            Author::Other,
        ) => Screened::Concerns,
    }
}

/// What follows from `notice`; `owners` are those of the contacts that it names, as far as they are
/// known. Nothing follows for who has to leave the CRM, except that an erasure outdoes an archiving.
pub fn decide(
    notice: &Notice,
    owners: &BTreeMap<String, Vec<Owner>>,
    policy: Policy,
) -> Vec<Effect> {
    let of = |contact: &str| owners.get(contact).map_or(&[][..], Vec::as_slice);
    let drift = |user: &UserId, what: &str, facets: Vec<Facet>| {
        let again = match policy {
            Policy::Ours => facets,
            Policy::Theirs => Vec::new(),
        };
        Effect::Drift(Drift { user: user.clone(), what: what.to_owned(), at: notice.at, again })
    };
    match &notice.happened {
        Happened::Merged { survivor, .. } => merge(&notice.happened, survivor, owners),
        Happened::Erased { contact } => {
            let staying = |owner: &&Owner| owner.removal != Some(RemovalKind::Erase);
            let erased = of(contact).iter().filter(staying);
            erased.map(|owner| Effect::Erase { user: owner.user.clone() }).collect()
        }
        Happened::Archived { contact } | Happened::Restored { contact } => {
            let staying =
                of(contact).iter().filter(|owner| owner.is_current && owner.removal.is_none());
            // Nothing may be told to a contact that is in the archive.
            let unlinks =
                policy == Policy::Ours && matches!(notice.happened, Happened::Archived { .. });
            let effects = staying.flat_map(|owner| {
                let user = owner.user.clone();
                let drift = drift(&user, WHOLE_CONTACT, Facet::ALL.to_vec());
                let unlink = unlinks.then(|| Effect::Unlink { user, from: contact.clone() });
                std::iter::once(drift).chain(unlink)
            });
            effects.collect()
        }
        Happened::Changed { contact, property } => {
            let facets: Vec<Facet> = owner_of(property).into_iter().collect();
            let staying = of(contact).iter().filter(|owner| owner.removal.is_none());
            staying.map(|owner| drift(&owner.user, property, facets.clone())).collect()
        }
    }
}

/// Of several users whose contacts became one, the survivor is the first one's: whose it is known to be,
/// or else the primary contact's, as its values win. The others are found to have none, and what then cannot be made comes to the desk.
/// Who is known by an old id alone was re-pointed before.
fn merge(
    happened: &Happened,
    survivor: &str,
    owners: &BTreeMap<String, Vec<Owner>>,
) -> Vec<Effect> {
    let contacts = happened.contacts();
    let current = contacts.iter().flat_map(|contact| {
        let owners = owners.get(*contact).map_or(&[][..], Vec::as_slice);
        let current = owners.iter().filter(|owner| owner.is_current && owner.removal.is_none());
        current.map(|owner| (owner.user.clone(), (*contact).to_owned()))
    });
    let aliases = || contacts.iter().filter(|contact| **contact != survivor);
    let mut effects = Vec::new();
    for (user, from) in current {
        effects.push(if effects.is_empty() {
            let aliases = aliases().map(|contact| (*contact).to_owned()).collect();
            Effect::Repoint { user, from, to: survivor.to_owned(), aliases }
        } else {
            Effect::Unlink { user, from }
        });
    }
    effects
}

#[cfg(test)]
mod tests;
