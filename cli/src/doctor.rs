//! `rollcall doctor`: says whether this tree and this machine are ready to run, check and deploy
//! Rollcall, and what to do where they are not. Every look is for itself, so one command tells all.

mod deployment;
mod project;
mod toolchain;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::api::say_json;
use crate::{complain, say};

/// What is looked at.
#[derive(Debug, Args)]
pub struct Options {
    /// A stage that is to be deployed: looks for its values, programs and secrets, too.
    #[arg(long, value_parser = ["dev", "staging", "prod"])]
    stage: Option<String>,
    /// The project's root folder.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Prints one JSON object a look.
    #[arg(long)]
    json: bool,
}

/// How something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As it must be.
    Well,
    /// It works, but somebody should look.
    Doubtful(String),
    /// It does not work; the text says what to do.
    Broken(String),
}

/// One look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, kebab-case.
    pub check: &'static str,
    /// How it is.
    pub state: State,
}

impl Finding {
    fn new(check: &'static str, faults: &[String]) -> Self {
        let state = if faults.is_empty() { State::Well } else { State::Broken(faults.join("; ")) };
        Self { check, state }
    }
}

/// Every finding about the project in `root`, for `stage` if one is to be deployed.
#[must_use]
pub fn findings(root: &Path, stage: Option<&str>) -> Vec<Finding> {
    let mut findings = toolchain::findings(root);
    findings.extend(of_tree(root, stage));
    findings.extend(stage.map(deployment::stored_secrets));
    findings
}

/// What is the same on every machine.
fn of_tree(root: &Path, stage: Option<&str>) -> Vec<Finding> {
    let mut findings = project::findings(root);
    if let Some(stage) = stage {
        findings.extend(deployment::findings(root, stage));
    }
    findings
}

/// Looks, tells, and fails when anything is broken.
pub fn run(options: &Options) -> ExitCode {
    let findings = findings(&options.root, options.stage.as_deref());
    for Finding { check, state } in &findings {
        let (word, text) = match state {
            State::Well => ("ok", ""),
            State::Doubtful(text) => ("doubtful", text.as_str()),
            State::Broken(text) => ("broken", text.as_str()),
        };
        if options.json {
            say_json(&json!({ "check": check, "state": word, "detail": text }));
        } else {
            say(&format!("{word:<8} {check:<18} {text}"));
        }
    }
    let broken = findings.iter().filter(|finding| matches!(finding.state, State::Broken(_)));
    match broken.count() {
        0 => ExitCode::SUCCESS,
        1 => complain("one thing is broken"),
        count => complain(&format!("{count} things are broken")),
    }
}

/// A file of the project; empty when it cannot be read, which its look then tells.
fn read(root: &Path, path: &str) -> String {
    std::fs::read_to_string(root.join(path)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    const PROJECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    const PARTS: [&str; 8] = [
        "Cargo.toml",
        "catalog",
        "cdk/cdk.json",
        "cdk/functions.json",
        "cdk/lib/secrets.ts",
        "cdk/lib/settings.ts",
        "docs",
        "events",
    ];

    fn copy(from: &Path, to: &Path) {
        if from.is_dir() {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let name = entry.unwrap().file_name();
                copy(&from.join(&name), &to.join(&name));
            }
        } else {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }

    /// A tree that is ready: with values instead of examples, and with programs.
    fn sound() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for part in PARTS {
            copy(&Path::new(PROJECT).join(part), &root.path().join(part));
        }
        edit(root.path(), "cdk/cdk.json", |text| text.replace(".example", ".test"));
        for function in catalogue::functions() {
            let program = format!("target/lambda/{}/bootstrap", function.name);
            copy(&Path::new(PROJECT).join("Cargo.toml"), &root.path().join(program));
        }
        root
    }

    fn edit(root: &Path, path: &str, change: impl Fn(&str) -> String) {
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        let changed = change(&text);
        assert_ne!(text, changed, "{path}");
        std::fs::write(root.join(path), changed).unwrap();
    }

    fn broken(root: &Path) -> Vec<(&'static str, String)> {
        let findings = of_tree(root, Some("staging")).into_iter();
        findings
            .filter_map(|Finding { check, state }| match state {
                State::Broken(text) => Some((check, text)),
                State::Well | State::Doubtful(_) => None,
            })
            .collect()
    }

    #[test]
    fn a_ready_tree_is_found_ready() {
        let root = sound();
        assert_eq!(broken(root.path()), []);
    }

    #[test]
    fn every_misconfiguration_is_found_and_nothing_else() {
        type Damage = fn(&Path);
        let cases: [(&str, &str, Damage); 14] = [
            ("generated-files", "docs/openapi.json", |root| {
                edit(root, "docs/openapi.json", |_| "{}".to_owned());
            }),
            ("generated-files", "cdk/functions.json", |root| {
                edit(root, "cdk/functions.json", |text| text.replace("256", "128"));
            }),
            ("course-catalogue", "first-steps", |root| {
                edit(root, "catalog/courses/first-steps.md", |_| "nothing".to_owned());
            }),
            ("sample-events", "enroll.json", |root| {
                edit(root, "events/enroll.json", |text| format!("{text}}}"));
            }),
            ("sample-events", "health.json", |root| {
                std::fs::remove_file(root.join("events/health.json")).unwrap();
            }),
            ("settings", "ROLLCALL_CRM_DRIFT", |root| {
                edit(root, "cdk/lib/settings.ts", |text| {
                    text.replace("ROLLCALL_CRM_DRIFT", "ROLLCALL_CRM_DRIFFT")
                });
            }),
            ("secrets", "token-key", |root| {
                edit(root, "cdk/lib/secrets.ts", |text| {
                    text.replace("\"token-key\"", "\"tokens-key\"")
                });
            }),
            ("runbooks", "api-down.md", |root| {
                std::fs::remove_file(root.join("docs/runbooks/api-down.md")).unwrap();
            }),
            ("deployment", "https", |root| {
                edit(root, "cdk/cdk.json", |text| {
                    text.replace("https://staging.", "http://staging.")
                });
            }),
            ("deployment", "without a path", |root| {
                edit(root, "cdk/cdk.json", |text| {
                    text.replace("staging.rollcall.test\",", "staging.rollcall.test/\",")
                });
            }),
            ("deployment", "mail_from", |root| {
                edit(root, "cdk/cdk.json", |text| text.replace("mail@staging", "mail.staging"));
            }),
            ("deployment", "no values of staging", |root| {
                edit(root, "cdk/cdk.json", |text| text.replace("\"staging\":", "\"stageing\":"));
            }),
            ("examples", "identity", |root| {
                edit(root, "cdk/cdk.json", |text| {
                    text.replace("rollcall-staging-example", "rollcall-staging.example")
                });
            }),
            ("programs", "1 of", |root| {
                std::fs::remove_file(root.join("target/lambda/health/bootstrap")).unwrap();
            }),
        ];
        for (check, told, damage) in cases {
            let root = sound();
            damage(root.path());
            let found = broken(root.path());
            let [(found_check, text)] = found.as_slice() else {
                panic!("{check} {told}: {found:#?}")
            };
            assert!(*found_check == check && text.contains(told), "{check} {told}: {found:#?}");
        }
    }
}
