//! Faults of the earlier learning platform that concern routes as a whole: what is lost under load, what
//! is half written when a process dies, and what a path or a name leads to.

use futures::future::{join, join_all};
use rollcall_cli::catalogue;
use rollcall_runtime::declaration::Access;
use rollcall_tests::{Outcome, answers};
use serde_json::{Value, json};

use crate::access::example;
use crate::world;

#[tokio::test(flavor = "multi_thread")]
async fn d_01_a_hundred_events_of_one_learner_at_once_are_as_any_order_of_them() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    let edition = rollcall_cli::sample::edition().unwrap();
    let mut events = Vec::new();
    for module in edition.catalog.modules() {
        events.push(json!({ "event_name": "learning_module_started", "module_slug": module.slug }));
    }
    for course in edition.catalog.courses() {
        events
            .push(json!({ "event_name": "learning_course_enrolled", "course_slug": course.slug }));
        events.push(
            json!({ "event_name": "learning_page_viewed", "content_type": "course", "slug": course.slug }),
        );
    }
    let sending = events.iter().cycle().take(100).map(|event| {
        let (mut ada, body) = (ada.clone(), json!({ "events": [event] }));
        async move {
            // Who finds too many writers is told so, and comes again.
            for _attempt in 0..50 {
                let answer = ada.post("/events/track", Some(body.clone())).await;
                if answer.status == 200 {
                    return;
                }
                assert_eq!(answer.json()["code"], "conflict", "{answer:?}");
            }
            panic!("never taken: {body}");
        }
    });
    join_all(sending).await;
    let mut ada = ada;
    let enrolled = ada.get("/enrollments").await.json();
    let enrolled = enrolled["enrollments"].as_array().unwrap();
    assert_eq!(enrolled.len(), edition.catalog.courses().count(), "{enrolled:?}");
    for module in edition.catalog.modules() {
        let progress = ada.get(&format!("/modules/{}/progress", module.slug)).await.json();
        assert!(progress["started_at"].is_string(), "{progress}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d_05_a_submission_whose_process_dies_is_recorded_whole_or_not_at_all() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let module = "upserts-by-a-key";
    let id = ada.start_quiz(module, "check").await;
    let path = format!("/modules/{module}/quizzes/check/attempts");
    let body = json!({ "attempt_id": id, "answers": answers(module, "check", true) });
    let mut held =
        world.cloud.dynamodb.faults().hold_next("TransactWriteItems", "rollcall-dev-attempts");
    let mut asking = ada.clone();
    let killing = async {
        assert!(held.arrived().await);
        assert_eq!(world.cloud.lambda.kill_running("quiz-submit"), 1);
    };
    let (lost, ()) = join(asking.post(&path, Some(body.clone())), killing).await;
    assert!(lost.status >= 500, "{lost:?}");
    let attempts = format!("/modules/{module}/attempts");
    assert_eq!(ada.get(&attempts).await.json()["attempts"], json!([]));
    let progress = ada.get(&format!("/modules/{module}/progress")).await.json();
    assert_eq!(progress["tasks"][0]["attempt_count"], 0, "{progress}");
    // The same request again does all of it.
    let submitted = ada.post(&path, Some(body)).await;
    assert_eq!(submitted.json()["module_complete"], true, "{submitted:?}");
    let listed = ada.get(&attempts).await.json();
    assert_eq!(listed["attempts"].as_array().unwrap().len(), 1);
    let progress = ada.get(&format!("/modules/{module}/progress")).await.json();
    assert_eq!(progress["module_status"], "complete");
    world.finish(Outcome::Troubled).await;
}

/// A path of a route that leads to nothing, if the route's path names something of the catalogue.
fn nowhere(path: &str) -> Option<String> {
    path.contains("{slug}").then(|| example(&path.replace("{slug}", "nowhere")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_3_what_the_catalogue_does_not_have_is_not_found_on_every_route() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut checked = 0;
    let learning = catalogue::CONTEXTS.iter().filter(|(context, _)| *context == "learning");
    let learning = learning.flat_map(|(_, functions)| functions.iter());
    for function in
        learning.filter(|function| matches!(function.access, Access::Public | Access::User))
    {
        for route in function.routes() {
            let Some(path) = nowhere(route.path) else { continue };
            let body =
                json!({ "attempt_id": "att_00000000000070008000000000000000", "answers": [] });
            let body = path.ends_with("/attempts").then_some(body);
            let method = route.method.as_str();
            let body = body.filter(|_| method == "POST");
            let answer = ada.change(method, &path, body).await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
            assert_eq!(answer.json()["code"], "not-found", "{path}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} routes were asked");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_6_a_path_is_one_route_or_none() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut paths = Vec::new();
    for function in catalogue::functions() {
        for route in function.routes().filter(|route| route.method.as_str() == "GET") {
            let path = example(route.path);
            paths.extend([format!("/shadow{path}"), format!("{path}x/y/z"), path.to_uppercase()]);
        }
    }
    for path in paths {
        let answer = ada.get(&path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_ne!(answer.json(), Value::Null, "{path} is answered in JSON");
    }
    world.finish(Outcome::Clean).await;
}
