//! `rollcall generate`: the files that are made from the functions' declarations.
//!
//! They are committed, so that a change of a declaration shows what it changes outside; a test
//! compares them.

mod documents;
mod functions;
mod openapi;

use std::path::Path;
use std::process::ExitCode;

use crate::{complain, say};

/// A generated file.
#[derive(Debug)]
pub struct Generated {
    /// Where it stands, from the project's root.
    pub path: &'static str,
    /// What it holds.
    pub text: String,
}

/// Every generated file.
pub fn files() -> Vec<Generated> {
    vec![
        Generated { path: "cdk/functions.json", text: pretty(&functions::functions()) },
        Generated { path: "docs/openapi.json", text: pretty(&openapi::document()) },
        Generated { path: "docs/functions.md", text: documents::functions() },
        Generated { path: "docs/errors.md", text: documents::errors() },
        Generated { path: "docs/settings.md", text: documents::settings() },
    ]
}

/// Writes the generated files into the project in the current folder, or only compares them.
pub fn run(check: bool) -> ExitCode {
    if !Path::new("cdk").is_dir() {
        return complain("run this in the project's root folder");
    }
    let stale: Vec<Generated> = files()
        .into_iter()
        .filter(|file| std::fs::read_to_string(file.path).ok().as_ref() != Some(&file.text))
        .collect();
    for file in &stale {
        if check {
            say(&format!("out of date: {}", file.path));
        } else if let Err(error) = std::fs::write(file.path, &file.text) {
            return complain(&format!("{} cannot be written: {error}", file.path));
        } else {
            say(&format!("wrote {}", file.path));
        }
    }
    if check && !stale.is_empty() { complain("run make generate") } else { ExitCode::SUCCESS }
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
