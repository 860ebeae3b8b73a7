//! `rollcall crm status`.

use std::process::ExitCode;

use serde_json::Value;

use crate::api::{self, Api, ApiError, ApiOptions, entries, number, say_json, text};
use crate::say;

pub(super) fn run(options: ApiOptions) -> ExitCode {
    api::run(options, show)
}

async fn show(api: Api) -> Result<(), ApiError> {
    let status = api.get("/admin/crm/status", &[]).await?;
    if api.json {
        say_json(&status);
    } else {
        say(&lines(&status).join("\n"));
    }
    Ok(())
}

fn lines(status: &Value) -> Vec<String> {
    let part = |name| status.get(name).unwrap_or(&Value::Null);
    let (pending, portal, letters) = (part("pending"), part("portal"), part("dead_letters"));
    let mut lines = vec![format!("pending       {}{}", number(pending, "total"), more(pending))];
    if let Some(since) = pending.get("since").and_then(Value::as_str) {
        lines.push(format!("  since       {since}"));
    }
    let facets = pending.get("by_facet").and_then(Value::as_object);
    for (facet, count) in facets.into_iter().flatten() {
        lines.push(format!("  {facet:<11} {count}"));
    }
    lines.push(format!("dead letters  {}{}", number(letters, "open"), more(letters)));
    lines.push(match portal.get("paused_until").and_then(Value::as_str) {
        None => "portal        is called".to_owned(),
        Some(until) => {
            format!("portal        is left alone until {until}: {}", text(portal, "paused_for"))
        }
    });
    lines.push(format!("milestones    {}", text(part("milestones"), "told_as")));
    for table in entries(status, "tables_to_reconcile").iter().filter_map(Value::as_str) {
        lines.push(format!("to reconcile  {table}"));
    }
    lines
}

fn more(counted: &Value) -> &'static str {
    if counted.get("has_more").and_then(Value::as_bool) == Some(true) { " or more" } else { "" }
}
