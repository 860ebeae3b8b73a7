//! Whether a stage can be deployed from this tree: its values, its programs, and the secrets that third
//! parties gave us.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Finding, State, read};
use crate::catalogue;

/// What stands in examples and in no real deployment.
const EXAMPLE: &str = ".example";

pub(super) fn findings(root: &Path, stage: &str) -> Vec<Finding> {
    let values = values(root, stage);
    vec![
        Finding::new("deployment", &deployment(stage, &values)),
        Finding::new("examples", &examples(stage, &values)),
        Finding::new("programs", &programs(root)),
        templates(root),
    ]
}

/// The values of a stage in cdk.json; null when there are none.
fn values(root: &Path, stage: &str) -> Value {
    let file: Value = serde_json::from_str(&read(root, "cdk/cdk.json")).unwrap_or_default();
    file.pointer(&format!("/context/rollcall/{stage}")).cloned().unwrap_or_default()
}

/// What the synthesis would refuse, without Node; the synthesis itself checks more.
fn deployment(stage: &str, values: &Value) -> Vec<String> {
    if values.is_null() {
        return vec![format!("cdk/cdk.json has no values of {stage}")];
    }
    let text = |key: &str| values.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut faults = Vec::new();
    let site = text("site_url");
    if stage != "dev" && !site.starts_with("https://") {
        faults.push(format!("site_url of {stage} must be an https URL"));
    }
    if site.ends_with('/') {
        faults.push(format!("site_url of {stage} must be an origin without a path"));
    }
    if !text("mail_from").contains('@') {
        faults.push(format!("mail_from of {stage} is no address"));
    }
    if !text("hubspot_app_id").bytes().all(|byte| byte.is_ascii_digit()) {
        faults.push(format!("hubspot_app_id of {stage} is no number"));
    }
    if values.get("edge").is_some() && values.get("api").is_none() {
        faults.push(format!("edge of {stage} needs api, the host that it calls"));
    }
    faults
}

/// An example that was not replaced.
fn examples(stage: &str, values: &Value) -> Vec<String> {
    let Some(values) = values.as_object().filter(|_| stage != "dev") else { return Vec::new() };
    let is_example = |value: &Value| value.to_string().contains(EXAMPLE);
    let left = values.iter().filter(|(_, value)| is_example(value));
    left.map(|(key, _)| format!("{key} of {stage} is still the example")).collect()
}

fn programs(root: &Path) -> Vec<String> {
    let folder = root.join("target/lambda");
    let is_missing = |name: &str| !folder.join(name).join("bootstrap").is_file();
    let functions = catalogue::functions();
    let missing = functions.iter().filter(|function| is_missing(function.name)).count();
    if missing == 0 {
        Vec::new()
    } else {
        vec![format!("{missing} of {} programs are not built: make build", functions.len())]
    }
}

/// Templates of before the last change of the catalogue would be compared in vain.
fn templates(root: &Path) -> Finding {
    let changed = |path: &str| root.join(path).metadata().and_then(|data| data.modified()).ok();
    let is_stale = match (changed("cdk/cdk.out/manifest.json"), changed("cdk/functions.json")) {
        (Some(templates), Some(catalogue)) => templates < catalogue,
        (None, _) | (_, None) => true,
    };
    let state = if is_stale {
        State::Doubtful("cdk/cdk.out is older than cdk/functions.json: npm run synth".to_owned())
    } else {
        State::Well
    };
    Finding { check: "templates", state }
}

/// Asks Secrets Manager, by the AWS CLI, for the secrets that an operator puts there.
pub(super) fn stored_secrets(stage: &str) -> Finding {
    Finding { check: "stored-secrets", state: asked(stage) }
}

fn asked(stage: &str) -> State {
    let needed = ["hubspot-token", "hubspot-client-secret", "oidc-client-secret"];
    let needed = needed.iter().filter(|secret| stage != "dev" || **secret != "oidc-client-secret");
    let mut missing = Vec::new();
    for secret in needed {
        let name = format!("rollcall/{stage}/{secret}");
        let arguments = ["secretsmanager", "describe-secret", "--secret-id", &name];
        match Command::new("aws").args(arguments).output() {
            Err(_) => {
                return State::Doubtful("the AWS CLI is missing, so nobody looked".to_owned());
            }
            Ok(done) if !done.status.success() => missing.push(name),
            Ok(_) => {}
        }
    }
    if missing.is_empty() {
        State::Well
    } else {
        State::Broken(format!("not in Secrets Manager, or not readable: {}", missing.join(", ")))
    }
}
