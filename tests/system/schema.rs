//! The CRM's definitions are what the code declares, or a person is told what stands in the way.

use rollcall_cli::sample;
use rollcall_functions_crm::settings as crm;
use rollcall_tests::{Answer, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::bearer::{call, machine_token};
use crate::operating::rollcall;
use crate::{PROGRAM, world};

const SCHEMA: &str = "/admin/crm/schema";
const PROPERTIES: &str = "/crm/v3/properties/contacts";

/// Names of what would be created.
fn missing(plan: &Value, kind: &str) -> Vec<String> {
    let steps = plan["to_create"].as_array().unwrap().iter();
    let named = steps.filter(|step| step["kind"] == kind);
    named.map(|step| step["name"].as_str().unwrap().to_owned()).collect()
}

/// What HubSpot's properties of contacts are called.
async fn properties(world: &World) -> Vec<String> {
    let list = world.hubspot("GET", PROPERTIES, None).await.json();
    let results = list["results"].as_array().unwrap().iter();
    results.map(|property| property["name"].as_str().unwrap().to_owned()).collect()
}

/// Calls as a machine: nobody signs in, so the sync does not declare anything by itself.
async fn well(world: &World, method: &str, token: &str) -> Value {
    let answer = call(world, method, SCHEMA, token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_planned_then_created_and_then_nothing_is() {
    for (api, milestones) in [("2026-09", "events"), ("v3", "events"), ("2026-09", "properties")] {
        let world = World::start_with(PROGRAM, Vec::new(), |options| {
            sample::set(options, &crm::HUBSPOT_API, api);
            sample::set(options, &crm::HUBSPOT_MILESTONES, milestones);
        })
        .await;
        let token = machine_token(&world).await;
        let planned = well(&world, "GET", &token).await;
        assert_eq!(missing(&planned, "group"), ["rollcall"]);
        let wanted = missing(&planned, "property");
        assert!(wanted.contains(&"rollcall_user_id".to_owned()), "{planned}");
        assert_eq!(missing(&planned, "event").is_empty(), milestones == "properties", "{planned}");

        let said = rollcall(&world, &token, &["crm", "schema", "plan"]).await;
        assert!(said.output.contains("create    property rollcall_user_id\n"), "{said:?}");

        let applied = well(&world, "POST", &token).await;
        assert_eq!((&applied["in_place"], &applied["to_create"]), (&json!(true), &json!([])));
        let there = properties(&world).await;
        assert!(wanted.iter().all(|name| there.contains(name)), "{there:?}");
        let said = rollcall(&world, &token, &["crm", "schema", "apply", "--json"]).await;
        assert_eq!(said.json()[0]["in_place"], true);
        assert_eq!(well(&world, "GET", &token).await["in_place"], true);
        assert_eq!(well(&world, "POST", &token).await["in_place"], true);
        let events = world.cloud.hubspot.calls().into_iter();
        let events = events.filter(|call| call.path.starts_with("/events/")).count();
        assert_eq!(events == 0, milestones == "properties");
        let mut grace = world.signed_in("grace").await;
        let told = grace.get("/admin/audit?subject=crm-schema").await.json();
        assert_eq!(told["entries"].as_array().unwrap().len(), 1, "{told}");
        assert_eq!(told["entries"][0]["action"], "crm-schema-applied");
        world.finish(Outcome::Clean).await;
    }
}

async fn define(world: &World, name: &str, label: &str, kind: &str, field: &str) {
    let property = json!({
        "groupName": "rollcall", "name": name, "label": label, "type": kind, "fieldType": field,
    });
    let made = world.hubspot("POST", PROPERTIES, Some(property)).await;
    assert_eq!(made.status, 201, "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_renamed_or_retyped_is_refused_with_an_explanation_and_nothing_is_created() {
    let world = world().await;
    let group = json!({ "name": "rollcall", "label": "Rollcall" });
    let made = world.hubspot("POST", &format!("{PROPERTIES}/groups"), Some(group)).await;
    assert_eq!(made.status, 201, "{made:?}");
    define(&world, "rollcall_username", "Username", "number", "number").await;
    define(&world, "rollcall_last_learned_at", "Last learning", "datetime", "date").await;
    let before = properties(&world).await;
    let token = machine_token(&world).await;
    let planned = well(&world, "GET", &token).await;
    assert_eq!(planned["obstacles"].as_array().unwrap().len(), 2, "{planned}");
    let refused = call(&world, "POST", SCHEMA, &token).await;
    assert_eq!((refused.status, code(&refused)), (409, "crm-schema-differs".to_owned()));
    let errors = refused.json()["errors"].clone();
    for (pointer, code) in
        [("crm:rollcall_username", "retyped"), ("crm:rollcall_last_learning_at", "renamed")]
    {
        let error = errors.as_array().unwrap().iter().find(|error| error["pointer"] == pointer);
        let error = error.unwrap_or_else(|| panic!("{errors}"));
        assert_eq!(error["code"], code);
        assert!(error["detail"].as_str().unwrap().len() > 80, "{error}");
    }
    let said = rollcall(&world, &token, &["crm", "schema", "apply"]).await;
    assert!(!said.success && said.errors.contains("rollcall_last_learned_at"), "{said:?}");
    assert_eq!(properties(&world).await, before);
    world.finish(Outcome::Clean).await;
}

fn code(answer: &Answer) -> String {
    answer.json()["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crm_that_is_away_is_said_to_be_and_asked_again_later() {
    let world = world().await;
    let token = machine_token(&world).await;
    world.break_hubspot().await;
    let away = call(&world, "GET", SCHEMA, &token).await;
    assert_eq!((away.status, code(&away)), (503, "crm-unavailable".to_owned()));
    assert_eq!(away.header("retry-after"), "30");
    world.mend_hubspot().await;
    eventually("the CRM is asked again", async || {
        (call(&world, "GET", SCHEMA, &token).await.status == 200).then_some(())
    })
    .await;
    world.finish(Outcome::Troubled).await;
}
