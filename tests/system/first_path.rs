//! The first true path: sign in, enrol, learn, and see it in the CRM.

use rollcall_cli::sample;
use rollcall_functions_crm::settings as crm;
use rollcall_tests::{Outcome, World};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::portal::{Portal, in_every_portal};

async fn a_member_signs_in_enrols_learns_and_the_crm_knows(portal: Portal) {
    let world = portal.world().await;
    let mut ada = world.signed_in("ada").await;
    let me = ada.get("/auth/me").await.json();
    let user_id = me["user_id"].as_str().unwrap().to_owned();
    assert_eq!(me["email"], "ada@rollcall.example");

    let courses = ada.get("/courses").await.json();
    assert_eq!(courses["courses"].as_array().unwrap().len(), 4);
    let enrolled =
        ada.put("/enrollments/course/first-steps", Some(json!({"source": "catalog"}))).await;
    assert_eq!(enrolled.status, 200, "{enrolled:?}");
    let again = ada.put("/enrollments/course/first-steps", None).await;
    assert_eq!(again.text, enrolled.text);
    let list = ada.get("/enrollments").await.json();
    assert_eq!(list["enrollments"], json!([enrolled.json()]));

    world
        .contact_with(
            &user_id,
            &[
                ("email", "ada@rollcall.example"),
                ("firstname", "Ada"),
                ("lastname", "Okafor"),
                ("lifecyclestage", "lead"),
                ("rollcall_enrolled_courses", "first-steps"),
                ("rollcall_completed_courses", ""),
                ("rollcall_modules_completed", "0"),
            ],
        )
        .await;

    let modules = ["start-the-local-cloud", "sign-in-as-a-member", "follow-a-change"];
    for module in modules {
        let event = json!({
            "event_name": "learning_module_started",
            "module_slug": module,
            "course_slug": "first-steps",
        });
        let tracked = ada.post("/events/track", Some(json!({ "events": [event] }))).await;
        assert_eq!(tracked.status, 200, "{tracked:?}");
        assert_eq!(tracked.json()["recorded"], 1);
        ada.complete_module(module).await;
    }
    let status = ada.get("/courses/first-steps/status").await.json();
    assert_eq!(status["course_status"], "complete");
    assert_eq!(status["modules_completed"], 3);

    let contact = world
        .contact_with(
            &user_id,
            &[("rollcall_completed_courses", "first-steps"), ("rollcall_modules_completed", "3")],
        )
        .await;
    assert!(contact.properties["rollcall_progress_summary"].contains("first-steps: 3/3"));
    read_the_contact_as_a_stranger_to_our_code_would(&world, &contact.id, &user_id).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_reach_hubspot_leads_to_the_same_contact() {
    for (api, key, unique_keys) in [
        ("v3", "rollcall_user_id", true),
        ("2026-03", "rollcall_user_id", true),
        ("2026-09", "email", false),
        ("v3", "email", true),
    ] {
        let world = World::start_with(PROGRAM, Vec::new(), |options| {
            sample::set(options, &crm::HUBSPOT_API, api);
            sample::set(options, &crm::HUBSPOT_KEY, key);
            options.hubspot.1.unique_keys_on_contacts = unique_keys;
        })
        .await;
        let mut ada = world.signed_in("ada").await;
        let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
        for course in ["first-steps", "hubspot-basics"] {
            assert_eq!(ada.put(&format!("/enrollments/course/{course}"), None).await.status, 200);
        }
        let both = "first-steps;hubspot-basics";
        world
            .contact_with(
                &user_id,
                &[("email", "ada@rollcall.example"), ("rollcall_enrolled_courses", both)],
            )
            .await;
        let family = format!("/{api}/");
        let calls = world.cloud.hubspot.calls();
        assert!(calls.iter().all(|call| call.path.contains(&family)), "{api}: {calls:#?}");
        world.finish(Outcome::Clean).await;
    }
}

/// On HubSpot's own paths, both families, with its bearer token.
async fn read_the_contact_as_a_stranger_to_our_code_would(world: &World, id: &str, user_id: &str) {
    for family in ["/crm/v3/objects", "/crm/objects/2026-09"] {
        let path = format!("{family}/contacts/{id}?properties=rollcall_user_id,email");
        let contact = world.hubspot("GET", &path, None).await;
        assert_eq!(contact.status, 200, "{contact:?}");
        assert_eq!(contact.json()["properties"]["rollcall_user_id"], user_id);
    }
}

async fn leaving_a_course_reaches_the_crm_and_coming_back_keeps_the_first_date(portal: Portal) {
    let world = portal.world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    let first = ada.put("/enrollments/course/hubspot-basics", None).await.json();
    world.contact_with(&user_id, &[("rollcall_enrolled_courses", "hubspot-basics")]).await;
    assert_eq!(ada.delete("/enrollments/course/hubspot-basics").await.status, 204);
    assert_eq!(ada.delete("/enrollments/course/hubspot-basics").await.status, 204);
    assert_eq!(ada.get("/enrollments").await.json()["enrollments"], json!([]));
    world.contact_with(&user_id, &[("rollcall_enrolled_courses", "")]).await;
    let back = ada.put("/enrollments/course/hubspot-basics", None).await.json();
    assert_eq!(back["enrolled_at"], first["enrolled_at"]);
    assert_eq!(back["withdrawn_at"], Value::Null);
    world.contact_with(&user_id, &[("rollcall_enrolled_courses", "hubspot-basics")]).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let start =
        || World::start_with(PROGRAM, Vec::new(), |options| options.folder = Some(path.clone()));
    let world = start().await;
    let mut ada = world.signed_in("ada").await;
    let me = ada.get("/auth/me").await.json();
    let user_id = me["user_id"].as_str().unwrap().to_owned();
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    world.contact_with(&user_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    world.finish(Outcome::Clean).await;

    let world = start().await;
    let mut same_browser = world.browser();
    same_browser.cookies = ada.cookies.clone();
    assert_eq!(same_browser.get("/auth/me").await.json(), me);
    let enrollments = same_browser.get("/enrollments").await.json();
    assert_eq!(enrollments["enrollments"][0]["slug"], "first-steps");
    world.contact_with(&user_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    world.finish(Outcome::Clean).await;
}

async fn working_on_a_module_of_a_course_enrols_in_the_course(portal: Portal) {
    let world = portal.world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    let event = json!({
        "event_name": "learning_module_started",
        "module_slug": "read-the-ledger",
        "course_slug": "when-sync-fails",
    });
    let tracked = ada.post("/events/track", Some(json!({ "events": [event] }))).await;
    assert_eq!(tracked.status, 200, "{tracked:?}");
    let list = ada.get("/enrollments").await.json();
    assert_eq!(list["enrollments"][0]["source"], "module_event");
    world
        .contact_with(
            &user_id,
            &[
                ("rollcall_enrolled_courses", "when-sync-fails"),
                ("rollcall_progress_summary", "when-sync-fails: 0/3"),
            ],
        )
        .await;
    world.finish(Outcome::Clean).await;
}

in_every_portal! { DatedWithEvents, UndatedByProperties:
    a_member_signs_in_enrols_learns_and_the_crm_knows;
    leaving_a_course_reaches_the_crm_and_coming_back_keeps_the_first_date;
    working_on_a_module_of_a_course_enrols_in_the_course;
}
