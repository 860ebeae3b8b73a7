//! `rollcall export` and `rollcall erase`: what a person may ask for, done for somebody who asked in
//! another way than by signing in, such as by letter. It takes the token of an administrator, and the
//! audit log tells of both.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, ApiOptions, say_json, text};
use crate::say;
use crate::users::{UserError, resolve};

/// Whose data, and where they go.
#[derive(Debug, Args)]
pub struct Export {
    /// An id, an e-mail address or a username.
    who: String,
    /// The file to write, which must not be there yet and which nobody else may read; else it is printed.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    options: ApiOptions,
}

/// Who is erased, and how soon.
#[derive(Debug, Args)]
pub struct Erase {
    /// An id, an e-mail address or a username.
    who: String,
    /// Begins at once, and nobody calls it off; else in seven days, until which the user may.
    #[arg(long)]
    at_once: bool,
    /// Does it. Without this, what would go is only said.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only says what would go, as without `--yes`.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: ApiOptions,
}

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
enum PersonError {
    #[error(transparent)]
    User(#[from] UserError),
    #[error("{} cannot be written", .0.display())]
    File(PathBuf, #[source] std::io::Error),
}

impl From<ApiError> for PersonError {
    fn from(error: ApiError) -> Self {
        Self::User(error.into())
    }
}

/// Hands out everything that is kept of a person, as one JSON document.
pub fn export(order: Export) -> ExitCode {
    let Export { who, output, options } = order;
    api::run(options, async move |api: Api| {
        // Whoever cannot write it has not seen it either.
        let file = output.as_deref().map(create).transpose()?;
        let exported = read(&api, &who).await;
        match (exported, file, output) {
            (Ok(archive), Some(mut file), Some(path)) => {
                writeln!(file, "{archive}")
                    .map_err(|error| PersonError::File(path.clone(), error))?;
                summarise(&api, &archive, &path);
                Ok(())
            }
            (Ok(archive), _, _) => {
                say_json(&archive);
                Ok(())
            }
            (Err(error), _, path) => {
                // Nothing is in it.
                drop(path.map(std::fs::remove_file));
                Err(error)
            }
        }
    })
}

async fn read(api: &Api, who: &str) -> Result<Value, PersonError> {
    let id = resolve(api, who).await?;
    Ok(api.get(&format!("/admin/users/{id}/export"), &[]).await?)
}

fn create(path: &Path) -> Result<std::fs::File, PersonError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| PersonError::File(path.to_owned(), error))
}

fn summarise(api: &Api, archive: &Value, path: &Path) {
    let id = text(archive, "user_id");
    let tables = archive.get("tables").and_then(Value::as_object);
    let items = |items: &Value| items.as_array().map_or(0, Vec::len);
    let items: usize = tables.into_iter().flatten().map(|(_, table)| items(table)).sum();
    if api.json {
        say_json(&json!({ "user_id": id, "items": items, "file": path }));
    } else {
        say(&format!("{} holds {items} items of {id}", path.display()));
    }
}

/// Has a person erased.
pub fn erase(order: Erase) -> ExitCode {
    let Erase { who, at_once, yes, dry_run: _, options } = order;
    api::run(options, async move |api: Api| {
        let id = resolve(&api, &who).await?;
        let body = json!({ "at_once": at_once, "dry_run": !yes });
        let ordered = api.post(&format!("/admin/users/{id}/erasure"), Some(&body)).await;
        tell_erasure(&api, &ordered?, at_once);
        Ok::<(), PersonError>(())
    })
}

fn tell_erasure(api: &Api, ordered: &Value, at_once: bool) {
    if api.json {
        return say_json(ordered);
    }
    let (id, at) = (text(ordered, "user_id"), text(ordered, "erase_at"));
    let Some(held) = ordered.get("held").and_then(Value::as_object) else {
        let until = if at_once { "" } else { "; until then the user may call it off" };
        return say(&format!("{id} is erased from {at} on{until}"));
    };
    say(&format!("{id} would be erased from {at} on"));
    for (table, items) in held {
        say(&format!("{table:<14} {items}"));
    }
    say("nothing was done; with --yes it is");
}
