#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed measurement"
)]
//! `load`: members change their names as fast as asked, and every change has to reach HubSpot.
//!
//! Open loop: a change is due at its time, whether the one before was answered or not, so that a slow
//! answer is not hidden by asking less.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rollcall_local::hubspot;
use rollcall_tests::{Browser, Outcome, World, eventually, member};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Changes members' names over HTTP and waits until HubSpot has them all.
#[derive(Debug, Parser)]
struct Arguments {
    /// Changes per second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// For so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// By so many members.
    #[arg(long, default_value_t = 100)]
    members: usize,
}

/// Connections at once, below what a machine lets one process open.
const IN_FLIGHT_MAX: usize = 200;

/// An answered change: whose, which of theirs, when it was answered, and how long that took.
struct Written {
    member: usize,
    number: u32,
    answered_at: i64,
    took: Duration,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("the runtime starts").block_on(measure(&arguments));
    ExitCode::SUCCESS
}

async fn measure(arguments: &Arguments) {
    let program = std::env::current_exe().expect("this program has a path");
    let program = program.with_file_name("rollcall-under-test");
    let members = (0..arguments.members).map(member).collect();
    let world = World::start_with(&program.to_string_lossy(), members, |_| {}).await;
    let mut browsers: Vec<(Browser, String)> = Vec::new();
    for number in 0..arguments.members {
        let mut browser = world.signed_in(&format!("member-{number}")).await;
        let me = browser.get("/auth/me").await.json();
        browsers.push((browser, me["user_id"].as_str().expect("a user").to_owned()));
    }
    let clock = Arc::new(world.cloud.clock.clone());
    let (browsers, begin) = (Arc::new(browsers), Instant::now());
    let mut changing = JoinSet::new();
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    for change in 0..arguments.rate * arguments.seconds {
        let due = begin + Duration::from_secs(1) * change / arguments.rate;
        tokio::time::sleep_until(due).await;
        let (browsers, clock) = (Arc::clone(&browsers), Arc::clone(&clock));
        let in_flight = Arc::clone(&in_flight);
        changing.spawn(async move {
            // Waiting here counts as waiting for the answer.
            let _permit = in_flight.acquire().await.expect("nobody closes it");
            let member = usize::try_from(change).unwrap_or_default() % browsers.len();
            let number = change / u32::try_from(browsers.len()).unwrap_or(1);
            let mut browser = browsers.get(member).expect("a member").0.clone();
            let name = json!({ "given_name": format!("Name {number}") });
            let headers = [("if-match", "*"), ("content-type", "application/merge-patch+json")];
            let answer = browser.change_with("PATCH", "/users/me", Some(name), &headers).await;
            let took = due.elapsed();
            let written = Written { member, number, answered_at: clock.now_ms(), took };
            (answer.status, written)
        });
    }
    let (mut written, mut refused) = (Vec::new(), BTreeMap::<u16, usize>::new());
    while let Some(changed) = changing.join_next().await {
        match changed.expect("a change ends") {
            (200, change) => written.push(change),
            (status, _) => *refused.entry(status).or_default() += 1,
        }
    }
    let took = begin.elapsed();
    all_arrived(&world, &browsers).await;
    tell(arguments, &world, &browsers, &written, &refused, took);
    world.finish(Outcome::Troubled).await;
}

/// Waits until HubSpot has each member's name as the API tells it.
async fn all_arrived(world: &World, browsers: &[(Browser, String)]) {
    for (browser, user_id) in browsers {
        let mut browser = browser.clone();
        let name = browser.get("/users/me").await.json()["given_name"].clone();
        let name = name.as_str().unwrap_or_default();
        eventually("HubSpot has the newest name", async || {
            let contact = world.contact(user_id)?;
            (contact.properties.get("firstname").map(String::as_str) == Some(name)).then_some(())
        })
        .await;
    }
}

/// When HubSpot was first told something of a user, by the number in the name.
fn arrivals(calls: &[hubspot::Call]) -> BTreeMap<String, Vec<(u32, i64)>> {
    let mut arrivals: BTreeMap<String, Vec<(u32, i64)>> = BTreeMap::new();
    let good = calls.iter().filter(|call| call.status.is_some_and(|status| status < 300));
    for call in good.filter(|call| call.path.ends_with("/batch/upsert")) {
        for input in call.body_json()["inputs"].as_array().into_iter().flatten() {
            let name = input["properties"]["firstname"].as_str().unwrap_or_default();
            let number = name.strip_prefix("Name ").and_then(|number| number.parse().ok());
            if let (Some(number), Some(user)) = (number, input["id"].as_str()) {
                let arrival = (number, call.at.as_millisecond());
                arrivals.entry(user.to_owned()).or_default().push(arrival);
            }
        }
    }
    arrivals
}

#[expect(clippy::print_stdout, reason = "its output is for people")]
fn tell(
    arguments: &Arguments,
    world: &World,
    browsers: &[(Browser, String)],
    written: &[Written],
    refused: &BTreeMap<u16, usize>,
    took: Duration,
) {
    let calls = world.cloud.hubspot.calls();
    let arrivals = arrivals(&calls);
    // A change has arrived with the first call that tells it or a later one of the same member.
    let lag = |change: &Written| {
        let (_, user) = browsers.get(change.member)?;
        let mut later = arrivals.get(user)?.iter().filter(|(number, _)| *number >= change.number);
        later.next().map(|(_, at)| (at - change.answered_at).max(0))
    };
    let mut lags: Vec<i64> = written.iter().filter_map(lag).collect();
    let mut answers: Vec<Duration> = written.iter().map(|change| change.took).collect();
    lags.sort_unstable();
    answers.sort_unstable();
    let answer = |percent| percentile(&answers, percent).unwrap_or_default().as_millis();
    let lag = |percent| percentile(&lags, percent).unwrap_or_default();
    println!("asked for        {} changes/s for {} s", arguments.rate, arguments.seconds);
    println!("took             {:.1} s", took.as_secs_f64());
    println!("answered 200     {}, others {refused:?}", written.len());
    println!("answer           p50 {} ms, p95 {} ms", answer(50), answer(95));
    println!("lag to HubSpot   p50 {} ms, p95 {} ms, most {} ms", lag(50), lag(95), lag(100));
    println!("calls            {}", calls.len());
    println!("violations       {}", world.cloud.hubspot.violations().len());
    println!("lost             0: HubSpot has the newest name of each member");
}

fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get(last * percent / 100).copied()
}
