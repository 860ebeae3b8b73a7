//! Leaving: everything is exported, may be kept after all, and otherwise goes without a trace.

use rollcall_cli::sample;
use rollcall_domain::session::SessionHash;
use rollcall_local::dynamodb::Fault;
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_local::mail::{Fault as MailFault, FaultKind};
use rollcall_local::provider::User;
use rollcall_resources::Table;
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::claim::{claim, mail_to};
use crate::profile::edit;
use crate::sessions::{Place, is_usable};

/// Words that stand for a person: wherever one of them is found, something of them is kept.
const TRACES: [&str; 7] = [
    "quixote.canary@rollcall.example",
    "Quixotecanary",
    "Dulcineacanary",
    "windmills-canary",
    "quixote_canary",
    "lance-canary",
    "barber-basin-canary",
];

/// More failures than any client of ours repeats a call.
const FAILURES: u32 = 1_000;
/// A moment that is past for every clock.
pub(crate) const LONG_AGO: &str = "2026-01-01T00:00:00.000Z";

fn person() -> User {
    User {
        subject: "5c0ffee0-0000-4000-9000-00000000cafe".to_owned(),
        username: "quixote".to_owned(),
        email: TRACES[0].to_owned(),
        email_verified: true,
        given_name: TRACES[1].to_owned(),
        family_name: TRACES[2].to_owned(),
        groups: Vec::new(),
        password: "Quixote-password-1!".to_owned(),
    }
}

async fn world() -> World {
    World::start_with(PROGRAM, vec![person()], |_| {}).await
}

/// Somebody who left something in every corner.
async fn settled(world: &World) -> (Browser, String) {
    let mut browser = world.signed_in("quixote").await;
    let other_device = world.signed_in("quixote").await;
    assert!(!other_device.cookies.is_empty());
    let profile = browser.get("/users/me").await;
    let id = profile.json()["user_id"].as_str().unwrap().to_owned();
    // A name that is given up is held for its user.
    let first = edit(&mut browser, json!({ "username": "quixote_first" })).await;
    assert_eq!(first.status, 200, "{first:?}");
    let patch = json!({ "username": TRACES[4], "about": TRACES[3], "skills": [TRACES[5]] });
    let changed = edit(&mut browser, patch).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(browser.put("/enrollments/course/first-steps", None).await.status, 200);
    let key = ("idempotency-key", "basin");
    let piece = json!({ "title": TRACES[6] });
    let placed = browser.change_with("POST", "/users/me/portfolio", Some(piece), &[key]).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let attempt = browser.start_quiz("follow-a-change", "check").await;
    let submitted = browser.submit_quiz("follow-a-change", "check", &attempt, false).await;
    assert_eq!(submitted.status, 200, "{submitted:?}");
    world.contact_with(&id, &[("email", TRACES[0]), ("rollcall_username", TRACES[4])]).await;
    (browser, id)
}

/// Items of a table, as text.
pub(crate) async fn items(world: &World, table: Table) -> Vec<String> {
    let name = table.full_name("dev");
    let answer = world.dynamodb("Scan", &json!({ "TableName": name })).await;
    assert!(answer["LastEvaluatedKey"].is_null(), "a scan of {name} has several pages");
    answer["Items"].as_array().unwrap().iter().map(ToString::to_string).collect()
}

/// Where a trace of the person is left.
async fn traces(world: &World, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |place: &str, text: &str| {
        for word in words {
            if text.to_lowercase().contains(&word.to_lowercase()) {
                found.push(format!("{word} in {place}: {text}"));
            }
        }
    };
    for table in Table::ALL {
        for item in items(world, table).await {
            look(table.name(), &item);
        }
    }
    for contact in world.cloud.hubspot.contacts() {
        look("the CRM", &format!("{contact:?}"));
    }
    for line in world.cloud.logs.lines() {
        look("the log", &line.line);
    }
    found
}

/// Moves the end of a person's grace time, or the moment their account was closed, into the past.
async fn pass(world: &World, id: &str, attribute: &str, value: Value) {
    let update = json!({
        "TableName": Table::Users.full_name("dev"),
        "Key": { "pk": { "S": format!("user#{id}") }, "sk": { "S": "profile" } },
        "UpdateExpression": format!("SET {attribute} = :value"),
        "ConditionExpression": format!("attribute_exists({attribute})"),
        "ExpressionAttributeValues": { ":value": value },
    });
    world.dynamodb("UpdateItem", &update).await;
}

/// Lets the schedule's function run once, and tells whether it succeeded.
pub(crate) async fn erase(world: &World) -> bool {
    let invocation = world.cloud.lambda.invoke("user-erase", b"{}".as_slice().into(), None).await;
    matches!(invocation.unwrap().outcome, Invoked::Response(_))
}

/// The account's last days, up to where only the sweep has to run once more.
pub(crate) async fn leave_for_good(world: &World, browser: &mut Browser, id: &str) {
    let answer = browser.delete("/users/me").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    pass(world, id, "erase_at", json!({ "S": LONG_AGO })).await;
    let standing = json!({ "is": { "S": "leaving" }, "erase_at": { "S": LONG_AGO } });
    pass(world, id, "standing", json!({ "M": standing })).await;
    assert!(erase(world).await);
    assert_eq!(browser.get("/auth/me").await.status, 401, "sessions end first");
    pass(world, id, "closed_at_ms", json!({ "N": "1" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_an_export_holds_everything_and_no_proof_of_identity() {
    let world = world().await;
    let (mut browser, id) = settled(&world).await;
    let answer = browser.get("/users/me/export").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-disposition").starts_with("attachment"), "{answer:?}");
    let export = answer.json();
    assert_eq!(export["user_id"], id.as_str());
    for word in TRACES {
        assert!(answer.text.contains(word), "{word} is missing: {answer:?}");
    }
    // The sync is at work meanwhile, and its rows come and go.
    for table in Table::ALL.into_iter().filter(|table| table.holds_users()) {
        let what = format!("the export holds all of the table {}", table.name());
        eventually(&what, async || {
            let export = browser.clone().get("/users/me/export").await.json();
            let told = export["tables"][table.name()].as_array().unwrap().len();
            let stored = items(&world, table).await;
            let own = stored.iter().filter(|item| item.contains(&format!("user#{id}\"")));
            (own.count() == told).then_some(())
        })
        .await;
    }
    for proof in browser.cookies.values() {
        let hash = SessionHash::of(proof);
        assert!(!answer.text.contains(proof) && !answer.text.contains(hash.as_str()));
    }
    assert!(!answer.text.contains("refresh_token"), "{answer:?}");
    assert!(!world.signed_in("lin").await.get("/users/me/export").await.text.contains(&id));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_leaves_may_come_back_for_seven_days() {
    let world = world().await;
    let (mut browser, id) = settled(&world).await;
    assert_eq!(browser.post("/users/me/restore", None).await.status, 409);
    let first = browser.delete("/users/me").await;
    assert_eq!(first.status, 202, "{first:?}");
    let again = browser.delete("/users/me").await;
    assert_eq!(first.json(), again.json(), "asking again does not put the day off");
    let told = mail_to(&world, TRACES[0]).await;
    assert_eq!(told.subject, "Your Rollcall account is going to be erased");
    assert_eq!(browser.get("/users/me").await.json()["erase_at"], first.json()["erase_at"]);
    assert!(erase(&world).await);
    let mut other_device = world.signed_in("quixote").await;
    assert_eq!(other_device.get("/users/me").await.json()["user_id"], id.as_str());
    let restored = other_device.post("/users/me/restore", None).await;
    assert_eq!((restored.status, &restored.json()["erase_at"]), (200, &Value::Null));
    assert!(erase(&world).await);
    assert_eq!(browser.get("/users/me").await.json()["username"], TRACES[4]);
    assert_eq!(world.cloud.mail.messages().len(), 1, "it is told once");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_who_is_erased_leaves_no_trace() {
    let world = world().await;
    let (mut browser, id) = settled(&world).await;
    let before = traces(&world, &TRACES).await;
    for word in TRACES {
        assert!(before.iter().any(|trace| trace.starts_with(word)), "{word} was never kept");
    }
    let token = Place::of(&mut browser).await.refresh_token(&world).await;
    leave_for_good(&world, &mut browser, &id).await;
    assert!(!is_usable(&world, &token).await, "what a session had at the provider is revoked");
    assert!(erase(&world).await);
    let gone = async || traces(&world, &TRACES).await.is_empty().then_some(());
    eventually("no trace is left", gone).await;
    assert!(world.contact(&id).is_none());
    let mut newcomer = world.signed_in("quixote").await;
    let profile = newcomer.get("/users/me").await.json();
    assert_ne!(profile["user_id"], id.as_str(), "whoever comes again is new");
    assert_eq!(profile["username"], Value::Null);
    let named = edit(&mut newcomer, json!({ "username": TRACES[4] })).await;
    assert_eq!(named.status, 200, "the name is free again: {named:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_answers_that_were_kept_for_repetitions_are_exported_and_erased() {
    let world = world().await;
    let (mut browser, id) = settled(&world).await;
    let path = "/modules/follow-a-change/quizzes/check/start";
    let key = [("idempotency-key", "once")];
    let started = browser.change_with("POST", path, None, &key).await;
    assert_eq!(started.status, 200, "{started:?}");
    let attempt = started.json()["attempt_id"].as_str().unwrap().to_owned();
    let kept = async || {
        let mut found = items(&world, Table::Edge).await;
        found.retain(|item| item.contains(&attempt));
        found
    };
    assert_eq!(kept().await.len(), 1, "the answer is kept");
    // What the answer says, the export says as what it is: an attempt.
    let export = browser.get("/users/me/export").await.json();
    assert!(export["tables"]["edge"].to_string().contains("idempotency#"), "{export}");
    assert!(export["tables"]["attempts"].to_string().contains(&attempt), "{export}");
    leave_for_good(&world, &mut browser, &id).await;
    assert!(erase(&world).await);
    assert_eq!(kept().await, Vec::<String>::new());
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_what_waits_to_be_sent_to_somebody_goes_with_them() {
    let world = world().await;
    let (mut browser, id) = settled(&world).await;
    world.cloud.mail.set_fault(Some(MailFault { kind: FaultKind::Outage, count: None }));
    assert_eq!(claim(&world, TRACES[0]).await.status, 202);
    let waiting = async || {
        let mut found = items(&world, Table::Mail).await;
        found.retain(|item| item.contains(TRACES[0]));
        found
    };
    let written = async || waiting().await.iter().any(|item| item.contains("outbox")).then_some(());
    eventually("a mail waits for its reader", written).await;
    leave_for_good(&world, &mut browser, &id).await;
    assert!(erase(&world).await);
    assert_eq!(waiting().await, Vec::<String>::new());
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_fails_anywhere_goes_on_where_it_stopped() {
    // A stage with a client secret, with which what the sessions had at the provider is revoked.
    let with_secret = |options: &mut _| sample::authenticate_client(options);
    let world = World::start_with(PROGRAM, vec![person()], with_secret).await;
    let (mut browser, id) = settled(&world).await;
    leave_for_good(&world, &mut browser, &id).await;
    for (action, table) in [
        ("Query", Table::Users),
        ("UpdateItem", Table::Users),
        ("Query", Table::Enrollments),
        ("Query", Table::Edge),
        ("TransactWriteItems", Table::Users),
    ] {
        let name = table.full_name("dev");
        world.cloud.dynamodb.faults().fail_next(action, &name, Fault::Throttling, FAILURES);
        assert!(!erase(&world).await, "{action} on {name} failed and nobody said so");
        world.cloud.dynamodb.faults().clear();
        assert!(!items(&world, Table::Users).await.is_empty(), "lost at {action} on {name}");
    }
    assert!(erase(&world).await);
    let gone = async || traces(&world, &TRACES).await.is_empty().then_some(());
    eventually("no trace is left", gone).await;
    world.finish(Outcome::Troubled).await;
}
