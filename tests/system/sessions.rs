//! Sessions of a user: listed, ended one by one and all together, and renewed at the provider.

use std::slice::from_ref;

use futures::future::{join, join_all};
use rollcall_cli::sample;
use rollcall_domain::secret::Secret;
use rollcall_domain::session::SessionHash;
use rollcall_local::Addresses;
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_store::vault::{Keyring, Sealed};
use rollcall_tests::{Answer, Browser, Outcome, PATIENCE, World, eventually};
use serde_json::{Value, json};

use crate::sign_in::{ago, callback, session_key, set_session};
use crate::{PROGRAM, world};

const COOKIE: &str = "__Host-rollcall_session";
const EDGE: &str = "rollcall-dev-edge";
/// A route for administrators alone.
const ADMIN_ROUTE: &str = "/admin/crm/status";

/// The ids of a browser's sessions, newest first, and which of them is its own.
async fn listed(browser: &mut Browser) -> (Vec<String>, String) {
    let answer = browser.get("/auth/sessions").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sessions = answer.json()["sessions"].as_array().unwrap().clone();
    let id = |session: &Value| session["id"].as_str().unwrap().to_owned();
    let current: Vec<String> =
        sessions.iter().filter(|session| session["current"] == true).map(id).collect();
    assert_eq!(current.len(), 1, "{sessions:?}");
    (sessions.iter().map(id).collect(), current[0].clone())
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/auth/me").await.status == 200
}

/// Where a session stands in its user's list.
pub(crate) struct Place {
    user: String,
    session: String,
}

impl Place {
    pub(crate) async fn of(browser: &mut Browser) -> Self {
        let user = browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
        Self { user, session: listed(browser).await.1 }
    }

    fn key(&self) -> Value {
        json!({
            "pk": { "S": format!("user#{}", self.user) },
            "sk": { "S": format!("session#{}", self.session) },
        })
    }

    async fn change(&self, world: &World, expression: &str) {
        let order = json!({ "TableName": EDGE, "Key": self.key(), "UpdateExpression": expression });
        world.dynamodb("UpdateItem", &order).await;
    }

    /// The refresh token, opened with the key of the local cloud.
    pub(crate) async fn refresh_token(&self, world: &World) -> String {
        let order = json!({ "TableName": EDGE, "Key": self.key() });
        let item = world.dynamodb("GetItem", &order).await;
        let sealed = item["Item"]["refresh_token"]["S"].clone();
        let sealed: Sealed = serde_json::from_value(sealed).unwrap();
        let keyring = Keyring::parse(&Secret::new(sample::TOKEN_KEY)).ok().unwrap();
        let place = format!("{} {}", self.user, self.session);
        keyring.open(&sealed, &place).unwrap().expose().to_owned()
    }
}

/// Posts a form to the provider.
async fn provider(world: &World, path: &str, form: &str) -> Answer {
    let url = format!("{}{path}", Addresses::url(world.cloud.addresses.provider));
    let content_type = [("content-type", "application/x-www-form-urlencoded")];
    let form = format!("client_id=rollcall-web&{form}");
    world.browser().send("POST", &url, Some(form), &content_type).await
}

/// Whether the provider gives tokens for this refresh token.
pub(crate) async fn is_usable(world: &World, refresh_token: &str) -> bool {
    let form = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    provider(world, "/oauth2/token", &form).await.status == 200
}

/// Orders the provider's next calls to fail.
async fn order(world: &World, order: Value) {
    let url = Addresses::url(world.cloud.addresses.provider);
    let url = format!("{url}/_emulator/break-next");
    let answer = world.browser().plain("POST", &url, Some(order)).await;
    assert!(answer.status < 300, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_their_sessions_and_ends_the_one_they_do_not_know() {
    let world = world().await;
    let (mut here, mut there) = (world.signed_in("ada").await, world.signed_in("ada").await);
    let mut lin = world.signed_in("lin").await;
    let (ids, own) = listed(&mut here).await;
    let (_, lost) = listed(&mut there).await;
    assert_eq!(ids, [lost.clone(), own.clone()], "newest first");
    let text = here.get("/auth/sessions").await.text;
    for secret in [&here.cookies[COOKIE], &there.cookies[COOKIE]] {
        assert!(!text.contains(secret.as_str()));
        assert!(!text.contains(SessionHash::of(secret).as_str()));
    }
    let mut thief = world.browser();
    thief.cookies.insert(COOKIE.to_owned(), own.clone());
    assert!(!is_signed_in(&mut thief).await, "the id is a cookie");

    assert_eq!(lin.delete(&format!("/auth/sessions/{lost}")).await.status, 404);
    assert!(is_signed_in(&mut there).await);
    for (id, status) in [
        ("ses_00000000000070008000000000000000", 404),
        ("ses_1", 404),
        (lost.as_str(), 204),
        (lost.as_str(), 404),
    ] {
        assert_eq!(here.delete(&format!("/auth/sessions/{id}")).await.status, status, "{id}");
    }
    assert!(!is_signed_in(&mut there).await);
    assert_eq!(listed(&mut here).await.0, from_ref(&own));
    assert_eq!(listed(&mut lin).await.0.len(), 1);

    let mut idle = world.signed_in("ada").await;
    set_session(&world, &idle, &ago(3 * 86_400), &ago(2 * 86_400)).await;
    assert_eq!(listed(&mut here).await.0, from_ref(&own), "one that nobody used for too long");
    assert!(!is_signed_in(&mut idle).await);

    assert_eq!(here.delete(&format!("/auth/sessions/{own}")).await.status, 204);
    assert!(!here.cookies.contains_key(COOKIE));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_10_signing_out_everywhere_ends_every_session_at_the_next_request() {
    let world = world().await;
    let mut browsers = Vec::new();
    for _ in 0..4 {
        browsers.push(world.signed_in("ada").await);
    }
    let mut lin = world.signed_in("lin").await;
    let answer = browsers[0].post("/auth/logout?everywhere=perhaps", None).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.json()["errors"][0]["pointer"], "query:everywhere");
    assert_eq!(browsers[0].post("/auth/logout?everywhere=true", None).await.status, 200);
    for browser in &mut browsers {
        assert!(!is_signed_in(browser).await);
    }
    assert!(is_signed_in(&mut lin).await);

    let mut leaving = world.signed_in("ada").await;
    let mut coming = world.browser();
    let (answer, _) =
        join(leaving.post("/auth/logout?everywhere=true", None), coming.sign_in("ada")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!is_signed_in(&mut leaving).await);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_10_whatever_ends_a_session_revokes_its_token_at_the_provider() {
    let world = world().await;
    let mut stays = world.signed_in("ada").await;
    let kept = Place::of(&mut stays).await.refresh_token(&world).await;
    let mut ends = world.signed_in("ada").await;
    let place = Place::of(&mut ends).await;
    let by_name = place.refresh_token(&world).await;
    assert_eq!(stays.delete(&format!("/auth/sessions/{}", place.session)).await.status, 204);
    let mut leaves = world.signed_in("ada").await;
    let by_logout = Place::of(&mut leaves).await.refresh_token(&world).await;
    assert_eq!(leaves.post("/auth/logout", None).await.status, 200);
    let mut again = world.signed_in("ada").await;
    let by_sign_in = Place::of(&mut again).await.refresh_token(&world).await;
    again.sign_in("ada").await;
    for ended in [&by_name, &by_logout, &by_sign_in] {
        assert!(!is_usable(&world, ended).await);
    }
    assert!(is_usable(&world, &kept).await);
    assert_eq!(stays.post("/auth/logout?everywhere=true", None).await.status, 200);
    assert!(!is_usable(&world, &kept).await);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_works_while_the_provider_does_not() {
    let world = world().await;
    for kind in ["500", "timeout"] {
        let mut ada = world.signed_in("ada").await;
        let mut copy = ada.clone();
        order(&world, json!({ "kind": kind, "endpoint": "revoke" })).await;
        let leaving = tokio::time::timeout(PATIENCE / 3, ada.post("/auth/logout", None)).await;
        assert_eq!(leaving.expect("nobody waits for the provider for long").status, 200, "{kind}");
        assert!(!is_signed_in(&mut copy).await, "{kind}");
    }
    let lines = world.cloud.logs.lines();
    let left = lines.iter().filter(|line| line.line.contains("left to expire")).count();
    assert_eq!(left, 2, "the provider was not asked");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_table_and_no_log_holds_a_refresh_token_in_clear() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let place = Place::of(&mut ada).await;
    let first = place.refresh_token(&world).await;
    assert_eq!(ada.post("/auth/refresh", None).await.status, 200);
    let second = place.refresh_token(&world).await;
    assert_ne!(first, second, "the provider rotates");
    let mut tables = String::new();
    for table in world.dynamodb("ListTables", &json!({})).await["TableNames"].as_array().unwrap() {
        tables += &world.dynamodb("Scan", &json!({ "TableName": table })).await.to_string();
    }
    assert!(tables.contains(&place.session), "nothing was read");
    let logs: Vec<String> =
        world.cloud.logs.lines().into_iter().map(|line| line.line.clone()).collect();
    let cookie = &ada.cookies[COOKIE];
    for secret in [&first, &second, cookie] {
        assert!(!tables.contains(secret.as_str()));
        assert!(!logs.iter().any(|line| line.contains(secret.as_str())));
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_10_fifty_refreshes_at_once_are_one_call_to_the_provider() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    // A refreshed id token has no nonce, so this fault spoils a sign-in and nothing else: what is
    // left of it afterwards tells how often the provider made tokens.
    order(&world, json!({ "kind": "missing_nonce", "count": 2 })).await;
    let refreshes = (0..50).map(|_| {
        let mut browser = ada.clone();
        async move { browser.post("/auth/refresh", None).await }
    });
    for answer in join_all(refreshes).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for expected in [400, 303] {
        let mut browser = world.browser();
        let url = callback(&world, &mut browser, "/auth/login").await;
        let answer = browser.send("GET", &url, None, &[]).await;
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_refreshed_again_and_again_with_the_token_that_came_last() {
    let world = world().await;
    let url = Addresses::url(world.cloud.addresses.provider);
    let strict = json!({ "enabled": true, "grace_seconds": 0 });
    let rotation = format!("{url}/_emulator/rotation");
    assert!(world.browser().plain("POST", &rotation, Some(strict)).await.status < 300);
    let mut ada = world.signed_in("ada").await;
    let place = Place::of(&mut ada).await;
    let cookie = ada.cookies[COOKIE].clone();
    let mut tokens = vec![place.refresh_token(&world).await];
    for _ in 0..3 {
        let answer = ada.post("/auth/refresh", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        place.change(&world, "REMOVE refreshed_at_ms").await;
        tokens.push(place.refresh_token(&world).await);
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 4, "the provider was not asked each time");
    assert_eq!(ada.cookies[COOKIE], cookie, "nothing else changed");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_ends_no_session_and_one_that_says_no_does() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let place = Place::of(&mut ada).await;
    for (kind, status) in [("500", 503), ("drop_reply", 503), ("not_json", 500), ("expired", 500)] {
        order(&world, json!({ "kind": kind })).await;
        let answer = ada.post("/auth/refresh", None).await;
        assert_eq!(answer.status, status, "{kind}: {answer:?}");
        assert_eq!(answer.header("retry-after").is_empty(), status == 500, "{kind}");
        assert!(is_signed_in(&mut ada).await, "{kind}");
    }
    assert_eq!(ada.post("/auth/refresh", None).await.status, 200, "nobody holds the turn");

    place.change(&world, "REMOVE refreshed_at_ms").await;
    let token = place.refresh_token(&world).await;
    assert_eq!(provider(&world, "/oauth2/revoke", &format!("token={token}")).await.status, 200);
    let answer = ada.post("/auth/refresh", None).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("unauthenticated")));
    assert!(!is_signed_in(&mut ada).await);

    let mut bare = world.signed_in("ada").await;
    assert_eq!(listed(&mut bare).await.0.len(), 1, "the ended session is not listed");
    Place::of(&mut bare).await.change(&world, "REMOVE refresh_token").await;
    let answer = bare.post("/auth/refresh", None).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (409, Some("not-refreshable")));
    assert!(is_signed_in(&mut bare).await);
    world.finish(Outcome::Troubled).await;
}

/// Makes Ada an administrator here, as if the provider had said so when she signed in.
async fn promote(world: &World, browsers: &mut [Browser]) {
    let roles = json!({ ":roles": { "L": [{ "S": "admin" }] } });
    let set = |table: &str, key: Value| {
        json!({
            "TableName": table,
            "Key": key,
            "UpdateExpression": "SET #roles = :roles",
            "ExpressionAttributeNames": { "#roles": "roles" },
            "ExpressionAttributeValues": roles,
        })
    };
    for browser in browsers {
        let user = Place::of(browser).await.user;
        let user = json!({ "pk": { "S": format!("user#{user}") }, "sk": { "S": "profile" } });
        world.dynamodb("UpdateItem", &set("rollcall-dev-users", user)).await;
        world.dynamodb("UpdateItem", &set(EDGE, session_key(browser))).await;
        assert_eq!(browser.get(ADMIN_ROUTE).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_the_provider_took_away_is_gone_everywhere_with_the_first_refresh() {
    let world = world().await;
    let mut browsers = [world.signed_in("ada").await, world.signed_in("ada").await];
    promote(&world, &mut browsers).await;
    let [mut here, mut there] = browsers;
    let mut copy = here.clone();
    let before = Place::of(&mut here).await.session;
    let strangers = Place::of(&mut there).await.refresh_token(&world).await;
    let answer = here.post("/auth/refresh", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(here.cookies[COOKIE], copy.cookies[COOKIE]);
    assert_eq!(here.get(ADMIN_ROUTE).await.status, 403);
    for old in [&mut copy, &mut there] {
        assert_eq!(old.get(ADMIN_ROUTE).await.status, 401);
    }
    assert!(!is_usable(&world, &strangers).await);
    assert_eq!(here.post("/auth/refresh", None).await.status, 403, "the CSRF token is an old one");
    here.fetch_csrf().await;
    assert_eq!(here.post("/auth/refresh", None).await.status, 200);
    let (ids, own) = listed(&mut here).await;
    assert!(ids == [own.clone()] && own != before);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_the_provider_took_away_is_gone_everywhere_with_the_next_sign_in() {
    let world = world().await;
    let mut browsers = [world.signed_in("ada").await];
    promote(&world, &mut browsers).await;
    let [mut here] = browsers;
    let mut there = world.signed_in("ada").await;
    assert_eq!(there.get(ADMIN_ROUTE).await.status, 403);
    assert_eq!(here.get(ADMIN_ROUTE).await.status, 401);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_with_a_client_secret_refreshes_and_revokes_too() {
    let world = World::start_with(PROGRAM, Vec::new(), |options| {
        sample::authenticate_client(options);
    })
    .await;
    let mut ada = world.signed_in("ada").await;
    assert_eq!(ada.post("/auth/refresh", None).await.status, 200);
    let mut other = world.signed_in("ada").await;
    let place = Place::of(&mut other).await;
    let before = place.refresh_token(&world).await;
    age(&world, &other).await;
    assert!(is_signed_in(&mut other).await);
    round(&world).await;
    let renewed = async || (place.refresh_token(&world).await != before).then_some(());
    eventually("a session in use is refreshed", renewed).await;
    let (_, id) = listed(&mut other).await;
    assert_eq!(ada.delete(&format!("/auth/sessions/{id}")).await.status, 204);
    assert_eq!(ada.post("/auth/logout", None).await.status, 200);
    let lines = world.cloud.logs.lines();
    assert!(!lines.iter().any(|line| line.line.contains("left to expire")), "{lines:?}");
    world.finish(Outcome::Clean).await;
}

/// Lets time pass for a browser's session: the provider was asked 51 minutes ago, and the session was
/// used six minutes ago.
pub(crate) async fn age(world: &World, browser: &Browser) {
    let order = json!({
        "TableName": EDGE,
        "Key": session_key(browser),
        "UpdateExpression": "SET last_used_at = :used, asked_at = :asked",
        "ExpressionAttributeValues": {
            ":used": { "S": ago(6 * 60) },
            ":asked": { "S": ago(51 * 60) },
        },
    });
    world.dynamodb("UpdateItem", &order).await;
}

/// Lets the schedule's function run once.
pub(crate) async fn round(world: &World) {
    let order = b"{}".as_slice().into();
    let invocation = world.cloud.lambda.invoke("session-refresh", order, None).await.unwrap();
    assert!(matches!(invocation.outcome, Invoked::Response(_)), "{invocation:?}");
}

/// Since when a browser's session waits to be refreshed; empty when it does not wait.
async fn waits_since(world: &World, browser: &Browser) -> String {
    let order = json!({ "TableName": EDGE, "Key": session_key(browser) });
    let answer = world.dynamodb("GetItem", &order).await;
    answer["Item"]["refresh_at"]["S"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_10_a_session_in_use_is_refreshed_whatever_it_is_used_for() {
    let world = world().await;
    let (mut busy, mut idle) = (world.signed_in("ada").await, world.signed_in("lin").await);
    let places = (Place::of(&mut busy).await, Place::of(&mut idle).await);
    let before = (places.0.refresh_token(&world).await, places.1.refresh_token(&world).await);
    let cookie = busy.cookies[COOKIE].clone();
    age(&world, &busy).await;
    age(&world, &idle).await;
    assert_eq!(busy.get("/enrollments").await.status, 200);
    let due = waits_since(&world, &busy).await;
    assert!(!due.is_empty() && waits_since(&world, &idle).await.is_empty());
    round(&world).await;
    let renewed = async || {
        let token = places.0.refresh_token(&world).await;
        (token != before.0).then_some(token)
    };
    let renewed = eventually("the provider is asked again", renewed).await;
    assert_eq!(waits_since(&world, &busy).await, "");
    assert_eq!(busy.get("/enrollments").await.status, 200);
    round(&world).await;
    assert_eq!(places.0.refresh_token(&world).await, renewed, "once is enough");
    assert_eq!(places.1.refresh_token(&world).await, before.1, "nobody uses this one");
    assert_eq!(busy.cookies[COOKIE], cookie);
    // A mark that came late, or stayed since somebody died, costs no call.
    let late = json!({
        "TableName": EDGE,
        "Key": session_key(&busy),
        "UpdateExpression": "SET refresh_shard = :shard, refresh_at = :due",
        "ExpressionAttributeValues": { ":shard": { "S": "refresh" }, ":due": { "S": due } },
    });
    world.dynamodb("UpdateItem", &late).await;
    round(&world).await;
    let settled = async || waits_since(&world, &busy).await.is_empty().then_some(());
    eventually("the late mark is removed", settled).await;
    assert_eq!(places.0.refresh_token(&world).await, renewed);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_10_fifty_uses_and_many_rounds_at_once_are_one_call_to_the_provider() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    age(&world, &ada).await;
    // As above: what is left of this fault tells how often the provider made tokens.
    order(&world, json!({ "kind": "missing_nonce", "count": 2 })).await;
    let asking = join_all((0..50).map(|_| {
        let mut browser = ada.clone();
        async move { browser.get("/users/me").await }
    }));
    let rounds = async {
        let used = async || (!waits_since(&world, &ada).await.is_empty()).then_some(());
        eventually("the session was used", used).await;
        join_all((0..6).map(|_| round(&world))).await
    };
    let (answers, _) = join(asking, rounds).await;
    for answer in answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    round(&world).await;
    let settled = async || waits_since(&world, &ada).await.is_empty().then_some(());
    eventually("the session is refreshed", settled).await;
    assert!(is_signed_in(&mut ada.clone()).await);
    for expected in [400, 303] {
        let mut browser = world.browser();
        let url = callback(&world, &mut browser, "/auth/login").await;
        let answer = browser.send("GET", &url, None, &[]).await;
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_ends_no_session_that_is_in_use_and_is_asked_later() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let place = Place::of(&mut ada).await;
    let before = place.refresh_token(&world).await;
    age(&world, &ada).await;
    // Discovery and keys are remembered, so that the token endpoint alone is away.
    order(&world, json!({ "kind": "500", "endpoint": "token", "count": 1_000 })).await;
    assert!(is_signed_in(&mut ada).await);
    let due = waits_since(&world, &ada).await;
    round(&world).await;
    let put_off = async || {
        let later = waits_since(&world, &ada).await;
        (later > due).then_some(later)
    };
    let later = eventually("the session is put off", put_off).await;
    assert!(is_signed_in(&mut ada).await);
    assert_eq!(waits_since(&world, &ada).await, later, "a use changes nothing about that");
    assert_eq!(place.refresh_token(&world).await, before);

    let url = Addresses::url(world.cloud.addresses.provider);
    let url = format!("{url}/_emulator/outage");
    assert!(world.browser().plain("DELETE", &url, None).await.status < 300);
    let order = json!({
        "TableName": EDGE,
        "Key": session_key(&ada),
        "UpdateExpression": "SET refresh_at = :due",
        "ExpressionAttributeValues": { ":due": { "S": due } },
    });
    world.dynamodb("UpdateItem", &order).await;
    round(&world).await;
    let renewed = async || (place.refresh_token(&world).await != before).then_some(());
    eventually("the provider is asked again", renewed).await;
    assert!(is_signed_in(&mut ada).await);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_the_provider_took_away_is_gone_everywhere_without_anybody_asking() {
    let world = world().await;
    let mut browsers = [world.signed_in("ada").await, world.signed_in("ada").await];
    promote(&world, &mut browsers).await;
    let [mut here, mut there] = browsers;
    let strangers = Place::of(&mut there).await.refresh_token(&world).await;
    age(&world, &here).await;
    assert_eq!(here.get(ADMIN_ROUTE).await.status, 200);
    round(&world).await;
    let ended = async || (here.clone().get(ADMIN_ROUTE).await.status == 401).then_some(());
    eventually("the session ends", ended).await;
    assert_eq!(there.get(ADMIN_ROUTE).await.status, 401);
    let revoked = async || (!is_usable(&world, &strangers).await).then_some(());
    eventually("the other token is revoked", revoked).await;

    let mut lin = world.signed_in("lin").await;
    let token = Place::of(&mut lin).await.refresh_token(&world).await;
    assert_eq!(provider(&world, "/oauth2/revoke", &format!("token={token}")).await.status, 200);
    age(&world, &lin).await;
    assert!(is_signed_in(&mut lin).await);
    round(&world).await;
    let ended = async || (!is_signed_in(&mut lin.clone()).await).then_some(());
    eventually("who was refused upstream is signed out", ended).await;

    let mut bare = world.signed_in("ada").await;
    Place::of(&mut bare).await.change(&world, "REMOVE refresh_token").await;
    age(&world, &bare).await;
    assert!(is_signed_in(&mut bare).await);
    round(&world).await;
    let settled = async || waits_since(&world, &bare).await.is_empty().then_some(());
    eventually("a session that cannot be refreshed waits no more", settled).await;
    assert!(is_signed_in(&mut bare).await);
    world.finish(Outcome::Clean).await;
}
