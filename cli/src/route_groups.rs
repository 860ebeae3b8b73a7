//! `rollcall close` and `rollcall open`: stops a group of routes at once, and lets it answer again.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, ApiOptions, say_json};
use crate::say;

/// Which groups.
#[derive(Debug, Args)]
pub struct Groups {
    /// The groups: learning, members, sign-in, other, or all.
    #[arg(required = true, value_name = "GROUP", value_parser = ["all", "learning", "members", "other", "sign-in"])]
    names: Vec<String>,
    /// Only says what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: ApiOptions,
}

/// Opens or closes groups of routes.
pub fn run(groups: Groups, open: bool) -> ExitCode {
    let Groups { names, dry_run, options } = groups;
    api::run(options, async move |api: Api| set(&api, &names, open, dry_run).await)
}

async fn set(api: &Api, names: &[String], open: bool, dry_run: bool) -> Result<(), ApiError> {
    let status = api.get("/status", &[]).await?;
    let known = status.get("groups").and_then(Value::as_array).cloned().unwrap_or_default();
    for group in known {
        let name = api::text(&group, "name");
        if !names.iter().any(|chosen| chosen == "all" || *chosen == name) {
            continue;
        }
        if dry_run {
            say(&format!("would {} {name}", if open { "open" } else { "close" }));
            continue;
        }
        let path = format!("/admin/route-groups/{name}");
        let body = json!({ "open": open });
        let set = api.call(Method::PUT, &path, &[], Some(&body)).await?;
        if api.json {
            say_json(&set);
        } else {
            let becomes = if open { "answers" } else { "is closed" };
            say(&format!("{name} {becomes} everywhere within ten seconds"));
        }
    }
    Ok(())
}
