//! HubSpot is away, or refuses: nothing is lost, nobody waits, and an operator can put it right.

use std::collections::BTreeSet;

use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::portal::{Portal, in_every_portal};

async fn user_id(browser: &mut Browser) -> String {
    browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
}

async fn status(grace: &mut Browser) -> Value {
    let answer = grace.get("/admin/crm/status").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn nothing_is_pending(grace: &mut Browser) {
    let browser = grace.clone();
    eventually("nothing is pending", async || {
        let mut browser = browser.clone();
        let status = status(&mut browser).await;
        (status["pending"]["total"] == 0).then_some(())
    })
    .await;
}

/// The properties that HubSpot acknowledged more than once for one user with the same values.
fn sent_twice(world: &World, user_id: &str) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut twice = Vec::new();
    for call in world.cloud.hubspot.calls() {
        if !call.path.ends_with("/batch/upsert") || call.status.is_none_or(|status| status >= 300) {
            continue;
        }
        let body = call.body_json();
        for input in body["inputs"].as_array().into_iter().flatten() {
            if input["id"] == user_id && !seen.insert(input["properties"].to_string()) {
                twice.push(input["properties"].clone());
            }
        }
    }
    twice
}

async fn r_03_an_outage_costs_users_nothing_and_heals_by_itself(portal: Portal) {
    let world = portal.world().await;
    let mut grace = world.signed_in("grace").await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    nothing_is_pending(&mut grace).await;

    world.break_hubspot().await;
    for course in ["first-steps", "hubspot-basics", "streams-and-queues"] {
        let answer = ada.put(&format!("/enrollments/course/{course}"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let watching = grace.clone();
    eventually("the change is shown as pending", async || {
        let pending =
            status(&mut watching.clone()).await["pending"]["by_facet"]["learning"].clone();
        (pending == 1).then_some(())
    })
    .await;
    assert_eq!(ada.get("/enrollments").await.json()["enrollments"].as_array().unwrap().len(), 3);

    world.mend_hubspot().await;
    let all = "first-steps;hubspot-basics;streams-and-queues";
    world.contact_with(&ada_id, &[("rollcall_enrolled_courses", all)]).await;
    nothing_is_pending(&mut grace).await;
    assert_eq!(sent_twice(&world, &ada_id), Vec::<Value>::new());
    world.finish(Outcome::Troubled).await;
}

async fn a_refused_change_waits_at_the_desk_and_one_call_replays_it(portal: Portal) {
    let world = portal.world().await;
    let mut grace = world.signed_in("grace").await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    let grace_id = user_id(&mut grace).await;
    world.contact_with(&grace_id, &[("firstname", "Grace")]).await;

    let refusal = json!({
        "kind": "refuse_property",
        "name": "rollcall_enrolled_courses",
        "message": "is not welcome today",
    });
    let answer = world.hubspot("POST", "/_emulator/faults", Some(refusal)).await;
    assert!(answer.status < 300, "{answer:?}");
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);

    let letter = dead_letter(&grace, &ada_id).await;
    assert_eq!(letter["facet"], "learning");
    assert_eq!(letter["status"], "open");
    assert!(!letter.to_string().contains("ada@rollcall.example"), "{letter}");
    assert_eq!(status(&mut grace).await["dead_letters"]["open"], 1);

    world.mend_hubspot().await;
    let id = letter["id"].as_str().unwrap();
    let replay = grace.post(&format!("/admin/dead-letters/{id}/replay"), None).await;
    assert_eq!(replay.status, 202, "{replay:?}");
    world.contact_with(&ada_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    let watching = grace.clone();
    eventually("the desk is empty", async || {
        let open = status(&mut watching.clone()).await["dead_letters"]["open"].clone();
        (open == 0).then_some(())
    })
    .await;
    let again = grace.post(&format!("/admin/dead-letters/{id}/replay"), None).await;
    assert_eq!(again.status, 409, "{again:?}");
    world.finish(Outcome::Troubled).await;
}

async fn dead_letter(grace: &Browser, user_id: &str) -> Value {
    eventually("the refused change is a dead letter", async || {
        let list = grace.clone().get("/admin/dead-letters").await;
        assert_eq!(list.status, 200, "{list:?}");
        let letters = list.json()["dead_letters"].as_array().unwrap().clone();
        letters.into_iter().find(|letter| letter["user_id"] == user_id)
    })
    .await
}

async fn a_bad_learning_property_never_keeps_identity_out_of_the_crm(portal: Portal) {
    let world = portal.world().await;
    let refusal = json!({
        "kind": "refuse_property",
        "name": "rollcall_enrolled_courses",
        "message": "is not welcome today",
    });
    let answer = world.hubspot("POST", "/_emulator/faults", Some(refusal)).await;
    assert!(answer.status < 300, "{answer:?}");
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let grace = world.signed_in("grace").await;
    let letter = dead_letter(&grace, &ada_id).await;
    assert_eq!(letter["facet"], "learning");
    world.contact_with(&ada_id, &[("firstname", "Ada"), ("rollcall_enrolled_courses", "")]).await;
    world.finish(Outcome::Troubled).await;
}

async fn an_answer_that_was_lost_after_the_write_does_no_harm(portal: Portal) {
    let world = portal.world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    let fault = json!({ "kind": "drop_after_commit", "count": 1 });
    let answer = world.hubspot("POST", "/_emulator/faults", Some(fault)).await;
    assert!(answer.status < 300, "{answer:?}");
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    assert_eq!(ada.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    let both = "first-steps;hubspot-basics";
    world.contact_with(&ada_id, &[("rollcall_enrolled_courses", both)]).await;
    let mut grace = world.signed_in("grace").await;
    nothing_is_pending(&mut grace).await;
    world.finish(Outcome::Troubled).await;
}

in_every_portal! { DatedWithEvents, UndatedByProperties:
    r_03_an_outage_costs_users_nothing_and_heals_by_itself;
    a_refused_change_waits_at_the_desk_and_one_call_replays_it;
    a_bad_learning_property_never_keeps_identity_out_of_the_crm;
    an_answer_that_was_lost_after_the_write_does_no_harm;
}
