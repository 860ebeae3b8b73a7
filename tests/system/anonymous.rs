//! What somebody did before they signed in: it becomes theirs, once, and overrides nothing.

use rollcall_domain::time::{SignedDuration, after};
use rollcall_tests::Outcome;
use serde_json::{Value, json};

use crate::world;

const MERGE: &str = "/progress/merge";

fn kept(id: &str, at: &str, event: &Value) -> Value {
    json!({ "id": id, "occurred_at": at, "event": event })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_signing_in_is_merged_once_and_bounded_in_time() {
    let world = world().await;
    let now = world.cloud.clock.now();
    let days_ago = |days: i64| after(now, SignedDuration::from_hours(-24 * days)).to_string();
    let started =
        |slug: &str| json!({ "event_name": "learning_module_started", "module_slug": slug });
    let read = json!({ "event_name": "learning_module_completed", "module_slug": "spare-reading" });
    let joined = json!({ "event_name": "learning_course_enrolled", "course_slug": "first-steps" });
    let viewed = |slug: &str| json!({ "event_name": "learning_page_viewed", "content_type": "course", "slug": slug });
    let untrue =
        json!({ "event_name": "learning_module_completed", "module_slug": "follow-a-change" });
    let events = json!({ "events": [
        kept("future", "2126-11-21T09:00:00Z", &started("read-the-ledger")),
        kept("old", "2020-01-01T00:00:00Z", &read),
        kept("joined", &days_ago(2), &joined),
        kept("untrue", &days_ago(2), &untrue),
        kept("gone", &days_ago(2), &started("nowhere")),
        kept("second", &days_ago(1), &viewed("first-steps")),
        kept("first", &days_ago(3), &viewed("hubspot-basics")),
        kept("known", &days_ago(9), &started("follow-a-change")),
    ] });
    let mut ada = world.signed_in("ada").await;
    ada.start_quiz("follow-a-change", "check").await;
    let before = ada.get("/modules/follow-a-change/progress").await.json();
    let merged = ada.post(MERGE, Some(events.clone())).await;
    assert_eq!(merged.status, 200, "{merged:?}");
    let merged = merged.json();
    let told = |merged: &Value| -> Vec<String> {
        let events = merged["events"].as_array().unwrap().iter();
        let told = |event: &Value| {
            let what = event["code"].as_str().or(event["status"].as_str()).unwrap();
            format!("{} {what}", event["id"].as_str().unwrap())
        };
        events.map(told).collect()
    };
    let expected = [
        "future recorded",
        "old recorded",
        "joined recorded",
        "untrue tasks-missing",
        "gone unknown-module",
        "second recorded",
        "first recorded",
        "known recorded",
    ];
    assert_eq!(told(&merged), expected);
    assert_eq!(merged["enrolled"][0]["slug"], "first-steps");

    let future = ada.get("/modules/read-the-ledger/progress").await.json();
    assert!(future["started_at"].as_str().unwrap() < world.cloud.clock.now().to_string().as_str());
    let old = ada.get("/modules/spare-reading/progress").await.json();
    let completed_at = old["completed_at"].as_str().unwrap();
    assert!(completed_at > days_ago(91).as_str() && completed_at < days_ago(89).as_str(), "{old}");
    let after = ada.get("/modules/follow-a-change/progress").await.json();
    assert_eq!(after["started_at"], before["started_at"], "what was recorded first stays");
    let progress = ada.get("/progress").await.json();
    assert_eq!(progress["last_viewed"]["slug"], "first-steps");
    assert_eq!(progress["last_viewed"]["viewed_at"], days_ago(1));

    // Leaving is leaving, however often the browser repeats what it kept.
    assert_eq!(ada.delete("/enrollments/course/first-steps").await.status, 204);
    let again = ada.post(MERGE, Some(events)).await.json();
    assert_eq!(told(&again), expected);
    assert_eq!((&again["enrolled"], &again["modules"]), (&json!([]), &json!([])));
    let enrollments = ada.get("/enrollments").await.json();
    let left = enrollments["enrollments"].as_array().unwrap().iter();
    assert!(left.clone().all(|enrollment| enrollment["withdrawn_at"].is_string()), "{left:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_merges_at_once_are_as_good_as_one() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    let modules = ["spare-reading", "read-the-ledger", "follow-a-change"];
    let merging = (0..100).map(|number| {
        let mut ada = ada.clone();
        async move {
            let event = json!({
                "event_name": "learning_module_started",
                "module_slug": modules[number % modules.len()],
            });
            let events = json!({ "events": [kept("e", "2026-11-01T00:00:00Z", &event)] });
            let merged = ada.post(MERGE, Some(events)).await;
            assert!([200, 409].contains(&merged.status), "{merged:?}");
            usize::from(merged.status == 200 && merged.json()["modules"] != json!([]))
        }
    });
    let changed: usize = futures::future::join_all(merging).await.into_iter().sum();
    assert_eq!(changed, modules.len(), "each was recorded by one of the requests");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_events_that_no_browser_of_ours_keeps_are_refused_with_their_place() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let good = json!({ "event_name": "learning_module_started", "module_slug": "spare-reading" });
    let at = "2026-11-01T00:00:00Z";
    let many = vec![kept("e", at, &good); 51];
    for (events, pointer) in [
        (json!([]), "/events"),
        (json!(many), "/events"),
        (json!([kept("", at, &good)]), "/events/0/id"),
        (json!([kept("a b", at, &good)]), "/events/0/id"),
        (json!([kept(&"x".repeat(65), at, &good)]), "/events/0/id"),
        (json!([kept("e", "yesterday", &good)]), "/events/0/occurred_at"),
        (
            json!([kept("e", at, &json!({ "event_name": "learning_module_started" }))]),
            "/events/0/event/module_slug",
        ),
        (
            json!([kept(
                "e",
                at,
                &json!({
                    "event_name": "learning_module_started", "module_slug": "__proto__",
                })
            )]),
            "/events/0/event/module_slug",
        ),
        (
            json!([{ "id": "e", "occurred_at": at, "event": good, "user_id": "usr_1" }]),
            "/events/0/user_id",
        ),
    ] {
        let refused = ada.post(MERGE, Some(json!({ "events": events }))).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{refused:?}");
    }
    world.finish(Outcome::Clean).await;
}
