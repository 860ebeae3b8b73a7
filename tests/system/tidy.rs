//! The rules of the house that can be checked by looking at files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_cli::{catalogue, generate};
use serde_json::Value;

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn generated_files_are_what_the_declarations_say() {
    for file in generate::files() {
        let stored = std::fs::read_to_string(root().join(file.path)).unwrap_or_default();
        assert!(stored == file.text, "{} is out of date: run make generate", file.path);
    }
}

/// What each crate of ours may build on, beside crates of others. Arrows go one way; what is not
/// here is not allowed.
const ARROWS: [(&str, &[&str]); 29] = [
    ("domain", &[]),
    ("resources", &[]),
    ("aws", &[]),
    ("content", &["domain"]),
    ("crm", &["domain"]),
    ("credentials", &["domain"]),
    ("store", &["aws", "crm", "domain", "resources"]),
    ("queue", &["aws", "domain", "resources"]),
    ("secrets", &["aws", "domain", "resources"]),
    ("mail", &["aws", "domain"]),
    ("http", &[]),
    ("print", &[]),
    ("hubspot", &["crm", "domain", "http"]),
    ("feed", &["crm", "domain", "http"]),
    ("oidc", &["domain", "http"]),
    ("runtime", &["aws", "domain", "queue", "resources", "secrets", "store"]),
    ("edge", &["domain", "oidc", "resources", "runtime", "secrets", "store"]),
    (
        "functions-crm",
        &[
            "crm",
            "domain",
            "edge",
            "feed",
            "hubspot",
            "queue",
            "resources",
            "runtime",
            "secrets",
            "store",
        ],
    ),
    (
        "functions-identity",
        &["domain", "edge", "mail", "oidc", "queue", "resources", "runtime", "secrets", "store"],
    ),
    (
        "functions-learning",
        &[
            "content",
            "credentials",
            "domain",
            "edge",
            "feed",
            "print",
            "queue",
            "resources",
            "runtime",
            "secrets",
            "store",
        ],
    ),
    ("functions-ops", &["domain", "edge", "http", "runtime", "store"]),
    ("local-kit", &[]),
    ("local-dynamodb", &["local-kit"]),
    ("local-messages", &["local-kit"]),
    ("local-lambda", &["local-kit"]),
    ("local-mail", &["local-kit"]),
    ("local-provider", &["local-kit"]),
    ("local-hubspot", &["local-kit"]),
    (
        "local",
        &[
            "aws",
            "local-dynamodb",
            "local-hubspot",
            "local-kit",
            "local-lambda",
            "local-mail",
            "local-messages",
            "local-provider",
            "resources",
            "runtime",
        ],
    ),
];

/// What `domain` may build on from outside: nothing that performs input or output.
const DOMAIN_CRATES: [&str; 12] = [
    "base64",
    "hmac",
    "jiff",
    "rand",
    "serde",
    "sha2",
    "subtle",
    "thiserror",
    "unicode-normalization",
    "url",
    "uuid",
    "zeroize",
];

fn packages() -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone().into_iter();
    packages.map(|package| (package["name"].as_str().unwrap().to_owned(), package)).collect()
}

/// The names of a package's normal dependencies.
fn dependencies(package: &Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    dependencies
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn arrows_between_crates_point_one_way() {
    let packages = packages();
    for (name, allowed) in ARROWS {
        let package = &packages[&format!("rollcall-{name}")];
        for dependency in dependencies(package) {
            if let Some(ours) = dependency.strip_prefix("rollcall-") {
                assert!(allowed.contains(&ours), "{name} may not build on {ours}");
            }
        }
    }
    let known: BTreeSet<String> =
        ARROWS.iter().map(|(name, _)| format!("rollcall-{name}")).collect();
    let outermost = ["rollcall-bench", "rollcall-cli", "rollcall-simulation", "rollcall-tests"];
    for name in packages.keys().filter(|name| !outermost.contains(&name.as_str())) {
        assert!(known.contains(name), "{name} has no place among the arrows");
    }
}

#[test]
fn the_domain_performs_no_input_or_output() {
    for dependency in dependencies(&packages()["rollcall-domain"]) {
        assert!(DOMAIN_CRATES.contains(&dependency.as_str()), "domain builds on {dependency}");
    }
}

#[test]
fn only_adapters_know_aws_and_http() {
    for (name, package) in packages() {
        if !name.starts_with("rollcall-functions-")
            && name != "rollcall-domain"
            && name != "rollcall-crm"
        {
            continue;
        }
        for dependency in dependencies(&package) {
            let foreign = dependency.starts_with("aws-sdk") || dependency == "reqwest";
            assert!(!foreign, "{name} builds on {dependency}");
        }
    }
}

#[test]
fn every_function_has_one_program_one_file_and_one_sample_event() {
    let mut declared = BTreeSet::new();
    for (context, functions) in catalogue::CONTEXTS {
        for function in functions {
            declared.insert(function.name.to_owned());
            let folder = root().join("functions").join(context).join("src");
            let module = function.name.replace('-', "_");
            let program = folder.join("bin").join(format!("{}.rs", function.name));
            let text = std::fs::read_to_string(&program).unwrap_or_default();
            let expected =
                format!("rollcall_runtime::run(&rollcall_functions_{context}::{module}::FUNCTION)");
            assert!(text.contains(&expected), "{} does not run its function", program.display());
            assert!(folder.join(format!("{module}.rs")).is_file(), "{module}.rs is missing");
        }
        let programs = names(&root().join("functions").join(context).join("src/bin"));
        let own: BTreeSet<String> =
            functions.iter().map(|function| function.name.to_owned()).collect();
        assert_eq!(programs, own, "programs and declarations of {context} differ");
    }
    assert_eq!(names(&root().join("events")), declared, "events and declarations differ");
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn rust_files_keep_the_rules_of_the_house() {
    let mut files = Vec::new();
    for folder in ["cli", "functions", "shared", "tests"] {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 80, "only {} files were found", files.len());
    for path in files {
        let shown = path.display();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!path.ends_with("mod.rs"), "{shown}: name it after its module");
        for banned in [
            concat!("todo", "!("),
            concat!("#[ig", "nore"),
            concat!("unimplem", "ented!("),
            concat!("dbg", "!("),
        ] {
            assert!(!text.contains(banned), "{shown} contains {banned}");
        }
        let first = text
            .lines()
            .find(|line| !line.trim().is_empty() && !line.starts_with("#!["))
            .unwrap_or_default();
        let opens = first.starts_with("//!") || text.contains("\n//!");
        assert!(opens, "{shown} does not open with why it exists");
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn every_package_keeps_the_common_lints() {
    for (name, package) in packages() {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} sets lints of its own");
    }
}

/// Licences that packages of tests and deployment may have; none of them is shipped.
const NPM_LICENCES: [&str; 7] =
    ["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BlueOak-1.0.0", "ISC", "MIT", "MIT AND Zlib"];
/// Packages that name a file in place of a licence: here BSD-3-Clause for the program, and the W3C
/// Software and Document License for the W3C's own contexts in it.
const NPM_READ: [&str; 1] = ["node_modules/@digitalbazaar/credentials-context"];

#[test]
fn every_npm_package_has_an_allowed_licence() {
    for folder in ["cdk", "tests/browser", "tests/peer"] {
        let lock = std::fs::read_to_string(root().join(folder).join("package-lock.json")).unwrap();
        let lock: Value = serde_json::from_str(&lock).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        assert!(packages.len() > 1, "{folder} locks nothing");
        for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
            let licence = package["license"].as_str().unwrap_or_default();
            let mut choices = licence.trim_matches(['(', ')']).split(" OR ");
            let allowed = choices.any(|choice| NPM_LICENCES.contains(&choice))
                || NPM_READ.contains(&path.as_str());
            assert!(allowed, "{folder}/{path} has licence {licence:?}");
        }
    }
}

/// Documents that name tests, between backticks.
const NAMING_TESTS: [&str; 3] =
    ["docs/identity-faults.md", "docs/learning-faults.md", "docs/operations-faults.md"];

#[test]
fn every_test_that_a_document_names_exists() {
    let mut files = Vec::new();
    for folder in ["cli", "functions", "shared", "tests"] {
        collect(&root().join(folder), &mut files);
    }
    let texts: Vec<String> =
        files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let is_test_name = |name: &&str| {
        let letters = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        name.matches('_').count() >= 3 && !name.starts_with('_') && name.bytes().all(letters)
    };
    for document in NAMING_TESTS {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let names: BTreeSet<&str> =
            text.split('`').skip(1).step_by(2).filter(is_test_name).collect();
        assert!(names.len() > 10, "{document} names {} tests", names.len());
        for name in names {
            let declared = format!("fn {name}(");
            let is_there = texts.iter().any(|text| text.contains(&declared));
            assert!(is_there, "{document} names {name}, which is no test");
        }
    }
}

/// What every function may use. Each opens with the smallest example: lines of a file that it names.
const EXPLAINED_BY_EXAMPLE: [&str; 8] = [
    "shared/edge/src/condition.rs",
    "shared/edge/src/cursor.rs",
    "shared/edge/src/flags.rs",
    "shared/edge/src/idempotency.rs",
    "shared/edge/src/limits.rs",
    "shared/secrets/src/lib.rs",
    "shared/store/src/audit.rs",
    "shared/store/src/cache.rs",
];

#[test]
fn every_example_stands_in_the_file_that_it_names() {
    for module in EXPLAINED_BY_EXAMPLE {
        let text = std::fs::read_to_string(root().join(module)).unwrap();
        let (_, rest) = text.split_once("//! The smallest example is `").expect(module);
        let (source, rest) = rest.split_once("`:").expect(module);
        let (_, rest) = rest.split_once("//! ```text\n").expect(module);
        let (example, _) = rest.split_once("//! ```\n").expect(module);
        let source_text = std::fs::read_to_string(root().join(source)).expect(source);
        let mut lines = source_text.lines().map(str::trim);
        for line in example.lines().map(|line| line.trim_start_matches("//!").trim()) {
            assert!(lines.any(|other| other == line), "{module}: {source} does not say {line}");
        }
        let guide = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
        assert!(guide.contains(module), "CONTRIBUTING.md does not lead to {module}");
    }
}
