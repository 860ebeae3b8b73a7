//! `rollcall users`: looks people up, and changes what administrators decide about them. It takes the
//! token of an administrator: machines do not see who people are.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use rollcall_domain::id::UserId;
use rollcall_domain::role::Role;
use serde_json::{Value, json};

use crate::api::{self, Api, ApiError, ApiOptions, Versioned, entries, number, say_json, text};
use crate::{progress, say};

const PATH: &str = "/admin/users";
/// Users that are asked for at a time.
const USERS_ON_PAGE: usize = 100;
/// Between two looks at a merge that is under way.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Looks at a merge that is under way: a day.
const LOOKS_MAX: u32 = 24 * 60 * 12;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Finds the user of an id, an address or a username, or lists all, who joined last first.
    Find {
        /// An id, an e-mail address or a username.
        who: Option<String>,
        /// How many are listed at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Where, and who asks.
        #[command(flatten)]
        options: ApiOptions,
    },
    /// Shows one user.
    Show {
        /// An id, an e-mail address or a username.
        who: String,
        /// Where, and who asks.
        #[command(flatten)]
        options: ApiOptions,
    },
    /// Grants roles.
    Grant(Roles),
    /// Takes roles back that were granted.
    Take(Roles),
    /// Lets nobody sign in as a user, and ends the user's sessions.
    Suspend(One),
    /// Lets a suspended user in again.
    Unsuspend(One),
    /// Makes one account of two: all that one has becomes the other's.
    Merge(Merge),
}

/// Whose roles.
#[derive(Debug, Args)]
pub struct Roles {
    #[command(flatten)]
    one: One,
    /// The roles: admin, instructor, recruiter.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,
}

/// Who is changed, and whether it is meant.
#[derive(Debug, Args)]
pub struct One {
    /// An id, an e-mail address or a username.
    who: String,
    /// Only says what would change.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: ApiOptions,
}

/// Which accounts become one.
#[derive(Debug, Args)]
pub struct Merge {
    /// The account that ends: an id, an e-mail address or a username.
    #[arg(long)]
    from: String,
    /// Waits until all that it had is the other's.
    #[arg(long, conflicts_with = "dry_run")]
    follow: bool,
    /// The account that stays.
    #[command(flatten)]
    into: One,
}

/// Why a command about users does not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Nobody is called so.
    #[error("{0} is nobody's id, address or username")]
    Nobody(String),
    /// It takes longer than anybody waits.
    #[error("the merge is not finished; ask again with the same command")]
    Unfinished,
}

/// Does it.
pub fn run(action: Action) -> ExitCode {
    match action {
        Action::Find { who, limit, options } => {
            api::run(options, async move |api: Api| find(&api, who.as_deref(), limit).await)
        }
        Action::Show { who, options } => {
            api::run(options, async move |api: Api| show(&api, &who).await)
        }
        Action::Grant(Roles { one, roles }) => change(one, move |user| granted(user, &roles)),
        Action::Take(Roles { one, roles }) => change(one, move |user| taken(user, &roles)),
        Action::Suspend(one) => change(one, |user| suspended(user, true)),
        Action::Unsuspend(one) => change(one, |user| suspended(user, false)),
        Action::Merge(Merge { from, follow, into: One { who, dry_run, options } }) => {
            api::run(options, async move |api: Api| {
                merge(&api, (&who, &from), dry_run, follow).await
            })
        }
    }
}

/// The id of the user whom an id, an address or a username names.
///
/// # Errors
///
/// [`UserError`].
pub(crate) async fn resolve(api: &Api, who: &str) -> Result<UserId, UserError> {
    if let Ok(id) = who.parse() {
        return Ok(id);
    }
    let found = named(api, who).await?;
    let id = found.first().and_then(|user| text(user, "user_id").parse().ok());
    id.ok_or_else(|| UserError::Nobody(who.to_owned()))
}

/// The user whom an address or a username names, as the list has them.
async fn named(api: &Api, who: &str) -> Result<Vec<Value>, UserError> {
    let name = if who.contains('@') { "email" } else { "username" };
    let page = api.get(PATH, &[(name, who.to_owned())]).await?;
    Ok(entries(&page, "users").to_vec())
}

async fn find(api: &Api, who: Option<&str>, limit: usize) -> Result<(), UserError> {
    let tell = |user: &Value| {
        if api.json {
            say_json(user);
        } else {
            say(&line(user));
        }
    };
    match who {
        Some(who) if who.parse::<UserId>().is_ok() => tell(&read(api, who).await?.value),
        Some(who) => named(api, who).await?.iter().for_each(tell),
        None => {
            let mut left = limit;
            let query = [("limit", USERS_ON_PAGE.min(limit.max(1)).to_string())];
            api.pages(PATH, &query, |page| {
                let users = entries(page, "users");
                users.iter().take(left).for_each(tell);
                left = left.saturating_sub(users.len());
                left > 0
            })
            .await?;
        }
    }
    Ok(())
}

async fn read(api: &Api, who: &str) -> Result<Versioned, UserError> {
    let id = resolve(api, who).await?;
    Ok(api.version(&format!("{PATH}/{id}")).await?)
}

async fn show(api: &Api, who: &str) -> Result<(), UserError> {
    let Versioned { value, .. } = read(api, who).await?;
    tell_user(api, &value);
    Ok(())
}

fn tell_user(api: &Api, user: &Value) {
    if api.json {
        return say_json(user);
    }
    for (name, value) in user.as_object().into_iter().flatten() {
        match value {
            Value::String(value) => say(&format!("{name:<16} {value}")),
            Value::Null => say(&format!("{name:<16} -")),
            other => say(&format!("{name:<16} {other}")),
        }
    }
}

/// A user in a line.
fn line(user: &Value) -> String {
    let or_none = |name| match text(user, name) {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    let roles = names(user, "roles").join(",");
    let line = format!(
        "{} {:<9} {:<20} {} {roles}",
        text(user, "user_id"),
        text(user, "standing"),
        or_none("username"),
        or_none("email"),
    );
    line.trim_end().to_owned()
}

fn names(user: &Value, key: &str) -> Vec<String> {
    let names = entries(user, key).iter().filter_map(Value::as_str);
    names.map(ToOwned::to_owned).collect()
}

/// A change of one value, as the user is now.
struct Change {
    name: &'static str,
    from: Value,
    to: Value,
    /// Whether the user may do something else afterwards, which ends sessions.
    ends_sessions: bool,
    /// What does not come to pass, and why.
    remarks: Vec<String>,
}

fn granted(user: &Value, roles: &[Role]) -> Change {
    let before = names(user, "granted_roles");
    let mut after = before.clone();
    after.extend(roles.iter().map(|role| role.as_str().to_owned()));
    of_roles(user, &before, after, Vec::new())
}

fn taken(user: &Value, roles: &[Role]) -> Change {
    let before = names(user, "granted_roles");
    let (mut after, provided) = (before.clone(), names(user, "provider_roles"));
    after.retain(|name| !roles.iter().any(|role| role.as_str() == name));
    let stays = |role: &&Role| provided.iter().any(|name| name == role.as_str());
    let remark = |role: &Role| format!("{role} comes from the identity provider, and stays");
    of_roles(user, &before, after, roles.iter().filter(stays).map(remark).collect())
}

fn of_roles(
    user: &Value,
    before: &[String],
    mut after: Vec<String>,
    remarks: Vec<String>,
) -> Change {
    after.sort_unstable();
    after.dedup();
    let mut roles = [names(user, "provider_roles"), after.clone()].concat();
    roles.sort_unstable();
    roles.dedup();
    let ends_sessions = roles != names(user, "roles");
    Change { name: "granted_roles", from: json!(before), to: json!(after), ends_sessions, remarks }
}

fn suspended(user: &Value, wanted: bool) -> Change {
    let is_suspended = text(user, "standing") == "suspended";
    Change {
        name: "suspended",
        from: json!(is_suspended),
        to: json!(wanted),
        ends_sessions: wanted && !is_suspended,
        remarks: Vec::new(),
    }
}

fn change(one: One, decide: impl Fn(&Value) -> Change) -> ExitCode {
    let One { who, dry_run, options } = one;
    api::run(options, async move |api: Api| {
        let Versioned { value, tag } = read(&api, &who).await?;
        let change = decide(&value);
        if dry_run {
            preview(&api, &value, &change);
            return Ok::<(), UserError>(());
        }
        if !api.json {
            for remark in &change.remarks {
                say(remark);
            }
        }
        let path = format!("{PATH}/{}", text(&value, "user_id"));
        // Also when nothing changes: what an earlier call left of sessions ends by that.
        let body = json!({ change.name: change.to });
        tell_user(&api, &api.change(Method::PATCH, &path, &tag, &body).await?);
        Ok(())
    })
}

fn preview(api: &Api, user: &Value, change: &Change) {
    let Change { name, from, to, ends_sessions, remarks } = change;
    let id = text(user, "user_id");
    let ended = if *ends_sessions { number(user, "sessions") } else { 0 };
    if api.json {
        let changes =
            if from == to { json!({}) } else { json!({ *name: { "from": from, "to": to } }) };
        say_json(&json!({
            "user_id": id, "dry_run": true, "changes": changes, "sessions_ended": ended,
            "remarks": remarks,
        }));
        return;
    }
    for remark in remarks {
        say(remark);
    }
    if from == to {
        say(&format!("nothing of {id} would change"));
    } else {
        say(&format!("would set {name} of {id} from {from} to {to}; sessions ended: {ended}"));
    }
}

async fn merge(
    api: &Api,
    (into, from): (&str, &str),
    dry_run: bool,
    follow: bool,
) -> Result<(), UserError> {
    let from = resolve(api, from).await?;
    let Versioned { value, tag } = read(api, into).await?;
    let path = format!("{PATH}/{}/merge", text(&value, "user_id"));
    let body = json!({ "from": from.as_str(), "dry_run": dry_run });
    let mut merged = api.change(Method::POST, &path, &tag, &body).await?;
    if follow {
        let spinner = progress::count("looks until all has moved");
        for _look in 0..LOOKS_MAX {
            if text(&merged, "status") == "merged" {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            spinner.inc(1);
            merged = api.change(Method::POST, &path, &tag, &body).await?;
        }
        spinner.finish_and_clear();
        if text(&merged, "status") != "merged" {
            return Err(UserError::Unfinished);
        }
    }
    if api.json {
        say_json(&merged);
        return Ok(());
    }
    let (id, status) = (text(&merged, "user_id"), text(&merged, "status"));
    say(&format!("{from} into {id}: {status}"));
    if let Some(outlook) = merged.get("outlook").filter(|outlook| !outlook.is_null()) {
        tell_outlook(outlook);
    }
    Ok(())
}

fn tell_outlook(outlook: &Value) {
    if let Some(survivor) = outlook.get("survivor") {
        say(&line(survivor));
    }
    say(&format!("identities       {}", number(outlook, "identities")));
    say(&format!("its address      {}", text(outlook, "address")));
    let ends = outlook.get("rights_change").and_then(Value::as_bool) == Some(true);
    say(&format!("sessions end     {}", if ends { "of both" } else { "of the other" }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(provided: &[&str], granted: &[&str], roles: &[&str]) -> Value {
        json!({
            "user_id": "usr_1", "standing": "active", "username": null, "email": "a@b.example",
            "provider_roles": provided, "granted_roles": granted, "roles": roles, "sessions": 2,
        })
    }

    #[test]
    fn roles_are_granted_and_taken_beside_those_of_the_provider() {
        let both = user(&["admin"], &["recruiter"], &["admin", "recruiter"]);
        for (change, to, rights_change, remarks) in [
            (granted(&both, &[Role::Recruiter]), json!(["recruiter"]), false, 0),
            (granted(&both, &[Role::Admin]), json!(["admin", "recruiter"]), false, 0),
            (granted(&both, &[Role::Instructor]), json!(["instructor", "recruiter"]), true, 0),
            (taken(&both, &[Role::Recruiter]), json!([]), true, 0),
            (taken(&both, &[Role::Admin]), json!(["recruiter"]), false, 1),
        ] {
            assert_eq!(
                (change.to, change.ends_sessions, change.remarks.len()),
                (to, rights_change, remarks)
            );
        }
        let (out, again) = (suspended(&both, true), suspended(&both, false));
        assert!(out.ends_sessions && !again.ends_sessions && again.from == again.to);
    }

    #[test]
    fn a_user_is_a_line() {
        let line = line(&user(&[], &["admin"], &["admin"]));
        assert_eq!(line, "usr_1 active    -                    a@b.example admin");
    }
}
