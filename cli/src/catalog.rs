//! `rollcall catalog`: a catalogue's way from a folder of files to what the API shows.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rollcall_content::FileFault;
use rollcall_domain::catalog::Edition;
use rollcall_runtime::invocation::chain;
use rollcall_store::PortError;
use rollcall_store::catalog::version_of;
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, ApiOptions, entries, say_json, text};
use crate::{complain, say};

/// What to do with a catalogue.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Says everything that is wrong with a catalogue, and fails if anything is.
    Check {
        /// The catalogue's folder.
        #[arg(default_value = "catalog")]
        folder: PathBuf,
    },
    /// Lists what publishing would change.
    Diff(Target),
    /// Makes a catalogue the one that the API shows; the same one again changes nothing.
    Publish(Target),
}

/// Which catalogue, and where it is published.
#[derive(Debug, Args)]
pub struct Target {
    /// The catalogue's folder.
    #[arg(default_value = "catalog")]
    folder: PathBuf,
    /// Where the API is.
    #[command(flatten)]
    api: ApiOptions,
}

/// Why a catalogue was not handled.
#[derive(Debug, thiserror::Error)]
enum CatalogCommandError {
    #[error("{} in {}", count(.0.len(), "fault"), .1.display())]
    Faults(Vec<FileFault>, PathBuf),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Runs one of the commands.
pub fn run(action: Action) -> ExitCode {
    match action {
        Action::Check { folder } => match check(&folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&chain(&error)),
        },
        Action::Diff(Target { folder, api }) => {
            api::run(api, move |api| async move { diff(&api, &folder).await })
        }
        Action::Publish(Target { folder, api }) => {
            api::run(api, move |api| async move { publish(&api, &folder).await })
        }
    }
}

fn check(folder: &Path) -> Result<(), CatalogCommandError> {
    let edition = read(folder)?;
    let catalog = &edition.catalog;
    say(&format!(
        "{}: {}, {}, {}, {}, {}",
        version_of(&edition)?,
        count(catalog.pathways().count(), "pathway"),
        count(catalog.courses().count(), "course"),
        count(catalog.modules().count(), "module"),
        match edition.quizzes.len() {
            1 => "1 quiz".to_owned(),
            number => format!("{number} quizzes"),
        },
        count(catalog.badges().count(), "badge"),
    ));
    Ok(())
}

async fn diff(api: &Api, folder: &Path) -> Result<(), CatalogCommandError> {
    let answer = send(api, folder, true).await?;
    if api.json {
        say_json(&answer);
        return Ok(());
    }
    let differences = entries(&answer, "differences");
    for difference in differences {
        let sign = match text(difference, "change") {
            "added" => "+",
            "removed" => "-",
            _ => "~",
        };
        say(&format!("{sign} {}", text(difference, "entry")));
    }
    if differences.is_empty() {
        say("nothing would change");
    }
    Ok(())
}

async fn publish(api: &Api, folder: &Path) -> Result<(), CatalogCommandError> {
    let answer = send(api, folder, false).await?;
    if api.json {
        say_json(&answer);
        return Ok(());
    }
    let is_new = answer.get("published").and_then(Value::as_bool) == Some(true);
    let (version, since) = (text(&answer, "version"), if is_new { "is" } else { "was" });
    let when = if is_new { "now" } else { "already" };
    say(&format!("{version} {since} the catalogue {when}"));
    Ok(())
}

/// Hands the catalogue to the API, if nothing is wrong with it.
async fn send(api: &Api, folder: &Path, dry_run: bool) -> Result<Value, CatalogCommandError> {
    read(folder)?;
    let files = rollcall_content::read(folder).map_err(|faults| faulty(faults, folder))?;
    let file = |file: &rollcall_content::File| json!({ "path": file.path, "text": file.text });
    let files: Vec<Value> = files.iter().map(file).collect();
    let body = json!({ "files": files, "dry_run": dry_run });
    Ok(api.post("/admin/catalog/versions", Some(&body)).await?)
}

fn read(folder: &Path) -> Result<Edition, CatalogCommandError> {
    let files = rollcall_content::read(folder);
    let edition = files.and_then(|files| rollcall_content::parse(&files));
    edition.map_err(|faults| faulty(faults, folder))
}

/// Every fault is said, whatever becomes of the command.
fn faulty(faults: Vec<FileFault>, folder: &Path) -> CatalogCommandError {
    for fault in &faults {
        say(&fault.to_string());
    }
    CatalogCommandError::Faults(faults, folder.to_owned())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
