//! What instructors say about others' work: it counts by the one rule, is told, and takes nothing back.

use rollcall_tests::{Browser, Outcome, World};
use serde_json::{Value, json};

use crate::desk::{administer, user_id};
use crate::world;

/// Lin, whom an administrator has made an instructor.
pub(crate) async fn instructor(world: &World) -> Browser {
    let mut lin = world.signed_in("lin").await;
    let id = user_id(&mut lin).await;
    let mut grace = world.signed_in("grace").await;
    let roles = json!({ "granted_roles": ["instructor"] });
    assert_eq!(administer(&mut grace, &id, roles).await.status, 200);
    world.signed_in("lin").await
}

fn path(user: &str, task: &str) -> String {
    format!("/admin/users/{user}/modules/follow-a-change/tasks/{task}/grade")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grade_counts_as_any_outcome_and_the_attempt_stays_as_it_was() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    let mut lin = instructor(&world).await;
    for module in ["start-the-local-cloud", "sign-in-as-a-member"] {
        ada.complete_module(module).await;
    }
    let attempt = ada.start_quiz("follow-a-change", "check").await;
    ada.submit_quiz("follow-a-change", "check", &attempt, false).await;
    let body = json!({ "score": 80, "reason": "The second question was unclear." });
    let graded = lin.post(&path(&ada_id, "check"), Some(body.clone())).await;
    assert_eq!(graded.status, 200, "{graded:?}");
    let graded = graded.json();
    assert_eq!((&graded["best_score"], &graded["attempt_count"]), (&json!(80), &json!(1)));
    assert_eq!(graded["module_complete"], false);
    let again = lin.post(&path(&ada_id, "check"), Some(body)).await;
    assert_eq!(again.json(), graded, "the same again changes nothing");

    let lower = json!({ "score": 10, "reason": "On second thoughts." });
    let lower = lin.post(&path(&ada_id, "check"), Some(lower)).await.json();
    assert_eq!((&lower["best_score"], &lower["done_at"]), (&json!(80), &graded["done_at"]));
    // An administrator may do what an instructor may.
    let mut grace = world.signed_in("grace").await;
    let lab = json!({ "reason": "Shown in class." });
    let lab = grace.post(&path(&ada_id, "watch-a-contact"), Some(lab)).await;
    assert_eq!(lab.json()["module_complete"], true, "{lab:?}");
    let course = ada.get("/courses/first-steps/status").await.json();
    assert_eq!(course["course_status"], "complete");
    let attempts = ada.get("/modules/follow-a-change/attempts").await.json();
    let attempts = attempts["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["score"]), (1, &json!(0)), "the attempt is kept");
    let progress = ada.get("/modules/follow-a-change/progress").await.json();
    let task = &progress["tasks"][0];
    assert_eq!((&task["status"], &task["best_score"]), (&json!("passed"), &json!(80)));
    assert_eq!(task["grading"]["reason"], "On second thoughts.");
    assert!(!progress.to_string().contains("usr_"), "who graded is not told: {progress}");

    let log = grace.get(&format!("/admin/audit?subject={ada_id}")).await.json();
    let told: Vec<Value> = log["entries"].as_array().unwrap().clone();
    let scores: Vec<&Value> = told.iter().map(|entry| &entry["details"]["score"]).collect();
    assert_eq!(scores, [&Value::Null, &json!("10"), &json!("80")], "{told:?}");
    assert!(told.iter().all(|entry| entry["action"] == "task-graded"), "{told:?}");
    assert_eq!(told[2]["actor"], user_id(&mut lin).await);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grade_that_is_none_is_refused() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    let mut lin = instructor(&world).await;
    let lin_id = user_id(&mut lin).await;
    let nobody = "usr_019a9c5be40070008000000000000001";
    let good = json!({ "score": 80, "reason": "Good." });
    for (path, body, status, code) in [
        (path(&ada_id, "check"), json!({ "score": 101, "reason": "x" }), 422, "invalid-value"),
        (path(&ada_id, "check"), json!({ "reason": "x" }), 422, "invalid-value"),
        (path(&ada_id, "check"), json!({ "score": 1, "reason": " " }), 422, "invalid-value"),
        (path(&ada_id, "watch-a-contact"), good.clone(), 422, "invalid-value"),
        (path(&ada_id, "nothing"), good.clone(), 404, "not-found"),
        (path(nobody, "check"), good.clone(), 404, "not-found"),
        (path("somebody", "check"), good.clone(), 404, "not-found"),
        (path(&lin_id, "check"), good.clone(), 409, "own-work"),
    ] {
        let refused = lin.post(&path, Some(body)).await;
        assert_eq!(refused.status, status, "{path}: {refused:?}");
        assert_eq!(refused.json()["code"], code, "{path}: {refused:?}");
    }
    let forbidden = ada.post(&path(&lin_id, "check"), Some(good)).await;
    assert_eq!(forbidden.status, 403, "{forbidden:?}");
    let progress = ada.get("/modules/follow-a-change/progress").await.json();
    assert_eq!(progress["module_status"], "not_started");
    world.finish(Outcome::Clean).await;
}
