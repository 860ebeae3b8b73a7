//! Rate limits as declared: how many calls are admitted, who else notices, and what cannot be faked.

use futures::future::join_all;
use rollcall_cli::sample;
use rollcall_domain::rate_limit::{SLOT_SECONDS, WINDOW_SECONDS};
use rollcall_local::dynamodb::Fault;
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_tests::{Answer, Browser, Outcome, World};
use serde_json::{Map, Value, json};

use crate::PROGRAM;
use crate::tidy::root;

const EDGE: &str = "rollcall-dev-edge";

/// A private local cloud with the rate limits that people meet.
async fn limited_world() -> World {
    World::start_with(PROGRAM, Vec::new(), |options| options.settings = Box::new(sample::settings))
        .await
}

/// How many of `calls` calls of `path` that are made at once are admitted; every answer must say
/// where its caller stands with `policy`.
async fn admitted(browser: &Browser, path: &str, calls: usize, policy: &str) -> usize {
    let calling = (0..calls).map(|_| {
        let mut browser = browser.clone();
        async move { browser.get(path).await }
    });
    let answers = join_all(calling).await;
    let mut left: Vec<u32> = Vec::new();
    for answer in &answers {
        assert!(answer.header("ratelimit-policy").starts_with(policy), "{answer:?}");
        let (remaining, reset) = standing(answer);
        if answer.status == 200 {
            left.push(remaining);
            assert_eq!(answer.header("retry-after"), "");
        } else {
            assert_eq!(answer.status, 429, "{answer:?}");
            assert_eq!(answer.json()["code"], "rate-limited");
            assert_eq!(remaining, 0);
            assert_eq!(answer.header("retry-after"), reset.to_string());
        }
        assert!((1..=WINDOW_SECONDS + SLOT_SECONDS).contains(&reset), "{answer:?}");
    }
    left.sort_unstable();
    assert!(left.is_sorted_by(|one, next| one < next), "two were told the same: {left:?}");
    left.len()
}

/// `r` and `t` of the header `RateLimit`.
fn standing(answer: &Answer) -> (u32, i64) {
    let parameter = |name: &str| {
        let mut parameters = answer.header("ratelimit").split(';').skip(1);
        parameters.find_map(|parameter| parameter.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    (parameter("r=").parse().unwrap(), parameter("t=").parse().unwrap())
}

fn processes(world: &World, function: &str) -> usize {
    let lines = world.cloud.logs.lines();
    let starts = lines
        .iter()
        .filter(|line| line.function == function && line.line.contains("\"Name\":\"ColdStarts\""));
    starts.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_09_of_far_too_many_calls_at_once_exactly_the_limit_is_admitted() {
    let world = limited_world().await;
    let ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    let nobody = world.browser();
    assert_eq!(admitted(&nobody, "/health", 300, "\"anonymous\";q=30;w=60").await, 30);
    assert!(processes(&world, "health") > 1, "one process handled all calls");
    // All routes of one class count together. Signing in took one call, for the CSRF token.
    assert_eq!(nobody.clone().get("/courses").await.status, 429);
    assert_eq!(admitted(&ada, "/auth/me", 300, "\"user\";q=100;w=60").await, 99);
    assert!(processes(&world, "auth-me") > 1, "one process handled all calls");
    assert_eq!(ada.clone().put("/enrollments/course/first-steps", None).await.status, 429);
    let others = lin.get("/auth/me").await;
    assert_eq!((others.status, standing(&others).0), (200, 98), "{others:?}");
    assert_eq!(lin.get("/enrollments").await.json()["enrollments"], json!([]));
    world.finish(Outcome::Clean).await;
}

/// The answer of `auth-login` to a call from `source_ip` that claims to be forwarded for another.
async fn login_from(world: &World, source_ip: &str, forwarded_for: &str) -> Value {
    let text = std::fs::read(root().join("events/auth-login.json")).unwrap();
    let mut event: Value = serde_json::from_slice(&text).unwrap();
    event["requestContext"]["http"]["sourceIp"] = source_ip.into();
    for name in ["x-forwarded-for", "x-real-ip", "true-client-ip"] {
        event["headers"][name] = forwarded_for.into();
    }
    event["headers"]["forwarded"] = format!("for={forwarded_for}").into();
    let event = event.to_string().into();
    let answer = world.cloud.lambda.invoke("auth-login", event, None).await.unwrap();
    let Invoked::Response(body) = answer.outcome else { panic!("{answer:?}") };
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_09_sign_ins_are_counted_by_the_gateways_address_whatever_headers_say() {
    let world = limited_world().await;
    for number in 0..10 {
        let forwarded_for = format!("198.51.100.{number}");
        let answer = login_from(&world, "203.0.113.7", &forwarded_for).await;
        let expected = if number < 5 { 302 } else { 429 };
        assert_eq!(answer["statusCode"], expected, "{number}: {answer}");
        assert_eq!(answer["headers"]["ratelimit-policy"], "\"auth-login\";q=5;w=60");
    }
    // Nobody else is kept out by it, and the route back from the provider counts by itself.
    let answer = login_from(&world, "203.0.113.8", "203.0.113.7").await;
    assert_eq!(answer["statusCode"], 302, "{answer}");
    let mut browser = world.browser();
    let url = format!("{}/auth/callback", browser.api);
    for number in 0..6 {
        let forwarded_for = format!("198.51.100.{number}");
        let headers = [("x-forwarded-for", forwarded_for.as_str())];
        let answer = browser.send("GET", &url, None, &headers).await;
        assert_eq!(answer.status == 429, number == 5, "{number}: {answer:?}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_09_forged_sessions_are_counted_by_address() {
    let world = limited_world().await;
    let mut lin = world.signed_in("lin").await;
    let mut forger = world.browser();
    for number in 0..31 {
        let session = format!("{number:043}");
        forger.cookies.insert("__Host-rollcall_session".to_owned(), session);
        let answer = forger.get("/auth/me").await;
        let expected = if number < 30 { 401 } else { 429 };
        assert_eq!(answer.status, expected, "{number}: {answer:?}");
    }
    assert_eq!(lin.get("/auth/me").await.status, 200);
    world.finish(Outcome::Clean).await;
}

/// Every counter of a policy, as it is stored.
async fn counters(world: &World, policy: &str) -> Vec<Map<String, Value>> {
    let items = world.dynamodb("Scan", &json!({ "TableName": EDGE })).await;
    let items = items["Items"].as_array().unwrap().iter();
    let prefix = format!("rate#{policy}#");
    items
        .filter(|item| item["pk"]["S"].as_str().unwrap().starts_with(&prefix))
        .map(|item| item.as_object().unwrap().clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_09_when_the_window_has_passed_there_is_room_again() {
    let world = limited_world().await;
    let browser = world.browser();
    for number in 0..6 {
        let answer = browser.clone().get("/auth/login").await;
        assert_eq!(answer.status == 429, number == 5, "{answer:?}");
    }
    // As if the calls had been made one window and one slot earlier.
    let passed = WINDOW_SECONDS / SLOT_SECONDS + 1;
    let stored = counters(&world, "auth-login").await;
    assert_eq!(stored.len(), 1);
    for item in stored {
        let moved: Map<String, Value> = item
            .into_iter()
            .map(|(name, value)| match name.strip_prefix('w').and_then(|slot| slot.parse().ok()) {
                Some::<i64>(slot) => (format!("w{}", slot - passed), value),
                None => (name, value),
            })
            .collect();
        world.dynamodb("PutItem", &json!({ "TableName": EDGE, "Item": moved })).await;
    }
    let answer = browser.clone().get("/auth/login").await;
    assert_eq!((answer.status, standing(&answer).0), (302, 4), "{answer:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_counters_people_are_served_and_credentials_are_not() {
    let world = limited_world().await;
    let mut browser = world.browser();
    let faults = world.cloud.dynamodb.faults();
    faults.fail_next("UpdateItem", EDGE, Fault::Throttling, 100);
    assert_eq!(browser.get("/courses").await.status, 200);
    let uncounted = world.cloud.logs.lines().into_iter();
    let uncounted = uncounted.filter(|line| line.line.contains("\"Name\":\"RateUncounted\""));
    assert_eq!(uncounted.count(), 1);
    let login = browser.get("/auth/login").await;
    assert_eq!((login.status, login.header("retry-after")), (503, "2"), "{login:?}");
    faults.clear();
    assert_eq!(browser.get("/auth/login").await.status, 302);
    world.finish(Outcome::Troubled).await;
}
