//! `rollcall flags`: shows and sets for whom features are open. It takes the token of an administrator:
//! machines set no flags.

use std::process::ExitCode;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, ApiOptions, entries, say_json, text};
use crate::say;

/// What to do with flags.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Lists every flag and for whom it is open.
    List {
        /// Where, and who asks.
        #[command(flatten)]
        options: ApiOptions,
    },
    /// Sets for whom a flag is open; everywhere within ten seconds.
    Set {
        /// The flag's name.
        name: String,
        /// `off`, `internal`, a share from `1%` to `99%`, or `on`.
        value: String,
        /// Only says what would change.
        #[arg(long)]
        dry_run: bool,
        /// Where, and who asks.
        #[command(flatten)]
        options: ApiOptions,
    },
}

/// Does it.
pub fn run(action: Action) -> ExitCode {
    match action {
        Action::List { options } => api::run(options, list),
        Action::Set { name, value, dry_run, options } => {
            api::run(options, async move |api: Api| set(&api, &name, &value, dry_run).await)
        }
    }
}

async fn list(api: Api) -> Result<(), ApiError> {
    for flag in entries(&api.get("/admin/flags", &[]).await?, "flags") {
        show(&api, flag);
    }
    Ok(())
}

async fn set(api: &Api, name: &str, value: &str, dry_run: bool) -> Result<(), ApiError> {
    if dry_run {
        let flags = api.get("/admin/flags", &[]).await?;
        let mut flags = entries(&flags, "flags").iter();
        let now =
            flags.find(|flag| text(flag, "name") == name).map_or("nothing", |f| text(f, "value"));
        say(&format!("would set {name} from {now} to {value}"));
        return Ok(());
    }
    let path = format!("/admin/flags/{name}");
    let flag = api.call(Method::PUT, &path, &[], Some(&json!({ "value": value }))).await?;
    show(api, &flag);
    Ok(())
}

fn show(api: &Api, flag: &Value) {
    if api.json {
        say_json(flag);
    } else {
        let (name, value, purpose) =
            (text(flag, "name"), text(flag, "value"), text(flag, "purpose"));
        say(&format!("{name:<18} {value:<9} {purpose}"));
    }
}
