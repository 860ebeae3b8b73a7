//! A reconciliation that fails at any of its steps goes on where it was: everything is found once and
//! repaired.

#![cfg(test)]

use std::collections::BTreeSet;

use rollcall_bench::{Lab, Setup};
use rollcall_crm::reconcile::{Class, Finding, Policy};
use serde_json::json;

const USERS: usize = 6;
/// Far more steps than such a reconciliation takes.
const STEPS_MAX: i64 = 1_000;

/// A portal with something of everything that the ledger does not tell.
async fn drifted() -> Lab {
    let lab = Lab::start(Setup { api: "v3", key: "rollcall_user_id" }).await;
    for number in 0..USERS {
        lab.bench.memory.join(number);
    }
    lab.reconcile(Policy::Backfill).await;
    let contacts = lab.bench.hubspot.contacts();
    let ids: Vec<&String> = contacts.iter().map(|contact| &contact.id).collect();
    lab.ask("/_emulator/edit", &json!({ "id": ids[0], "archived": true })).await;
    let edit = json!({ "id": ids[1], "properties": { "lastname": "Edited" } });
    lab.ask("/_emulator/edit", &edit).await;
    let stranger = lab.bench.memory.stranger();
    let foreign = json!({ "email": "f@elsewhere.example", "rollcall_user_id": stranger.as_str() });
    lab.ask("/crm/v3/objects/contacts", &json!({ "properties": foreign })).await;
    lab
}

fn classes(findings: &[Finding]) -> Vec<Class> {
    findings.iter().map(|finding| finding.class).collect()
}

#[tokio::test]
async fn whatever_step_fails_everything_is_found_once_and_repaired() {
    let mut failed_steps = BTreeSet::new();
    for step in 0..STEPS_MAX {
        let lab = drifted().await;
        lab.bench.memory.fail_at(step);
        lab.reconcile(Policy::Repair).await;
        if !lab.bench.memory.has_failed() {
            break;
        }
        failed_steps.insert(step);
        let found = classes(&lab.bench.memory.found());
        assert_eq!(found, [Class::Missing, Class::Edited, Class::Foreign], "{step}");
        lab.reconcile(Policy::Report).await;
        assert_eq!(lab.bench.memory.found(), [], "{step}");
        assert_eq!(lab.bench.hubspot.violations(), [], "{step}");
    }
    assert!(failed_steps.len() > 30, "only {} steps", failed_steps.len());
}
