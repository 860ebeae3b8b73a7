//! `rollcall deploy`, `rollback`, `restore` and `cost`: what an operator does to a stage in AWS. Each is a
//! plan of calls of tools that people know; it is shown first, and done with `--yes`.

mod cost;
mod plan;

use std::process::ExitCode;

use clap::Args;

pub use cost::CostOptions;
use plan::{Plan, Step};

use crate::catalogue;
use crate::{complain, say};

/// Which stage, and whether it is meant.
#[derive(Debug, Args)]
struct Target {
    /// The stage.
    #[arg(long, value_parser = ["dev", "staging", "prod"])]
    stage: String,
    /// Does it. Without this, what would be done is only said.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only says what would be done, as without `--yes`.
    #[arg(long)]
    dry_run: bool,
    /// Prints one JSON object a step.
    #[arg(long)]
    json: bool,
}

/// How a stage is deployed.
#[derive(Debug, Args)]
pub struct DeployOptions {
    #[command(flatten)]
    target: Target,
    /// Where the API of the stage is, to look whether all is well afterwards.
    #[arg(long)]
    url: String,
}

/// Where a stage goes back to.
#[derive(Debug, Args)]
pub struct RollbackOptions {
    #[command(flatten)]
    target: Target,
    /// `previous`, or the number of a version of the one function that `--function` names.
    #[arg(long, default_value = "previous")]
    to: String,
    /// This function alone; else all of them, as they were released together.
    #[arg(long)]
    function: Option<String>,
}

/// What is restored.
#[derive(Debug, Args)]
pub struct RestoreOptions {
    #[command(flatten)]
    target: Target,
    /// The moment, RFC 3339 in UTC, at most 35 days ago.
    #[arg(long)]
    at: String,
    /// These tables alone; else all that hold data of people, which leaves out the CRM's ledger.
    #[arg(long)]
    table: Vec<String>,
}

/// Builds, compares, deploys, looks whether all is well, and goes back by itself when it is not.
pub fn deploy(options: &DeployOptions) -> ExitCode {
    carry_out(&plan::deploy(&options.target.stage, &options.url), &options.target)
}

/// Moves the aliases back; data stay as they are.
pub fn rollback(options: &RollbackOptions) -> ExitCode {
    let RollbackOptions { target, to, function } = options;
    let known: Vec<&str> = catalogue::functions().iter().map(|function| function.name).collect();
    let chosen: Vec<&str> = match function {
        None => known,
        Some(one) if known.contains(&one.as_str()) => vec![one],
        Some(one) => return complain(&format!("there is no function {one}")),
    };
    if to != "previous" && (chosen.len() != 1 || to.parse::<u64>().is_err()) {
        return complain("a version is a number, and one of one function: name it with --function");
    }
    say(
        "This moves calls back to earlier programs. It does not undo what the newer ones have written,",
    );
    say(
        "nor changes of tables, queues, routes, settings or permissions: deploy an earlier tree for those.",
    );
    carry_out(&plan::rollback(&target.stage, &chosen, to), target)
}

/// Makes tables as they were at a moment, under other names.
pub fn restore(options: &RestoreOptions) -> ExitCode {
    let RestoreOptions { target, at, table } = options;
    if at.parse::<rollcall_domain::time::Timestamp>().is_err() {
        return complain("--at is a moment such as 2026-11-21T09:00:00Z");
    }
    match plan::restore(&target.stage, at, table) {
        Ok(plan) => carry_out(&plan, target),
        Err(unknown) => complain(&format!("there is no table {unknown}")),
    }
}

/// What a stage costs a month, by public prices.
pub fn cost(options: &CostOptions) -> ExitCode {
    cost::run(options)
}

fn carry_out(plan: &Plan, target: &Target) -> ExitCode {
    let Plan { steps, when_failed } = plan;
    for (number, step) in steps.iter().enumerate() {
        tell(step, number + 1, steps.len(), target);
        if !target.yes {
            continue;
        }
        if let Err(error) = step.run() {
            let Some(undo) = when_failed else { return complain(&error) };
            if step.undone_when_failed {
                say(&format!("{error}; going back"));
                return match undo.iter().try_for_each(Step::run) {
                    Ok(()) => complain("the stage is as it was before"),
                    Err(error) => complain(&format!("going back failed, too: {error}")),
                };
            }
            return complain(&error);
        }
    }
    if !target.yes {
        say("nothing was done; with --yes it is");
    }
    ExitCode::SUCCESS
}

fn tell(step: &Step, number: usize, of: usize, target: &Target) {
    if target.json {
        let command = &step.command;
        crate::api::say_json(&serde_json::json!({ "what": step.what, "command": command }));
    } else {
        say(&format!("{number}/{of} {}\n      {}", step.what, step.shown()));
    }
}
