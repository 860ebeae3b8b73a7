//! `rollcall progress import`: hands the contacts of an earlier system to the API, a few at a time, and
//! writes down what became of each, as a JSON document per line. Whoever begins again with the same
//! report goes on where they stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, ApiOptions, entries, say_json, text};
use crate::{progress, say};

/// Contacts that the API takes in one request.
const CONTACTS_AT_ONCE: usize = 20;
/// Bytes of one request, well within what the API takes.
const REQUEST_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Brings over the progress that an earlier system kept in properties of HubSpot's contacts.
    Import(Import),
}

/// Whose progress is imported, and how.
#[derive(Debug, Args)]
pub struct Import {
    /// The contacts, a JSON document per line as HubSpot's API has them: `id`, and among `properties`
    /// `email`, `hhl_progress_state` and `hhl_progress_updated_at`.
    file: PathBuf,
    /// The import's name, by which it is undone.
    #[arg(long, default_value = "learn")]
    name: String,
    /// Says what would be written, and writes nothing.
    #[arg(long, conflicts_with_all = ["verify", "undo"])]
    dry_run: bool,
    /// Compares the contacts with what we hold.
    #[arg(long, conflicts_with = "undo")]
    verify: bool,
    /// Removes what an import of this name wrote, where nobody has gone on.
    #[arg(long)]
    undo: bool,
    /// Where to write down what became of each contact, beside the terminal. Contacts that stand there
    /// are left out.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where the API is.
    #[command(flatten)]
    api: ApiOptions,
}

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{} cannot be used", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    #[error("{0} of the contacts could not be handled: run the command again")]
    Failed(usize),
}

/// A contact as HubSpot has it.
#[derive(Debug, Deserialize)]
struct Contact {
    id: String,
    properties: Properties,
}

#[derive(Debug, Deserialize)]
struct Properties {
    email: Option<String>,
    hhl_progress_state: Option<String>,
    hhl_progress_updated_at: Option<String>,
}

/// Runs one of the commands.
pub fn run(action: Action) -> ExitCode {
    let Action::Import(order) = action;
    let Import { file, name, dry_run, verify, undo, report, api } = order;
    let mode = match (dry_run, verify, undo) {
        (true, ..) => "dry_run",
        (_, true, _) => "verify",
        (_, _, true) => "undo",
        _ => "import",
    };
    api::run(api, move |api| async move {
        let mut work = Work::open(&api, mode, &name, report.as_deref())?;
        work.all(&file).await
    })
}

struct Work<'work> {
    api: &'work Api,
    mode: &'static str,
    path: String,
    report: Option<(PathBuf, File)>,
    /// Contacts that an earlier run has handled.
    done: BTreeSet<String>,
    waiting: Vec<Value>,
    bytes: usize,
    counts: BTreeMap<String, usize>,
}

impl<'work> Work<'work> {
    fn open(
        api: &'work Api,
        mode: &'static str,
        name: &str,
        report: Option<&Path>,
    ) -> Result<Self, ImportError> {
        let (mut done, mut opened) = (BTreeSet::new(), None);
        if let Some(path) = report {
            let wrong = |error| ImportError::File(path.to_owned(), error);
            let options = OpenOptions::new().read(true).append(true).create(true).open(path);
            let file = options.map_err(wrong)?;
            for line in BufReader::new(file.try_clone().map_err(wrong)?).lines() {
                done.extend(handled(&line.map_err(wrong)?, mode));
            }
            opened = Some((path.to_owned(), file));
        }
        Ok(Self {
            api,
            mode,
            path: format!("/admin/progress/imports/{name}"),
            report: opened,
            done,
            waiting: Vec::new(),
            bytes: 0,
            counts: BTreeMap::new(),
        })
    }

    async fn all(&mut self, path: &Path) -> Result<(), ImportError> {
        let wrong = |error| ImportError::File(path.to_owned(), error);
        let file = BufReader::new(File::open(path).map_err(wrong)?);
        let spinner = progress::count("contacts handled");
        for (index, line) in file.lines().enumerate() {
            let line = line.map_err(wrong)?;
            if line.trim().is_empty() {
                continue;
            }
            spinner.inc(1);
            match serde_json::from_str::<Contact>(&line) {
                Ok(contact) => self.add(contact).await?,
                Err(_error) => self.tell(json!({ "line": index + 1, "status": "unreadable" }))?,
            }
        }
        self.send().await?;
        spinner.finish_and_clear();
        if !self.api.json {
            for (status, count) in &self.counts {
                say(&format!("{status:<12} {count}"));
            }
        }
        match self.counts.get("failed") {
            Some(failed) => Err(ImportError::Failed(*failed)),
            None => Ok(()),
        }
    }

    async fn add(&mut self, contact: Contact) -> Result<(), ImportError> {
        let Contact { id, properties } = contact;
        if !self.done.insert(id.clone()) {
            return Ok(());
        }
        let state = properties.hhl_progress_state.unwrap_or_default();
        let bytes = state.len();
        if self.bytes + bytes > REQUEST_BYTES_MAX {
            self.send().await?;
        }
        self.bytes += bytes;
        self.waiting.push(json!({
            "contact_id": id,
            "email": properties.email.unwrap_or_default(),
            "progress_state": state,
            "progress_updated_at": properties.hhl_progress_updated_at,
        }));
        if self.waiting.len() == CONTACTS_AT_ONCE {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), ImportError> {
        let contacts = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        if contacts.is_empty() {
            return Ok(());
        }
        let body = json!({ "mode": self.mode, "contacts": contacts });
        let answer = self.api.post(&self.path, Some(&body)).await?;
        for contact in entries(&answer, "contacts") {
            self.tell(contact.clone())?;
        }
        Ok(())
    }

    fn tell(&mut self, mut what: Value) -> Result<(), ImportError> {
        *self.counts.entry(text(&what, "status").to_owned()).or_default() += 1;
        if let Some(fields) = what.as_object_mut() {
            fields.insert("mode".to_owned(), json!(self.mode));
        }
        if let Some((path, file)) = &mut self.report {
            let written = writeln!(file, "{what}");
            written.map_err(|error| ImportError::File(path.clone(), error))?;
        }
        if self.api.json {
            say_json(&what);
        }
        Ok(())
    }
}

/// The contact that a line of a report says was handled in this mode.
fn handled(line: &str, mode: &str) -> Option<String> {
    let told: Value = serde_json::from_str(line).ok()?;
    let settled = text(&told, "mode") == mode && text(&told, "status") != "failed";
    let contact = told.get("contact_id").and_then(Value::as_str).filter(|_| settled);
    contact.map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_who_was_handled_in_which_mode() {
        for (line, expected) in [
            (r#"{"mode":"import","contact_id":"7","status":"written"}"#, Some("7")),
            (r#"{"mode":"dry_run","contact_id":"7","status":"would_write"}"#, None),
            (r#"{"mode":"import","contact_id":"7","status":"failed"}"#, None),
            (r#"{"mode":"import","line":3,"status":"unreadable"}"#, None),
            (r#"{"mode":"import","contact"#, None),
        ] {
            assert_eq!(handled(line, "import").as_deref(), expected, "{line}");
        }
    }
}
