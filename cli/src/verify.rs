//! `rollcall verify`: looks at a running Rollcall from outside, as its callers and operators do, and
//! fails when anything is not as it must be. A synthetic user goes the whole way: in, enrolled, through
//! a quiz, and into the CRM within a minute.

mod person;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Args;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use url::Url;

use crate::api::{self, Api, ApiError, ApiOptions, say_json};
use crate::{complain, say};

use person::Person;

/// Within this a change of the synthetic user must be acknowledged by the CRM.
const ARRIVAL_WITHIN: Duration = Duration::from_mins(1);
/// Between two looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A certificate is good for at least this long, in seconds: a fortnight.
const CERTIFICATE_SECONDS_MIN: &str = "1209600";

/// What is looked at.
#[derive(Debug, Args)]
pub struct Options {
    /// The stage, whose alarms are looked at with the AWS CLI.
    #[arg(long, requires = "url")]
    stage: Option<String>,
    /// An access token of the synthetic user; against the local cloud the sample user signs in.
    #[arg(long, env = "ROLLCALL_USER_TOKEN", hide_env_values = true)]
    user_token: Option<String>,
    /// The course that the synthetic user enrols in.
    #[arg(long, default_value = "first-steps")]
    course: String,
    #[command(flatten)]
    api: ApiOptions,
}

/// Why something is not as it must be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Nobody answered.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// What came is not what must come.
    #[error("{0}")]
    Wrong(String),
}

/// What became of a look.
enum Seen {
    /// All is well, and how that shows.
    Well(String),
    /// It could not be looked at here.
    Skipped(&'static str),
}

type Look = Result<Seen, Fault>;

/// Looks at everything.
pub fn run(options: Options) -> ExitCode {
    let Options { stage, user_token, course, api } = options;
    let mut failed = 0;
    let done = api::run(api, async |api: Api| {
        let looks = Looks { api, stage, user_token, course };
        failed = looks.all().await;
        Ok::<(), ApiError>(())
    });
    match failed {
        0 => done,
        1 => complain("one thing is not as it must be"),
        failed => complain(&format!("{failed} things are not as they must be")),
    }
}

struct Looks {
    api: Api,
    stage: Option<String>,
    user_token: Option<String>,
    course: String,
}

impl Looks {
    /// How many looks failed.
    async fn all(&self) -> usize {
        let mut failed = 0;
        failed += self.told("health", self.health()).await;
        failed += self.told("status", self.status()).await;
        failed += self.told("headers", self.headers()).await;
        failed += self.told("cors", self.cors()).await;
        failed += self.told("closed-by-default", self.closed_by_default()).await;
        failed += self.told("certificate", async { self.certificate() }).await;
        let mut person = None;
        failed += self.told("sign-in", self.sign_in(&mut person)).await;
        if let Some(person) = &mut person {
            failed += self.told("enrol", self.enrol(person)).await;
            failed += self.told("quiz", self.quiz(person)).await;
            failed += self.told("crm-arrival", self.arrival(person)).await;
        }
        failed += self.told("dead-letters", self.desk()).await;
        failed += self.told("alarms", async { self.alarms() }).await;
        failed
    }

    async fn told(&self, check: &str, look: impl Future<Output = Look>) -> usize {
        let begun = now();
        let seen = look.await;
        let took = begun.elapsed().as_millis();
        let (state, detail) = match &seen {
            Ok(Seen::Well(detail)) => ("ok", detail.clone()),
            Ok(Seen::Skipped(why)) => ("skipped", (*why).to_owned()),
            Err(fault) => ("failed", fault.to_string()),
        };
        if self.api.json {
            let took = u64::try_from(took).unwrap_or(u64::MAX);
            say_json(&json!({ "check": check, "state": state, "detail": detail, "ms": took }));
        } else {
            say(&format!("{state:<8} {check:<18} {detail} ({took} ms)"));
        }
        usize::from(seen.is_err())
    }

    async fn plain(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response, Fault> {
        let mut request = self.api.http().request(method, self.api.url(path)?);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.send().await?)
    }

    async fn health(&self) -> Look {
        let answer = self.plain(Method::GET, "/health", &[]).await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if status != 200 || body.get("status") != Some(&json!("ok")) {
            return wrong(format!("GET /health answers {status}"));
        }
        Ok(Seen::Well(format!("version {}", api::text(&body, "version"))))
    }

    async fn status(&self) -> Look {
        let status = self.api.get("/status", &[]).await?;
        match api::text(&status, "status") {
            "open" => Ok(Seen::Well("every group of routes is open".to_owned())),
            other => wrong(format!("the routes are {other}")),
        }
    }

    async fn headers(&self) -> Look {
        let answer = self.plain(Method::GET, "/health", &[]).await?;
        for name in ["x-content-type-options", "x-request-id", "cache-control"] {
            if !answer.headers().contains_key(name) {
                return wrong(format!("{name} is missing"));
            }
        }
        let is_secure = self.api.url("/")?.scheme() == "https";
        if is_secure && !answer.headers().contains_key("strict-transport-security") {
            return wrong("strict-transport-security is missing".to_owned());
        }
        Ok(Seen::Well("answers are protected".to_owned()))
    }

    async fn cors(&self) -> Look {
        let path = format!("/enrollments/course/{}", self.course);
        for (origin, is_ours) in
            [(self.api.origin()?, true), ("https://other.example".to_owned(), false)]
        {
            let asked = [("origin", origin.as_str()), ("access-control-request-method", "PUT")];
            let answer = self.plain(Method::OPTIONS, &path, &asked).await?;
            let allowed = answer.headers().get("access-control-allow-origin");
            let allowed = allowed.and_then(|value| value.to_str().ok()).unwrap_or_default();
            if (allowed == origin) != is_ours || allowed == "*" {
                return wrong(format!("a page of {origin} is answered \"{allowed}\""));
            }
        }
        Ok(Seen::Well("our own pages and no others".to_owned()))
    }

    async fn closed_by_default(&self) -> Look {
        for (path, headers, expected) in [
            ("/enrollments", &[][..], 401),
            ("/enrollments", &[("authorization", "Bearer nothing")][..], 401),
            ("/admin/crm/status", &[][..], 401),
            ("/no-such-route", &[][..], 404),
        ] {
            let status = self.plain(Method::GET, path, headers).await?.status();
            if status != expected {
                return wrong(format!("{path} answers {status} to nobody, not {expected}"));
            }
        }
        Ok(Seen::Well("nobody sees anything".to_owned()))
    }

    /// The handshakes above have proven that it is good now.
    fn certificate(&self) -> Look {
        let url = self.api.url("/")?;
        let Some(host) = url.host_str().filter(|_| url.scheme() == "https") else {
            return Ok(Seen::Skipped("there is no TLS on this machine"));
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let script = "openssl s_client -connect \"$1:$2\" -servername \"$1\" </dev/null 2>/dev/null | openssl x509 -noout -checkend \"$3\"";
        let arguments =
            ["-c", script, "certificate", host, &port.to_string(), CERTIFICATE_SECONDS_MIN];
        match Command::new("sh").args(arguments).output() {
            Ok(done) if done.status.success() => Ok(Seen::Well("good for a fortnight".to_owned())),
            Ok(_) => {
                wrong("the certificate ends within a fortnight, or openssl is missing".to_owned())
            }
            Err(_) => Ok(Seen::Skipped("no shell to ask openssl with")),
        }
    }

    async fn sign_in(&self, person: &mut Option<Person>) -> Look {
        let found = match (&self.user_token, self.api.is_local()) {
            (Some(token), _) => Person::with_token(&self.api, token),
            (None, true) => Person::signed_in(&self.api).await?,
            (None, false) => return Ok(Seen::Skipped("no ROLLCALL_USER_TOKEN")),
        };
        let me = person.insert(found).get("/users/me").await?;
        let id = api::text(&me, "id");
        let id = if id.is_empty() { api::text(&me, "user_id") } else { id }.to_owned();
        if let Some(person) = person {
            person.id.clone_from(&id);
        }
        Ok(Seen::Well(id))
    }

    async fn enrol(&self, person: &mut Person) -> Look {
        let path = format!("/enrollments/course/{}", self.course);
        let enrolled = person.change(Method::PUT, &path, None).await?;
        if api::text(&enrolled, "slug") != self.course {
            return wrong("the enrolment is not the one that was asked for".to_owned());
        }
        Ok(Seen::Well(self.course.clone()))
    }

    /// Any answers do: what counts is that they are graded and kept.
    async fn quiz(&self, person: &mut Person) -> Look {
        let Some((module, quiz)) = self.first_quiz(person).await? else {
            return Ok(Seen::Skipped("the course has no quiz"));
        };
        let path = format!("/modules/{module}/quizzes/{quiz}");
        let started = person.change(Method::POST, &format!("{path}/start"), None).await;
        let started = match started {
            Err(Fault::Api(ApiError::Refused(refusal))) if matches!(refusal.status, 409 | 429) => {
                return Ok(Seen::Well(format!("{quiz} was answered before: {}", refusal.code)));
            }
            started => started?,
        };
        let questions = api::entries(&started, "questions").iter();
        let answers: Vec<Value> = questions
            .map(|question| {
                let option = api::entries(question, "options").first().unwrap_or(&Value::Null);
                json!({ "id": api::text(question, "id"), "value": api::text(option, "id") })
            })
            .collect();
        let body = json!({ "attempt_id": api::text(&started, "attempt_id"), "answers": answers });
        person.change(Method::POST, &format!("{path}/attempts"), Some(&body)).await?;
        Ok(Seen::Well(quiz))
    }

    async fn first_quiz(&self, person: &mut Person) -> Result<Option<(String, String)>, Fault> {
        let course = person.get(&format!("/courses/{}", self.course)).await?;
        for module in api::entries(&course, "modules") {
            let slug = module.as_str().unwrap_or_default();
            let shown = person.get(&format!("/modules/{slug}")).await?;
            let mut tasks = api::entries(&shown, "tasks").iter();
            if let Some(task) = tasks.find(|task| api::text(task, "kind") == "quiz") {
                return Ok(Some((slug.to_owned(), api::text(task, "slug").to_owned())));
            }
        }
        Ok(None)
    }

    /// The CRM has a contact, and nothing about it would be sent or waits.
    async fn arrival(&self, person: &Person) -> Look {
        let path = format!("/admin/crm/users/{}", person.id);
        let begun = now();
        loop {
            let stands = self.api.get(&path, &[]).await?;
            let is_there = stands.get("contact_id").is_some_and(Value::is_string);
            let waits = ["pending", "would_send", "dead_letters"]
                .map(|part| api::entries(&stands, part).len());
            if is_there && waits == [0, 0, 0] {
                return Ok(Seen::Well(format!("contact {}", api::text(&stands, "contact_id"))));
            }
            if begun.elapsed() > ARRIVAL_WITHIN {
                let [pending, unsent, refused] = waits;
                return wrong(format!(
                    "after a minute {pending} facets wait, {unsent} would be sent, {refused} were refused"
                ));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn desk(&self) -> Look {
        let status = self.api.get("/admin/crm/status", &[]).await?;
        let letters = status.get("dead_letters").map_or(0, |letters| api::number(letters, "open"));
        let paused = status.get("portal").and_then(|portal| portal.get("paused_for"));
        if letters > 0 {
            return wrong(format!("{letters} dead letters are open"));
        }
        if let Some(reason) = paused.and_then(Value::as_str) {
            return wrong(format!("the CRM is left alone: {reason}"));
        }
        Ok(Seen::Well("nothing lies there, and the CRM is called".to_owned()))
    }

    /// The alarms of the stage that ring now, by the AWS CLI.
    fn alarms(&self) -> Look {
        let Some(stage) = &self.stage else {
            return Ok(Seen::Skipped("no --stage, so there are no alarms"));
        };
        let prefix = format!("rollcall-{stage}-");
        let arguments = [
            "cloudwatch",
            "describe-alarms",
            "--state-value",
            "ALARM",
            "--alarm-name-prefix",
            &prefix,
            "--query",
            "MetricAlarms[].AlarmName",
            "--output",
            "text",
        ];
        match Command::new("aws").args(arguments).output() {
            Ok(done) if done.status.success() => {
                let ringing = String::from_utf8_lossy(&done.stdout);
                match ringing.trim() {
                    "" => Ok(Seen::Well("none rings".to_owned())),
                    names => wrong(format!("ringing: {names}")),
                }
            }
            Ok(_) | Err(_) => wrong("the AWS CLI does not tell; sign in to the account".to_owned()),
        }
    }
}

fn wrong<T>(what: String) -> Result<T, Fault> {
    Err(Fault::Wrong(what))
}

#[expect(clippy::disallowed_methods, reason = "how long a look takes, the machine alone knows")]
fn now() -> Instant {
    Instant::now()
}

/// The URL of a path.
fn joined(base: &Url, path: &str) -> Result<Url, ApiError> {
    base.join(path).map_err(|_error| ApiError::Path(path.to_owned()))
}
