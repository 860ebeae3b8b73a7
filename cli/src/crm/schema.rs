//! `rollcall crm schema`: what the CRM lacks of what is declared, and its creation.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use crate::api::{self, Api, ApiError, ApiOptions, entries, say_json, text};
use crate::say;

const PATH: &str = "/admin/crm/schema";

/// What to do with the CRM's definitions.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Shows what is missing and what stands in the way. Changes nothing.
    Plan {
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
    /// Creates what is missing, unless something stands in the way.
    Apply {
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
}

pub(super) fn run(action: Action) -> ExitCode {
    match action {
        Action::Plan { api } => api::run(api, plan),
        Action::Apply { api } => api::run(api, apply),
    }
}

async fn plan(api: Api) -> Result<(), ApiError> {
    let plan = api.get(PATH, &[]).await?;
    show(&api, &plan);
    Ok(())
}

async fn apply(api: Api) -> Result<(), ApiError> {
    let left = api.post(PATH, None).await?;
    show(&api, &left);
    Ok(())
}

fn show(api: &Api, plan: &Value) {
    if api.json {
        say_json(plan);
    } else {
        say(&lines(plan).join("\n"));
    }
}

fn lines(plan: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for step in entries(plan, "to_create") {
        lines.push(format!("create    {} {}", text(step, "kind"), text(step, "name")));
    }
    for obstacle in entries(plan, "obstacles") {
        let (property, explanation) = (text(obstacle, "property"), text(obstacle, "explanation"));
        lines.push(format!("refused   {property}: {explanation}"));
    }
    for property in entries(plan, "undeclared").iter().filter_map(Value::as_str) {
        lines.push(format!("left      {property} is not declared any more, and is left alone"));
    }
    if plan.get("events_missing").and_then(Value::as_bool) == Some(true) {
        lines.push("no events the account has no custom events".to_owned());
    }
    if plan.get("in_place").and_then(Value::as_bool) == Some(true) {
        lines.push("in place  nothing is missing".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_reads_as_what_would_be_done() {
        let plan = json!({
            "in_place": false,
            "to_create": [{ "kind": "group", "name": "rollcall" }],
            "obstacles": [{ "code": "retyped", "property": "p", "explanation": "why" }],
            "undeclared": ["rollcall_old"],
            "events_missing": true,
        });
        assert_eq!(
            lines(&plan),
            [
                "create    group rollcall",
                "refused   p: why",
                "left      rollcall_old is not declared any more, and is left alone",
                "no events the account has no custom events",
            ]
        );
        assert_eq!(lines(&json!({ "in_place": true })), ["in place  nothing is missing"]);
    }
}
