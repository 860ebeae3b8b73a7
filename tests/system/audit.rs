//! The audit log: what an operator did is told once, completely, and for good.

use std::collections::BTreeSet;

use rollcall_cli::catalogue;
use rollcall_resources::{Resource, Table};
use rollcall_tests::{Answer, Browser, Outcome};
use serde_json::{Value, json};

use crate::idempotency::world_with_dead_letters;

async fn list(browser: &mut Browser, query: &str) -> Value {
    let answer = browser.get(&format!("/admin/audit?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

fn subjects(page: &Value) -> Vec<&str> {
    let entries = page["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["subject"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_did_is_told_once_by_subject_actor_and_day() {
    let (world, mut grace, letters) = world_with_dead_letters().await;
    world.mend_hubspot().await;
    let me = grace.get("/auth/me").await.json();
    let operator = me["user_id"].as_str().unwrap();
    let ids: Vec<&str> = letters.iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    for id in &ids {
        let replay = |answer: Answer| answer.status;
        let path = format!("/admin/dead-letters/{id}/replay");
        assert_eq!(replay(grace.post(&path, None).await), 202);
        assert_eq!(replay(grace.post(&path, None).await), 409);
    }

    let one = list(&mut grace, &format!("subject={}", ids[0])).await;
    let entry = &one["entries"][0];
    assert_eq!(subjects(&one), [ids[0]]);
    assert_eq!(
        (&entry["action"], &entry["actor"]),
        (&json!("dead-letter-replayed"), &json!(operator))
    );
    assert_eq!(entry["details"]["user_id"], letters[0]["user_id"]);
    assert_eq!(entry["details"]["facet"], letters[0]["facet"]);
    assert!(!one.to_string().contains('@'), "{one}");

    let day = &entry["at"].as_str().unwrap()[..10];
    let newest_first: Vec<&str> = ids.iter().rev().copied().collect();
    for filter in [String::new(), format!("day={day}"), format!("actor={operator}")] {
        let first = list(&mut grace, &format!("{filter}&limit=2")).await;
        let cursor = first["cursor"].as_str().unwrap();
        let last = list(&mut grace, &format!("{filter}&limit=2&cursor={cursor}")).await;
        assert_eq!([subjects(&first), subjects(&last)].concat(), newest_first, "{filter}");
        assert_eq!(last["cursor"], Value::Null);
        for other in ["day=2020-01-01", "actor=usr_1", "subject=usr_1"] {
            let path = format!("/admin/audit?{other}&cursor={cursor}");
            let answer = grace.get(&path).await;
            assert_eq!(answer.json()["errors"][0]["code"], "invalid-cursor", "{answer:?}");
        }
    }
    for nothing in ["subject=nobody", "actor=client:nobody", "day=2020-02-29"] {
        let page = list(&mut grace, nothing).await;
        assert_eq!(page, json!({ "entries": [], "cursor": null }), "{nothing}");
    }
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_makes_no_sense_is_refused_with_its_field() {
    let world = crate::world().await;
    let mut grace = world.signed_in("grace").await;
    let long = "x".repeat(201);
    for (query, pointer) in [
        ("day=yesterday", "query:day"),
        ("day=2026-02-30", "query:day"),
        ("day=2026-1-1", "query:day"),
        ("subject=", "query:subject"),
        (&format!("actor={long}"), "query:actor"),
        ("subject=a&actor=b", "query:subject"),
        ("actor=a&day=2026-11-21", "query:subject"),
        ("cursor=x", "query:cursor"),
        ("limit=101", "query:limit"),
    ] {
        let answer = grace.get(&format!("/admin/audit?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{query}");
    }
    world.finish(Outcome::Clean).await;
}

#[test]
fn no_function_can_change_or_remove_what_was_told() {
    let mut actions = BTreeSet::new();
    for function in catalogue::functions() {
        for (resource, granted) in function.role_grants() {
            if let Resource::Table(Table::Audit) | Resource::Index(Table::Audit, _) = resource {
                actions.extend(granted);
            }
        }
    }
    assert_eq!(actions, BTreeSet::from(["dynamodb:PutItem", "dynamodb:Query"]));
    assert!(!Table::Audit.expires(), "the log forgets nothing by itself");
}
