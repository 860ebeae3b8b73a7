//! Reconciliation: every user is compared with the CRM and every contact with our users, page by
//! page, and what differs is told and, if the policy wants it, put right.
//!
//! Comparing ([`compare`]) is pure. A step ([`work`]) looks at one page and commits where it stands,
//! what it counted and what it found as one write; only then are repairs made, and a step that
//! follows a crash makes them again before it goes on. A repair is never a write of its own beside the
//! sync: it marks the user as pending, so that the next sender takes the lease and sends what is true
//! then. Only contacts that no user of ours has are written to directly.

use std::collections::BTreeMap;

use rollcall_domain::facet::Facet;
use rollcall_domain::id::{ReconciliationId, UserId};
use rollcall_domain::time::Timestamp;

use crate::schema::{Origin, SCHEMA};

pub mod compare;
pub mod work;

/// What is compared, and who wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Tells what differs and changes nothing.
    Report,
    /// Everything becomes as we have it.
    Repair,
    /// As [`Policy::Repair`], but what people wrote into fields that the CRM brings with it stays, and
    /// contacts that are not our users' are left alone.
    RepairOwnedOnly,
    /// Sends every user of whom the CRM did not acknowledge the present state. The CRM is not read,
    /// so a call is spent on every hundred users who need one and on nobody else.
    Backfill,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 4] = [Self::Report, Self::Repair, Self::RepairOwnedOnly, Self::Backfill];

    /// The name in tables and requests, kebab-case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Repair => "repair",
            Self::RepairOwnedOnly => "repair-owned-only",
            Self::Backfill => "backfill",
        }
    }

    /// The policy with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }

    /// What is to be done about a finding.
    pub fn repair(self, finding: &Finding) -> Repair {
        let all = || Repair::Send(finding.differences.keys().copied().collect());
        match (self, finding.class) {
            (Self::Report, _) => Repair::None,
            (
                Self::Repair | Self::RepairOwnedOnly | Self::Backfill,
                Class::Missing | Class::Stale | Class::Merged,
            )
            | (Self::Repair, Class::Edited) => all(),
            (Self::RepairOwnedOnly, Class::Edited) => {
                let facets = finding.differences.iter();
                let ours = facets.filter(|(_, names)| names.iter().all(|name| is_ours(name)));
                let ours: Vec<Facet> = ours.map(|(facet, _)| *facet).collect();
                if ours.is_empty() { Repair::None } else { Repair::Send(ours) }
            }
            (Self::Repair | Self::RepairOwnedOnly, Class::Erased) => Repair::Remove,
            (Self::Repair, Class::Foreign | Class::Duplicate) => Repair::Release,
            (Self::RepairOwnedOnly, Class::Foreign | Class::Duplicate)
            | (Self::Backfill, Class::Edited | Class::Erased | Class::Foreign | Class::Duplicate) => {
                Repair::None
            }
        }
    }
}

fn is_ours(property: &str) -> bool {
    SCHEMA.properties.iter().any(|p| p.name == property && p.origin == Origin::Ours)
}

/// In which way the CRM differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A user has no contact.
    Missing,
    /// A contact has not what we have, and never acknowledged it. A change that is on its way at this
    /// moment looks the same.
    Stale,
    /// A contact acknowledged what we have and holds something else now: somebody changed it there.
    Edited,
    /// A user's contact is another record than we knew: somebody merged it, or made it anew.
    Merged,
    /// A second contact carries a user's id; only where the portal refuses unique keys.
    Duplicate,
    /// There is a contact of a user whom the CRM had to forget.
    Erased,
    /// A contact carries the id of a user whom we do not know.
    Foreign,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::Stale,
        Self::Edited,
        Self::Merged,
        Self::Duplicate,
        Self::Erased,
        Self::Foreign,
    ];

    /// The name in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Edited => "edited",
            Self::Merged => "merged",
            Self::Duplicate => "duplicate",
            Self::Erased => "erased",
            Self::Foreign => "foreign",
        }
    }
}

/// What is to be done about a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    #[default]
    None,
    /// These facets are sent again, whatever the CRM acknowledged.
    Send(Vec<Facet>),
    /// The contact is erased once more.
    Remove,
    /// Our properties are taken off the contact; the rest of it is left to those whose it is.
    Release,
}

impl Repair {
    /// The name in tables and answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Send(_) => "send",
            Self::Remove => "remove",
            Self::Release => "release",
        }
    }
}

/// A difference. It names people and contacts by id and properties by name, and holds no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which way the CRM differs.
    pub class: Class,
    /// Whose contact it is; `None` when it carries something that is no user's id.
    pub user: Option<UserId>,
    /// The contact, if there is one.
    pub contact_id: Option<String>,
    /// The properties that differ, by facet.
    pub differences: BTreeMap<Facet, Vec<String>>,
    /// What is done about it, or would be in a dry run.
    pub repair: Repair,
}

/// What a reconciliation looked at and found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users who were compared.
    pub users: u64,
    /// Contacts that were looked at.
    pub contacts: u64,
    /// Users, or contacts, of whom something was on its way, so that nothing can be said.
    pub in_flight: u64,
    /// Users of whom a dead letter waits at the desk.
    pub at_desk: u64,
    /// Findings by class.
    pub found: BTreeMap<Class, u64>,
    /// Findings about which something is done, or would be in a dry run.
    pub repaired: u64,
}

/// What is looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Our users, each with their contact.
    Users,
    /// The contacts, each with its user.
    Contacts,
    /// Everything was looked at.
    Closing,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 3] = [Self::Users, Self::Contacts, Self::Closing];

    /// The name in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Contacts => "contacts",
            Self::Closing => "closing",
        }
    }
}

/// A reconciliation, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// Its id.
    pub id: ReconciliationId,
    /// What is compared, and who wins.
    pub policy: Policy,
    /// Whether repairs are only told.
    pub dry_run: bool,
    /// Who began it: a user's id, or `client:` and a client's.
    pub started_by: String,
    /// When.
    pub started_at: Timestamp,
    /// When it last came further.
    pub updated_at: Timestamp,
    /// When it was through.
    pub finished_at: Option<Timestamp>,
    /// What is looked at next.
    pub phase: Phase,
    /// Where in the phase it goes on.
    pub cursor: Option<String>,
    /// Pages that were committed.
    pub pages: u32,
    /// The page whose repairs may not be made yet.
    pub owing: Option<u32>,
    /// What it found.
    pub counts: Counts,
    /// Changes with every commit.
    pub version: u64,
}

impl Reconciliation {
    /// One that begins now.
    pub fn begin(
        id: ReconciliationId,
        policy: Policy,
        dry_run: bool,
        started_by: String,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            policy,
            dry_run,
            started_by,
            started_at: now,
            updated_at: now,
            finished_at: None,
            phase: Phase::Users,
            cursor: None,
            pages: 0,
            owing: None,
            counts: Counts::default(),
            version: 1,
        }
    }

    /// Whether repairs are made and not only told.
    pub fn repairs(&self) -> bool {
        self.policy != Policy::Report && !self.dry_run
    }
}
