//! Certificates: each awarded once, from what was learned, whatever happens on the way.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use rollcall_cli::sample;
use rollcall_domain::catalog::Edition;
use rollcall_local::lambda::{CrashPoint, Outcome as Invoked};
use rollcall_resources::Table;
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::erasure::{erase, items, leave_for_good};
use crate::linking::user_id;
use crate::{PROGRAM, world};

const MODULES: [&str; 3] = ["start-the-local-cloud", "sign-in-as-a-member", "follow-a-change"];
/// The other modules of the pathway that begins with the course of [`MODULES`].
const MORE: [&str; 3] = ["what-a-stream-promises", "batches-and-bisection", "dead-letter-queues"];
/// How often one award is tried at the same moment.
const AT_ONCE: usize = 100;

/// The caller's certificates, by what they are for.
async fn certificates(browser: &mut Browser) -> BTreeMap<String, Value> {
    let answer = browser.get("/certificates").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = answer.json()["certificates"].as_array().unwrap().clone();
    let name = |certificate: &Value| {
        let (kind, slug) = (certificate["kind"].as_str(), certificate["slug"].as_str());
        format!("{} {}", kind.unwrap(), slug.unwrap())
    };
    let named: BTreeMap<_, _> =
        all.iter().map(|certificate| (name(certificate), certificate.clone())).collect();
    assert_eq!(named.len(), all.len(), "each is there once: {all:?}");
    named
}

async fn has(browser: &Browser, expected: &[&str]) -> BTreeMap<String, Value> {
    let names: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    eventually(&format!("the certificates are {names:?}"), async || {
        let found = certificates(&mut browser.clone()).await;
        (found.keys().cloned().collect::<BTreeSet<_>>() == names).then_some(found)
    })
    .await
}

/// The id of the caller's certificate for a module, once it is there.
pub(crate) async fn certificate(browser: &mut Browser, module: &str) -> String {
    eventually(&format!("there is a certificate for {module}"), async || {
        let all = certificates(&mut browser.clone()).await;
        let found = all.get(&format!("module {module}"))?;
        Some(found["certificate_id"].as_str().unwrap().to_owned())
    })
    .await
}

/// Lets `award` look at a user once more, as if their progress had changed.
async fn award(world: &World, user: &str) {
    let record = json!({ "dynamodb": {
        "Keys": { "pk": { "S": format!("user#{user}") }, "sk": { "S": "learner" } },
        "SequenceNumber": "1",
    } });
    let event = json!({ "Records": [record] }).to_string();
    let invoked = world.cloud.lambda.invoke("award", event.into(), None).await.unwrap();
    let Invoked::Response(body) = invoked.outcome else { panic!("no answer") };
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["batchItemFailures"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn c_01_c_03_modules_courses_and_pathways_are_certified_and_nobody_elses() {
    let world = world().await;
    let (mut ada, lin) = (world.signed_in("ada").await, world.signed_in("lin").await);
    has(&ada, &[]).await;
    ada.complete_module(MODULES[0]).await;
    has(&ada, &["module start-the-local-cloud"]).await;
    for module in MODULES[1..].iter().chain(&MORE) {
        ada.complete_module(module).await;
    }
    let all = [
        "course first-steps",
        "course streams-and-queues",
        "module batches-and-bisection",
        "module dead-letter-queues",
        "module follow-a-change",
        "module sign-in-as-a-member",
        "module start-the-local-cloud",
        "module what-a-stream-promises",
        "pathway run-rollcall",
    ];
    let found = has(&ada, &all).await;
    let course = &found["course first-steps"];
    assert_eq!(course["title"], "First steps", "{course}");
    assert_eq!((&course["status"], &course["evidence"]), (&json!("valid"), &json!(MODULES)));
    assert_eq!(course["holder_name"], Value::Null, "nobody is named before they want it");
    assert_eq!(found["pathway run-rollcall"]["title"], "Run Rollcall");
    ada.complete_module(MODULES[0]).await;
    assert_eq!(has(&ada, &all).await, found, "doing it again changes nothing");
    has(&lin, &[]).await;

    // Another catalogue takes nothing away and puts no other words on what was earned.
    sample::publish(&world.cloud, &Edition::default()).await.unwrap();
    award(&world, &user_id(&mut ada).await).await;
    assert_eq!(has(&ada, &all).await, found);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_07_a_hundred_completions_at_once_give_one_certificate_that_exists() {
    let world = World::start_with(PROGRAM, Vec::new(), sample::widen_rate_limits).await;
    let mut ada = world.signed_in("ada").await;
    let user = user_id(&mut ada).await;
    let [first, ..] = MODULES;
    let shown = ada.get(&format!("/modules/{first}")).await.json();
    let tasks = shown["tasks"].as_array().unwrap().clone();
    let (quiz, lab) = (tasks[0]["slug"].as_str().unwrap(), tasks[1]["slug"].as_str().unwrap());
    let attempt = ada.start_quiz(first, quiz).await;
    assert_eq!(ada.submit_quiz(first, quiz, &attempt, true).await.status, 200);
    let attesting = (0..AT_ONCE).map(|_| {
        let mut ada = ada.clone();
        async move { ada.attest_lab(first, lab).await.status }
    });
    let statuses = join_all(attesting).await;
    assert!(statuses.contains(&200), "{statuses:?}");
    // Whatever the stream does, the award itself is run by many at the same moment.
    join_all((0..AT_ONCE).map(|_| award(&world, &user))).await;
    let found = has(&ada, &[&format!("module {first}")]).await;
    let stored = items(&world, Table::Certificates).await;
    let own: Vec<&String> = stored.iter().filter(|item| item.contains(&user)).collect();
    assert_eq!((own.len(), stored.len()), (1, 2), "one certificate, one place: {stored:?}");
    let id = found.values().next().unwrap()["certificate_id"].as_str().unwrap();
    assert!(own[0].contains(id), "what is told is what is stored");
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_08_a_certificate_comes_although_its_award_keeps_dying() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    world.cloud.lambda.crash_next("award", 4, CrashPoint::BeforeDelivery).unwrap();
    ada.complete_module(MODULES[0]).await;
    has(&ada, &["module start-the-local-cloud"]).await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_exported_and_erased_with_their_holder() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user = user_id(&mut ada).await;
    ada.complete_module(MODULES[0]).await;
    let id = certificate(&mut ada, MODULES[0]).await;
    let export = ada.get("/users/me/export").await.json();
    assert!(export["tables"]["certificates"].to_string().contains(&id), "{export}");
    leave_for_good(&world, &mut ada, &user).await;
    award(&world, &user).await;
    assert!(erase(&world).await);
    let left = items(&world, Table::Certificates).await;
    assert!(!left.iter().any(|item| item.contains(&user) || item.contains(&id)), "{left:?}");
    world.finish(Outcome::Clean).await;
}
