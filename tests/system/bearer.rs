//! Callers with an access token: who they are, what they may, and how every other token is refused.

use futures::future::join_all;
use rollcall_cli::sample;
use rollcall_domain::time::Clock;
use rollcall_local::Addresses;
use rollcall_runtime::system::SystemClock;
use rollcall_tests::{Answer, Outcome, World, eventually};
use serde_json::{Map, Value, json};

use crate::desk::administer;
use crate::{PROGRAM, world};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn provider(world: &World) -> String {
    Addresses::url(world.cloud.addresses.provider)
}

/// The tokens of a person, as an application of theirs gets them: by the code flow.
async fn tokens(world: &World, username: &str) -> Value {
    let provider = provider(world);
    let callback = format!("{}/auth/callback", Addresses::url(world.cloud.addresses.api));
    let mut application = world.browser();
    let authorize_url = format!(
        "{provider}/oauth2/authorize?response_type=code&client_id=rollcall-web\
         &redirect_uri={callback}&scope=openid+email"
    );
    let order = json!({ "authorize_url": authorize_url, "username": username });
    let url = format!("{provider}/_emulator/login-as");
    let answer = application.plain("POST", &url, Some(order)).await.json();
    let code = answer["callback_url"].as_str().unwrap().split("code=").nth(1).unwrap().to_owned();
    let code = code.split('&').next().unwrap();
    let form = format!(
        "grant_type=authorization_code&client_id=rollcall-web&redirect_uri={callback}&code={code}"
    );
    let url = format!("{provider}/oauth2/token");
    let answer = application.send("POST", &url, Some(form), &[FORM]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The access token of a person.
pub(crate) async fn access_token(world: &World, username: &str) -> String {
    tokens(world, username).await["access_token"].as_str().unwrap().to_owned()
}

/// The access token of the machine of the sample.
pub(crate) async fn machine_token(world: &World) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        sample::MONITOR_ID,
        sample::MONITOR_SECRET
    );
    let url = format!("{}/oauth2/token", provider(world));
    let answer = world.browser().send("POST", &url, Some(form), &[FORM]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// Makes up a token that the provider signs, from good claims and changes to them and to the header;
/// null takes something away.
pub(crate) async fn made_up(world: &World, subject: &str, header: Value, changes: Value) -> String {
    let now = SystemClock.now().as_second();
    let mut claims = json!({
        "iss": format!("{}/us-east-1_rollcall", provider(world)),
        "sub": subject,
        "client_id": "rollcall-web",
        "token_use": "access",
        "scope": "openid",
        "iat": now,
        "exp": now + 3_600,
    });
    let changes: Map<String, Value> = serde_json::from_value(changes).unwrap();
    let claims = claims.as_object_mut().unwrap();
    claims.extend(changes);
    claims.retain(|_, value| !value.is_null());
    let url = format!("{}/_emulator/sign", provider(world));
    let order = json!({ "header": header, "claims": claims });
    let answer = world.browser().plain("POST", &url, Some(order)).await;
    answer.json()["token"].as_str().expect("a token").to_owned()
}

/// An access token of somebody of the sample that is certainly issued after all that happened so far:
/// in half a minute, which clocks may differ by.
pub(crate) async fn issued_later(world: &World, username: &str) -> String {
    let users = sample::users().unwrap();
    let user = users.into_iter().find(|user| user.username == username).unwrap();
    let later = SystemClock.now().as_second() + 30;
    made_up(world, &user.subject, json!({}), json!({ "iat": later })).await
}

/// A request with a token and without a browser.
pub(crate) async fn call(world: &World, method: &str, path: &str, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    send(world, method, path, &[("authorization", authorization.as_str())]).await
}

async fn send(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut caller = world.browser();
    let url = format!("{}{path}", caller.api);
    let body = matches!(method, "POST" | "PATCH").then(|| "{}".to_owned());
    caller.send(method, &url, body, headers).await
}

/// Why the log says that a request was refused; empty when it does not say.
fn logged_reason(world: &World, answer: &Answer) -> String {
    let lines: Vec<Value> = world
        .cloud
        .logs
        .lines()
        .iter()
        .filter_map(|line| serde_json::from_str(&line.line).ok())
        .collect();
    let request = answer.header("x-request-id");
    let report = lines.iter().find(|line| line["request_id"] == request);
    let invocation = report.map(|line| line["function_request_id"].clone());
    let of_request = |line: &&Value| Some(&line["function_request_id"]) == invocation.as_ref();
    let mut reasons = lines.iter().filter(of_request).filter_map(|line| line["reason"].as_str());
    reasons.next().unwrap_or_default().to_owned()
}

/// Looks that a request is refused, as every such request is, for this reason.
async fn check(world: &World, name: &str, answer: Answer, expected: (u16, &str), reason: &str) {
    assert_eq!(answer.status, expected.0, "{name}: {answer:?}");
    assert_eq!(answer.json()["code"], expected.1, "{name}");
    let challenge = match expected.1 {
        "invalid-token" => "Bearer realm=\"Rollcall\", error=\"invalid_token\"",
        "invalid-authorization" => "Bearer realm=\"Rollcall\", error=\"invalid_request\"",
        "unauthenticated" => "Bearer realm=\"Rollcall\"",
        _ => "",
    };
    assert_eq!(answer.header("www-authenticate"), challenge, "{name}");
    let logged = eventually(name, async || {
        let logged = logged_reason(world, &answer);
        (logged == reason || !logged.is_empty()).then_some(logged)
    });
    assert_eq!(logged.await, reason, "{name}");
}

const INVALID: (u16, &str) = (401, "invalid-token");
const UNUSABLE: (u16, &str) = (400, "invalid-authorization");
const ME: &str = "/auth/me";

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one table of every way to be refused")]
async fn a_11_every_hostile_token_is_refused_for_its_own_reason() {
    let world = world().await;
    world.signed_in("ada").await;
    let subject = subject_of(&world, "ada").await;
    for (kind, reason) in [
        ("alg_none", "the token's algorithm is not allowed"),
        ("hs256_with_public_key", "the token's algorithm is not allowed"),
        ("wrong_signature", "the token's signature is wrong"),
        ("unknown_kid", "the token names an unknown key"),
        ("wrong_issuer", "the token is from another issuer"),
        ("wrong_audience", "the token was issued to another client"),
        ("expired", "the token has expired"),
        ("future_iat", "the token was issued in the future"),
        ("wrong_token_use", "the token is for another use"),
        ("missing_subject", "the token has no usable subject"),
    ] {
        let url = format!("{}/_emulator/break-next", provider(&world));
        let ordered = world.browser().plain("POST", &url, Some(json!({ "kind": kind }))).await;
        assert_eq!(ordered.status, 204);
        let token = access_token(&world, "ada").await;
        check(&world, kind, call(&world, "GET", ME, &token).await, INVALID, reason).await;
    }
    let now = SystemClock.now().as_second();
    let stranger = (403, "account-required");
    for (name, header, claims, expected, reason) in [
        ("no key", json!({ "kid": null }), json!({}), INVALID, "the token names no key"),
        (
            "an extension",
            json!({ "crit": ["b64"] }),
            json!({}),
            INVALID,
            "the token demands an extension",
        ),
        (
            "a type",
            json!({ "typ": "logout+jwt" }),
            json!({}),
            INVALID,
            "the token is of another type",
        ),
        (
            "HS256 in name",
            json!({ "alg": "HS256" }),
            json!({}),
            INVALID,
            "the token's algorithm is not allowed",
        ),
        (
            "no issuer",
            json!({}),
            json!({ "iss": null }),
            INVALID,
            "the token is from another issuer",
        ),
        (
            "another audience",
            json!({}),
            json!({ "aud": "https://other.example" }),
            INVALID,
            "the token is for another client",
        ),
        (
            "no client",
            json!({}),
            json!({ "client_id": null }),
            INVALID,
            "the token was issued to another client",
        ),
        (
            "no use",
            json!({}),
            json!({ "token_use": null }),
            INVALID,
            "the token is for another use",
        ),
        ("no end", json!({}), json!({ "exp": null }), INVALID, "the token never ends"),
        (
            "a far end",
            json!({}),
            json!({ "exp": now + 90_000 }),
            INVALID,
            "the token is valid for too long",
        ),
        ("just ended", json!({}), json!({ "exp": now - 61 }), INVALID, "the token has expired"),
        (
            "no beginning",
            json!({}),
            json!({ "iat": null }),
            INVALID,
            "the token does not say when it was issued",
        ),
        ("not yet", json!({}), json!({ "nbf": now + 600 }), INVALID, "the token is not valid yet"),
        (
            "an empty subject",
            json!({}),
            json!({ "sub": "" }),
            INVALID,
            "the token has no usable subject",
        ),
        (
            "a list for a subject",
            json!({}),
            json!({ "sub": ["a"] }),
            INVALID,
            "the token is malformed",
        ),
        (
            "a person of the machine's",
            json!({}),
            json!({ "client_id": "rollcall-monitor" }),
            INVALID,
            "a person's token was issued to a machine",
        ),
        (
            "our client itself",
            json!({}),
            json!({ "sub": "rollcall-web" }),
            INVALID,
            "a machine's token was issued to a client for people",
        ),
        (
            "a stranger",
            json!({}),
            json!({ "sub": "nobody-we-know" }),
            stranger,
            "the token's person has no account",
        ),
    ] {
        let token = made_up(&world, &subject, header, claims).await;
        check(&world, name, call(&world, "GET", ME, &token).await, expected, reason).await;
    }
    let both = tokens(&world, "ada").await;
    let id_token = both["id_token"].as_str().unwrap();
    let good = both["access_token"].as_str().unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    for (name, token, reason) in [
        ("the id token", id_token.to_owned(), "the token is for another use"),
        ("cut short", good[..good.len() - 10].to_owned(), "the token's signature is wrong"),
        ("a dot more", format!("{good}."), "the token is malformed"),
        ("two dots more", format!("{good}.."), "the token is malformed"),
        ("no signature", format!("{signed}."), "the token's signature is wrong"),
        ("only the header", header.to_owned(), "the token is malformed"),
        ("header and signature", format!("{header}.{signature}"), "the token is malformed"),
        ("parts in disorder", format!("{claims}.{header}.{signature}"), "the token is malformed"),
        ("not a token", "abc".to_owned(), "the token is malformed"),
    ] {
        check(&world, name, call(&world, "GET", ME, &token).await, INVALID, reason).await;
    }
    let endless = call(&world, "GET", ME, &"a".repeat(17 * 1024)).await;
    assert_eq!(endless.status, 431, "the gateway takes no such header");
    assert_eq!(call(&world, "GET", ME, good).await.status, 200);
    world.finish(Outcome::Clean).await;
}

/// The subject of a person at the provider.
async fn subject_of(world: &World, username: &str) -> String {
    let url = format!("{}/_emulator/users", provider(world));
    let users = world.browser().plain("GET", &url, None).await.json();
    let users = users["users"].as_array().unwrap();
    let user = users.iter().find(|user| user["username"] == username).expect("such a user");
    user["subject"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_in_one_header_and_nowhere_else() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let good = access_token(&world, "ada").await;
    for (scheme, status) in [("Bearer", 200), ("bearer", 200), ("BEARER  ", 200)] {
        let value = format!("{scheme} {good}");
        let answer = send(&world, "GET", ME, &[("authorization", &value)]).await;
        assert_eq!(answer.status, status, "{scheme}: {answer:?}");
    }
    let bearer = format!("Bearer {good}");
    let several = "there is more than one Authorization";
    let scheme = "the scheme of Authorization is not Bearer";
    let none = "Authorization holds no token";
    for (name, values, reason) in [
        ("twice", vec![bearer.clone(), bearer.clone()], several),
        ("two in one", vec![format!("{bearer}, {bearer}")], several),
        ("Basic as well", vec!["Basic YTpi".to_owned(), bearer.clone()], several),
        ("Basic", vec!["Basic YTpi".to_owned()], scheme),
        ("the bare token", vec![good.clone()], scheme),
        ("another scheme", vec![format!("Token {good}")], scheme),
        ("a tab", vec![format!("Bearer\t{good}")], scheme),
        ("nothing", vec![String::new()], scheme),
        ("the scheme alone", vec!["Bearer".to_owned()], none),
        ("two tokens", vec![format!("{bearer} {good}")], none),
        ("in quotes", vec![format!("Bearer \"{good}\"")], none),
    ] {
        let headers: Vec<_> =
            values.iter().map(|value| ("authorization", value.as_str())).collect();
        check(&world, name, send(&world, "GET", ME, &headers).await, UNUSABLE, reason).await;
    }
    let nobody = (401, "unauthenticated");
    let in_query = send(&world, "GET", &format!("{ME}?access_token={good}"), &[]).await;
    check(&world, "in the query", in_query, nobody, "").await;
    let url = format!("{}/events/track", ada.api);
    let body = json!({ "access_token": good, "events": [] }).to_string();
    let in_body = world.browser().send("POST", &url, Some(body), &[]).await;
    check(&world, "in the body", in_body, nobody, "").await;

    let url = format!("{}{ME}", ada.api);
    let both = ada.send("GET", &url, None, &[("authorization", &bearer)]).await;
    let ambiguous = "Authorization and a session cookie name a caller each";
    check(&world, "and a cookie", both, UNUSABLE, ambiguous).await;
    for (path, expected) in [(ME, INVALID), ("/users/nobody", INVALID)] {
        let url = format!("{}{path}", ada.api);
        let answer = ada.send("GET", &url, None, &[("authorization", "Bearer x.y.z")]).await;
        check(&world, "a good cookie", answer, expected, "the token is malformed").await;
    }
    let open = send(&world, "GET", "/courses", &[("authorization", "Bearer x.y.z")]).await;
    assert_eq!(open.status, 200, "a route that knows nobody: {open:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_token_is_who_they_are_in_their_browser_and_may_no_more() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let token = access_token(&world, "ada").await;
    let (in_browser, by_token) = (ada.get(ME).await.json(), call(&world, "GET", ME, &token).await);
    let by_token = by_token.json();
    assert_eq!(by_token["user_id"], in_browser["user_id"]);
    assert_eq!((&by_token["session"], by_token["email"].is_string()), (&Value::Null, true));
    let path = "/enrollments/course/first-steps";
    assert_eq!(call(&world, "PUT", path, &token).await.status, 200, "no page has to send it");
    let enrolled = ada.get("/enrollments").await.json();
    assert_eq!(enrolled["enrollments"].as_array().unwrap().len(), 1);

    let subject = subject_of(&world, "ada").await;
    let boasting = json!({ "cognito:groups": ["admin"], "scope": "rollcall/operate" });
    let boasting = made_up(&world, &subject, json!({}), boasting).await;
    assert_eq!(call(&world, "GET", ME, &boasting).await.json()["roles"], json!([]));
    let answer = call(&world, "GET", "/admin/crm/status", &boasting).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("forbidden")));
    world.signed_in("grace").await;
    let grace = access_token(&world, "grace").await;
    assert_eq!(call(&world, "GET", "/admin/crm/status", &grace).await.status, 200);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_10_whoever_signs_out_refuses_every_token_from_before() {
    let world = world().await;
    let lins = {
        world.signed_in("lin").await;
        access_token(&world, "lin").await
    };
    for path in ["/auth/logout", "/auth/logout?everywhere=true", "/auth/sessions/"] {
        let mut ada = world.signed_in("ada").await;
        let fresh = async || {
            let token = access_token(&world, "ada").await;
            (call(&world, "GET", ME, &token).await.status == 200).then_some(token)
        };
        // Tokens name whole seconds, so one from the second of the last sign-out is refused as well.
        let token = eventually("a token that was issued later counts", fresh).await;
        let answer = if path.ends_with('/') {
            let sessions = ada.get("/auth/sessions").await.json();
            let id = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
            ada.delete(&format!("{path}{id}")).await
        } else {
            ada.post(path, None).await
        };
        assert!(answer.status < 300, "{path}: {answer:?}");
        let refused = call(&world, "GET", ME, &token).await;
        let reason = "the token was issued before its user signed out";
        check(&world, path, refused, INVALID, reason).await;
    }
    assert_eq!(call(&world, "GET", ME, &lins).await.status, 200, "it is nobody else's");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_person_is_refused_at_once_and_one_who_leaves_is_not() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user = ada.get(ME).await.json()["user_id"].as_str().unwrap().to_owned();
    let token = access_token(&world, "ada").await;
    let mut grace = world.signed_in("grace").await;
    for suspended in [true, false] {
        let answer = administer(&mut grace, &user, json!({ "suspended": suspended })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let reason = "the token was issued before its user signed out";
        let answer = call(&world, "GET", ME, &token).await;
        check(&world, "of before", answer, INVALID, reason).await;
        let answer = call(&world, "GET", ME, &issued_later(&world, "ada").await).await;
        if suspended {
            let reason = "the account is suspended";
            check(&world, reason, answer, (403, "account-closed"), reason).await;
        } else {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    let token = issued_later(&world, "ada").await;
    let (before, after) = ("2026-01-01T00:00:00Z", "2126-01-01T00:00:00Z");
    for (standing, expected) in [
        (
            json!({ "is": { "S": "leaving" }, "erase_at": { "S": before } }),
            "the account is being erased",
        ),
        (json!({ "is": { "S": "leaving" }, "erase_at": { "S": after } }), ""),
        (json!({ "is": { "S": "active" } }), ""),
    ] {
        let update = json!({
            "TableName": "rollcall-dev-users",
            "Key": { "pk": { "S": format!("user#{user}") }, "sk": { "S": "profile" } },
            "UpdateExpression": "SET standing = :standing",
            "ExpressionAttributeValues": { ":standing": { "M": standing } },
        });
        world.dynamodb("UpdateItem", &update).await;
        let answer = call(&world, "GET", ME, &token).await;
        if expected.is_empty() {
            assert_eq!(answer.status, 200, "{answer:?}");
        } else {
            check(&world, expected, answer, (403, "account-closed"), expected).await;
        }
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_operates_by_its_scope_and_is_nobody_else() {
    let world = world().await;
    let token = machine_token(&world).await;
    for (method, path, status) in [
        ("GET", "/admin/crm/status", 200),
        ("GET", "/admin/dead-letters?limit=1", 200),
        ("POST", "/admin/dead-letters/dlt_00000000000070008000000000000000/replay", 404),
    ] {
        let answer = call(&world, method, path, &token).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    let machine = json!({ "client_id": "rollcall-monitor", "scope": "rollcall/watch openid" });
    let weak = made_up(&world, "rollcall-monitor", json!({}), machine).await;
    let answer = call(&world, "GET", "/admin/crm/status", &weak).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("insufficient-scope")));
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer realm=\"Rollcall\", error=\"insufficient_scope\", scope=\"rollcall/operate\""
    );
    let stolen = json!({ "client_id": "rollcall-other", "scope": "rollcall/operate" });
    let stolen = made_up(&world, "rollcall-other", json!({}), stolen).await;
    let answer = call(&world, "GET", "/admin/crm/status", &stolen).await;
    let reason = "the token was issued to another client";
    check(&world, "another machine", answer, INVALID, reason).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_09_a_user_and_a_machine_have_one_limit_each_whatever_they_call_with() {
    let world = World::start_with(PROGRAM, Vec::new(), |options| {
        options.settings = Box::new(sample::settings);
    })
    .await;
    let mut ada = world.signed_in("ada").await;
    let (token, machine) = (access_token(&world, "ada").await, machine_token(&world).await);
    let left = |answer: &Answer| {
        let mut parameters = answer.header("ratelimit").split(';');
        parameters.find_map(|one| one.strip_prefix("r=")?.parse::<u32>().ok()).unwrap()
    };
    let (first, second) = (ada.get(ME).await, call(&world, "GET", ME, &token).await);
    assert_eq!(left(&first), left(&second) + 1);
    let status = "/admin/crm/status";
    let (first, second) =
        (call(&world, "GET", status, &machine).await, call(&world, "GET", status, &machine).await);
    assert_eq!((left(&first), left(&second)), (99, 98));
    for number in 0..31 {
        let answer = call(&world, "GET", ME, "x.y.z").await;
        let expected = if number < 30 { 401 } else { 429 };
        assert_eq!(answer.status, expected, "{number}: {answer:?}");
    }
    assert_eq!(call(&world, "GET", ME, &token).await.status, 200, "nobody else is kept out");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_token_is_answered_once_and_then_again() {
    let world = world().await;
    world.signed_in("ada").await;
    world.signed_in("lin").await;
    let (ada, lin) = (access_token(&world, "ada").await, access_token(&world, "lin").await);
    let url = format!("{}/events/track", world.browser().api);
    let track = async |token: &str| {
        let authorization = format!("Bearer {token}");
        let event =
            json!({ "event_name": "learning_module_started", "module_slug": "follow-a-change" });
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "one")];
        let body = json!({ "events": [event] }).to_string();
        world.browser().send("POST", &url, Some(body), &headers).await
    };
    let (first, again, other) = (track(&ada).await, track(&ada).await, track(&lin).await);
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.header("x-request-id"), again.header("x-request-id"));
    assert_ne!(first.header("x-request-id"), other.header("x-request-id"));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_of_the_provider_and_its_outages_lose_no_token() {
    let world = world().await;
    world.signed_in("ada").await;
    let before = access_token(&world, "ada").await;
    assert_eq!(call(&world, "GET", ME, &before).await.status, 200);
    let base = provider(&world);
    let rotating = async {
        let url = format!("{base}/_emulator/rotate-keys");
        assert_eq!(world.browser().plain("POST", &url, Some(json!({}))).await.status, 200);
        let after = access_token(&world, "ada").await;
        join_all((0..20).map(|_| call(&world, "GET", ME, &after))).await
    };
    let going_on = join_all((0..60).map(|_| call(&world, "GET", ME, &before)));
    let (after, going_on) = futures::future::join(rotating, going_on).await;
    for answer in after.iter().chain(&going_on) {
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    let url = format!("{base}/_emulator/outage");
    assert_eq!(world.browser().plain("POST", &url, Some(json!({}))).await.status, 204);
    let answer = call(&world, "GET", "/enrollments", &before).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "10"), "{answer:?}");
    assert_eq!(world.browser().plain("DELETE", &url, None).await.status, 204);
    assert_eq!(call(&world, "GET", "/enrollments", &before).await.status, 200);
    world.finish(Outcome::Troubled).await;
}
