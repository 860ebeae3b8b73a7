//! The ledger: what the CRM last acknowledged about a user, and who may send about them now.

use std::collections::BTreeMap;

use rollcall_domain::facet::Facet;
use rollcall_domain::id::DeadLetterId;
use rollcall_domain::time::Timestamp;

use crate::desk::Edit;
use crate::removal::Removal;

/// What the CRM acknowledged of one facet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Hash of the properties.
    pub hash: String,
    /// Version of the state they came from.
    pub version: u64,
    /// When.
    pub at: Timestamp,
}

/// What the CRM refused of one facet. It is not sent again until it changes or somebody replays it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Hash of the properties.
    pub hash: String,
    /// The open dead letter.
    pub dead_letter: DeadLetterId,
}

/// What is known about one facet in the CRM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FacetEntry {
    /// `None`: never, or we cannot tell what the CRM holds.
    pub acknowledged: Option<Acknowledged>,
    /// The last refusal, until it is overtaken.
    pub refused: Option<Refused>,
}

/// What is known about one user in the CRM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The CRM's own id of the contact; `None` until the CRM first accepted the user's identity.
    pub contact_id: Option<String>,
    /// Facet by facet.
    pub facets: BTreeMap<Facet, FacetEntry>,
    /// The contact has to leave the CRM or has left it: nothing is sent about this user.
    pub removal: Option<Removal>,
    /// Milestones that the CRM refused, by id, and their open dead letters; at most
    /// [`crate::limits::MILESTONES_REFUSED_MAX`].
    pub milestones_refused: BTreeMap<String, DeadLetterId>,
    /// What an operator replaced in what was refused. Senders read it and never write it.
    pub edits: BTreeMap<Facet, Edit>,
}

/// The right to send about one user: at most one sender at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Names the holder.
    pub token: String,
    /// It ends here, released or not.
    pub until: Timestamp,
}

/// What asking for a lease led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAttempt {
    /// It is ours.
    Taken {
        /// What is known.
        ledger: Ledger,
        /// The holder before never released it: something may have been sent that nobody knows of.
        abandoned: bool,
    },
    /// Somebody else sends about this user.
    Busy,
}

impl Ledger {
    /// What is known of `facet`.
    pub fn facet(&self, facet: Facet) -> FacetEntry {
        self.facets.get(&facet).cloned().unwrap_or_default()
    }

    /// Whether the CRM holds exactly the state with `hash`.
    pub fn holds(&self, facet: Facet, hash: &str) -> bool {
        let entry = self.facets.get(&facet).and_then(|entry| entry.acknowledged.as_ref());
        entry.is_some_and(|acknowledged| acknowledged.hash == hash)
    }

    /// The ledger when nobody can tell what the CRM holds.
    #[must_use]
    pub fn doubted(mut self) -> Self {
        for entry in self.facets.values_mut() {
            entry.acknowledged = None;
        }
        self
    }
}
