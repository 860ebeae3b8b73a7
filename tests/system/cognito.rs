//! What the user pool asks of us while people sign up and in.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use rollcall_domain::limits::ERASURE_GRACE_SECONDS;
use rollcall_local::Addresses;
use rollcall_local::dynamodb::Fault;
use rollcall_resources::Queue;
use rollcall_tests::{Answer, Browser, Outcome, World, eventually, percent_encode};
use serde_json::{Value, json};

use crate::sign_in::between;
use crate::world;

const USERS: &str = "rollcall-dev-users";
const EMAIL: &str = "new@rollcall.example";
const PASSWORD: &str = "New-here-2-day!";
/// The sample's `ada`.
const ADA: &str = "5c0ffee0-0000-4000-8000-000000000001";

fn issuer(world: &World) -> String {
    format!("{}/us-east-1_rollcall", Addresses::url(world.cloud.addresses.provider))
}

/// Signs somebody new up at the provider until the code is confirmed; answers their subject and where
/// the provider sends the browser.
async fn sign_up(world: &World, browser: &mut Browser) -> (String, Answer) {
    let start = browser.get("/auth/signup").await;
    let form_url = start.header("location").to_owned();
    let (email, password) = (percent_encode(EMAIL), percent_encode(PASSWORD));
    let mut provider = world.browser();
    let page = provider.send_form(&form_url, &format!("email={email}&password={password}")).await;
    let subject = between(&page.text, "value=\"", "\"").to_owned();
    let code = between(&page.text, "<code>", "</code>");
    let confirm_url = form_url.replace("/signup?", "/confirmUser?");
    let confirmed =
        provider.send_form(&confirm_url, &format!("username={subject}&code={code}")).await;
    (subject, confirmed)
}

/// The id of the user that an identity of the pool names.
async fn user_id(world: &World, subject: &str) -> Option<String> {
    let pk = format!("identity#{}#{subject}", issuer(world));
    let key = json!({ "pk": { "S": pk }, "sk": { "S": "link" } });
    let answer = world.dynamodb("GetItem", &json!({ "TableName": USERS, "Key": key })).await;
    answer["Item"]["user_id"]["S"].as_str().map(ToOwned::to_owned)
}

/// How many accounts there are.
async fn accounts(world: &World) -> usize {
    let scan = world.dynamodb("Scan", &json!({ "TableName": USERS })).await;
    let items = scan["Items"].as_array().unwrap();
    items.iter().filter(|item| item["sk"]["S"] == "profile").count()
}

/// Grants roles as an administrator does.
async fn grant(world: &World, user: &str, roles: &[&str]) {
    let key = json!({ "pk": { "S": format!("user#{user}") }, "sk": { "S": "profile" } });
    let roles: Vec<Value> = roles.iter().map(|role| json!({ "S": role })).collect();
    let change = json!({
        "TableName": USERS,
        "Key": key,
        "UpdateExpression": "SET granted_roles = :roles",
        "ExpressionAttributeValues": { ":roles": { "L": roles } },
    });
    world.dynamodb("UpdateItem", &change).await;
}

/// Claims of the id and the access token that the provider gives for `username` now.
async fn tokens(world: &World, username: &str) -> (Value, Value) {
    let provider = Addresses::url(world.cloud.addresses.provider);
    let redirect_uri = format!("{}/auth/callback", Addresses::url(world.cloud.addresses.api));
    let url = format!(
        "{provider}/oauth2/authorize?response_type=code&client_id=rollcall-web&scope=openid&state=s&redirect_uri={}",
        percent_encode(&redirect_uri),
    );
    let order = json!({ "authorize_url": url, "username": username });
    let mut browser = world.browser();
    let login = format!("{provider}/_emulator/login-as");
    let callback = browser.plain("POST", &login, Some(order)).await.json();
    let code = between(callback["callback_url"].as_str().unwrap(), "code=", "&").to_owned();
    let form = format!(
        "grant_type=authorization_code&client_id=rollcall-web&code={code}&redirect_uri={}",
        percent_encode(&redirect_uri),
    );
    let tokens = browser.send_form(&format!("{provider}/oauth2/token"), &form).await.json();
    let claims = |name: &str| {
        let part = tokens[name].as_str().unwrap().split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    (claims("id_token"), claims("access_token"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_person_has_an_account_as_soon_as_the_address_is_confirmed() {
    let world = world().await;
    let mut browser = world.browser();
    let (subject, confirmed) = sign_up(&world, &mut browser).await;
    assert_eq!(confirmed.status, 302, "{confirmed:?}");
    let user = user_id(&world, &subject).await.unwrap();
    world.contact_with(&user, &[("email", EMAIL)]).await;
    let back = browser.send("GET", confirmed.header("location"), None, &[]).await;
    assert_eq!(back.status, 303, "{back:?}");
    assert_eq!(browser.get("/auth/me").await.json()["user_id"], user.as_str());
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_is_never_held_up_and_an_account_that_was_not_stored_is_made_later() {
    let world = world().await;
    let faults = world.cloud.dynamodb.faults();
    faults.fail_next("TransactWriteItems", USERS, Fault::Throttling, 1000);
    let mut browser = world.browser();
    let (subject, confirmed) = sign_up(&world, &mut browser).await;
    assert_eq!(confirmed.status, 302, "{confirmed:?}");
    assert_eq!(user_id(&world, &subject).await, None);

    // The sweep fails too, and tries again.
    world.cloud.clock.advance(Duration::from_secs(31));
    eventually("the sweep has failed once", async || {
        let lines = world.cloud.logs.lines();
        lines.iter().any(|line| line.line.contains("could not be stored again")).then_some(())
    })
    .await;
    faults.clear();
    let visible = Duration::from_secs(Queue::UserSweep.visibility_timeout_seconds().into());
    world.cloud.clock.advance(visible);
    let user = eventually("the account is made", async || user_id(&world, &subject).await).await;
    world.contact_with(&user, &[("email", EMAIL)]).await;
    for queue in [Queue::UserSweep, Queue::UserSweepDead] {
        let depth = || world.cloud.messages.depth(&queue.full_name("dev"));
        eventually("the queue is empty", async || {
            let depth = depth();
            (depth.visible == 0 && depth.in_flight == 0).then_some(())
        })
        .await;
    }

    assert_eq!(accounts(&world).await, 1);
    let lines = world.cloud.logs.lines();
    let telling: Vec<_> = lines.iter().filter(|line| line.line.contains(EMAIL)).collect();
    assert!(telling.is_empty(), "{telling:#?}");
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_tells_nobody_ends_as_a_dead_letter_and_is_not_quoted() {
    let world = world().await;
    let text = std::fs::read(crate::tidy::root().join("events/user-sweep.json")).unwrap();
    for body in ["", "{}", "[]", "\"new@rollcall.example\"", "{\"email\":\"new@rollcall.example\"}"]
    {
        let mut event: Value = serde_json::from_slice(&text).unwrap();
        event["Records"][0]["body"] = json!(body);
        let sent = world.cloud.lambda.invoke("user-sweep", event.to_string().into(), None).await;
        let rollcall_local::lambda::Outcome::Response(answer) = sent.unwrap().outcome else {
            panic!("{body} makes the whole batch fail");
        };
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 1, "{body}");
    }
    let lines = world.cloud.logs.lines();
    assert!(!lines.iter().any(|line| line.line.contains(EMAIL)));
    world.finish(Outcome::Troubled).await;
}

#[test]
fn nothing_about_a_person_waits_in_a_queue_longer_than_their_erasure() {
    for queue in [Queue::UserSweep, Queue::UserSweepDead] {
        assert!(i64::from(queue.retention_seconds()) < ERASURE_GRACE_SECONDS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_is_told_again_and_again_makes_one_account() {
    let world = world().await;
    let event = json!({
        "version": "1",
        "triggerSource": "PostConfirmation_ConfirmSignUp",
        "userPoolId": "us-east-1_rollcall",
        "userName": "twice",
        "request": { "userAttributes": {
            "sub": "twice", "email": EMAIL, "email_verified": "true", "custom:new": "kept",
        } },
        "response": {},
    });
    let told = (0..8).map(|_| async {
        let payload = event.to_string().into();
        world.cloud.lambda.invoke("cognito-post-confirmation", payload, None).await.unwrap()
    });
    for invocation in join_all(told).await {
        let rollcall_local::lambda::Outcome::Response(answer) = invocation.outcome else {
            panic!("{invocation:?}");
        };
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), event);
    }
    assert_eq!(accounts(&world).await, 1);
    assert!(user_id(&world, "twice").await.is_some());
    world.finish(Outcome::Clean).await;
}

/// Events that tell of nobody of ours, or nothing that is understood.
fn odd_events() -> Vec<Value> {
    let attributes = json!({ "sub": ADA, "email": 5 });
    let event = |source: &str, pool: &str, version: &str, request: Value| {
        json!({
            "version": version, "triggerSource": source, "userPoolId": pool, "userName": "ada",
            "request": request, "response": { "kept": true },
        })
    };
    let (ours, whole) = ("us-east-1_rollcall", json!({ "userAttributes": attributes }));
    vec![
        event("PostConfirmation_ConfirmForgotPassword", ours, "1", whole.clone()),
        event("PostConfirmation_ConfirmSignUp", "us-east-1_other", "1", whole.clone()),
        event("TokenGeneration_HostedAuth", "us-east-1_other", "2", whole.clone()),
        event("TokenGeneration_HostedAuth", ours, "1", whole),
        event("PostConfirmation_ConfirmSignUp", ours, "2", json!({})),
        event(
            "PostConfirmation_ConfirmSignUp",
            ours,
            "2",
            json!({ "userAttributes": { "sub": 1 } }),
        ),
        event("TokenGeneration_HostedAuth", ours, "2", json!([])),
        event("", "", "", Value::Null),
        json!({}),
        json!([1]),
        json!("x"),
        Value::Null,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_understood_is_given_back_and_keeps_nobody_out() {
    let world = world().await;
    for function in ["cognito-post-confirmation", "cognito-pre-token"] {
        for event in odd_events() {
            let payload = event.to_string().into();
            let invocation = world.cloud.lambda.invoke(function, payload, None).await.unwrap();
            let rollcall_local::lambda::Outcome::Response(answer) = invocation.outcome else {
                panic!("{function} fails on {event}");
            };
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer, event, "{function}");
        }
    }
    assert_eq!(accounts(&world).await, 0);
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_role_is_shown_in_tokens_and_can_be_withdrawn() {
    let world = world().await;
    let mut lin = world.signed_in("lin").await;
    let id = lin.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    for (granted, expected) in [
        (vec![], json!(["recruiter"])),
        (vec!["instructor", "recruiter"], json!(["recruiter", "instructor"])),
        (vec![], json!(["recruiter"])),
    ] {
        grant(&world, &id, &granted).await;
        let (id_claims, access_claims) = tokens(&world, "lin").await;
        assert_eq!(id_claims["cognito:groups"], expected);
        assert_eq!(access_claims["cognito:groups"], expected);
        let own = &id_claims["rollcall:provider_groups"];
        assert_eq!(own.is_null(), granted.is_empty(), "{own}");
        // What is granted never comes back as what the pool says, however often she signs in.
        for _ in 0..2 {
            let mut lin = world.signed_in("lin").await;
            let mut roles: Vec<String> =
                serde_json::from_value(lin.get("/auth/me").await.json()["roles"].clone()).unwrap();
            roles.sort_unstable();
            let mut effective: Vec<String> = serde_json::from_value(expected.clone()).unwrap();
            effective.sort_unstable();
            assert_eq!(roles, effective);
        }
        let key = json!({ "pk": { "S": format!("user#{id}") }, "sk": { "S": "profile" } });
        let item = world.dynamodb("GetItem", &json!({ "TableName": USERS, "Key": key })).await;
        assert_eq!(item["Item"]["roles"], json!({ "L": [{ "S": "recruiter" }] }));
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_unknown_or_cannot_be_looked_up_keeps_the_groups_of_the_pool() {
    let world = world().await;
    let (id_claims, _) = tokens(&world, "grace").await;
    assert_eq!(id_claims["cognito:groups"], json!(["admin"]));
    world.signed_in("grace").await;
    let faults = world.cloud.dynamodb.faults();
    faults.fail_next("GetItem", USERS, Fault::Throttling, 1000);
    let (id_claims, access_claims) = tokens(&world, "grace").await;
    faults.clear();
    assert_eq!(id_claims["cognito:groups"], json!(["admin"]));
    assert_eq!(access_claims["cognito:groups"], json!(["admin"]));
    assert_eq!(id_claims.get("rollcall:provider_groups"), None);
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_has_none_of_our_roles_in_tokens() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let id = grace.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    let key = json!({ "pk": { "S": format!("user#{id}") }, "sk": { "S": "profile" } });
    let change = json!({
        "TableName": USERS,
        "Key": key,
        "UpdateExpression": "SET standing = :standing",
        "ExpressionAttributeValues": { ":standing": { "M": {
            "is": { "S": "suspended" }, "since": { "S": "2026-11-21T09:00:00Z" },
        } } },
    });
    world.dynamodb("UpdateItem", &change).await;
    let (id_claims, access_claims) = tokens(&world, "grace").await;
    assert_eq!(
        (id_claims.get("cognito:groups"), access_claims.get("cognito:groups")),
        (None, None)
    );
    assert_eq!(id_claims["rollcall:provider_groups"], json!(["admin"]));
    world.finish(Outcome::Clean).await;
}
