//! `rollcall crm dead-letters`: what needs a person, and what to do about it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::api::{self, Api, ApiError, ApiOptions, Query, entries, number, say_json, text};
use crate::{progress, say};

const DESK: &str = "/admin/dead-letters";
/// Letters that the API replays in one request.
const REPLAYED_AT_ONCE: usize = 25;
/// Between two looks whether the canary was acknowledged.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Looks at the canary; the drain tries at least every minute.
const LOOKS_MAX: u32 = 600;
/// Steps in which a group is replayed.
const STEPS_MAX: u32 = 100_000;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Lists letters.
    List {
        /// Which letters.
        #[command(flatten)]
        filter: Filter,
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
    /// Counts letters by their causes.
    Groups {
        /// Which letters.
        #[command(flatten)]
        filter: Filter,
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
    /// Shows a letter.
    Show {
        /// Its id.
        id: String,
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
    /// Shows what replaying a letter would send.
    DryRun {
        /// Its id.
        id: String,
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
    /// Sends letters again: some by their ids, or all with one cause, one of them ahead.
    Replay {
        /// Their ids.
        #[arg(required_unless_present = "fingerprint")]
        ids: Vec<String>,
        /// The cause; the others are sent only when the first one was acknowledged.
        #[arg(long, conflicts_with = "ids")]
        fingerprint: Option<String>,
        /// Only shows what would be sent.
        #[arg(long)]
        dry_run: bool,
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
    /// Sends a letter again with other properties.
    Edit {
        /// Its id.
        id: String,
        /// A property's new value; an empty one clears the property in the CRM.
        #[arg(long, value_name = "PROPERTY=VALUE", value_parser = replacement)]
        set: Vec<(String, String)>,
        /// A property that is not sent.
        #[arg(long, value_name = "PROPERTY")]
        leave_out: Vec<String>,
        /// Only shows what would be sent without the changes, and the changes.
        #[arg(long)]
        dry_run: bool,
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
    /// Takes letters off the desk without doing anything about them.
    Discard {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Why, for whoever reads the letters later.
        #[arg(long)]
        reason: String,
        /// Only shows which they are.
        #[arg(long)]
        dry_run: bool,
        /// Where the API is.
        #[command(flatten)]
        api: ApiOptions,
    },
}

/// Which letters.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only these: open, replaying, returned, discarded, resolved, superseded, withdrawn; or all.
    #[arg(long)]
    status: Option<String>,
    /// Only these: facet, milestone, message.
    #[arg(long)]
    kind: Option<String>,
    /// Only those with this cause.
    #[arg(long)]
    fingerprint: Option<String>,
    /// Only those of this facet.
    #[arg(long)]
    facet: Option<String>,
    /// Only those of this user.
    #[arg(long)]
    user: Option<String>,
    /// Only those refused at this time or later, such as 2026-11-21T09:00:00Z.
    #[arg(long)]
    since: Option<String>,
}

impl Filter {
    fn query(self) -> Vec<(&'static str, String)> {
        let Self { status, kind, fingerprint, facet, user, since } = self;
        let given = [
            ("status", status),
            ("kind", kind),
            ("fingerprint", fingerprint),
            ("facet", facet),
            ("user", user),
            ("since", since),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn replacement(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be PROPERTY=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
enum DeadLettersError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0} of the letters could not be sent")]
    NotAll(usize),
    #[error("the canary is still on its way; ask again later")]
    Slow,
    #[error("the group has no end; ask again later")]
    Endless,
}

pub(super) fn run(action: Action) -> ExitCode {
    match action {
        Action::List { filter, api } => api::run(api, |api| list(api, filter)),
        Action::Groups { filter, api } => api::run(api, |api| groups(api, filter)),
        Action::Show { id, api } => api::run(api, |api| show(api, format!("{DESK}/{id}"))),
        Action::DryRun { id, api } => {
            api::run(api, |api| show(api, format!("{DESK}/{id}/dry-run")))
        }
        Action::Replay { fingerprint: Some(cause), dry_run, api, .. } => {
            api::run(api, |api| replay_group(api, cause, dry_run))
        }
        Action::Replay { ids, fingerprint: None, dry_run, api } => {
            api::run(api, |api| replay(api, ids, dry_run))
        }
        Action::Edit { id, set, leave_out, dry_run, api } => {
            api::run(api, |api| edit(api, id, (set, leave_out), dry_run))
        }
        Action::Discard { ids, reason, dry_run, api } => {
            api::run(api, |api| discard(api, ids, reason, dry_run))
        }
    }
}

/// `rollcall crm user`.
pub(super) fn run_user(id: &str, options: ApiOptions) -> ExitCode {
    api::run(options, |api| show(api, format!("/admin/crm/users/{id}")))
}

/// A letter in one line.
fn line(letter: &Value) -> String {
    let about = match text(letter, "kind") {
        "message" => letter.get("queue_message").map(|message| text(message, "queue")),
        "milestone" => Some(text(letter, "milestone")),
        _ => Some(text(letter, "facet")),
    };
    format!(
        "{} {:<10} {} {:<12} {} {}: {}",
        text(letter, "id"),
        text(letter, "status"),
        text(letter, "last_seen_at"),
        about.unwrap_or_default(),
        text(letter, "fingerprint"),
        text(letter, "category"),
        text(letter, "message"),
    )
}

async fn list(api: Api, filter: Filter) -> Result<(), DeadLettersError> {
    let mut query = filter.query();
    query.push(("limit", "100".to_owned()));
    let mut count = 0_usize;
    api.pages(DESK, &query, |page| {
        for letter in entries(page, "dead_letters") {
            count += 1;
            if api.json {
                say_json(letter);
            } else {
                say(&line(letter));
            }
        }
        true
    })
    .await?;
    if !api.json {
        say(&format!("{count} letters"));
    }
    Ok(())
}

/// Groups of several pages with one cause are one group.
async fn counted(api: &Api, query: Query<'_>) -> Result<Vec<Value>, ApiError> {
    let mut groups: BTreeMap<String, Value> = BTreeMap::new();
    api.pages(&format!("{DESK}/groups"), query, |page| {
        for group in entries(page, "groups") {
            let cause = text(group, "fingerprint").to_owned();
            let before = groups.get(&cause).map_or(0, |before| number(before, "count"));
            let mut group = group.clone();
            if let Some(count) = group.get_mut("count") {
                *count = json!(count.as_u64().unwrap_or_default() + before);
            }
            groups.insert(cause, group);
        }
        true
    })
    .await?;
    let mut groups: Vec<Value> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(number(group, "count")));
    Ok(groups)
}

async fn groups(api: Api, filter: Filter) -> Result<(), DeadLettersError> {
    for group in counted(&api, &filter.query()).await? {
        if api.json {
            say_json(&group);
        } else {
            say(&format!(
                "{:>6} {} {}: {}",
                number(&group, "count"),
                text(&group, "fingerprint"),
                text(&group, "category"),
                text(&group, "message"),
            ));
        }
    }
    Ok(())
}

async fn show(api: Api, path: String) -> Result<(), ApiError> {
    let shown = api.get(&path, &[]).await?;
    tell(&api, &shown);
    Ok(())
}

/// Prints an answer: for programs as it is, for people over several lines.
fn tell(api: &Api, answer: &Value) {
    if api.json {
        say_json(answer);
    } else {
        say(&format!("{answer:#}"));
    }
}

async fn replay(api: Api, ids: Vec<String>, dry_run: bool) -> Result<(), DeadLettersError> {
    if dry_run {
        for id in ids {
            tell(&api, &api.get(&format!("{DESK}/{id}/dry-run"), &[]).await?);
        }
        return Ok(());
    }
    let bar = progress::bar(ids.len().try_into().unwrap_or(u64::MAX), "replayed");
    let mut left = 0;
    for chunk in ids.chunks(REPLAYED_AT_ONCE) {
        let answer = api.post(&format!("{DESK}/replay"), Some(&json!({ "ids": chunk }))).await?;
        for became in entries(&answer, "dead_letters") {
            let mut became = became.clone();
            // A message goes back to its queue by itself.
            if text(&became, "outcome") == "message" {
                let path = format!("{DESK}/{}/replay", text(&became, "id"));
                let returned = api.post(&path, None).await?;
                let (id, status) = (text(&returned, "id"), text(&returned, "status"));
                became = json!({ "id": id, "outcome": status });
            }
            left += usize::from(!matches!(text(&became, "outcome"), "replaying" | "returned"));
            bar.inc(1);
            if api.json {
                say_json(&became);
            } else {
                say(&format!("{} {}", text(&became, "id"), text(&became, "outcome")));
            }
        }
    }
    bar.finish_and_clear();
    if left == 0 { Ok(()) } else { Err(DeadLettersError::NotAll(left)) }
}

async fn replay_group(api: Api, cause: String, dry_run: bool) -> Result<(), DeadLettersError> {
    let query = [("fingerprint", cause.clone())];
    let groups = counted(&api, &query).await?;
    let count = groups.first().map_or(0, |group| number(group, "count"));
    if dry_run {
        if let Some(group) = groups.first() {
            tell(&api, group);
        }
        let example = groups.first().map_or("", |group| text(group, "example"));
        if !example.is_empty() {
            tell(&api, &api.get(&format!("{DESK}/{example}/dry-run"), &[]).await?);
        }
        return Ok(());
    }
    let bar = progress::bar(count, "replayed");
    let path = format!("{DESK}/groups/{cause}/replay");
    let (mut looks, mut replayed) = (0, 0);
    for _step in 0..STEPS_MAX {
        let step = api.post(&path, None).await?;
        replayed += number(&step, "replayed");
        bar.set_position(replayed);
        if api.json {
            say_json(&step);
        }
        match text(&step, "step") {
            "done" => {
                bar.finish_and_clear();
                if !api.json {
                    say(&format!("sent again: {replayed}"));
                }
                return Ok(());
            }
            "spreading" => {}
            _ => {
                looks += 1;
                if looks > LOOKS_MAX {
                    return Err(DeadLettersError::Slow);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
    Err(DeadLettersError::Endless)
}

async fn edit(
    api: Api,
    id: String,
    (set, leave_out): (Vec<(String, String)>, Vec<String>),
    dry_run: bool,
) -> Result<(), DeadLettersError> {
    let replaced = set.into_iter().map(|(name, value)| (name, Value::String(value)));
    let left_out = leave_out.into_iter().map(|name| (name, Value::Null));
    let properties: Map<String, Value> = replaced.chain(left_out).collect();
    let body = json!({ "properties": properties });
    if dry_run {
        tell(&api, &api.get(&format!("{DESK}/{id}/dry-run"), &[]).await?);
        tell(&api, &body);
        return Ok(());
    }
    let answer = api.post(&format!("{DESK}/{id}/edit"), Some(&body)).await?;
    tell(&api, &answer);
    Ok(())
}

async fn discard(
    api: Api,
    ids: Vec<String>,
    reason: String,
    dry_run: bool,
) -> Result<(), DeadLettersError> {
    let body = json!({ "reason": reason });
    let bar = progress::bar(ids.len().try_into().unwrap_or(u64::MAX), "discarded");
    for id in ids {
        let letter = if dry_run {
            api.get(&format!("{DESK}/{id}"), &[]).await?
        } else {
            api.post(&format!("{DESK}/{id}/discard"), Some(&body)).await?
        };
        bar.inc(1);
        if api.json {
            say_json(&letter);
        } else {
            say(&line(&letter));
        }
    }
    bar.finish_and_clear();
    Ok(())
}
