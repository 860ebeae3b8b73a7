//! `rollcall migrate`: copies people with what they learned and made from one stage to another, compares
//! both sides, and says what is in the way. It may be stopped and begun again at any time: what is there
//! is not written again, and nothing that is there is ever replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use clap::Args;
use futures::future::try_join_all;
use rollcall_aws::{Connection, Environment, Service};
use rollcall_domain::id::UserId;
use rollcall_domain::time::Clock;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::system::{SystemClock, SystemRandom};
use rollcall_store::migration::{Finding, Identities, Migration, Outcome, Status};
use rollcall_store::{PortError, Tables};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::api::{is_protected, say_json};
use crate::{complain, progress, say};

/// People who are copied or compared at the same moment.
const PEOPLE_AT_ONCE: usize = 8;
/// The stages, those first that hold the least.
const STAGES: [&str; 3] = ["dev", "staging", "prod"];

/// From where to where, and how.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line by itself")]
pub struct Options {
    /// The stage that people come from.
    #[arg(long, value_parser = STAGES)]
    from: String,
    /// The stage that they come to.
    #[arg(long, value_parser = STAGES)]
    to: String,
    /// Does it. Without this, what would be done is only said.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only says what would be done, as without `--yes`.
    #[arg(long)]
    dry_run: bool,
    /// Copies nothing, and compares what was copied before.
    #[arg(long, conflicts_with_all = ["yes", "dry_run"])]
    verify: bool,
    #[command(flatten)]
    identities: IdentityOptions,
    /// The AWS region of both stages.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    /// The profile of the AWS command line that reaches the one stage; else what that is set to.
    #[arg(long, value_name = "PROFILE")]
    from_profile: Option<String>,
    /// The profile that reaches the other stage.
    #[arg(long, value_name = "PROFILE")]
    to_profile: Option<String>,
    /// Where the one stage's DynamoDB is, if not at AWS.
    #[arg(long, value_name = "URL")]
    from_endpoint: Option<Url>,
    /// Where the other stage's DynamoDB is, if not at AWS.
    #[arg(long, value_name = "URL")]
    to_endpoint: Option<Url>,
    /// Prints one JSON object for each person of whom there is something to say, and one in the end.
    #[arg(long)]
    json: bool,
}

/// What identities are called in the other stage.
#[derive(Debug, Args)]
struct IdentityOptions {
    /// The identity provider of the one stage, its issuer URL, where the other stage has another.
    #[arg(long, value_name = "URL", requires = "to_issuer")]
    from_issuer: Option<String>,
    /// The identity provider of the other stage.
    #[arg(long, value_name = "URL", requires = "from_issuer")]
    to_issuer: Option<String>,
    /// What people are called there, a JSON document per line with `from` and `to`, both subjects. Who is
    /// not in it is not copied. Without it they are called the same.
    #[arg(long, value_name = "FILE", requires = "from_issuer")]
    subjects: Option<PathBuf>,
}

/// Why people are not copied.
#[derive(Debug, thiserror::Error)]
enum MigrateError {
    #[error("people are copied towards {0}, never from it")]
    Backwards(String),
    #[error("both sides are the same tables")]
    Same,
    #[error("{0} is neither https nor on this machine")]
    Unprotected(Url),
    #[error("aws says no credentials: {0}")]
    Credentials(String),
    #[error("{} cannot be read", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    #[error("line {line} of {} does not say from and to", path.display())]
    Line { path: PathBuf, line: usize },
    #[error("{0} cannot be named twice: line {1}")]
    Twice(String, usize),
    #[error("the system does not let this program start")]
    System(#[source] std::io::Error),
    #[error("stopped; run the same again, and it goes on")]
    Port(#[from] PortError),
    #[error("{0} people are not as they should be: see above")]
    Unfinished(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

#[derive(Deserialize)]
struct Subject {
    from: String,
    to: String,
}

/// Copies people.
pub fn run(options: &Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime
        .map_err(MigrateError::System)
        .and_then(|runtime| runtime.block_on(migrate(options)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&chain(&error)),
    }
}

async fn migrate(options: &Options) -> Result<(), MigrateError> {
    let migration = prepare(options)?;
    let people: Vec<UserId> = migration.people().await?.into_iter().collect();
    let mut report = Report::default();
    if !options.verify {
        copy(&migration, &people, &mut report).await?;
    }
    if options.yes || options.verify {
        compare(&migration, &people, &mut report).await?;
    }
    report.tell(people.len(), options);
    match report.unfinished.len() {
        0 => Ok(()),
        people => Err(MigrateError::Unfinished(people)),
    }
}

fn prepare(options: &Options) -> Result<Migration, MigrateError> {
    let Options { from, to, from_endpoint, to_endpoint, from_profile, to_profile, .. } = options;
    let rank = |stage: &String| STAGES.iter().position(|known| known == stage);
    if rank(to) < rank(from) {
        return Err(MigrateError::Backwards(from.clone()));
    }
    if (from, from_endpoint, from_profile) == (to, to_endpoint, to_profile) {
        return Err(MigrateError::Same);
    }
    let tables = |stage: &str, endpoint: &Option<Url>, profile: &Option<String>| {
        let connection = connect(&options.region, endpoint.as_ref(), profile.as_deref())?;
        Ok::<_, MigrateError>(Tables::new(&connection, stage))
    };
    let sides = (tables(from, from_endpoint, from_profile)?, tables(to, to_endpoint, to_profile)?);
    let identities = identities(&options.identities)?;
    Ok(Migration::new(sides, identities, Arc::new(SystemRandom), !options.yes))
}

/// A connection with an operator's credentials. What is on this machine needs none.
fn connect(
    region: &str,
    endpoint: Option<&Url>,
    profile: Option<&str>,
) -> Result<Connection, MigrateError> {
    if let Some(unprotected) = endpoint.filter(|endpoint| !is_protected(endpoint)) {
        return Err(MigrateError::Unprotected(unprotected.clone()));
    }
    let is_here = endpoint.is_some_and(|endpoint| endpoint.scheme() == "http");
    let credentials = if is_here { local() } else { credentials(profile)? };
    let endpoint = endpoint.map(|url| (Service::DynamoDb, url.as_str().to_owned()));
    Ok(Connection::new(Environment {
        region: region.to_owned(),
        access_key_id: credentials.access_key_id,
        secret_access_key: credentials.secret_access_key,
        session_token: credentials.session_token,
        endpoints: endpoint.into_iter().collect(),
    }))
}

fn local() -> Credentials {
    let key = rollcall_local::kit::iam::OPERATOR_ACCESS_KEY_ID.to_owned();
    Credentials { access_key_id: key.clone(), secret_access_key: key, session_token: None }
}

/// What the AWS command line would use, wherever that comes from.
fn credentials(profile: Option<&str>) -> Result<Credentials, MigrateError> {
    let mut command = Command::new("aws");
    command.args(["configure", "export-credentials", "--format", "process"]);
    command.args(profile.into_iter().flat_map(|profile| ["--profile", profile]));
    let output = command.output().map_err(|error| MigrateError::Credentials(error.to_string()))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(MigrateError::Credentials(reason));
    }
    let wrong = |_error| MigrateError::Credentials("an answer of another form".to_owned());
    serde_json::from_slice(&output.stdout).map_err(wrong)
}

fn identities(options: &IdentityOptions) -> Result<Identities, MigrateError> {
    let IdentityOptions { from_issuer, to_issuer, subjects } = options;
    let Some((from, to)) = from_issuer.as_ref().zip(to_issuer.as_ref()) else {
        return Ok(Identities::default());
    };
    let subjects = subjects.as_deref().map(read_subjects).transpose()?;
    Ok(Identities::of_issuer(from, to, subjects))
}

fn read_subjects(path: &Path) -> Result<BTreeMap<String, String>, MigrateError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| MigrateError::File(path.to_owned(), error))?;
    parse_subjects(&text, path)
}

/// One person is nobody else on either side.
fn parse_subjects(text: &str, path: &Path) -> Result<BTreeMap<String, String>, MigrateError> {
    let (mut subjects, mut named) = (BTreeMap::new(), BTreeMap::new());
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let subject: Result<Subject, _> = serde_json::from_str(line);
        let Subject { from, to } =
            subject.map_err(|_error| MigrateError::Line { path: path.to_owned(), line: number })?;
        if named.insert(to.clone(), number).is_some() {
            return Err(MigrateError::Twice(to, number));
        }
        if subjects.insert(from.clone(), to).is_some() {
            return Err(MigrateError::Twice(from, number));
        }
    }
    Ok(subjects)
}

/// What came of it.
#[derive(Default)]
struct Report {
    statuses: BTreeMap<&'static str, usize>,
    written: BTreeMap<&'static str, usize>,
    compared: BTreeMap<&'static str, (usize, usize)>,
    /// Who is not as they should be, with what is to be said of them.
    unfinished: BTreeMap<UserId, Value>,
    /// Whose granted roles stayed behind.
    roles_left: BTreeMap<UserId, Vec<String>>,
}

async fn copy(
    migration: &Migration,
    people: &[UserId],
    report: &mut Report,
) -> Result<(), MigrateError> {
    let bar = progress::bar(u64::try_from(people.len()).unwrap_or(u64::MAX), "copied");
    for some in people.chunks(PEOPLE_AT_ONCE) {
        let copying = some.iter().map(|user| migration.copy(user, SystemClock.now()));
        for outcome in try_join_all(copying).await? {
            report.take(outcome);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

async fn compare(
    migration: &Migration,
    people: &[UserId],
    report: &mut Report,
) -> Result<(), MigrateError> {
    let bar = progress::bar(u64::try_from(people.len()).unwrap_or(u64::MAX), "compared");
    for some in people.chunks(PEOPLE_AT_ONCE) {
        let comparing = some.iter().map(|user| migration.compare(user, SystemClock.now()));
        for (user, compared) in some.iter().zip(try_join_all(comparing).await?) {
            bar.inc(1);
            let Some(compared) = compared else { continue };
            for (table, (expected, found)) in compared.items {
                let (all, there) = report.compared.entry(table).or_default();
                *all += expected;
                *there += found;
            }
            if !compared.findings.is_empty() {
                let findings: Vec<Value> = compared.findings.iter().map(shown).collect();
                let said = json!({ "user_id": user, "status": "different", "findings": findings });
                // What is in the way says more than what is lacking for it.
                report.unfinished.entry(user.clone()).or_insert(said);
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

impl Report {
    fn take(&mut self, outcome: Outcome) {
        let Outcome { user, status, findings, items, roles_left } = outcome;
        let name = match status {
            Status::Copied => "copied",
            Status::There => "there",
            Status::Conflict => "conflict",
            Status::LeftOut(why) => why.as_str(),
        };
        *self.statuses.entry(name).or_default() += 1;
        for (table, count) in items {
            *self.written.entry(table).or_default() += count;
        }
        // Who is being erased is to go; everybody else is to come.
        if !matches!(name, "copied" | "there" | "erased") {
            let findings: Vec<Value> = findings.iter().map(shown).collect();
            let said = json!({ "user_id": user, "status": name, "findings": findings });
            self.unfinished.insert(user.clone(), said);
        }
        if !roles_left.is_empty() {
            self.roles_left.insert(user, roles_left);
        }
    }

    fn tell(&self, people: usize, options: &Options) {
        let is_look = !options.yes;
        if options.json {
            self.unfinished.values().for_each(say_json);
            say_json(&json!({
                "people": people, "dry_run": is_look, "statuses": self.statuses,
                "items": self.written, "compared": self.compared,
                "unfinished": self.unfinished.len(), "roles_left": self.roles_left,
            }));
            return;
        }
        for said in self.unfinished.values() {
            say(&line(said));
        }
        for (user, roles) in &self.roles_left {
            say(&format!("{user} is not granted {} there", roles.join(", ")));
        }
        say(&format!("{:<14} {people}", "people"));
        for (status, count) in &self.statuses {
            say(&format!("{status:<14} {count}"));
        }
        for (table, count) in &self.written {
            say(&format!(
                "{table:<14} {count} items {}",
                if is_look { "to copy" } else { "copied" }
            ));
        }
        for (table, (expected, found)) in &self.compared {
            say(&format!("{table:<14} {expected} items here, {found} there"));
        }
        if is_look && !options.verify {
            say("nothing was done; with --yes it is");
        }
    }
}

fn shown(finding: &Finding) -> Value {
    let at =
        |what: &str, table: &str, item: &str| json!({ "what": what, "table": table, "item": item });
    match finding {
        Finding::Taken { what, owner } => json!({ "what": "taken", "item": what, "owner": owner }),
        Finding::Differs { table, item } => at("differs", table, item),
        Finding::Missing { table, item } => at("missing", table, item),
        Finding::Extra { table, item } => at("extra", table, item),
    }
}

fn line(said: &Value) -> String {
    let text = |value: &Value, key: &str| crate::api::text(value, key).to_owned();
    let findings = crate::api::entries(said, "findings").iter().map(|finding| {
        let place = match text(finding, "owner") {
            owner if owner.is_empty() => text(finding, "table"),
            owner => format!("by {owner}"),
        };
        format!("{} {} {place}", text(finding, "item"), text(finding, "what"))
    });
    let findings: Vec<String> = findings.collect();
    let line =
        format!("{} {}: {}", text(said, "user_id"), text(said, "status"), findings.join("; "));
    line.trim_end_matches([':', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_is_nobody_else_on_either_side() {
        let path = Path::new("subjects");
        let parse = |text: &str| parse_subjects(text, path).map_err(|error| error.to_string());
        let two = "{\"from\":\"1\",\"to\":\"one\"}\n\n{\"from\":\"2\",\"to\":\"two\"}\n";
        assert_eq!(parse(two).unwrap().len(), 2);
        for (text, reason) in [
            (
                "{\"from\":\"1\",\"to\":\"x\"}\n{\"from\":\"2\",\"to\":\"x\"}",
                "x cannot be named twice: line 2",
            ),
            (
                "{\"from\":\"1\",\"to\":\"x\"}\n{\"from\":\"1\",\"to\":\"y\"}",
                "1 cannot be named twice: line 2",
            ),
            ("\n{\"from\":\"1\"}", "line 2 of subjects does not say from and to"),
        ] {
            assert_eq!(parse(text), Err(reason.to_owned()));
        }
    }

    #[test]
    fn what_is_in_the_way_is_said_in_a_line() {
        let findings = [
            Finding::Taken { what: "email".to_owned(), owner: "usr_2".to_owned() },
            Finding::Differs { table: "progress", item: "module#a".to_owned() },
        ];
        let findings: Vec<Value> = findings.iter().map(shown).collect();
        let said = json!({ "user_id": "usr_1", "status": "conflict", "findings": findings });
        assert_eq!(line(&said), "usr_1 conflict: email taken by usr_2; module#a differs progress");
        let left = json!({ "user_id": "usr_1", "status": "unmapped", "findings": [] });
        assert_eq!(line(&left), "usr_1 unmapped");
    }
}
