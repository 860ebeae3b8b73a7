//! What every answer has in common.

use rollcall_tests::Outcome;

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
