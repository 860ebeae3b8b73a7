//! `simulate`: as many storms as wanted, each of its own seed.

use std::process::ExitCode;

use clap::Parser;
use rollcall_crm::port::KeyKind;
use rollcall_simulation::{Chances, Scenario};

/// Lets the CRM sync live through simulated storms and checks every promise after each.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many storms.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Users at the beginning of each.
    #[arg(long, default_value_t = 5)]
    users: usize,
    /// Random writes in each.
    #[arg(long, default_value_t = 1_500)]
    writes: usize,
    /// Instead of a storm: so many hours without the CRM, under steady writes.
    #[arg(long)]
    outage_hours: Option<i64>,
    /// Finds contacts by e-mail address, as for a portal that refuses unique keys.
    #[arg(long)]
    by_email: bool,
    /// People are at work in the CRM: of a thousand turns, at so many one of them does something.
    #[arg(long, default_value_t = 0)]
    people: u32,
}

#[expect(clippy::print_stdout, reason = "its output is for people")]
fn main() -> ExitCode {
    let Arguments { seeds, from, users, writes, outage_hours, by_email, people } =
        Arguments::parse();
    let key = if by_email { KeyKind::Email } else { KeyKind::UserId };
    if let Some(hours) = outage_hours {
        let scenario = Scenario { key, users, ..Scenario::stormy(from) };
        println!("{hours} h without the CRM: {:#?}", scenario.check_outage(hours));
        return ExitCode::SUCCESS;
    }
    let (mut calls, mut steps, mut longest_ms) = (0, 0, 0);
    for seed in from..from.saturating_add(seeds) {
        let chances = Chances { people, ..Chances::STORMY };
        let passed = Scenario { key, chances, users, writes, ..Scenario::stormy(seed) }.check();
        calls += passed.calls;
        steps += passed.steps;
        longest_ms = longest_ms.max(passed.settled_after_ms);
    }
    println!("storms           {seeds}, seeds from {from}");
    println!("writes           {writes} in each, by {users} users and those who join");
    println!("steps            {steps}, each of which may crash, stand still or fail");
    println!("calls            {calls} reached the simulated CRM");
    println!("quiet after      {} s of virtual time at most", longest_ms / 1_000);
    println!("promises broken  0");
    ExitCode::SUCCESS
}
