#![expect(clippy::expect_used, reason = "a broken expectation is a failed measurement")]
//! `statuses`: how fast the routes answer that show a learner's progress, over HTTP, through the gate
//! and from the tables, for somebody who has learned everything there is in the sample; and the route at
//! which HubSpot tells us of a hundred changes at once, for which it waits.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rollcall_cli::sample;
use rollcall_local::{Addresses, hubspot};
use rollcall_tests::{Browser, Outcome, World};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Measures the routes that show progress, and the webhook.
#[derive(Debug, Parser)]
struct Arguments {
    /// Calls of each route, one after the other.
    #[arg(long, default_value_t = 300)]
    calls: usize,
}

const ROUTES: [&str; 7] = [
    "/progress",
    "/enrollments",
    "/badges",
    "/courses/first-steps/status",
    "/pathways/run-rollcall/status",
    "/modules/follow-a-change/progress",
    "/modules/follow-a-change/attempts",
];

const WEBHOOK: &str = "/webhooks/hubspot";

/// Notices of one batch: as many as HubSpot sends at once.
const NOTICES: usize = 100;

/// Calls before the measurement, in which processes start and caches fill.
const WARMING_CALLS: usize = 10;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("the runtime starts").block_on(measure(&arguments));
    ExitCode::SUCCESS
}

async fn measure(arguments: &Arguments) {
    let program = std::env::current_exe().expect("this program has a path");
    let program = program.with_file_name("rollcall-under-test");
    let world = World::start(&program.to_string_lossy()).await;
    let mut ada = world.signed_in("ada").await;
    for course in ["first-steps", "streams-and-queues", "hubspot-basics", "when-sync-fails"] {
        let enrolled = ada.put(&format!("/enrollments/course/{course}"), None).await;
        assert_eq!(enrolled.status, 200, "{enrolled:?}");
        let shown = ada.get(&format!("/courses/{course}")).await.json();
        let modules = shown.get("modules").and_then(|modules| modules.as_array().cloned());
        for module in modules.expect("a course has modules") {
            ada.complete_module(module.as_str().expect("a slug")).await;
        }
    }
    tell(&["route".to_owned(), "p50 ms".to_owned(), "p95 ms".to_owned(), "max ms".to_owned()]);
    for route in ROUTES {
        let mut times = Vec::with_capacity(arguments.calls);
        for _call in 0..WARMING_CALLS + arguments.calls {
            times.push(called(&mut ada, route).await);
        }
        summarise(route, times);
    }
    let mut times = Vec::with_capacity(arguments.calls);
    for call in 0..WARMING_CALLS + arguments.calls {
        times.push(told(&world, call).await);
    }
    summarise(WEBHOOK, times);
    world.finish(Outcome::Troubled).await;
}

/// Tells about `times`, the first of which were for warming.
fn summarise(route: &str, mut times: Vec<Duration>) {
    times.drain(..WARMING_CALLS);
    times.sort_unstable();
    let at =
        |share: usize| milliseconds(times.get((times.len() * share / 100).min(times.len() - 1)));
    tell(&[route.to_owned(), at(50), at(95), milliseconds(times.last())]);
}

/// Hands the webhook a batch of notices, signed as HubSpot signs them.
async fn told(world: &World, call: usize) -> Duration {
    let now = world.cloud.clock.now_ms();
    let notice = |number: usize| {
        json!({
            "eventId": call * NOTICES + number, "subscriptionId": 1, "portalId": 1, "appId": 2,
            "occurredAt": now, "attemptNumber": 0, "changeSource": "CRM_UI",
            "subscriptionType": "contact.propertyChange", "objectId": 999_000 + number,
            "propertyName": "rollcall_username", "propertyValue": "somebody",
        })
    };
    let body = (0..NOTICES).map(notice).collect::<Value>().to_string();
    let url = format!("{}{WEBHOOK}", Addresses::url(world.cloud.addresses.api));
    let timestamp = now.to_string();
    let secret = sample::HUBSPOT_CLIENT_SECRET;
    let signature = hubspot::signature(secret, &url, &body, &timestamp);
    let headers = [
        ("x-hubspot-request-timestamp", timestamp.as_str()),
        ("x-hubspot-signature-v3", signature.as_str()),
    ];
    let mut sender = world.browser();
    let begin = Instant::now();
    let answer = sender.send("POST", &url, Some(body), &headers).await;
    let took = begin.elapsed();
    assert!(answer.status < 300, "{answer:?}");
    took
}

async fn called(browser: &mut Browser, route: &str) -> Duration {
    let begin = Instant::now();
    let answer = browser.get(route).await;
    let took = begin.elapsed();
    assert_eq!(answer.status, 200, "{answer:?}");
    took
}

fn milliseconds(time: Option<&Duration>) -> String {
    time.map(|time| format!("{:.1}", time.as_secs_f64() * 1_000.0)).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "its output is for people")]
fn tell(columns: &[String; 4]) {
    let [route, p50, p95, max] = columns;
    println!("{route:<40} {p50:>8} {p95:>8} {max:>8}");
}
