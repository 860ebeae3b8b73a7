//! What every answer has in common.

use rollcall_cli::catalogue;
use rollcall_runtime::declaration::Method;
use rollcall_tests::Outcome;
use serde_json::json;

use crate::access::example;
use crate::desk::user_id;
use crate::profile::edit;
use crate::world;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_protected_and_can_be_traced() {
    let world = world().await;
    let mut browser = world.signed_in("ada").await;
    for path in ["/health", "/courses", "/auth/me", "/courses/nowhere", "/auth/callback"] {
        let answer = browser.get(path).await;
        for header in [
            "strict-transport-security",
            "x-content-type-options",
            "x-frame-options",
            "content-security-policy",
            "referrer-policy",
            "permissions-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "cache-control",
            "x-request-id",
            "content-type",
        ] {
            assert!(!answer.header(header).is_empty(), "{path} lacks {header}: {answer:?}");
        }
    }
    let missing = browser.get("/courses/nowhere").await;
    assert_eq!(missing.json()["instance"], missing.header("x-request-id"));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_not_sent_again_to_who_has_it() {
    let world = world().await;
    let mut browser = world.browser();
    let first = browser.get("/courses").await;
    assert_eq!(first.header("cache-control"), "public, max-age=30");
    let url = format!("{}/courses", browser.api);
    let again = browser.send("GET", &url, None, &[("if-none-match", first.header("etag"))]).await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    world.finish(Outcome::Clean).await;
}

/// Answers that tell something new every time they are asked for.
const NEVER_THE_SAME: [&str; 3] = ["admin-user-export", "crm-status", "user-export"];

#[tokio::test(flavor = "multi_thread")]
async fn c_23_what_was_read_is_not_sent_again_to_who_has_it() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let id = user_id(&mut grace).await;
    assert_eq!(edit(&mut grace, json!({ "username": "grace_h" })).await.status, 200);
    assert_eq!(grace.put("/enrollments/course/first-steps", None).await.status, 200);
    let mut single = Vec::new();
    for function in catalogue::functions() {
        let reads = function.routes().filter(|route| route.method == Method::Get);
        for route in reads.filter(|_| function.operation.response.is_some()) {
            let path = route.path.replace("/admin/users/{id}", &format!("/admin/users/{id}"));
            let path = example(&path.replace("{username}", "grace_h"));
            let url = format!("{}{path}", grace.api);
            let first = grace.send("GET", &url, None, &[]).await;
            if first.status != 200 {
                continue;
            }
            let tag = first.header("etag").to_owned();
            assert!(tag.starts_with('"') && tag.ends_with('"'), "{path}: {first:?}");
            let known = [("if-none-match", tag.as_str())];
            let again = grace.send("GET", &url, None, &known).await;
            if again.status == 200 && NEVER_THE_SAME.contains(&function.name) {
                assert_ne!(again.header("etag"), tag, "{path}");
                continue;
            }
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}: {again:?}");
            assert_eq!(again.header("etag"), tag, "{path}");
            assert_eq!(again.header("cache-control"), first.header("cache-control"), "{path}");
            let other = [("if-none-match", "\"7.other\", W/\"other\"")];
            assert_eq!(grace.send("GET", &url, None, &other).await.status, 200, "{path}");
            if route.path.contains('{') || route.path.contains("/me") {
                single.push(function.name);
            }
        }
    }
    for name in
        ["admin-user-get", "auth-me", "catalog-get", "course-status", "user-get", "user-public"]
    {
        assert!(single.contains(&name), "{name} was not read: {single:?}");
    }
    world.finish(Outcome::Clean).await;
}

/// Updates by which nothing is replaced that somebody read before: they lead to the one state that they
/// name, from whatever was there.
const REPLACE_NOTHING: [&str; 5] =
    ["certificate-name", "crm-opt-out", "enroll", "route-group-set", "user-connect"];

#[test]
fn c_23_every_update_that_replaces_something_takes_the_version_that_was_read() {
    let is_update = |method| matches!(method, Method::Put | Method::Patch);
    for function in catalogue::functions() {
        if function.routes().any(|route| is_update(route.method)) {
            let mut problems = function.operation.problems.iter();
            let takes_version = problems.any(|problem| problem.code == "version-changed");
            let replaces = !REPLACE_NOTHING.contains(&function.name);
            assert_eq!(takes_version, replaces, "{}", function.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_5_one_place_answers_preflights_and_only_to_our_pages() {
    let world = world().await;
    let mut browser = world.browser();
    let url = format!("{}/enrollments/course/first-steps", browser.api);
    let ours = browser.api.clone();
    let asked = [
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-csrf-token"),
    ];
    let with = |origin: &'static str| [("origin", origin), asked[0], asked[1]];
    let answer =
        browser.send("OPTIONS", &url, None, &[("origin", ours.as_str()), asked[0], asked[1]]).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), ours);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    let evil = browser.send("OPTIONS", &url, None, &with("https://evil.example")).await;
    assert_eq!(evil.header("access-control-allow-origin"), "");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_line_holds_a_secret_or_an_address() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    ada.put("/enrollments/course/first-steps", None).await;
    world.contact_with(&user_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    ada.post("/auth/logout", None).await;
    let lines = world.cloud.logs.lines();
    assert!(lines.len() > 5, "there is nothing to look at");
    let mut canaries = vec![
        "rollcall.example".to_owned(),
        "Okafor".to_owned(),
        rollcall_cli::sample::HUBSPOT_TOKEN.to_owned(),
        "for-local-use-only".to_owned(),
        "eyJ".to_owned(),
        "AWS4-HMAC".to_owned(),
    ];
    canaries.extend(ada.cookies.values().cloned());
    for line in lines {
        for canary in &canaries {
            assert!(!line.line.contains(canary.as_str()), "{canary} in {line:?}");
        }
    }
    world.finish(Outcome::Clean).await;
}
