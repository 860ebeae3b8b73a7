//! Whether the tree is whole: what is generated is what the code declares, and what stands in two
//! places agrees.

use std::path::Path;

use super::{Finding, State, read};
use crate::{catalogue, generate};

pub(super) fn findings(root: &Path) -> Vec<Finding> {
    vec![
        Finding::new("generated-files", &generated(root)),
        Finding::new("course-catalogue", &courses(root)),
        Finding::new("sample-events", &events(root)),
        Finding::new("settings", &settings(root)),
        Finding::new("secrets", &secrets(root)),
        Finding::new("runbooks", &runbooks(root)),
        Finding { check: "node-packages", state: packages(root) },
    ]
}

fn generated(root: &Path) -> Vec<String> {
    let files = generate::files().into_iter();
    let stale = files.filter(|file| read(root, file.path) != file.text);
    stale.map(|file| format!("{} is out of date: make generate", file.path)).collect()
}

fn courses(root: &Path) -> Vec<String> {
    let files = match rollcall_content::read(&root.join("catalog")) {
        Ok(files) => files,
        Err(faults) => return faults.iter().map(ToString::to_string).collect(),
    };
    match rollcall_content::parse(&files) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn events(root: &Path) -> Vec<String> {
    let functions = catalogue::functions().into_iter();
    let is_missing = |name: &str| {
        let text = read(root, &format!("events/{name}.json"));
        serde_json::from_str::<serde_json::Value>(&text).is_err()
    };
    functions
        .filter(|function| is_missing(function.name))
        .map(|function| format!("events/{}.json is missing or no JSON", function.name))
        .collect()
}

/// Each setting has a value in every stage, or the synthesis stops.
fn settings(root: &Path) -> Vec<String> {
    let values = read(root, "cdk/lib/settings.ts");
    let mut names: Vec<&str> = catalogue::functions()
        .into_iter()
        .flat_map(rollcall_runtime::Function::all_settings)
        .map(|setting| setting.name)
        .collect();
    names.sort_unstable();
    names.dedup();
    let missing = names.into_iter().filter(|name| !values.contains(&format!("{name}:")));
    missing.map(|name| format!("{name} has no value in cdk/lib/settings.ts")).collect()
}

/// Each secret comes from somewhere.
fn secrets(root: &Path) -> Vec<String> {
    let origins = read(root, "cdk/lib/secrets.ts");
    let secrets = rollcall_resources::SecretName::ALL.into_iter();
    let missing = secrets.filter(|secret| !origins.contains(&format!("\"{}\":", secret.name())));
    missing
        .map(|secret| format!("cdk/lib/secrets.ts does not say where {} comes from", secret.name()))
        .collect()
}

/// Each page of the index is there.
fn runbooks(root: &Path) -> Vec<String> {
    let index = read(root, "docs/runbooks/README.md");
    let pages: Vec<&str> = index
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|page| Path::new(page).extension().is_some_and(|kind| kind == "md"))
        .collect();
    if pages.is_empty() {
        return vec!["docs/runbooks/README.md lists no page".to_owned()];
    }
    let folder = root.join("docs/runbooks");
    let missing = pages.into_iter().filter(|page| !folder.join(page).is_file());
    missing.map(|page| format!("docs/runbooks/{page} is missing")).collect()
}

fn packages(root: &Path) -> State {
    if root.join("cdk/node_modules").is_dir() {
        State::Well
    } else {
        State::Doubtful("cdk/node_modules is missing: make test-cdk installs it".to_owned())
    }
}
