//! What HubSpot tells us: merges, erasures, edits by people; forged, late, twice and in any order.

use std::time::Duration;

use rollcall_cli::sample;
use rollcall_crm::inbound::LOOK_AGAIN_SECONDS;
use rollcall_functions_crm::settings as crm;
use rollcall_local::hubspot::Contact;
use rollcall_resources::SecretName;
use rollcall_tests::{Answer, Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::{PROGRAM, world};

/// Orders something at the local HubSpot's controls, as a person in its pages would.
async fn by_hand(world: &World, what: &str, body: Value) -> Answer {
    let answer = world.hubspot("POST", &format!("/_emulator/{what}"), Some(body)).await;
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
    answer
}

/// Somebody signed in, with the contact that the sync made.
async fn known(world: &World, username: &str, given_name: &str) -> (Browser, String, Contact) {
    let mut browser = world.signed_in(username).await;
    let id = browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    let contact = world.contact_with(&id, &[("firstname", given_name)]).await;
    // The answer is with HubSpot before it is in the ledger.
    eventually("the ledger knows the contact", async || {
        let ledger = item(world, &id, "ledger").await;
        (ledger["contact_id"]["S"] == *contact.id && ledger["lease_token"].is_null()).then_some(())
    })
    .await;
    (browser, id, contact)
}

/// An item of the table of the sync.
async fn item(world: &World, user_id: &str, sk: &str) -> Value {
    let key = json!({ "pk": { "S": format!("user#{user_id}") }, "sk": { "S": sk } });
    let body = json!({ "TableName": "rollcall-dev-crm", "Key": key, "ConsistentRead": true });
    world.dynamodb("GetItem", &body).await["Item"].clone()
}

async fn noted(world: &World, user_id: &str, what: &str, resolution: &str) {
    eventually(&format!("a change of {what} is noted"), async || {
        let drift = item(world, user_id, &format!("drift#{what}")).await;
        (drift["resolution"]["S"] == resolution).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_merged_into_a_stranger_keeps_everything_of_ours() {
    let world = world().await;
    let (mut ada, ada_id, contact) = known(&world, "ada", "Ada").await;
    let stranger = json!({ "properties": { "email": "stranger@elsewhere.example" } });
    let path = "/crm/v3/objects/contacts";
    let url = format!("{}{path}", rollcall_local::Addresses::url(world.cloud.addresses.hubspot));
    let token = format!("Bearer {}", sample::HUBSPOT_TOKEN);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let made = world.browser().send("POST", &url, Some(stranger.to_string()), &headers).await;
    let stranger = made.json()["id"].as_str().unwrap().to_owned();

    let merge = json!({ "primary_id": stranger, "merged_id": contact.id });
    let survivor = by_hand(&world, "merge", merge).await.json()["id"].as_str().unwrap().to_owned();
    // The stranger's address won, until the merge was taken in.
    let kept = world.contact_with(&ada_id, &[("email", "ada@rollcall.example")]).await;
    assert_eq!(kept.id, survivor);
    eventually("the ledger is re-pointed", async || {
        let ledger = item(&world, &ada_id, "ledger").await;
        (ledger["contact_id"]["S"] == *survivor).then_some(())
    })
    .await;
    let alias = item(&world, &ada_id, &format!("contact#{}", contact.id)).await;
    assert_eq!(alias["contact_id"]["S"], *contact.id);
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let contact =
        world.contact_with(&ada_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    assert_eq!(contact.id, survivor);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_change_of_ours_is_noted_and_written_again() {
    let world = world().await;
    let (mut ada, ada_id, contact) = known(&world, "ada", "Ada").await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let learned = [("rollcall_enrolled_courses", "first-steps")];
    world.contact_with(&ada_id, &learned).await;
    let forged = json!({ "firstname": "Eve", "rollcall_enrolled_courses": "none" });
    by_hand(&world, "edit", json!({ "id": contact.id, "properties": forged })).await;
    noted(&world, &ada_id, "firstname", "ours").await;
    noted(&world, &ada_id, "rollcall_enrolled_courses", "ours").await;
    world.contact_with(&ada_id, &[("firstname", "Ada"), learned[0]]).await;

    // Who is archived by hand comes back, with everything.
    by_hand(&world, "edit", json!({ "id": contact.id, "archived": true })).await;
    noted(&world, &ada_id, "contact", "ours").await;
    let again = world.contact_with(&ada_id, &[("firstname", "Ada"), learned[0]]).await;
    assert_ne!(again.id, contact.id);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_members_whose_contacts_are_merged_the_primary_keeps_it_and_the_other_waits() {
    let world = world().await;
    let (mut ada, ada_id, contact) = known(&world, "ada", "Ada").await;
    let (_, grace_id, other) = known(&world, "grace", "Grace").await;
    by_hand(&world, "merge", json!({ "primary_id": contact.id, "merged_id": other.id })).await;
    let mut operator = world.signed_in("grace").await;
    eventually("the other's address is taken", async || {
        let shown = operator.get(&format!("/admin/crm/users/{grace_id}")).await.json();
        let waits = shown["pending"].as_array()?.iter().any(|row| row["reason"] == "transient");
        (waits && shown["contact_id"].is_null()).then_some(())
    })
    .await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let learned = ("rollcall_enrolled_courses", "first-steps");
    world.contact_with(&ada_id, &[("firstname", "Ada"), learned]).await;
    let contacts = world.cloud.hubspot.contacts();
    assert!(contacts.iter().all(|held| held.properties.get("rollcall_user_id") != Some(&grace_id)));
    // What waits has its message in the queue.
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_other_side_wins_a_change_is_only_noted() {
    let world = World::start_with(PROGRAM, Vec::new(), |options| {
        sample::widen_rate_limits(options);
        sample::set(options, &crm::CRM_DRIFT, "theirs");
    })
    .await;
    let (mut ada, ada_id, contact) = known(&world, "ada", "Ada").await;
    let edit = json!({ "id": contact.id, "properties": { "firstname": "Countess" } });
    by_hand(&world, "edit", edit).await;
    noted(&world, &ada_id, "firstname", "theirs").await;
    let shown = world.signed_in("grace").await.get(&format!("/admin/crm/users/{ada_id}")).await;
    let shown = &shown.json()["edits"][0];
    assert_eq!((&shown["what"], &shown["resolution"]), (&json!("firstname"), &json!("theirs")));
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let learned = ("rollcall_enrolled_courses", "first-steps");
    world.contact_with(&ada_id, &[("firstname", "Countess"), learned]).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_crm_erased_is_erased_here_and_never_sent_again() {
    let world = world().await;
    let (mut ada, ada_id, contact) = known(&world, "ada", "Ada").await;
    let edit = json!({ "id": contact.id, "properties": { "firstname": "Eve" } });
    by_hand(&world, "edit", edit).await;
    noted(&world, &ada_id, "firstname", "ours").await;
    world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    by_hand(&world, "erase", json!({ "id": contact.id })).await;
    eventually("the account is to be erased", async || {
        let me = ada.get("/users/me").await.json();
        me["erase_at"].is_string().then_some(())
    })
    .await;
    eventually("ada reads about it", async || {
        let messages = world.cloud.mail.messages().into_iter();
        let mut subjects = messages.map(|message| message.subject);
        subjects.find(|subject| subject == "Your Rollcall account is going to be erased")
    })
    .await;
    eventually("the ledger says that the contact is gone", async || {
        item(&world, &ada_id, "ledger").await["removed_at"]["S"].is_string().then_some(())
    })
    .await;
    eventually("nothing is remembered of the contact", async || {
        item(&world, &ada_id, "drift#firstname").await.is_null().then_some(())
    })
    .await;
    let mut grace = world.signed_in("grace").await;
    let audit = grace.get(&format!("/admin/audit?subject={ada_id}")).await.json();
    let entries = audit["entries"].as_array().unwrap();
    assert!(entries.iter().any(|entry| entry["action"] == "erasure-taken-in"), "{audit}");

    // Whoever calls it off stays here, and out of the CRM.
    assert_eq!(ada.post("/users/me/restore", None).await.status, 200);
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let grace_id = grace.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    assert_eq!(grace.put("/enrollments/course/first-steps", None).await.status, 200);
    world.contact_with(&grace_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    eventually("nothing is pending", async || {
        let status = grace.get("/admin/crm/status").await.json();
        (status["pending"]["total"] == 0).then_some(())
    })
    .await;
    assert_eq!(world.contact(&ada_id), None);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hubspot_did_not_sign_lately_is_refused_and_leaves_nothing() {
    let world = world().await;
    let (_ada, ada_id, contact) = known(&world, "ada", "Ada").await;
    let forge = async |headers: &[(&str, &str)]| {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        let api = rollcall_local::Addresses::url(world.cloud.addresses.api);
        let url = format!("{api}/webhooks/hubspot");
        world.browser().send("POST", &url, Some("[]".to_owned()), &all).await
    };
    let now = rollcall_runtime::system::SystemClock;
    let now = rollcall_domain::time::Clock::now(&now).as_millisecond().to_string();
    for headers in [
        vec![],
        vec![("x-hubspot-request-timestamp", now.as_str())],
        vec![("x-hubspot-request-timestamp", &now), ("x-hubspot-signature-v3", "Zm9yZ2VkCg==")],
        vec![("x-hubspot-request-timestamp", &now), ("x-hubspot-signature-v3", "no base64")],
    ] {
        let answer = forge(&headers).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("not-signed")));
    }
    for fault in ["bad_signature", "stale"] {
        by_hand(&world, "webhooks", json!({ fault: true })).await;
        let before = world.cloud.hubspot.deliveries().len();
        let edit = json!({ "id": contact.id, "properties": { "lastname": fault } });
        by_hand(&world, "edit", edit).await;
        eventually("HubSpot tried and was refused", async || {
            let deliveries = world.cloud.hubspot.deliveries().split_off(before);
            deliveries.iter().find(|delivery| delivery.status == Some(401)).map(|_| ())
        })
        .await;
        assert_eq!(item(&world, &ada_id, "drift#lastname").await, Value::Null);
    }
    let inbound = world.cloud.messages.depth("rollcall-dev-crm-inbound");
    assert_eq!((inbound.visible, inbound.in_flight), (0, 0));
    // HubSpot tells it again, and is believed as soon as it signs properly.
    by_hand(&world, "webhooks", json!({})).await;
    noted(&world, &ada_id, "lastname", "ours").await;
    world.contact_with(&ada_id, &[("lastname", "Okafor")]).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_twice_in_any_order_and_under_an_old_secret_do_no_harm() {
    let world = world().await;
    let (_ada, ada_id, first) = known(&world, "ada", "Ada").await;
    by_hand(&world, "webhooks", json!({ "paused": true })).await;
    let secret = SecretName::HubSpotClientSecret.full_name("dev");
    assert!(world.cloud.messages.rotate_secret(&secret, "another", Duration::ZERO));
    // Ada's contact is merged twice, and edited in between.
    let mut last = first.id.clone();
    for number in 0..2 {
        let email = format!("stranger-{number}@elsewhere.example");
        let path = "/crm/v3/objects/contacts";
        let url =
            format!("{}{path}", rollcall_local::Addresses::url(world.cloud.addresses.hubspot));
        let token = format!("Bearer {}", sample::HUBSPOT_TOKEN);
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let body = json!({ "properties": { "email": email } }).to_string();
        let made = world.browser().send("POST", &url, Some(body), &headers).await;
        let merge = json!({ "primary_id": made.json()["id"], "merged_id": last });
        last = by_hand(&world, "merge", merge).await.json()["id"].as_str().unwrap().to_owned();
        let edit = json!({ "id": last, "properties": { "firstname": format!("Eve{number}") } });
        by_hand(&world, "edit", edit).await;
    }
    by_hand(&world, "webhooks", json!({ "reorder": true, "duplicate": true })).await;
    let expected = [("firstname", "Ada"), ("email", "ada@rollcall.example")];
    let contact = world.contact_with(&ada_id, &expected).await;
    assert_eq!(contact.id, last);
    eventually("the ledger is re-pointed", async || {
        let ledger = item(&world, &ada_id, "ledger").await;
        (ledger["contact_id"]["S"] == *last).then_some(())
    })
    .await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_writes_come_back_and_cause_nothing() {
    let world = world().await;
    let (mut ada, ada_id, _contact) = known(&world, "ada", "Ada").await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    world.contact_with(&ada_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    let is_echo = |event: &Value| event["propertyName"] == "rollcall_enrolled_courses";
    eventually("HubSpot told us of our own write", async || {
        let deliveries = world.cloud.hubspot.deliveries();
        let mut taken = deliveries.iter().filter(|delivery| delivery.status == Some(204));
        taken.find(|delivery| delivery.events.iter().any(is_echo)).map(|_| ())
    })
    .await;
    let all = world.dynamodb("Scan", &json!({ "TableName": "rollcall-dev-crm" })).await;
    let text = all["Items"].to_string();
    assert!(!text.contains("drift#") && !text.contains("notice#"), "{text}");
    world.finish(Outcome::Clean).await;
}

/// Whoever had an address before may not have left the CRM yet when the next one joins with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_on_anothers_contact_is_waited_for() {
    let world = world().await;
    known(&world, "ada", "Ada").await;
    let other = json!({ "properties": {
        "email": "lin@rollcall.example", "rollcall_user_id": "usr_somebody-who-is-leaving",
    } });
    let made = world.hubspot("POST", "/crm/v3/objects/contacts", Some(other)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut lin = world.signed_in("lin").await;
    let lin_id = lin.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    eventually("lin waits", async || {
        let row = item(&world, &lin_id, "pending#identity").await;
        (row["reason"]["S"] == "transient").then_some(())
    })
    .await;
    by_hand(&world, "erase", json!({ "id": made.json()["id"] })).await;
    eventually("lin has a contact", async || {
        world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
        world.contact(&lin_id)
    })
    .await;
    let status = world.signed_in("grace").await.get("/admin/crm/status").await.json();
    assert_eq!(status["dead_letters"]["open"], 0);
    world.finish(Outcome::Clean).await;
}

/// A contact may be so new that nobody knows yet whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_contact_is_looked_up_once_more_and_is_then_a_strangers() {
    let world = world().await;
    let stranger = json!({ "properties": { "email": "stranger@elsewhere.example" } });
    let made = world.hubspot("POST", "/crm/v3/objects/contacts", Some(stranger)).await;
    by_hand(&world, "erase", json!({ "id": made.json()["id"] })).await;
    let waiting = || {
        let depth = world.cloud.messages.depth("rollcall-dev-crm-inbound");
        (depth.delayed, depth.visible + depth.in_flight)
    };
    eventually("the notice waits for another look", async || (waiting() == (1, 0)).then_some(()))
        .await;
    world.cloud.clock.advance(Duration::from_secs(LOOK_AGAIN_SECONDS.into()));
    eventually("it was looked at, and is over", async || (waiting() == (0, 0)).then_some(())).await;
    world.finish(Outcome::Clean).await;
}
