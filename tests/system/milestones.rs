//! What happened once is told once, whatever fails in between.

use rollcall_local::lambda::{CrashPoint, Outcome as Invoked};
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::portal::{Portal, in_every_portal};

async fn user_id(browser: &mut Browser) -> String {
    browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
}

/// What HubSpot was told about a user, in the order in which it was.
fn told(world: &World, user_id: &str) -> Vec<String> {
    let Some(contact) = world.contact(user_id) else { return Vec::new() };
    let key = format!("id:{}", contact.id);
    let events = world.cloud.hubspot.events().into_iter().filter(|event| event.key == key);
    let name = |name: String| name.split_once("_rollcall_").unwrap().1.to_owned();
    let mut names: Vec<String> = events.map(|event| name(event.name)).collect();
    names.sort();
    names
}

async fn hears(world: &World, user_id: &str, expected: &[&str]) {
    eventually(&format!("HubSpot hears {expected:?}"), async || {
        (told(world, user_id) == expected).then_some(())
    })
    .await;
}

async fn drained(world: &World) {
    let grace = world.signed_in("grace").await;
    eventually("nothing waits", async || {
        let drained = world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
        assert!(matches!(drained.outcome, Invoked::Response(_)), "{drained:?}");
        let status = grace.clone().get("/admin/crm/status").await.json();
        (status["pending"]["total"] == 0).then_some(())
    })
    .await;
}

/// Every record so far of the users' stream that is about this user.
fn records(world: &World, user_id: &str) -> Vec<Value> {
    let (dynamodb, table) = (&world.cloud.dynamodb, "rollcall-dev-users");
    let shards = dynamodb.shards(table);
    let records = shards.iter().flat_map(|shard| dynamodb.read_stream(table, shard, None, 100));
    let is_about = |record: &Value| record["dynamodb"]["Keys"].to_string().contains(user_id);
    records.flatten().filter(is_about).collect()
}

async fn joining_signing_in_and_asking_for_deletion_are_told_once(portal: Portal) {
    let world = portal.world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    hears(&world, &ada_id, &["joined", "signed_in"]).await;

    world.signed_in("ada").await;
    let key = json!({ "pk": { "S": format!("user#{ada_id}") }, "sk": { "S": "profile" } });
    let standing =
        json!({ "M": { "is": { "S": "leaving" }, "erase_at": { "S": "2026-11-28T09:00:00Z" } } });
    let update = json!({
        "TableName": "rollcall-dev-users",
        "Key": key,
        "UpdateExpression": "SET standing = :standing",
        "ExpressionAttributeValues": { ":standing": standing },
    });
    world.dynamodb("UpdateItem", &update).await;
    let all = ["deletion_asked", "joined", "signed_in"];
    hears(&world, &ada_id, &all).await;

    let again = json!({ "Records": records(&world, &ada_id) }).to_string();
    let answer = world.cloud.lambda.invoke("crm-sync", again.into(), None).await.unwrap();
    assert!(matches!(answer.outcome, Invoked::Response(_)), "{answer:?}");
    drained(&world).await;
    assert_eq!(told(&world, &ada_id), all);
    world.finish(Outcome::Clean).await;
}

async fn r_01_what_was_learned_is_told_once_and_says_what(portal: Portal) {
    let world = portal.world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    assert_eq!(ada.put("/enrollments/pathway/run-rollcall", None).await.status, 200);
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let first_steps = ["start-the-local-cloud", "sign-in-as-a-member", "follow-a-change"];
    for module in first_steps {
        ada.complete_module(module).await;
    }
    let mut expected = vec![
        "badge_awarded course first-steps".to_owned(),
        "badge_awarded first_module start-the-local-cloud".to_owned(),
        "badge_awarded quick_course first-steps".to_owned(),
        "certificate_awarded course first-steps".to_owned(),
        "course_completed first-steps".to_owned(),
        "course_enrolled first-steps".to_owned(),
        "pathway_enrolled run-rollcall".to_owned(),
    ];
    for module in first_steps {
        expected.push(format!("module_started {module}"));
        expected.push(format!("module_completed {module}"));
        expected.push(format!("quiz_passed {module}/check"));
        expected.push(format!("certificate_awarded module {module}"));
    }
    expected.sort();
    let subjects = || {
        let key = world.contact(&ada_id).map(|contact| format!("id:{}", contact.id));
        let events = world.cloud.hubspot.events().into_iter();
        let own = events.filter(|event| Some(&event.key) == key.as_ref());
        let mut told: Vec<String> = own
            .filter_map(|event| {
                let subject = event.properties.get("rollcall_subject")?;
                Some(format!("{} {subject}", event.name.split_once("_rollcall_")?.1))
            })
            .collect();
        told.sort();
        told
    };
    eventually(&format!("HubSpot hears {expected:?}"), async || {
        (subjects() == expected).then_some(())
    })
    .await;
    drained(&world).await;
    assert_eq!(subjects(), expected);
    world.finish(Outcome::Clean).await;
}

async fn an_outage_and_a_lost_answer_lose_no_milestone(portal: Portal) {
    let world = portal.world().await;
    world.break_hubspot().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    world.mend_hubspot().await;
    let lost = json!({ "kind": "drop_after_commit", "route": "*send/batch", "count": 1 });
    assert!(world.hubspot("POST", "/_emulator/faults", Some(lost)).await.status < 300);
    drained(&world).await;
    assert_eq!(told(&world, &ada_id), ["joined", "signed_in"]);
    world.finish(Outcome::Troubled).await;
}

async fn milestones_of_a_batch_that_was_given_up_are_recovered(portal: Portal) {
    let world = portal.world().await;
    world.cloud.lambda.crash_next("crm-sync", 200, CrashPoint::BeforeDelivery).unwrap();
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    hears(&world, &ada_id, &["joined", "signed_in"]).await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn badges_and_certificates_whose_batches_were_given_up_are_recovered() {
    let world = Portal::DatedWithEvents.world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    hears(&world, &ada_id, &["joined", "signed_in"]).await;
    world.cloud.lambda.crash_next("crm-sync", 200, CrashPoint::BeforeDelivery).unwrap();
    let module = "start-the-local-cloud";
    ada.complete_module(module).await;
    let badge = format!("first_module {module}");
    let certificate = format!("module {module}");
    let recovered =
        [("rollcall_badges", badge.as_str()), ("rollcall_certificates", certificate.as_str())];
    world.contact_with(&ada_id, &recovered).await;
    let learned = ["module_completed", "module_started", "quiz_passed"];
    let mut all = ["badge_awarded", "certificate_awarded", "joined", "signed_in"].to_vec();
    all.extend(learned);
    all.sort_unstable();
    hears(&world, &ada_id, &all).await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_without_events_is_told_by_properties_and_says_so_once() {
    let no_events = |options: &mut rollcall_local::Options| {
        options.hubspot.1.custom_events = false;
    };
    let world = World::start_with(PROGRAM, Vec::new(), no_events).await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    drained(&world).await;
    let mut grace = world.signed_in("grace").await;
    let status = grace.get("/admin/crm/status").await.json();
    assert_eq!(status["milestones"]["told_as"], "properties", "{status}");
    assert!(status["milestones"]["events_missing_since"].is_string(), "{status}");
    let contact = world.contact(&ada_id).unwrap();
    for property in ["rollcall_joined_at", "rollcall_last_seen_on"] {
        assert!(contact.properties.contains_key(property), "{contact:?}");
    }
    let lines = world.cloud.logs.lines();
    let said = lines.iter().filter(|line| line.line.contains("has no custom events"));
    assert_eq!(said.count(), 1);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_wants_properties_alone_declares_and_sends_no_event() {
    let world = Portal::UndatedByProperties.world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    drained(&world).await;
    let mut grace = world.signed_in("grace").await;
    let status = grace.get("/admin/crm/status").await.json();
    assert_eq!(status["milestones"]["told_as"], "properties", "{status}");
    assert_eq!(status["milestones"]["pending"], 0, "{status}");
    let contact = world.contact(&ada_id).unwrap();
    for property in ["rollcall_joined_at", "rollcall_last_seen_on"] {
        assert!(contact.properties.contains_key(property), "{contact:?}");
    }
    let calls = world.cloud.hubspot.calls();
    let about_events = |path: &str| path.starts_with("/events/") || path.contains("/account-info/");
    assert!(!calls.iter().any(|call| about_events(&call.path)), "{calls:#?}");
    world.finish(Outcome::Clean).await;
}

in_every_portal! { DatedWithEvents, UndatedWithEvents:
    r_01_what_was_learned_is_told_once_and_says_what;
    joining_signing_in_and_asking_for_deletion_are_told_once;
    an_outage_and_a_lost_answer_lose_no_milestone;
    milestones_of_a_batch_that_was_given_up_are_recovered;
}
