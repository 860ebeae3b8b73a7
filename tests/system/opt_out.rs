//! People who want the CRM to hear nothing of them, and who change their mind.

use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::world;

async fn set(browser: &mut Browser, enabled: bool) {
    let body = json!({ "enabled": enabled });
    let answer = browser.put("/users/me/crm-sync", Some(body.clone())).await;
    assert_eq!((answer.status, answer.json()), (200, body));
    let me = browser.get("/users/me").await.json();
    assert_eq!(me["crm_sync"], enabled);
}

async fn id_of(browser: &mut Browser) -> String {
    browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
}

/// Until nothing waits.
pub(crate) async fn settled(world: &World) {
    let mut grace = world.signed_in("grace").await;
    eventually("nothing is pending", async || {
        world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
        let status = grace.get("/admin/crm/status").await.json();
        (status["pending"]["total"] == 0).then_some(())
    })
    .await;
}

/// Until nobody has told the drain to come, so that whoever wants it has to say so.
async fn quiet(world: &World) {
    let key = json!({ "pk": { "S": "portal" }, "sk": { "S": "wake" } });
    let order = json!({ "TableName": "rollcall-dev-crm", "Key": key });
    eventually("no drain is on its way", async || {
        let wake = world.dynamodb("GetItem", &order).await;
        let at: i64 = wake["Item"]["wake_at"]["N"].as_str().map_or(0, |at| at.parse().unwrap());
        (at < world.cloud.clock.now_ms()).then_some(())
    })
    .await;
}

async fn archived(world: &World, contact: &str) {
    eventually("the contact is archived", async || {
        let contacts = world.cloud.hubspot.contacts();
        contacts.into_iter().find(|other| other.id == contact && other.archived).map(|_| ())
    })
    .await;
}

/// Bodies of the calls so far that tell HubSpot something of this user.
fn told(world: &World, user_id: &str) -> usize {
    let calls = world.cloud.hubspot.calls();
    let writes = calls.iter().filter(|call| {
        call.path.ends_with("/upsert")
            || call.path.ends_with("/update")
            || call.path.contains("/send")
    });
    writes.filter(|call| call.body.contains(user_id)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opts_out_is_archived_and_who_comes_back_is_there_with_everything() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = id_of(&mut ada).await;
    let contact = world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    settled(&world).await;
    quiet(&world).await;

    set(&mut ada, false).await;
    archived(&world, &contact.id).await;
    settled(&world).await;
    let before = told(&world, &ada_id);
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let mut again = world.signed_in("ada").await;
    set(&mut again, false).await;
    settled(&world).await;
    assert_eq!(told(&world, &ada_id), before);
    assert_eq!(world.contact(&ada_id), None);
    let export = ada.get("/users/me/export").await.text;
    assert!(export.contains(r#""crm_sync":false"#), "{export}");

    set(&mut ada, true).await;
    let expected = [("firstname", "Ada"), ("rollcall_enrolled_courses", "first-steps")];
    world.contact_with(&ada_id, &expected).await;
    assert_eq!(ada.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    let courses = "first-steps;hubspot-basics";
    world.contact_with(&ada_id, &[("rollcall_enrolled_courses", courses)]).await;
    let mut grace = world.signed_in("grace").await;
    let audit = grace.get(&format!("/admin/audit?subject={ada_id}")).await.json();
    let set = audit["entries"].as_array().unwrap().iter();
    let set: Vec<&Value> = set
        .filter(|entry| entry["action"] == "crm-sync-set")
        .map(|entry| &entry["details"]["enabled"])
        .collect();
    assert_eq!(set, [&json!("true"), &json!("false")]);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wish_survives_an_outage_and_so_does_a_change_of_mind() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    let (ada_id, lin_id) = (id_of(&mut ada).await, id_of(&mut lin).await);
    let ada_contact = world.contact_with(&ada_id, &[("rollcall_user_id", &ada_id)]).await;
    world.contact_with(&lin_id, &[("rollcall_user_id", &lin_id)]).await;
    settled(&world).await;
    world.break_hubspot().await;
    set(&mut ada, false).await;
    set(&mut lin, false).await;
    set(&mut lin, true).await;
    assert_eq!(lin.put("/enrollments/course/first-steps", None).await.status, 200);
    world.mend_hubspot().await;
    settled(&world).await;
    archived(&world, &ada_contact.id).await;
    assert_eq!(world.contact(&ada_id), None);
    world.contact_with(&lin_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_is_under_way_brings_nobody_back() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = id_of(&mut ada).await;
    let contact = world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    settled(&world).await;
    let late = json!({ "kind": "delay", "delay_ms": 1_500, "route": "*batch/*" });
    assert_eq!(world.hubspot("POST", "/_emulator/faults", Some(late)).await.status, 200);
    let before = world.cloud.hubspot.calls().len();
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    eventually("the sync is under way", async || {
        (world.cloud.hubspot.calls().len() > before).then_some(())
    })
    .await;
    set(&mut ada, false).await;
    // Who changes their mind again and again ends where they were last.
    set(&mut ada, true).await;
    set(&mut ada, false).await;
    archived(&world, &contact.id).await;
    world.mend_hubspot().await;
    settled(&world).await;
    assert_eq!(world.contact(&ada_id), None);
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_from_the_crm_does_not_come_back() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = id_of(&mut ada).await;
    let contact = world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    settled(&world).await;
    let erase = json!({ "id": contact.id });
    assert_eq!(world.hubspot("POST", "/_emulator/erase", Some(erase)).await.status, 200);
    eventually("the account is to be erased", async || {
        ada.get("/users/me").await.json()["erase_at"].is_string().then_some(())
    })
    .await;
    set(&mut ada, false).await;
    let answer = ada.put("/users/me/crm-sync", Some(json!({ "enabled": true }))).await;
    assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("crm-closed")));
    settled(&world).await;
    assert_eq!(world.contact(&ada_id), None);
    world.finish(Outcome::Clean).await;
}
