//! What we send to HubSpot is what HubSpot publishes that it takes.

use rollcall_local::hubspot::Call;
use rollcall_local::hubspot::openapi::Published;
use rollcall_tests::{Outcome, eventually};
use serde_json::Value;

use crate::tidy::root;
use crate::world;

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers_follow_the_published_documents() {
    let Some(published) = Published::load(&root().join("../shared/facts/hubspot-openapi")) else {
        println!("skipped: HubSpot's published documents are not beside the project");
        return;
    };
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    ada.put("/enrollments/course/first-steps", None).await;
    world.contact_with(&user_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    eventually("milestones are told", async || {
        (!world.cloud.hubspot.events().is_empty()).then_some(())
    })
    .await;
    let calls = world.cloud.hubspot.calls();
    assert!(calls.len() >= 3, "schema and contacts were written: {calls:#?}");
    // What a portal says about itself is in none of the published documents.
    let described = |call: &Call| !call.path.starts_with("/account-info/");
    for call in calls.into_iter().filter(described) {
        let answer: Value = serde_json::from_str(&call.answer).unwrap_or_default();
        let status = call.status.unwrap();
        published.validate_request(&call.method, &call.path, &call.body_json()).unwrap();
        published.validate_response(&call.method, &call.path, status, &answer).unwrap();
    }
    world.finish(Outcome::Clean).await;
}
