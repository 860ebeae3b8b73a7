//! Feature flags: opened and closed while everything runs, and told in the audit log.

use futures::future::join_all;
use rollcall_domain::flag::{Flag, SIGN_UP};
use rollcall_local::dynamodb::Fault;
use rollcall_tests::{Answer, Browser, Outcome, eventually};
use serde_json::{Value, json};

use crate::world;

const FLAG: &str = "/admin/flags/sign-up";

async fn set(grace: &mut Browser, value: &str) -> Answer {
    grace.put(FLAG, Some(json!({ "value": value }))).await
}

async fn told(grace: &mut Browser) -> Vec<(String, String)> {
    let answer = grace.get("/admin/audit?subject=flag:sign-up&limit=100").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = answer.json()["entries"].as_array().unwrap().clone();
    entries
        .iter()
        .rev()
        .map(|entry| (text(&entry["details"]["from"]), text(&entry["details"]["to"])))
        .collect()
}

/// Waits until newcomers are answered with `status`.
async fn sign_up_answers(browser: &Browser, status: u16) {
    eventually(&format!("signing up answers {status}"), async || {
        let answer = browser.clone().get("/auth/signup").await;
        (answer.status == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_is_closed_and_opened_without_a_deployment_and_the_log_tells_who_did_it() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let nobody = world.browser();
    sign_up_answers(&nobody, 302).await;

    let listed = grace.get("/admin/flags").await.json();
    let names: Vec<&str> =
        listed["flags"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, Flag::ALL.map(|flag| flag.name));
    assert_eq!(
        (&listed["flags"][0]["value"], &listed["flags"][0]["version"]),
        (&json!("on"), &json!(0))
    );

    let closed = set(&mut grace, "off").await;
    assert_eq!(closed.status, 200, "{closed:?}");
    assert!(closed.header("etag").starts_with("\"1."), "{closed:?}");
    assert_eq!(
        set(&mut grace, "off").await.json(),
        closed.json(),
        "the same again changes nothing"
    );
    sign_up_answers(&nobody, 403).await;
    let page = nobody.clone().get("/auth/signup").await;
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert_eq!(nobody.clone().get("/auth/login").await.status, 302, "signing in stays open");

    assert_eq!(set(&mut grace, "25%").await.json()["value"], "25%");
    assert_eq!(set(&mut grace, "on").await.json()["version"], 3);
    sign_up_answers(&nobody, 302).await;
    let steps = [("on", "off"), ("off", "25%"), ("25%", "on")];
    assert_eq!(told(&mut grace).await, steps.map(|(from, to)| (from.to_owned(), to.to_owned())));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_none_are_refused_and_change_nothing() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    for (body, pointer) in [
        (json!({ "value": "100%" }), "/value"),
        (json!({ "value": "0%" }), "/value"),
        (json!({ "value": "ON" }), "/value"),
        (json!({ "value": "" }), "/value"),
        (json!({ "value": true }), "/value"),
        (json!({ "value": "on", "name": "other" }), "/name"),
        (json!({}), ""),
    ] {
        let answer = grace.put(FLAG, Some(body.clone())).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    for value in ["internal", "25%"] {
        let path = "/admin/flags/routes-learning";
        let answer = grace.put(path, Some(json!({ "value": value }))).await;
        assert_eq!(answer.status, 422, "a group of routes is on or off: {answer:?}");
    }
    let body = Some(json!({ "value": "off" }));
    for name in ["other", "Sign-Up", "sign-up%20"] {
        let answer = grace.put(&format!("/admin/flags/{name}"), body.clone()).await;
        assert_eq!(answer.status, 404, "{name}: {answer:?}");
    }
    assert_eq!(told(&mut grace).await, []);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_operators_each_changes_what_the_one_before_left() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let values: Vec<String> = (1..=12).map(|percent| format!("{percent}%")).collect();
    let setting = values.iter().map(|value| {
        let mut operator = grace.clone();
        async move { set(&mut operator, value).await }
    });
    let answers = join_all(setting).await;
    let set: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(!set.is_empty());
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)), "{answers:#?}");
    let mut steps = told(&mut grace).await;
    assert_eq!(steps.len(), set.len());
    // Entries of one millisecond have no order among themselves, so the chain is followed.
    let mut value = SIGN_UP.default.to_string();
    while !steps.is_empty() {
        let next = steps.iter().position(|(from, _)| *from == value);
        value =
            steps.remove(next.unwrap_or_else(|| panic!("{value} leads to none of {steps:?}"))).1;
    }
    let listed = grace.get("/admin/flags").await.json();
    let mut flags = listed["flags"].as_array().unwrap().iter();
    let flag = flags.find(|flag| flag["name"] == SIGN_UP.name).unwrap();
    assert_eq!(flag["value"], json!(value));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_to_be_open_does_not_answer() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let faults = world.cloud.dynamodb.faults();
    faults.fail_next("Query", "rollcall-dev-catalog", Fault::Throttling, 1_000);
    let answer = world.browser().get("/auth/signup").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "10"), "{answer:?}");
    assert_eq!(grace.get("/admin/users").await.status, 200, "what is in no group answers");
    faults.clear();
    sign_up_answers(&world.browser(), 302).await;
    world.finish(Outcome::Troubled).await;
}
