//! A private local cloud for one test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_cli::sample;
use rollcall_functions_crm::settings::HUBSPOT_API;
use rollcall_local::hubspot::{self, Contact};
use rollcall_local::provider::User;
use rollcall_local::{Addresses, Cloud, Options, PortChoice};
use serde_json::{Value, json};

use crate::{Answer, Browser, Canaries, eventually, output};

/// What a test says about its local cloud when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No function logged an error, and no queue holds a message.
    Clean,
    /// The test broke something on purpose, so errors were logged.
    Troubled,
}

/// Set to `other` in the environment, HubSpot has no dates in its paths, and does the other thing
/// wherever its documents disagree about what it does (`make test-switches`).
const SWITCHES: &str = "ROLLCALL_TEST_SWITCHES";

#[expect(
    clippy::disallowed_methods,
    reason = "a whole run of the tests is set up, and no function"
)]
fn are_switches_turned() -> bool {
    std::env::var(SWITCHES).is_ok_and(|position| position == "other")
}

fn turn_switches(options: &mut Options) {
    sample::set(options, &HUBSPOT_API, "v3");
    let (_, portal) = &mut options.hubspot;
    *portal = hubspot::Settings {
        email_upsert_blanks_omitted: !portal.email_upsert_blanks_omitted,
        merge_keeps_primary_id: !portal.merge_keeps_primary_id,
        archive_ignores_unknown_ids: !portal.archive_ignores_unknown_ids,
        retry_after_on_429: !portal.retry_after_on_429,
        error_generation: hubspot::ErrorGeneration::Legacy,
        search_filter_limits: hubspot::SearchFilterLimits::Sdk,
        ..portal.clone()
    };
}

/// A private local cloud.
pub struct World {
    /// The local cloud.
    pub cloud: Cloud,
    /// What must stand in no log.
    pub canaries: Canaries,
}

impl World {
    /// A local cloud in memory, with the sample users.
    pub async fn start(program: &str) -> Self {
        Self::start_with(program, Vec::new(), |_| {}).await
    }

    /// A local cloud with more users than the sample's, changed by `change` before it starts. Unless
    /// `change` says otherwise, its rate limits are a thousand times the declared ones.
    pub async fn start_with(
        program: &str,
        more_users: Vec<User>,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let mut users = sample::users().expect("the sample users are valid");
        users.extend(more_users);
        let canaries = Canaries::default();
        for user in &users {
            canaries.address(&user.email);
            canaries.name("a person's name", &user.given_name);
            canaries.name("a person's name", &user.family_name);
            canaries.secret("a password", &user.password);
        }
        let program = PathBuf::from(program);
        let mut options = sample::options(None, PortChoice::Free, program, users);
        sample::widen_rate_limits(&mut options);
        if are_switches_turned() {
            turn_switches(&mut options);
        }
        change(&mut options);
        for (_, secret) in &options.secrets {
            canaries.secret("a secret of the stage", secret);
        }
        let edition = sample::edition().expect("the sample catalogue is valid");
        for question in edition.quizzes.values().flat_map(|quiz| &quiz.questions) {
            question.explanation.iter().for_each(|text| canaries.explanation(text));
        }
        output::keep();
        let cloud = Cloud::start(options).await.expect("the local cloud starts");
        sample::publish_catalog(&cloud).await.expect("the sample catalogue can be published");
        Self { cloud, canaries }
    }

    /// A browser that nobody has signed in with.
    pub fn browser(&self) -> Browser {
        Browser::new(&self.cloud.addresses).watched(&self.canaries)
    }

    /// A browser of somebody who has signed in.
    pub async fn signed_in(&self, username: &str) -> Browser {
        let mut browser = self.browser();
        browser.sign_in(username).await;
        browser
    }

    /// Orders something at the local HubSpot's controls.
    pub async fn hubspot(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}{path}", Addresses::url(self.cloud.addresses.hubspot));
        self.browser().plain(method, &url, body).await
    }

    /// Takes HubSpot down.
    pub async fn break_hubspot(&self) {
        let answer =
            self.hubspot("POST", "/_emulator/faults", Some(json!({ "kind": "outage" }))).await;
        assert!(answer.status < 300, "{answer:?}");
    }

    /// Brings HubSpot back.
    pub async fn mend_hubspot(&self) {
        let answer = self.hubspot("DELETE", "/_emulator/faults", None).await;
        assert!(answer.status < 300, "{answer:?}");
    }

    /// The contact of a user, once it has these properties.
    pub async fn contact_with(&self, user_id: &str, expected: &[(&str, &str)]) -> Contact {
        let what = format!("the contact of {user_id} has {expected:?}");
        let found = eventually(&what, async || {
            self.contact(user_id).filter(|contact| {
                expected.iter().all(|(name, value)| {
                    contact.properties.get(*name).map(String::as_str).unwrap_or_default() == *value
                })
            })
        });
        found.await
    }

    /// The contact of a user as it is now.
    pub fn contact(&self, user_id: &str) -> Option<Contact> {
        let contacts = self.cloud.hubspot.contacts().into_iter();
        let mut own = contacts.filter(|contact| {
            !contact.archived
                && contact.properties.get("rollcall_user_id").map(String::as_str) == Some(user_id)
        });
        let contact = own.next();
        assert!(own.next().is_none(), "two contacts for {user_id}");
        contact
    }

    /// Calls DynamoDB as the operator.
    pub async fn dynamodb(&self, action: &str, body: &Value) -> Value {
        let url = Addresses::url(self.cloud.addresses.dynamodb);
        let credential =
            "AWS4-HMAC-SHA256 Credential=local/20261121/us-east-1/dynamodb/aws4_request";
        let headers = [
            ("authorization", credential),
            ("x-amz-target", &format!("DynamoDB_20120810.{action}")),
            ("content-type", "application/x-amz-json-1.0"),
        ];
        let answer = self.browser().send("POST", &url, Some(body.to_string()), &headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// What the function that gave `answer` wrote while it worked on it, oldest first.
    ///
    /// # Panics
    ///
    /// When it never says that it has answered.
    pub async fn log_of(&self, answer: &Answer) -> Vec<Value> {
        let id = answer.header("x-request-id");
        let told = eventually("the function says that it has answered", async || {
            let lines = self.cloud.logs.lines().into_iter();
            let lines: Vec<Value> =
                lines.filter_map(|line| serde_json::from_str(&line.line).ok()).collect();
            let last = lines.iter().find(|line| line["request_id"] == id)?;
            let invocation = last["function_request_id"].clone();
            Some((invocation, lines))
        });
        let (invocation, lines) = told.await;
        lines.into_iter().filter(|line| line["function_request_id"] == invocation).collect()
    }

    /// What the logs of the functions and of the local cloud itself hold that no log may: what it
    /// is, whose log, and the line.
    pub fn leaks(&self) -> Vec<String> {
        let own = output::lines().into_iter().map(|line| ("the local cloud".to_owned(), line));
        let lines: Vec<(String, String)> = self
            .cloud
            .logs
            .lines()
            .into_iter()
            .map(|line| (line.function, line.line))
            .chain(own)
            .collect();
        let found = self.canaries.find(lines.iter().map(|(_, line)| line.as_str()));
        let tell = |(number, what): (usize, &str)| {
            let (function, line) = &lines[number];
            format!("{what} in the log of {function}: {line}")
        };
        found.into_iter().map(tell).collect()
    }

    /// Messages that lie on the dead-letter desk, as they are stored.
    async fn messages_given_up(&self) -> Vec<Value> {
        let order = json!({
            "TableName": "rollcall-dev-crm",
            "IndexName": "letters",
            "KeyConditionExpression": "letter_status = :open",
            "FilterExpression": "kind = :message",
            "ExpressionAttributeValues": { ":open": { "S": "open" }, ":message": { "S": "message" } },
        });
        let answer = self.dynamodb("Query", &order).await;
        answer["Items"].as_array().cloned().unwrap_or_default()
    }

    /// Ends the local cloud, and looks that nothing is left that should not be.
    ///
    /// # Panics
    ///
    /// When IAM refused a function something, when HubSpot's limits or schema were violated, when an
    /// answer told the key of a quiz, when a log holds a secret or tells who somebody is, and, if the outcome is to be clean, when an error was logged or a message is left over.
    pub async fn finish(self, outcome: Outcome) {
        let denials = self.cloud.iam.denials();
        assert!(denials.is_empty(), "denied by IAM: {denials:#?}");
        let violations = self.cloud.hubspot.violations();
        assert!(violations.is_empty(), "HubSpot was misused: {violations:#?}");
        let keys = self.canaries.keys_told();
        assert!(keys.is_empty(), "answers tell the keys of quizzes: {keys:#?}");
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "logs hold what they must not: {leaks:#?}");
        if outcome == Outcome::Clean {
            let lines = self.cloud.logs.lines();
            let errors: Vec<_> =
                lines.iter().filter(|line| line.line.contains(r#""level":"ERROR""#)).collect();
            assert!(errors.is_empty(), "errors were logged: {errors:#?}");
            for queue in rollcall_local::queues() {
                let depth = self.cloud.messages.depth(&queue);
                assert!(
                    !queue.ends_with("-dead") || depth.visible == 0,
                    "{queue} holds messages: {depth:?}"
                );
            }
        }
        if outcome == Outcome::Clean {
            let given_up = self.messages_given_up().await;
            assert!(given_up.is_empty(), "messages were given up: {given_up:#?}");
        }
        record_uses(&self.cloud);
        self.cloud.stop().await;
    }
}

/// How many local clouds of this process have written what was used.
static RECORDED: AtomicU64 = AtomicU64::new(0);

/// Writes what the functions used, for `rollcall grants`.
fn record_uses(cloud: &Cloud) {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/grants-used"));
    std::fs::create_dir_all(&folder).expect("target can be written");
    let text = serde_json::to_vec(&cloud.iam.uses()).expect("uses are JSON");
    // Not by its port, which another local cloud of this process may get later.
    let number = RECORDED.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}.json", std::process::id());
    std::fs::write(folder.join(name), text).expect("target can be written");
}

/// A user beside the sample's: `member-{number}`.
pub fn member(number: usize) -> User {
    let username = format!("member-{number}");
    User {
        subject: format!("5c0ffee0-0000-4000-9000-{number:012}"),
        email: format!("{username}@rollcall.example"),
        email_verified: true,
        given_name: format!("Member{number}"),
        family_name: "Sample".to_owned(),
        groups: Vec::new(),
        password: format!("Member-{number}-password!"),
        username,
    }
}
