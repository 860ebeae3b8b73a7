//! Callbacks that must sign nobody in: what a stranger may send, and what a provider that is broken
//! or hostile may answer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use rollcall_domain::session::SessionHash;
use rollcall_local::Addresses;
use rollcall_tests::{Answer, Browser, Outcome, World};
use serde_json::{Value, json};
use url::Url;

use crate::sign_in::{Stage, ago, callback};
use crate::world;

const SESSION: &str = "__Host-rollcall_session";
const BINDING: &str = "__Host-rollcall_login";
const EDGE: &str = "rollcall-dev-edge";
const USERS: &str = "rollcall-dev-users";

/// The headings of the pages, with their statuses.
const BEGIN_AGAIN: (u16, &str) = (400, "This sign-in is no longer valid");
const INCOMPLETE: (u16, &str) = (400, "This link does not work");
const CANCELLED: (u16, &str) = (400, "You are not signed in");
const REFUSED: (u16, &str) = (400, "The sign-in did not work");
const AWAY: (u16, &str) = (503, "You cannot sign in right now");
const BROKEN: (u16, &str) = (500, "You cannot sign in right now");

/// Reasons that several cases share.
const UNKNOWN: &str = "no such sign-in is in flight";
const OTHER_BROWSER: &str = "the sign-in was begun in another browser";
const UNREADABLE: &str = "the code or the state is missing or too long";
const NOT_REDEEMED: &str = "the provider refused the code or refresh token";
const OTHER_PROVIDER: &str = "the callback does not come from this provider";
const NOT_STANDARD: &str = "the provider refused the sign-in: a code that is not in the standards";

/// What is done to an honest callback.
#[derive(Clone, Copy)]
enum Change {
    Remove(&'static str),
    Set(&'static str, &'static str),
    /// So many characters in place of the value.
    Fill(&'static str, usize),
    /// The same parameter once more.
    Twice(&'static str),
    /// The code of another sign-in of the same browser.
    StrangersCode,
    /// No binding cookie.
    NoBinding,
    /// The binding cookie of another browser.
    StrangersBinding,
    /// A session cookie in place of the binding cookie's value.
    SessionAsBinding,
    /// Ten minutes pass.
    Late,
    /// Another browser came with it before.
    Spent,
    /// The provider does this at its token endpoint.
    Fault(&'static str),
    /// The provider does this at another endpoint.
    FaultAt(&'static str, &'static str),
}

use Change::{
    Fault, FaultAt, Fill, Late, NoBinding, Remove, SessionAsBinding, Set, Spent, StrangersBinding,
    StrangersCode, Twice,
};

/// The changes, the page, and how the reason in the log begins.
type Case = (&'static [Change], (u16, &'static str), &'static str);

const CASES: [Case; 44] = [
    (&[Remove("state")], INCOMPLETE, UNREADABLE),
    (&[Set("state", "")], INCOMPLETE, UNREADABLE),
    (&[Twice("state")], INCOMPLETE, UNREADABLE),
    (&[Fill("state", 129)], INCOMPLETE, UNREADABLE),
    (&[Set("state", "a-state-of-nobody")], BEGIN_AGAIN, UNKNOWN),
    (&[Fill("state", 43)], BEGIN_AGAIN, UNKNOWN),
    (&[Spent], BEGIN_AGAIN, UNKNOWN),
    (&[Fault("wrong_state")], BEGIN_AGAIN, UNKNOWN),
    (&[Late], BEGIN_AGAIN, "the sign-in took too long"),
    (&[NoBinding], BEGIN_AGAIN, OTHER_BROWSER),
    (&[StrangersBinding], BEGIN_AGAIN, OTHER_BROWSER),
    (&[SessionAsBinding], BEGIN_AGAIN, OTHER_BROWSER),
    (&[Remove("code")], INCOMPLETE, UNREADABLE),
    (&[Set("code", "")], INCOMPLETE, UNREADABLE),
    (&[Twice("code")], INCOMPLETE, UNREADABLE),
    (&[Fill("code", 4_097)], INCOMPLETE, UNREADABLE),
    (&[Fill("code", 43)], BEGIN_AGAIN, NOT_REDEEMED),
    (&[StrangersCode], BEGIN_AGAIN, NOT_REDEEMED),
    (&[Set("iss", "https://evil.example")], BEGIN_AGAIN, OTHER_PROVIDER),
    (&[Set("iss", "")], BEGIN_AGAIN, OTHER_PROVIDER),
    (&[Set("error", "access_denied")], CANCELLED, "the sign-in was cancelled at the provider"),
    (
        &[Remove("code"), Set("error", "access_denied"), Set("error_description", "<script>")],
        CANCELLED,
        "the sign-in was cancelled at the provider",
    ),
    (
        &[Set("error", "login_required"), Set("error_uri", "https://evil.example/<script>")],
        REFUSED,
        "the provider refused the sign-in: login_required",
    ),
    (
        &[Set("error", "server_error"), Remove("state")],
        REFUSED,
        "the provider refused the sign-in: server_error",
    ),
    (&[Set("error", "<script>alert(1)</script>")], REFUSED, NOT_STANDARD),
    (&[Set("error", "evil\r\nset-cookie: a=b")], REFUSED, NOT_STANDARD),
    (&[Remove("code"), Set("error", "access_denied"), Twice("error")], INCOMPLETE, UNREADABLE),
    (&[Fault("wrong_issuer")], BROKEN, "the token is refused: the token is from another issuer"),
    (&[Fault("wrong_audience")], BROKEN, "the token is refused: the token is for another client"),
    (
        &[Fault("missing_azp")],
        BROKEN,
        "the token is refused: the token has several audiences and names no authorized party",
    ),
    (&[Fault("alg_none")], BROKEN, "the token is refused: the token's algorithm is not allowed"),
    (
        &[Fault("hs256_with_public_key")],
        BROKEN,
        "the token is refused: the token's algorithm is not allowed",
    ),
    (&[Fault("wrong_signature")], BROKEN, "the token is refused: the token's signature is wrong"),
    (&[Fault("unknown_kid")], BROKEN, "the token is refused: the token names an unknown key"),
    (&[Fault("expired")], BROKEN, "the token is refused: the token has expired"),
    (&[Fault("future_iat")], BROKEN, "the token is refused: the token was issued in the future"),
    (&[Fault("missing_nonce")], BEGIN_AGAIN, "the token is refused: the token has no nonce"),
    (&[Fault("wrong_nonce")], BEGIN_AGAIN, "the token is refused: the token has another nonce"),
    (&[Fault("wrong_token_use")], BROKEN, "the token is refused: the token is for another use"),
    (
        &[Fault("wrong_at_hash")],
        BROKEN,
        "the token is refused: the token belongs to another access token",
    ),
    (&[Fault("missing_subject")], BROKEN, "the token is refused: the token has no usable subject"),
    (&[Fault("500")], AWAY, "the provider's token endpoint answered 500"),
    (&[Fault("not_json")], BROKEN, "the provider's token endpoint answered something unreadable"),
    (&[Fault("oversized")], BROKEN, "the provider's token endpoint answered more than"),
];

/// Cases that wait for something, or break what a process keeps: each in a local cloud of its own.
const LONELY_CASES: [Case; 8] = [
    (&[Fault("timeout")], AWAY, "the provider's token endpoint did not answer"),
    (&[Fault("drop_reply")], AWAY, "the provider's token endpoint did not answer"),
    (&[Fault("redirect")], BROKEN, "the provider's token endpoint answered 307"),
    (&[Fault("wrong_discovery_issuer")], BROKEN, "the discovery document names another issuer"),
    (&[FaultAt("500", "discovery")], AWAY, "the provider's discovery endpoint answered 500"),
    (&[FaultAt("500", "jwks")], AWAY, "the provider's jwks endpoint answered 500"),
    (
        &[FaultAt("not_json", "jwks")],
        BROKEN,
        "the provider's jwks endpoint answered something unreadable",
    ),
    (&[FaultAt("oversized", "jwks")], BROKEN, "the provider's jwks endpoint answered more than"),
];

/// What a provider that promises to name itself (RFC 9207) must do.
const STRICT_CASES: [Case; 5] = [
    (&[Remove("iss")], BEGIN_AGAIN, OTHER_PROVIDER),
    (&[Set("iss", "")], BEGIN_AGAIN, OTHER_PROVIDER),
    (&[Set("iss", "https://evil.example")], BEGIN_AGAIN, OTHER_PROVIDER),
    (&[Twice("iss")], BEGIN_AGAIN, OTHER_PROVIDER),
    (&[Fault("missing_azp")], BROKEN, "the token is refused"),
];

/// How many items of a table have a key that begins so.
async fn items(world: &World, table: &str, prefix: &str) -> usize {
    let items = world.dynamodb("Scan", &json!({ "TableName": table })).await;
    let items = items["Items"].as_array().unwrap().clone();
    items.iter().filter(|item| item["pk"]["S"].as_str().unwrap().starts_with(prefix)).count()
}

async fn order(world: &World, kind: &str, endpoint: &str) {
    let url = Addresses::url(world.cloud.addresses.provider);
    let order = json!({ "kind": kind, "endpoint": endpoint });
    let url = format!("{url}/_emulator/break-next");
    let answer = world.browser().plain("POST", &url, Some(order)).await;
    assert!(answer.status < 300, "{kind}: {answer:?}");
}

/// The key of a sign-in that is in flight.
fn login_key(url: &Url) -> Value {
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    let hash = SessionHash::of(&state);
    json!({ "pk": { "S": format!("login#{}", hash.as_str()) }, "sk": { "S": "login" } })
}

fn set(url: &mut Url, name: &str, values: &[&str]) {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let others = pairs.iter().filter(|(other, _)| other != name);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(others);
    query.extend_pairs(values.iter().map(|value| (name, value)));
    let query = query.finish();
    url.set_query(Some(&query));
}

fn value_of(url: &Url, name: &str) -> String {
    let mut pairs = url.query_pairs();
    pairs.find(|(other, _)| other == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Makes the change; the callback as it is to be sent then.
async fn make(world: &World, browser: &mut Browser, url: &mut Url, change: Change) {
    match change {
        Remove(name) => set(url, name, &[]),
        Set(name, value) => set(url, name, &[value]),
        Fill(name, length) => set(url, name, &["x".repeat(length).as_str()]),
        Twice(name) => {
            let value = value_of(url, name);
            set(url, name, &[value.as_str(), value.as_str()]);
        }
        StrangersCode => {
            let mut other = world.browser();
            let others = callback(world, &mut other, "/auth/login").await;
            let code = value_of(&Url::parse(&others).unwrap(), "code");
            set(url, "code", &[code.as_str()]);
        }
        NoBinding => browser.cookies.clear(),
        StrangersBinding => {
            let mut other = world.browser();
            callback(world, &mut other, "/auth/login").await;
            browser.cookies.clone_from(&other.cookies);
        }
        SessionAsBinding => {
            browser.cookies.insert(BINDING.to_owned(), "x".repeat(43));
        }
        Late => {
            let order = json!({
                "TableName": EDGE,
                "Key": login_key(url),
                "UpdateExpression": "SET started_at = :then",
                "ExpressionAttributeValues": { ":then": { "S": ago(600) } },
            });
            world.dynamodb("UpdateItem", &order).await;
        }
        Spent => {
            let answer = world.browser().send("GET", url.as_str(), None, &[]).await;
            assert_eq!(answer.status, 400, "{answer:?}");
        }
        // Of what the provider does, only this is done before the browser comes back.
        Fault("wrong_state") => {
            order(world, "wrong_state", "authorize").await;
            let others = callback(world, browser, "/auth/login").await;
            *url = Url::parse(&others).unwrap();
        }
        Fault(kind) => order(world, kind, "token").await,
        FaultAt(kind, endpoint) => order(world, kind, endpoint).await,
    }
}

async fn check(world: &World, (changes, (status, heading), reason): &Case) {
    let mut browser = world.browser();
    let honest = callback(world, &mut browser, "/auth/login").await;
    let mut url = Url::parse(&honest).unwrap();
    for change in *changes {
        make(world, &mut browser, &mut url, *change).await;
    }
    let answer = browser.send("GET", url.as_str(), None, &[]).await;
    assert_eq!(answer.status, *status, "{reason}: {answer:?}");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{reason}");
    assert!(answer.text.contains(&format!("<h1>{heading}</h1>")), "{reason}: {answer:?}");
    assert_eq!(answer.header("retry-after").is_empty(), *status != 503, "{reason}: {answer:?}");
    for foreign in ["script>", "evil", "alert", "http:"] {
        assert!(!answer.text.contains(foreign), "{reason}: {answer:?}");
    }
    assert!(!answer.header("set-cookie").contains(SESSION), "{reason}: {answer:?}");
    assert!(!answer.headers.contains_key("location"), "{reason}: {answer:?}");
    let log = world.log_of(&answer).await;
    let told = |line: &Value| line["error"].as_str().unwrap_or_default().starts_with(reason);
    assert!(log.iter().any(told), "{reason} is not in {log:#?}");
    assert!(!log.iter().any(|line| line.to_string().contains("evil")), "{log:#?}");
    assert_eq!(items(world, USERS, "").await, 0, "{reason}: somebody has an account");
    for prefix in ["session#", "user#"] {
        assert_eq!(items(world, EDGE, prefix).await, 0, "{reason}: somebody has a session");
    }
}

/// A sign-in that works, so that it was not the table that was refused.
async fn works(world: &World) -> Answer {
    let mut browser = world.browser();
    let url = callback(world, &mut browser, "/auth/login").await;
    let answer = browser.send("GET", &url, None, &[]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert!(browser.cookies.contains_key(SESSION));
    assert_eq!(items(world, EDGE, "session#").await, 1);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_no_hostile_callback_signs_anybody_in() {
    let world = world().await;
    for case in &CASES {
        check(&world, case).await;
    }
    works(&world).await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_breaks_down_during_a_callback_signs_nobody_in() {
    for case in &LONELY_CASES {
        let world = world().await;
        check(&world, case).await;
        works(&world).await;
        world.finish(Outcome::Troubled).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_promises_to_name_itself_must_do_so() {
    let world = Stage::GENERIC.start().await;
    for case in &STRICT_CASES {
        check(&world, case).await;
    }
    works(&world).await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_of_one_name_keep_nobody_out() {
    let world = world().await;
    order(&world, "duplicate_kid", "jwks").await;
    works(&world).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_of_eight_equal_callbacks_one_signs_in() {
    let world = world().await;
    let mut ada = world.browser();
    let url = callback(&world, &mut ada, "/auth/login").await;
    let racing = (0..8).map(|_| {
        let (mut browser, url) = (ada.clone(), url.clone());
        async move { browser.send("GET", &url, None, &[]).await.status }
    });
    let statuses = join_all(racing).await;
    let winners = statuses.iter().filter(|status| **status == 303).count();
    assert_eq!(winners, 1, "{statuses:?}");
    assert_eq!(items(&world, EDGE, "session#").await, 1);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_05_the_verifier_of_a_sign_in_never_leaves_us() {
    let world = world().await;
    let mut browser = world.browser();
    let url = callback(&world, &mut browser, "/auth/login").await;
    let stored = world.dynamodb("Scan", &json!({ "TableName": "rollcall-dev-edge" })).await;
    let items = stored["Items"].as_array().unwrap();
    let verifier = items.iter().find_map(|item| item["code_verifier"]["S"].as_str());
    let verifier = verifier.expect("a sign-in that was begun").to_owned();
    assert!(verifier.len() >= 43, "RFC 7636 §4.1");
    let start = world.browser().get("/auth/login").await;
    assert!(start.header("location").contains("code_challenge_method=S256"), "{start:?}");
    // What travels may hold it encoded, as the state of an earlier system did.
    let told: Vec<String> = browser.cookies.values().cloned().chain([url]).collect();
    for text in &told {
        let readings = text.split(['&', '=', '?', '.', '~']).flat_map(|part| {
            let decoded = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
            [part.to_owned(), String::from_utf8_lossy(&decoded).into_owned()]
        });
        for reading in readings {
            assert!(!reading.contains(&verifier), "{reading}");
        }
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_14_no_text_of_the_provider_reaches_anybody() {
    let world = world().await;
    let canary = "words-of-the-provider";
    for error in
        ["access_denied", "server_error", "temporarily_unavailable", "invalid_scope", canary]
    {
        let mut browser = world.browser();
        let url = callback(&world, &mut browser, "/auth/login").await;
        let mut url = Url::parse(&url).unwrap();
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        url.query_pairs_mut()
            .clear()
            .append_pair("error", error)
            .append_pair("error_description", canary)
            .append_pair("error_uri", &format!("https://provider.example/{canary}"))
            .append_pair("state", &state);
        let answer = browser.send("GET", url.as_str(), None, &[]).await;
        assert!(answer.status >= 400, "{answer:?}");
        assert!(!format!("{answer:?}").contains(canary), "{answer:?}");
    }
    let lines = world.cloud.logs.lines();
    let told = lines.iter().filter(|line| line.line.contains(canary));
    assert_eq!(told.count(), 0, "nor a log");
    world.finish(Outcome::Troubled).await;
}
