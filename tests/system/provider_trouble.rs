//! The identity provider changes its keys or is away, while people are at work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::StreamExt;
use futures::future::join4;
use rollcall_cli::catalogue;
use rollcall_local::Addresses;
use rollcall_runtime::declaration::Method;
use rollcall_tests::{Answer, Browser, Outcome, World, eventually, member};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::access::example;
use crate::bearer::{access_token, call};
use crate::sign_in::callback;

/// People who sign in while the keys change, and as many who renew their session.
const MEMBERS: usize = 48;
/// Of each kind, under way at a time.
const AT_A_TIME: usize = 6;
/// Sign-ins after which the keys change.
const CHANGED_AFTER: usize = 12;

/// Orders something at the provider's controls.
async fn provider(world: &World, method: &str, control: &str, body: Option<Value>) {
    let url = Addresses::url(world.cloud.addresses.provider);
    let answer = world.browser().plain(method, &format!("{url}/_emulator/{control}"), body).await;
    assert!(answer.status < 300, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_11_keys_that_change_under_load_cost_no_sign_in_no_session_and_no_call() {
    let members = (0..MEMBERS).map(member).collect();
    let cloud = World::start_with(PROGRAM, members, |_| {}).await;
    let world = &cloud;
    let sessions: Vec<Browser> = futures::stream::iter(0..MEMBERS)
        .map(async |number| world.signed_in(&format!("member-{number}")).await)
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let signed_in = AtomicUsize::new(0);
    let signing_in = futures::stream::iter(0..MEMBERS).for_each_concurrent(AT_A_TIME, |number| {
        let signed_in = &signed_in;
        async move {
            let mut browser = world.signed_in(&format!("member-{number}")).await;
            assert_eq!(browser.get("/auth/me").await.status, 200);
            signed_in.fetch_add(1, Ordering::SeqCst);
        }
    });
    let renewing = futures::stream::iter(sessions).for_each_concurrent(AT_A_TIME, |mut browser| {
        let signed_in = &signed_in;
        async move {
            // Spread over the time in which the keys change.
            eventually("somebody signs in", async || {
                (signed_in.load(Ordering::SeqCst) > 0).then_some(())
            })
            .await;
            let answer = browser.post("/auth/refresh", None).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(browser.get("/auth/me").await.status, 200);
        }
    });
    let have_changed = AtomicBool::new(false);
    let calling = futures::stream::iter(0..MEMBERS).for_each_concurrent(AT_A_TIME, |number| {
        let have_changed = &have_changed;
        async move {
            let token = access_token(world, &format!("member-{number}")).await;
            let answer = call(world, "GET", "/users/me", &token).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            if number % 2 == 0 {
                eventually("the keys change", async || {
                    have_changed.load(Ordering::SeqCst).then_some(())
                })
                .await;
            }
            let answer = call(world, "GET", "/users/me", &token).await;
            assert_eq!(answer.status, 200, "a token of before: {answer:?}");
        }
    });
    let changing = async {
        eventually("some have signed in", async || {
            (signed_in.load(Ordering::SeqCst) >= CHANGED_AFTER).then_some(())
        })
        .await;
        provider(world, "POST", "rotate-keys", Some(json!({ "keep_old": true }))).await;
        have_changed.store(true, Ordering::SeqCst);
    };
    join4(signing_in, renewing, calling, changing).await;
    assert_eq!(signed_in.load(Ordering::SeqCst), MEMBERS);
    cloud.finish(Outcome::Clean).await;
}

/// Where the browser ends up reads as a page that says to try later.
fn assert_away(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.text.contains("<h1>You cannot sign in right now</h1>"), "{answer:?}");
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
}

/// What works only with the provider, by its contract.
const NEEDS_PROVIDER: [&str; 1] = ["auth-refresh"];
/// What ends the session that the walk goes with.
const ENDS_SESSION: [&str; 1] = ["auth-logout"];

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_provider_costs_no_session_and_ends_by_itself() {
    let world = crate::world().await;
    let mut grace = world.signed_in("grace").await;
    let mut returning = world.browser();
    let back = callback(&world, &mut returning, "/auth/login").await;
    provider(&world, "POST", "outage", None).await;

    let functions = catalogue::functions();
    let walk = |reading: bool| {
        functions
            .iter()
            .filter(|function| function.access.is_closed())
            .filter(|function| !NEEDS_PROVIDER.contains(&function.name))
            .filter(|function| !ENDS_SESSION.contains(&function.name))
            .flat_map(|function| function.routes())
            .filter(move |route| (route.method == Method::Get) == reading)
    };
    let mut walked = 0;
    for route in walk(true) {
        let answer = grace.get(&example(route.path)).await;
        assert!(answer.status < 500 && answer.status != 401, "{}: {answer:?}", route.path);
        walked += 1;
    }
    assert!(walked >= 8, "only {walked} routes were read");
    let enrolled = grace.put("/enrollments/course/first-steps", None).await;
    assert_eq!(enrolled.status, 200, "{enrolled:?}");
    for route in walk(false) {
        let mut browser = grace.clone();
        let body = Some(json!({}));
        let answer = browser.change(route.method.as_str(), &example(route.path), body).await;
        assert!(answer.status < 500, "{}: {answer:?}", route.path);
    }
    let renewed = grace.post("/auth/refresh", None).await;
    assert_eq!(renewed.status, 503, "{renewed:?}");
    assert!(!renewed.header("retry-after").is_empty(), "{renewed:?}");
    assert_eq!(grace.get("/auth/me").await.status, 200);

    assert_away(&returning.send("GET", &back, None, &[]).await);
    for (function, path) in [("auth-login", "/auth/login"), ("auth-signup", "/auth/signup")] {
        world.cloud.lambda.end_free(function).unwrap();
        assert_away(&world.browser().get(path).await);
    }
    assert_eq!(grace.clone().post("/auth/logout", None).await.status, 200);

    provider(&world, "DELETE", "outage", None).await;
    let mut again = world.signed_in("grace").await;
    assert_eq!(again.get("/auth/me").await.status, 200);
    assert_eq!(again.post("/auth/refresh", None).await.status, 200);
    world.finish(Outcome::Troubled).await;
}
