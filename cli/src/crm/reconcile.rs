//! `rollcall crm reconcile` and `rollcall crm backfill`: begins a comparison of all users with the
//! CRM, follows it, and prints what it found.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, ApiOptions, entries, number, say_json, text};
use crate::{progress, say};

const PATH: &str = "/admin/crm/reconciliations";
/// Findings that are asked for at a time.
const FINDINGS_ON_PAGE: usize = 100;
/// Between two looks at one that is under way.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Looks at one that is under way: a day.
const LOOKS_MAX: u32 = 24 * 60 * 60;

/// Who wins where the CRM differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// Nobody: differences are only told.
    Report,
    /// We do.
    Repair,
    /// We do, but not over what people wrote into fields of the CRM's own, nor over contacts that
    /// are not our users'.
    RepairOwnedOnly,
}

impl Policy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Repair => "repair",
            Self::RepairOwnedOnly => "repair-owned-only",
        }
    }
}

/// How all users are compared with the CRM.
#[derive(Debug, Args)]
pub struct Reconcile {
    /// Who wins where the CRM differs.
    #[arg(long, value_enum, default_value = "report")]
    policy: Policy,
    #[command(flatten)]
    how: How,
}

/// How all users are sent whose present state the CRM did not acknowledge.
#[derive(Debug, Args)]
pub struct Backfill {
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Says what would be repaired, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Waits until it is through, and prints what it found: with `--json` a finding a line.
    #[arg(long)]
    follow: bool,
    /// One that was begun before, to follow instead of beginning another.
    #[arg(long, value_name = "ID", requires = "follow")]
    id: Option<String>,
    #[command(flatten)]
    api: ApiOptions,
}

pub(super) fn reconcile(order: Reconcile) -> ExitCode {
    run(order.how, order.policy.as_str())
}

pub(super) fn backfill(order: Backfill) -> ExitCode {
    run(order.how, "backfill")
}

fn run(how: How, policy: &'static str) -> ExitCode {
    let How { dry_run, follow, id, api } = how;
    api::run(api, move |api| async move {
        let run = match id {
            Some(id) => api.get(&format!("{PATH}/{id}"), &[]).await?,
            None => api.post(PATH, Some(&json!({ "policy": policy, "dry_run": dry_run }))).await?,
        };
        if !follow {
            show(&api, &run);
            return Ok::<(), ApiError>(());
        }
        let last = follow_until_done(&api, run).await?;
        print_findings(&api, text(&last, "id")).await?;
        show(&api, &last);
        Ok(())
    })
}

async fn follow_until_done(api: &Api, mut run: Value) -> Result<Value, ApiError> {
    let spinner = progress::count("users compared");
    for _look in 0..LOOKS_MAX {
        spinner.set_position(number(&run, "users"));
        spinner.set_message(match text(&run, "phase") {
            "contacts" => "users compared, now from the side of the contacts",
            _ => "users compared",
        });
        if text(&run, "status") == "done" {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        run = api.get(&format!("{PATH}/{}", text(&run, "id")), &[]).await?;
    }
    spinner.finish_and_clear();
    Ok(run)
}

async fn print_findings(api: &Api, id: &str) -> Result<(), ApiError> {
    let query = [("limit", FINDINGS_ON_PAGE.to_string())];
    api.pages(&format!("{PATH}/{id}/findings"), &query, |page| {
        for finding in entries(page, "findings") {
            if api.json {
                say_json(finding);
            } else {
                say(&finding_line(finding));
            }
        }
        true
    })
    .await
}

fn finding_line(finding: &Value) -> String {
    let or = |name, other: &str| match text(finding, name) {
        "" => other.to_owned(),
        text => text.to_owned(),
    };
    let facets = finding.get("differences").and_then(Value::as_object).into_iter().flatten();
    let names: Vec<&str> = facets
        .flat_map(|(_, names)| names.as_array().into_iter().flatten().filter_map(Value::as_str))
        .collect();
    let line = format!(
        "{:<9} {:<7} {} contact {} {}",
        text(finding, "class"),
        text(finding, "repair"),
        or("user_id", "nobody"),
        or("contact_id", "none"),
        names.join(" "),
    );
    line.trim_end().to_owned()
}

fn show(api: &Api, run: &Value) {
    if api.json {
        say_json(run);
    } else {
        say(&lines(run).join("\n"));
    }
}

fn lines(run: &Value) -> Vec<String> {
    let flag = |name| run.get(name).and_then(Value::as_bool) == Some(true);
    let dry = if flag("dry_run") { ", dry run" } else { "" };
    let mut lines = vec![
        format!("{} {} ({}{dry})", text(run, "id"), text(run, "status"), text(run, "policy")),
        format!("users      {}", number(run, "users")),
        format!("contacts   {}", number(run, "contacts")),
        format!("in flight  {}", number(run, "in_flight")),
        format!("at desk    {}", number(run, "at_desk")),
    ];
    for (class, count) in run.get("found").and_then(Value::as_object).into_iter().flatten() {
        lines.push(format!("{class:<10} {count}"));
    }
    let repaired = if flag("dry_run") { "would be repaired" } else { "repaired" };
    lines.push(format!("{repaired} {}", number(run, "repaired")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_without_values() {
        let finding = json!({
            "class": "edited", "user_id": "usr_1", "contact_id": "501", "repair": "send",
            "differences": { "identity": ["firstname", "lastname"] }, "facets": ["identity"],
        });
        assert_eq!(
            finding_line(&finding),
            "edited    send    usr_1 contact 501 firstname lastname"
        );
        let foreign = json!({ "class": "foreign", "contact_id": "7", "repair": "none" });
        assert_eq!(finding_line(&foreign), "foreign   none    nobody contact 7");
    }

    #[test]
    fn a_run_says_what_it_counted() {
        let run = json!({
            "id": "rec_1", "status": "done", "policy": "repair", "dry_run": true, "users": 3,
            "contacts": 4, "in_flight": 0, "at_desk": 1, "found": { "missing": 2 }, "repaired": 2,
        });
        let lines = lines(&run);
        assert_eq!(lines[0], "rec_1 done (repair, dry run)");
        assert!(lines.contains(&"missing    2".to_owned()), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("would be repaired 2"));
    }
}
