//! Somebody leaves the CRM: the contact goes, whatever fails, and nothing brings it back.

use rollcall_cli::sample;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::id::UserId;
use rollcall_domain::time::Clock;
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_runtime::system::SystemClock;
use rollcall_store::crm::ContactErasure;
use rollcall_store::{Capability, Tables};
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::portal::{Portal, in_every_portal};

async fn user_id(browser: &mut Browser) -> String {
    browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
}

/// Asks that the contact of a user leaves the CRM, as whoever deletes or merges an account does.
async fn ask(world: &World, user_id: &str, kind: RemovalKind) {
    let tables = Tables::new(&sample::operator(&world.cloud.addresses), "dev");
    let user: UserId = user_id.parse().unwrap();
    let email = Some("ada@rollcall.example".to_owned());
    let removal = Removal::new(format!("wish-{user_id}"), kind, email, SystemClock.now());
    ContactErasure::new(&tables).ask(&user, &removal).await.unwrap();
}

/// Every record so far of the users' stream that is about this user.
fn records(world: &World, user_id: &str) -> Vec<Value> {
    let dynamodb = &world.cloud.dynamodb;
    let table = "rollcall-dev-users";
    let shards = dynamodb.shards(table);
    let records = shards.iter().flat_map(|shard| dynamodb.read_stream(table, shard, None, 100));
    records
        .flatten()
        .filter(|record| record["dynamodb"]["Keys"].to_string().contains(user_id))
        .collect()
}

/// What the table of the sync holds about a user.
async fn remembered(world: &World, user_id: &str) -> String {
    let all = world.dynamodb("Scan", &json!({ "TableName": "rollcall-dev-crm" })).await;
    let items = all["Items"].as_array().unwrap().iter().map(Value::to_string);
    items.filter(|item| item.contains(user_id)).collect()
}

async fn drained(world: &World) {
    let grace = world.signed_in("grace").await;
    eventually("nothing is pending", async || {
        let drained = world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
        assert!(matches!(drained.outcome, Invoked::Response(_)), "{drained:?}");
        let status = grace.clone().get("/admin/crm/status").await.json();
        (status["pending"]["total"] == 0).then_some(())
    })
    .await;
}

async fn who_left_has_no_contact_and_late_records_make_none(portal: Portal) {
    let world = portal.world().await;
    let mut ada = world.signed_in("ada").await;
    let mut grace = world.signed_in("grace").await;
    let (ada_id, grace_id) = (user_id(&mut ada).await, user_id(&mut grace).await);
    let contact = world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    world.contact_with(&grace_id, &[("firstname", "Grace")]).await;
    let before = records(&world, &ada_id);

    ask(&world, &ada_id, RemovalKind::Erase).await;
    let key = json!({ "pk": { "S": format!("user#{ada_id}") }, "sk": { "S": "profile" } });
    world.dynamodb("DeleteItem", &json!({ "TableName": "rollcall-dev-users", "Key": key })).await;
    eventually("the contact is erased", async || {
        let contacts = world.cloud.hubspot.contacts();
        contacts.iter().all(|other| other.id != contact.id).then_some(())
    })
    .await;
    drained(&world).await;

    let calls = world.cloud.hubspot.calls().len();
    let late = json!({ "Records": before }).to_string();
    let answer = world.cloud.lambda.invoke("crm-sync", late.into(), None).await.unwrap();
    assert!(matches!(answer.outcome, Invoked::Response(_)), "{answer:?}");
    assert_eq!(world.cloud.hubspot.calls().len(), calls);
    let remembered = remembered(&world, &ada_id).await;
    for personal in ["ada@rollcall.example", "Ada", "Lovelace", contact.id.as_str()] {
        assert!(!remembered.contains(&format!("\"{personal}\"")), "{personal} in {remembered}");
    }
    assert!(world.contact(&grace_id).is_some());
    world.finish(Outcome::Clean).await;
}

async fn an_outage_and_a_lost_answer_only_put_a_removal_off(portal: Portal) {
    let world = portal.world().await;
    for (kind, username) in [(RemovalKind::Erase, "ada"), (RemovalKind::Archive, "grace")] {
        let mut browser = world.signed_in(username).await;
        let user_id = user_id(&mut browser).await;
        let contact = world.contact_with(&user_id, &[("rollcall_user_id", &user_id)]).await;
        world.break_hubspot().await;
        ask(&world, &user_id, kind).await;
        // What happens meanwhile must not reach the contact any more.
        assert_eq!(browser.put("/enrollments/course/first-steps", None).await.status, 200);
        world.mend_hubspot().await;
        let lost = json!({ "kind": "drop_after_commit", "count": 2 });
        assert!(world.hubspot("POST", "/_emulator/faults", Some(lost)).await.status < 300);
        drained(&world).await;
        let left = world.cloud.hubspot.contacts().into_iter().find(|left| left.id == contact.id);
        assert_eq!(
            left.as_ref().map(|contact| contact.archived),
            match kind {
                RemovalKind::Erase => None,
                RemovalKind::Archive => Some(true),
            }
        );
        assert_eq!(browser.put("/enrollments/course/hubspot-basics", None).await.status, 200);
        drained(&world).await;
        assert_eq!(world.contact(&user_id), None);
    }
    world.finish(Outcome::Troubled).await;
}

async fn the_desk_forgets_who_left(portal: Portal) {
    let world = portal.world().await;
    let refusal = json!({
        "kind": "refuse_property",
        "name": "rollcall_enrolled_courses",
        "message": "is not welcome today",
    });
    assert!(world.hubspot("POST", "/_emulator/faults", Some(refusal)).await.status < 300);
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let grace = world.signed_in("grace").await;
    let desk =
        async || grace.clone().get("/admin/dead-letters").await.json()["dead_letters"].clone();
    let letter = eventually("the refused change is a dead letter", async || {
        desk().await.as_array().unwrap().iter().find(|l| l["user_id"] == *ada_id).cloned()
    })
    .await;
    assert!(remembered(&world, &ada_id).await.contains("is not welcome today"));

    ask(&world, &ada_id, RemovalKind::Erase).await;
    drained(&world).await;
    assert_eq!(world.contact(&ada_id), None);
    assert!(desk().await.as_array().unwrap().iter().all(|letter| letter["user_id"] != *ada_id));
    let remembered = remembered(&world, &ada_id).await;
    assert!(!remembered.contains("is not welcome today") && !remembered.contains("sha256"));
    let id = letter["id"].as_str().unwrap();
    let replay = grace.clone().post(&format!("/admin/dead-letters/{id}/replay"), None).await;
    assert_eq!(replay.status, 409, "{replay:?}");
    drained(&world).await;
    assert_eq!(world.contact(&ada_id), None);
    world.finish(Outcome::Troubled).await;
}

in_every_portal! { DatedWithEvents, UndatedByProperties:
    who_left_has_no_contact_and_late_records_make_none;
    an_outage_and_a_lost_answer_only_put_a_removal_off;
    the_desk_forgets_who_left;
}
