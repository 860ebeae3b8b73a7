//! Signing in and out.

use rollcall_cli::{catalogue, sample};
use rollcall_domain::session::SessionHash;
use rollcall_local::Addresses;
use rollcall_runtime::declaration::Method;
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

/// How a stage stands to its provider.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    follows_the_standards: bool,
    has_secret: bool,
}

impl Stage {
    /// A provider that follows the standards to the letter.
    pub(crate) const GENERIC: Self = Self { follows_the_standards: true, has_secret: false };

    const ALL: [Self; 4] = [
        Self { follows_the_standards: false, has_secret: false },
        Self { follows_the_standards: false, has_secret: true },
        Self::GENERIC,
        Self { follows_the_standards: true, has_secret: true },
    ];

    /// A local cloud of such a stage.
    pub(crate) async fn start(self) -> World {
        World::start_with(PROGRAM, Vec::new(), |options| {
            if self.follows_the_standards {
                sample::follow_the_standards(options);
            }
            if self.has_secret {
                sample::authenticate_client(options);
            }
        })
        .await
    }
}

/// What signing in is, from the form to the way out, whoever the provider is.
pub(crate) async fn check(world: &World) {
    let mut browser = world.browser();
    let url = browser.fill_in_form("/auth/login?redirect_url=/courses", "ada", PASSWORD).await;
    let answer = browser.send("GET", &url, None, &[]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(answer.header("location"), format!("{}/courses", browser.api));
    browser.fetch_csrf().await;
    let me = browser.get("/auth/me").await.json();
    assert_eq!(
        (me["given_name"].as_str(), me["email"].as_str()),
        (Some("Ada"), Some("ada@rollcall.example"))
    );

    let again = browser.clone().send("GET", &url, None, &[]).await;
    assert_eq!(again.status, 400, "{again:?}");
    let mut begun = world.browser();
    let url = begun.fill_in_form("/auth/login", "ada", PASSWORD).await;
    let thief = world.browser().send("GET", &url, None, &[]).await;
    assert_eq!(thief.status, 400, "{thief:?}");
    assert_eq!(begun.send("GET", &url, None, &[]).await.status, 400, "a code outlived its theft");

    let mut other = world.browser();
    let url = other.fill_in_form("/auth/login", "ada", PASSWORD).await;
    assert_eq!(other.send("GET", &url, None, &[]).await.status, 303);
    assert_eq!(other.get("/auth/me").await.json()["user_id"], me["user_id"]);

    for _ in 0..2 {
        let answer = browser.post("/auth/refresh", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let mut copy = browser.clone();
    let answer = browser.post("/auth/logout?everywhere=true", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for signed_out in [&mut copy, &mut other] {
        assert_eq!(signed_out.get("/auth/me").await.status, 401);
    }
    let logout_url = answer.json()["logout_url"].as_str().unwrap().to_owned();
    let at_provider = world.browser().send("GET", &logout_url, None, &[]).await;
    assert!(at_provider.status < 400, "{at_provider:?}");
    let lines = world.cloud.logs.lines();
    assert!(!lines.iter().any(|line| line.line.contains("left to expire")), "{lines:?}");
}

/// Ada's, of the sample.
pub(crate) const PASSWORD: &str = "Ada-likes-2-dance!";

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_out_with_every_kind_of_provider_and_client() {
    for stage in Stage::ALL {
        let world = stage.start().await;
        check(&world).await;
        world.finish(Outcome::Clean).await;
    }
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

pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0
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
        if !function.access.is_closed() || function.name == "auth-logout" {
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
async fn who_somebody_is_may_be_told_at_the_user_info_endpoint_alone() {
    let world = World::start_with(PROGRAM, Vec::new(), |options| {
        sample::follow_the_standards(options);
        sample::tell_at_user_info(options);
    })
    .await;
    let order = async |kind: &str| {
        let url = Addresses::url(world.cloud.addresses.provider);
        let url = format!("{url}/_emulator/break-next");
        let order = json!({ "kind": kind, "endpoint": "user_info" });
        assert!(world.browser().plain("POST", &url, Some(order)).await.status < 300);
    };
    // OpenID Connect Core §5.3.2: what is about somebody else must not be used.
    for (kind, status) in [("other_user_info", 500), ("500", 503), ("not_json", 500)] {
        order(kind).await;
        let mut browser = world.browser();
        let url = callback(&world, &mut browser, "/auth/login").await;
        let answer = browser.send("GET", &url, None, &[]).await;
        assert_eq!(answer.status, status, "{kind}: {answer:?}");
        assert_eq!(browser.get("/auth/me").await.status, 401, "{kind}");
    }
    let mut ada = world.signed_in("ada").await;
    let me = ada.get("/auth/me").await.json();
    assert_eq!(
        (me["given_name"].as_str(), me["email"].as_str()),
        (Some("Ada"), Some("ada@rollcall.example"))
    );
    assert_eq!(ada.post("/auth/refresh", None).await.status, 200);
    let after = ada.get("/auth/me").await.json();
    assert_eq!(after["email"], me["email"], "a refresh that tells less takes nothing away");
    world.finish(Outcome::Troubled).await;
}
