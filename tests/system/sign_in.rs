//! Signing in and out.

use futures::future::join_all;
use rollcall_cli::catalogue;
use rollcall_domain::session::SessionHash;
use rollcall_local::Addresses;
use rollcall_runtime::declaration::{Access, Method};
use rollcall_tests::{Browser, Outcome, World};
use serde_json::{Value, json};

use crate::access::example;
use crate::{PROGRAM, world};

/// Goes to the provider and comes back with the callback's address, without following it.
pub(crate) async fn callback(world: &World, browser: &mut Browser, login: &str) -> String {
    let answer = browser.get(login).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    let order = json!({ "authorize_url": answer.header("location"), "username": "ada" });
    let provider = Addresses::url(world.cloud.addresses.provider);
    let answer =
        browser.plain("POST", &format!("{provider}/_emulator/login-as"), Some(order)).await;
    answer.json()["callback_url"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_the_providers_form() {
    let world = world().await;
    let mut browser = world.browser();
    let login = browser.get("/auth/login?redirect_url=/courses").await;
    let mut provider = world.browser();
    let to_form = provider.send("GET", login.header("location"), None, &[]).await;
    let base = Addresses::url(world.cloud.addresses.provider);
    let form_url = match to_form.header("location") {
        path if path.starts_with('/') => format!("{base}{path}"),
        url => url.to_owned(),
    };
    let form = provider.send("GET", &form_url, None, &[]).await;
    assert!(form.text.contains("name=\"username\"") && form.text.contains("name=\"password\""));
    let typed = "username=ada&password=Ada-likes-2-dance%21";
    let sent = provider.send_form(&form_url, typed).await;
    assert_eq!(sent.status, 302, "{sent:?}");
    let back = browser.send("GET", sent.header("location"), None, &[]).await;
    assert_eq!(back.status, 303, "{back:?}");
    assert_eq!(back.header("location"), format!("{}/courses", browser.api));
    assert_eq!(browser.get("/auth/me").await.json()["given_name"], "Ada");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_person_signs_up_at_the_provider_and_ends_signed_in() {
    let world = world().await;
    let mut browser = world.browser();
    let start = browser.get("/auth/signup?redirect_url=/courses").await;
    assert_eq!(start.status, 302, "{start:?}");
    let form_url = start.header("location").to_owned();
    assert!(form_url.contains("/signup?"), "{form_url}");
    let mut provider = world.browser();
    let sent =
        provider.send_form(&form_url, "email=new%40rollcall.example&password=New-here-2-day%21");
    let sent = sent.await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let (username, code) =
        (between(&sent.text, "value=\"", "\""), between(&sent.text, "<code>", "</code>"));
    let confirm_url = form_url.replace("/signup?", "/confirmUser?");
    let sent = provider.send_form(&confirm_url, &format!("username={username}&code={code}")).await;
    assert_eq!(sent.status, 302, "{sent:?}");
    let back = browser.send("GET", sent.header("location"), None, &[]).await;
    assert_eq!(back.status, 303, "{back:?}");
    assert_eq!(back.header("location"), format!("{}/courses", browser.api));
    assert_eq!(browser.get("/auth/me").await.json()["email"], "new@rollcall.example");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_turns_back_at_the_providers_form_reads_that_nobody_is_signed_in() {
    let world = world().await;
    for path in ["/auth/login", "/auth/signup"] {
        let mut browser = world.browser();
        let start = browser.get(path).await;
        let form_url = start.header("location").replace("/oauth2/authorize?", "/login?");
        let sent = world.browser().send_form(&form_url, "cancel=yes").await;
        let back = browser.send("GET", sent.header("location"), None, &[]).await;
        assert_eq!(back.status, 400, "{back:?}");
        assert!(back.text.contains("The sign-in was cancelled"), "{back:?}");
        assert_eq!(browser.get("/auth/me").await.status, 401);
    }
    world.finish(Outcome::Clean).await;
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_a_sign_in_works_once_and_only_in_the_browser_that_began_it() {
    let world = world().await;
    let mut ada = world.browser();
    let url = callback(&world, &mut ada, "/auth/login").await;
    let mut thief = world.browser();
    let answer = thief.send("GET", &url, None, &[]).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(thief.cookies.is_empty());

    let url = callback(&world, &mut ada, "/auth/login").await;
    let racing = (0..8).map(|_| {
        let (mut browser, url) = (ada.clone(), url.clone());
        async move { browser.send("GET", &url, None, &[]).await.status }
    });
    let statuses = join_all(racing).await;
    let winners = statuses.iter().filter(|status| **status == 303).count();
    assert_eq!(winners, 1, "{statuses:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_7_the_way_back_leads_to_our_own_pages_only() {
    let world = world().await;
    let api = Addresses::url(world.cloud.addresses.api);
    for (asked, landed) in [
        ("/courses?x=1", "/courses?x=1".to_owned()),
        (&format!("{api}/courses"), "/courses".to_owned()),
        ("//evil.example", "/auth/me".to_owned()),
        ("https://evil.example", "/auth/me".to_owned()),
        ("/\\evil.example", "/auth/me".to_owned()),
    ] {
        let mut browser = world.browser();
        let query = rollcall_tests::percent_encode(asked);
        let url =
            callback(&world, &mut browser, &format!("/auth/login?redirect_url={query}")).await;
        let answer = browser.send("GET", &url, None, &[]).await;
        assert_eq!(answer.header("location"), format!("{api}{landed}"), "{asked}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_10_signing_out_ends_the_session_for_everybody_who_has_its_cookie() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut copy = ada.clone();
    let answer = ada.post("/auth/logout", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["logout_url"].as_str().unwrap().contains("/logout?"));
    assert!(!ada.cookies.contains_key("__Host-rollcall_session"));
    assert_eq!(copy.get("/auth/me").await.status, 401);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_again_ends_the_browsers_earlier_session() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut earlier = ada.clone();
    ada.sign_in("ada").await;
    assert_ne!(ada.cookies, earlier.cookies);
    assert_eq!(earlier.get("/auth/me").await.status, 401);
    assert_eq!(ada.get("/auth/me").await.status, 200);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_what_it_must_be_signs_nobody_in() {
    let world = world().await;
    let provider = Addresses::url(world.cloud.addresses.provider);
    for kind in [
        "wrong_issuer",
        "wrong_audience",
        "alg_none",
        "hs256_with_public_key",
        "wrong_signature",
        "expired",
        "future_iat",
        "missing_nonce",
        "wrong_nonce",
        "wrong_token_use",
        "500",
    ] {
        let mut browser = world.browser();
        let url = callback(&world, &mut browser, "/auth/login").await;
        let order = json!({ "kind": kind });
        let answer =
            browser.plain("POST", &format!("{provider}/_emulator/break-next"), Some(order)).await;
        assert!(answer.status < 300, "{kind}: {answer:?}");
        let answer = browser.send("GET", &url, None, &[]).await;
        assert!(answer.status >= 400, "{kind}: {answer:?}");
        assert!(!browser.cookies.contains_key("__Host-rollcall_session"), "{kind}");
        assert!(answer.header("content-type").starts_with("text/html"), "{kind}: {answer:?}");
    }
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_at_the_provider_is_told_so_in_words() {
    let world = world().await;
    let mut browser = world.browser();
    let login = browser.get("/auth/login").await;
    let state = login.header("location").split("state=").nth(1).unwrap();
    let state = state.split('&').next().unwrap();
    let answer = browser
        .get(&format!(
            "/auth/callback?error=access_denied&error_description=%3Cscript%3E&state={state}"
        ))
        .await;
    assert_eq!(answer.status, 400);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(!answer.text.contains("script"), "{}", answer.text);
    world.finish(Outcome::Clean).await;
}

/// The key of a browser's session in the table `edge`.
pub(crate) fn session_key(browser: &Browser) -> Value {
    let hash = SessionHash::of(&browser.cookies["__Host-rollcall_session"]);
    json!({ "pk": { "S": format!("session#{}", hash.as_str()) }, "sk": { "S": "session" } })
}

async fn last_used_at(world: &World, browser: &Browser) -> String {
    let order = json!({ "TableName": "rollcall-dev-edge", "Key": session_key(browser) });
    let answer = world.dynamodb("GetItem", &order).await;
    answer["Item"]["last_used_at"]["S"].as_str().unwrap_or_default().to_owned()
}

pub(crate) async fn set_session(
    world: &World,
    browser: &Browser,
    signed_in_at: &str,
    last_used_at: &str,
) {
    let order = json!({
        "TableName": "rollcall-dev-edge",
        "Key": session_key(browser),
        "UpdateExpression": "SET last_used_at = :used, signed_in_at = :signed_in",
        "ExpressionAttributeValues": {
            ":used": { "S": last_used_at },
            ":signed_in": { "S": signed_in_at },
        },
    });
    world.dynamodb("UpdateItem", &order).await;
}

/// `seconds` before now, as the tables hold it.
pub(crate) fn ago(seconds: i64) -> String {
    use rollcall_domain::time::{Clock, after_seconds};
    let now = rollcall_runtime::system::SystemClock.now();
    after_seconds(now, -seconds).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_on_by_its_use_on_every_route_and_ends_without() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let before = ago(3_600);
    for function in catalogue::functions() {
        if !matches!(function.access, Access::User | Access::Role(_))
            || function.name == "auth-logout"
        {
            continue;
        }
        for route in function.routes() {
            set_session(&world, &grace, &before, &before).await;
            let body = (route.method == Method::Post).then(|| json!({}));
            grace.change(route.method.as_str(), &example(route.path), body).await;
            let used = last_used_at(&world, &grace).await;
            assert!(
                used > before,
                "{} {} did not store its use",
                route.method.as_str(),
                route.path
            );
        }
    }
    set_session(&world, &grace, &before, &before).await;
    let mut leaving = world.signed_in("grace").await;
    set_session(&world, &leaving, &before, &before).await;
    assert_eq!(leaving.post("/auth/logout", None).await.status, 200);

    let (day, month) = (24 * 3_600, 30 * 24 * 3_600);
    for (signed_in, used, status) in
        [(day, day - 60, 200), (day, day + 1, 401), (month - 60, 60, 200), (month + 1, 60, 401)]
    {
        set_session(&world, &grace, &ago(signed_in), &ago(used)).await;
        assert_eq!(grace.get("/auth/me").await.status, status, "{signed_in} {used}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_with_a_client_secret_signs_people_in_too() {
    let world = World::start_with(PROGRAM, Vec::new(), |options| {
        rollcall_cli::sample::authenticate_client(options);
    })
    .await;
    let mut ada = world.signed_in("ada").await;
    assert_eq!(ada.get("/auth/me").await.json()["given_name"], "Ada");
    world.finish(Outcome::Clean).await;
}
