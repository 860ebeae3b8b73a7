//! What a stage costs a month, by AWS's public prices of us-east-1 (November 2026), without the free tier.

use std::process::ExitCode;

use clap::Args;
use rollcall_resources::{Queue, SecretName};
use rollcall_runtime::metrics::Metric;
use serde_json::json;

use crate::api::say_json;
use crate::{catalogue, say};

/// How much is to be priced.
#[derive(Debug, Args)]
pub struct CostOptions {
    /// The stage: dev has no alarms.
    #[arg(long, value_parser = ["dev", "staging", "prod"], default_value = "prod")]
    stage: String,
    /// Requests a month.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u32,
    /// With CloudFront and its firewall.
    #[arg(long)]
    edge: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// USD a million HTTP API requests.
const API: f64 = 1.00;
/// USD a million invocations.
const INVOCATIONS: f64 = 0.20;
/// USD a GB-second on arm64.
const GB_SECOND: f64 = 0.000_013_333_4;
/// What a request takes of Lambda on average, in seconds, cold starts included (docs/MEASURED.md).
const SECONDS_OF_A_REQUEST: f64 = 0.02;
/// Memory of a function, in GB.
const GB: f64 = 0.25;
/// Of a request: reads and writes of DynamoDB, USD a million each, on demand.
const READS: (f64, f64) = (4.0, 0.125);
const WRITES: (f64, f64) = (1.5, 0.625);
/// Bytes of log of a request, and USD a GB of log.
const LOGS: (f64, f64) = (900.0, 0.50);
/// USD a custom metric, an alarmed metric, a secret, a key.
const METRIC: f64 = 0.30;
const ALARM: f64 = 0.10;
const SECRET: f64 = 0.40;
const KEY: f64 = 1.00;
/// Alarms besides those of functions and queues, with composites counted by their price.
const OTHER_ALARMS: f64 = 60.0;
/// USD a month of a firewall with four rules, and a million requests through it and CloudFront.
const FIREWALL: f64 = 9.00;
const EDGE_REQUESTS: f64 = 0.60 + 1.00;
const MILLION: f64 = 1_000_000.0;
/// Schedules' invocations in a month of thirty days, of one function a minute.
const MINUTES: f64 = 43_200.0;

pub(super) fn run(options: &CostOptions) -> ExitCode {
    let parts = parts(options);
    let total: f64 = parts.iter().map(|(_, usd)| usd).sum();
    if options.json {
        let parts: Vec<_> =
            parts.iter().map(|(what, usd)| json!({ "what": what, "usd": cents(*usd) })).collect();
        say_json(&json!({ "stage": options.stage, "usd_a_month": cents(total), "parts": parts }));
        return ExitCode::SUCCESS;
    }
    for (what, usd) in &parts {
        say(&format!("{usd:>9.2}  {what}"));
    }
    say(&format!("{total:>9.2}  USD a month, for {} requests", options.requests));
    ExitCode::SUCCESS
}

fn cents(usd: f64) -> f64 {
    (usd * 100.0).round() / 100.0
}

fn parts(options: &CostOptions) -> Vec<(&'static str, f64)> {
    let requests = f64::from(options.requests) / MILLION;
    let functions = catalogue::functions();
    let behind_events =
        count(functions.iter().filter(|function| function.routes().next().is_none()).count());
    let scheduled = count(functions.iter().filter(|function| is_scheduled(function)).count());
    let invocations = requests + scheduled * MINUTES / MILLION;
    let seconds = invocations * MILLION * SECONDS_OF_A_REQUEST;
    let mut parts = vec![
        ("HTTP API", requests * API),
        ("Lambda", invocations * INVOCATIONS + seconds * GB * GB_SECOND),
        ("DynamoDB", requests * (READS.0 * READS.1 + WRITES.0 * WRITES.1)),
        ("logs", invocations * MILLION * LOGS.0 / 1e9 * LOGS.1),
        ("metrics", count(Metric::ALL.len()) * METRIC),
        ("secrets", count(SecretName::ALL.len()) * SECRET),
    ];
    if options.stage != "dev" {
        let queues = count(Queue::ALL.iter().filter(|queue| queue.redrive().is_none()).count());
        let alarms = behind_events * 4.0 + queues * 2.0 + OTHER_ALARMS;
        parts.push(("alarms", alarms * ALARM));
        parts.push(("key", KEY));
    }
    if options.edge {
        parts.push(("edge", FIREWALL + requests * EDGE_REQUESTS));
    }
    parts
}

fn is_scheduled(function: &rollcall_runtime::Function) -> bool {
    let is_schedule = |trigger| matches!(trigger, &rollcall_runtime::Trigger::Schedule { .. });
    function.triggers.iter().any(is_schedule)
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(stage: &str, requests: u32, edge: bool) -> f64 {
        let options = CostOptions { stage: stage.to_owned(), requests, edge, json: false };
        parts(&options).iter().map(|(_, usd)| usd).sum()
    }

    #[test]
    fn more_costs_more_and_dev_costs_least() {
        assert!(total("dev", 0, false) < total("prod", 0, false));
        assert!(total("prod", 0, false) < total("prod", 0, true));
        assert!(total("prod", 1_000_000, false) < total("prod", 2_000_000, false));
        assert!(total("prod", 1_000_000, false) < 60.0, "{}", total("prod", 1_000_000, false));
    }
}
