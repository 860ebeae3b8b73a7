//! That the search for secrets in logs, which ends every other test, finds them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rollcall_local::lambda::FunctionSpec;
use rollcall_tests::{Canaries, Outcome};

use serde_json::{Value, json};

use crate::world;

#[test]
fn every_kind_of_secret_is_found_and_nothing_else() {
    let canaries = Canaries::default();
    canaries.secret("a cookie", "known-to-this-test");
    canaries.address("ada@rollcall.example");
    canaries.name("a person's name", "Lin");
    canaries
        .url("http://localhost/auth/callback?code=the-code-itself&state=the-state&page=courses");
    canaries.body("grant_type=refresh_token&refresh_token=the-refresh-token");
    canaries.body(r#"{ "inner": [{ "token": "the-csrf-token", "code": "a-problem-code" }] }"#);
    let token = "Abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.";
    for (line, expected) in [
        ("it knows known-to-this-test now", "a cookie"),
        ("to ada@rollcall.example", "an e-mail address"),
        ("?to=ada%40rollcall.example", "an e-mail address"),
        ("who is someone.else@mail.example?", "an e-mail address"),
        ("Lin came", "a person's name"),
        (r#"{"name":"Lin"}"#, "a person's name"),
        ("code the-code-itself", "code"),
        ("state the-state.", "state"),
        ("sent the-refresh-token", "refresh_token"),
        ("with the-csrf-token", "token"),
        (&format!("a={token}"), "256 bits"),
        (&format!("token {jwt}"), "a JSON Web Token"),
        ("authorization: Bearer abcdef0123", "an Authorization header"),
        ("Basic cm9sbGNhbGw6eA==", "an Authorization header"),
        ("AWS4-HMAC-SHA256 Credential=…", "an Authorization header"),
    ] {
        assert_eq!(canaries.find([line]), [(0, expected)], "{line}");
    }
    for line in [
        "Linear growth of Linden trees",
        r#"{"code":"a-problem-code","page":"courses","grant_type":"refresh_token"}"#,
        "1-6740a1b2-0123456789abcdef01234567 usr_01234567890123456789012345678901",
        "arn:aws:dynamodb:us-east-1:000000000000:table/rollcall-dev-edge/stream/2026-11-21T00:00:00",
        r#"WWW-Authenticate: Bearer realm="Rollcall""#,
        "a basic rule",
        &format!("{token}{token}"),
        "",
    ] {
        assert_eq!(canaries.find([line]), [], "{line}");
    }
}

#[test]
fn s_16_an_answer_that_tells_the_key_of_a_quiz_is_told_on() {
    let why = "Since it is so.";
    let shown = |field: &str, value: Value| {
        let canaries = Canaries::default();
        canaries.explanation(why);
        canaries.answer("/x", &json!({ "review": [{ "is_correct": true, field: value }] }));
        canaries.keys_told().len()
    };
    assert_eq!(shown("correct_answer", json!("b")), 1);
    assert_eq!(shown("is_correct", json!(why)), 1);
    assert_eq!(shown("text", json!({ "deep": [why] })), 1);
    assert_eq!(shown("explanation", json!(why)), 0, "who found it may read why");
    assert_eq!(shown("text", json!("Something else.")), 0);
    let canaries = Canaries::default();
    canaries.explanation(why);
    canaries.answer("/x", &json!({ "is_correct": false, "explanation": why }));
    assert_eq!(canaries.keys_told(), ["why an option is right in the answer of /x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_prints_a_secret_is_told_on() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    assert_eq!(world.leaks(), [""; 0]);
    let cookie = ada.cookies["__Host-rollcall_session"].clone();
    world.cloud.lambda.add(FunctionSpec {
        name: "talkative".to_owned(),
        program: PathBuf::from("/bin/echo"),
        arguments: vec![format!("somebody came with {cookie}")],
        environment: BTreeMap::new(),
        timeout: Duration::from_secs(1),
        memory_mb: 128,
        reserved_concurrency: None,
    });
    world.cloud.lambda.invoke("talkative", "{}".into(), None).await.unwrap();
    let leaks = rollcall_tests::eventually("the line arrives", async || {
        let leaks = world.leaks();
        (!leaks.is_empty()).then_some(leaks)
    })
    .await;
    assert_eq!(leaks.len(), 1, "{leaks:#?}");
    assert!(leaks[0].starts_with("a cookie in the log of talkative: "), "{leaks:#?}");
    let ending = tokio::spawn(world.finish(Outcome::Clean)).await;
    assert!(ending.unwrap_err().is_panic());
}
