//! Labs that a validator has to accept: what it says counts, and while it says nothing, nothing is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rollcall_cli::sample;
use rollcall_domain::catalog::{LabTerms, TaskKind};
use rollcall_local::kit::{Server, Shutdown};
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::desk::user_id;
use crate::labs::changed;
use crate::merge;

const LAB: &str = "watch-a-contact";
const MODULE: &str = "follow-a-change";

/// The validator.
#[derive(Clone)]
struct Validator {
    questions: Arc<Mutex<Vec<Value>>>,
    /// Its status and what it says, from now on.
    says: Arc<Mutex<(u16, String)>>,
    forged: Arc<AtomicUsize>,
}

impl Validator {
    fn says(&self, status: u16, text: &str) {
        *self.says.lock().unwrap() = (status, text.to_owned());
    }

    fn asked(&self) -> usize {
        self.questions.lock().unwrap().len()
    }
}

async fn judge(
    State(validator): State<Validator>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(sample::LAB_VALIDATOR_KEY.as_bytes()).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    if header("webhook-signature") != expected {
        validator.forged.fetch_add(1, Ordering::SeqCst);
    }
    let question: Value = serde_json::from_slice(&body).unwrap();
    validator.questions.lock().unwrap().push(question);
    let (status, text) = validator.says.lock().unwrap().clone();
    (StatusCode::from_u16(status).unwrap(), text)
}

/// A world whose lab a validator has to accept.
async fn world_with_validator() -> (World, Validator, Shutdown) {
    let validator = Validator {
        questions: Arc::default(),
        says: Arc::new(Mutex::new((200, r#"{"outcome":"accepted"}"#.to_owned()))),
        forged: Arc::default(),
    };
    let (server, shutdown) = (Server::bind(0).await.unwrap(), Shutdown::new());
    let url = format!("{}/labs", server.base_url());
    let router = Router::new().fallback(judge).with_state(validator.clone());
    tokio::spawn(server.serve(router, shutdown.clone()));
    let world = World::start_with(crate::PROGRAM, Vec::new(), |options| {
        sample::set(options, &rollcall_functions_learning::settings::LAB_VALIDATOR, &url);
    })
    .await;
    let validated = changed(
        |_| {},
        |module| {
            for task in module.tasks.iter_mut().filter(|task| task.slug.as_str() == LAB) {
                task.kind = TaskKind::Lab(LabTerms { evidence_required: false, validated: true });
            }
        },
    );
    sample::publish(&world.cloud, &validated).await.unwrap();
    (world, validator, shutdown)
}

async fn attest(browser: &mut Browser, evidence: &str) -> Value {
    let path = format!("/modules/{MODULE}/labs/{LAB}/attest");
    let answer = browser.post(&path, Some(json!({ "evidence_url": evidence }))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn status(browser: &mut Browser) -> String {
    let progress = browser.get(&format!("/modules/{MODULE}/progress")).await.json();
    progress["tasks"][1]["status"].as_str().unwrap().to_owned()
}

async fn becomes(browser: &Browser, expected: &str) {
    eventually(&format!("the lab is {expected}"), async || {
        (status(&mut browser.clone()).await == expected).then_some(())
    })
    .await;
}

/// Hands the function the message that waits in its queue; whether it was settled.
async fn asked_again(world: &World, user: &str) -> bool {
    let body = json!({ "user": user, "module": MODULE, "task": LAB }).to_string();
    let event = json!({ "Records": [{ "messageId": "1", "body": body }] }).to_string();
    let invoked = world.cloud.lambda.invoke("lab-validate", event.into(), None).await.unwrap();
    let Invoked::Response(answer) = invoked.outcome else { panic!("no answer") };
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["batchItemFailures"] == json!([])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validated_lab_counts_when_its_validator_says_so() {
    let (world, validator, shutdown) = world_with_validator().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    validator.says(200, r#"{"outcome":"refused","reason":"for nobody's eyes"}"#);
    let pending = attest(&mut ada, "https://example.org/1").await;
    assert_eq!((&pending["status"], &pending["attested_at"]), (&json!("pending"), &Value::Null));
    becomes(&ada, "refused").await;
    let shown = ada.get(&format!("/modules/{MODULE}/progress")).await;
    assert!(!shown.text.contains("nobody's eyes"), "{shown:?}");

    // What was refused may be attested again.
    validator.says(200, r#"{"outcome":"accepted"}"#);
    attest(&mut ada, "https://example.org/2").await;
    becomes(&ada, "attested").await;
    let again = attest(&mut ada, "https://example.org/3").await;
    assert_eq!(again["status"], "attested");
    assert_eq!(again["evidence_url"], "https://example.org/2");
    let questions = validator.questions.lock().unwrap().clone();
    let evidence: Vec<&Value> =
        questions.iter().map(|question| &question["data"]["evidence_url"]).collect();
    assert_eq!(evidence, ["https://example.org/1", "https://example.org/2"]);
    assert_eq!(questions[1]["type"], "lab.attested");
    assert_eq!(questions[1]["data"]["user_id"], ada_id);
    assert_eq!(validator.forged.load(Ordering::SeqCst), 0, "every question is signed");
    world.finish(Outcome::Clean).await;
    shutdown.begin();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_validator_says_nothing_an_attestation_is_pending_and_asked_again() {
    let (world, validator, shutdown) = world_with_validator().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    validator.says(503, "");
    attest(&mut ada, "https://example.org/1").await;
    eventually("the validator is asked", async || (validator.asked() > 0).then_some(())).await;
    assert_eq!(status(&mut ada).await, "pending");
    for (code, text) in [
        (200, r#"{"outcome":"pending"}"#),
        (200, r#"{"outcome":"perhaps"}"#),
        (200, "accepted"),
        (204, ""),
        (302, r#"{"outcome":"accepted"}"#),
        (500, r#"{"outcome":"accepted"}"#),
    ] {
        validator.says(code, text);
        assert!(!asked_again(&world, &ada_id).await, "{code} {text}");
        assert_eq!(status(&mut ada).await, "pending", "{code} {text}");
    }
    // Attesting what is pending changes nothing of it, and has nobody asked more often.
    for _again in 0..20 {
        assert_eq!(attest(&mut ada, "https://example.org/2").await["status"], "pending");
    }
    let waiting = world.cloud.messages.depth("rollcall-dev-lab-validations");
    assert!(waiting.visible + waiting.in_flight + waiting.delayed <= 2, "{waiting:?}");
    validator.says(200, r#"{"outcome":"accepted"}"#);
    assert!(asked_again(&world, &ada_id).await);
    becomes(&ada, "attested").await;
    // A message that comes late finds nothing to ask.
    let asked = validator.asked();
    assert!(asked_again(&world, &ada_id).await);
    assert_eq!(validator.asked(), asked);
    let shown = ada.get(&format!("/modules/{MODULE}/progress")).await.json();
    assert_eq!(shown["tasks"][1]["attempt_count"], 1, "{shown}");
    world.finish(Outcome::Clean).await;
    shutdown.begin();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_when_its_account_is_merged_is_settled_for_the_survivor() {
    let (world, validator, shutdown) = world_with_validator().await;
    let (mut ada, mut lin) = (world.signed_in("ada").await, world.signed_in("lin").await);
    let (ada_id, lin_id) = (user_id(&mut ada).await, user_id(&mut lin).await);
    validator.says(200, r#"{"outcome":"pending"}"#);
    attest(&mut lin, "https://example.org/1").await;
    eventually("the validator is asked", async || (validator.asked() > 0).then_some(())).await;
    let mut grace = world.signed_in("grace").await;
    assert_eq!(merge::merge(&mut grace, &ada_id, &lin_id).await.status, 202);
    assert!(!asked_again(&world, &lin_id).await, "it is not the survivor's yet, and pending");
    merge::settle(&world, &lin_id).await;
    assert!(merge::go_on(&world).await);
    assert_eq!(status(&mut ada).await, "pending");
    // The message names who attested.
    assert!(!asked_again(&world, &lin_id).await);
    validator.says(200, r#"{"outcome":"accepted"}"#);
    assert!(asked_again(&world, &lin_id).await);
    becomes(&ada, "attested").await;
    let questions = validator.questions.lock().unwrap().clone();
    let last = &questions.last().unwrap()["data"];
    assert_eq!((&last["user_id"], &last["task"]), (&json!(ada_id), &json!(LAB)), "{last}");
    let asked = validator.asked();
    assert!(asked_again(&world, &lin_id).await, "nothing is pending any more");
    assert_eq!(validator.asked(), asked);
    eventually("the merge is finished", async || {
        assert!(merge::go_on(&world).await);
        (merge::status(&mut grace.clone(), &ada_id, &lin_id).await == "merged").then_some(())
    })
    .await;
    world.finish(Outcome::Clean).await;
    shutdown.begin();
}
