//! Reconciliations and what they found, as operators see them.

use std::collections::BTreeMap;

use rollcall_crm::reconcile::{Class, Finding, Reconciliation, Repair};
use schemars::JsonSchema;
use serde::Serialize;

/// A comparison of all users with the CRM.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReconciliationView {
    /// Its id.
    id: String,
    /// `running` or `done`.
    status: &'static str,
    /// `report`, `repair`, `repair-owned-only` or `backfill`.
    policy: &'static str,
    /// Whether it only says what it would do.
    dry_run: bool,
    /// What is looked at: `users`, `contacts`, or `closing`.
    phase: &'static str,
    /// Users who were compared so far.
    users: u64,
    /// Contacts that were looked at so far.
    contacts: u64,
    /// Users of whom something was on its way, so that nothing can be said.
    in_flight: u64,
    /// Users of whom a dead letter waits at the desk.
    at_desk: u64,
    /// Findings by class: `missing`, `stale`, `edited`, `merged`, `duplicate`, `erased`, `foreign`.
    found: BTreeMap<&'static str, u64>,
    /// Findings about which something is done, or would be.
    repaired: u64,
    /// Who began it: a user's id, or `client:` and a client's.
    started_by: String,
    /// When (RFC 3339, UTC).
    started_at: String,
    /// When it last came further (RFC 3339, UTC).
    updated_at: String,
    /// When it was through (RFC 3339, UTC).
    finished_at: Option<String>,
}

impl From<Reconciliation> for ReconciliationView {
    fn from(run: Reconciliation) -> Self {
        let count = |class: Class| run.counts.found.get(&class).copied().unwrap_or_default();
        let found = Class::ALL.map(|class| (class.as_str(), count(class))).into();
        Self {
            id: run.id.into(),
            status: if run.finished_at.is_some() { "done" } else { "running" },
            policy: run.policy.as_str(),
            dry_run: run.dry_run,
            phase: run.phase.as_str(),
            users: run.counts.users,
            contacts: run.counts.contacts,
            in_flight: run.counts.in_flight,
            at_desk: run.counts.at_desk,
            found,
            repaired: run.counts.repaired,
            started_by: run.started_by,
            started_at: run.started_at.to_string(),
            updated_at: run.updated_at.to_string(),
            finished_at: run.finished_at.map(|at| at.to_string()),
        }
    }
}

/// A difference. It names people and contacts by id, and properties by name.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FindingView {
    /// `missing`, `stale`, `edited`, `merged`, `duplicate`, `erased` or `foreign`.
    class: &'static str,
    /// Whose contact it is; none when it carries something that is no user's id.
    user_id: Option<String>,
    /// The contact, if there is one.
    contact_id: Option<String>,
    /// The properties that differ, by facet.
    differences: BTreeMap<&'static str, Vec<String>>,
    /// What is done about it, or would be in a dry run: `none`, `send`, `remove` or `release`.
    repair: &'static str,
    /// The facets that are sent again.
    facets: Vec<&'static str>,
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        let differences = finding.differences.into_iter();
        let facets = match &finding.repair {
            Repair::Send(facets) => facets.iter().map(|facet| facet.as_str()).collect(),
            Repair::None | Repair::Remove | Repair::Release => Vec::new(),
        };
        Self {
            class: finding.class.as_str(),
            user_id: finding.user.map(String::from),
            contact_id: finding.contact_id,
            differences: differences.map(|(facet, names)| (facet.as_str(), names)).collect(),
            repair: finding.repair.as_str(),
            facets,
        }
    }
}
