//! What must be installed, and how new.

use std::path::Path;
use std::process::Command;

use super::{Finding, State, read};

/// What the CDK app needs.
const NODE_MAJOR_MIN: u32 = 20;

pub(super) fn findings(root: &Path) -> Vec<Finding> {
    vec![
        Finding::new("rust", &rust(root, version("rustc", "--version").as_deref())),
        Finding::new("node", &node(version("node", "--version").as_deref())),
        Finding {
            check: "python",
            state: match version("python3", "--version") {
                Some(_) => State::Well,
                None => State::Doubtful(
                    "python3 is missing: make build and make test need it".to_owned(),
                ),
            },
        },
    ]
}

/// What a program says about its version.
fn version(program: &str, argument: &str) -> Option<String> {
    let done = Command::new(program).arg(argument).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// `told` is such as `rustc 1.95.0 (59807616e 2026-04-14)`.
fn rust(root: &Path, told: Option<&str>) -> Vec<String> {
    let manifest = read(root, "Cargo.toml");
    let needed = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let needed = needed.map(|text| numbers(text.trim_matches('"'))).unwrap_or_default();
    match told {
        None => vec!["rustc is missing: install Rust from https://rustup.rs".to_owned()],
        Some(told) => {
            let found = numbers(told.split(' ').nth(1).unwrap_or_default());
            let is_new = found >= needed && !needed.is_empty();
            if is_new { Vec::new() } else { vec![format!("{told} is too old: rustup update")] }
        }
    }
}

/// `told` is such as `v20.20.2`.
fn node(told: Option<&str>) -> Vec<String> {
    let major = told.and_then(|told| numbers(told.trim_start_matches('v')).first().copied());
    match major {
        Some(major) if major >= NODE_MAJOR_MIN => Vec::new(),
        Some(_) | None => vec![format!("Node {NODE_MAJOR_MIN} or newer is missing")],
    }
}

fn numbers(text: &str) -> Vec<u32> {
    text.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_or_missing_is_told() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        for (told, faults) in [
            (Some("rustc 9.99.0 (x 2030-01-01)"), 0),
            (Some("rustc 1.60.0 (x 2022-01-01)"), 1),
            (Some(""), 1),
            (None, 1),
        ] {
            assert_eq!(rust(root, told).len(), faults, "{told:?}");
        }
        for (told, faults) in [
            (Some("v20.1.0"), 0),
            (Some("v100.0.0"), 0),
            (Some("v18.9.1"), 1),
            (Some("?"), 1),
            (None, 1),
        ] {
            assert_eq!(node(told).len(), faults, "{told:?}");
        }
    }
}
