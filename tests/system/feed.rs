//! Another system in place of HubSpot: an HTTP endpoint that gets every change as a signed message.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rollcall_cli::sample;
use rollcall_functions_crm::settings;
use rollcall_local::kit::{Server, Shutdown};
use rollcall_tests::{Outcome, World, eventually};
use serde_json::Value;
use sha2::Sha256;

/// The other system.
#[derive(Clone, Default)]
struct Endpoint {
    messages: Arc<Mutex<Vec<Value>>>,
    is_away: Arc<AtomicBool>,
}

impl Endpoint {
    /// What it knows about a user.
    fn property(&self, user_id: &str, name: &str) -> Option<String> {
        let messages = self.messages.lock().unwrap();
        let contacts = messages.iter().flat_map(|message| {
            message["data"]["contacts"].as_array().cloned().unwrap_or_default()
        });
        let values = contacts.filter(|contact| contact["user_id"] == user_id);
        values
            .filter_map(|contact| Some(contact["properties"][name].as_str()?.to_owned()))
            .next_back()
    }

    fn has(&self, kind: &str) -> bool {
        self.messages.lock().unwrap().iter().any(|message| message["type"] == kind)
    }
}

/// Takes what is signed as it must be.
async fn take(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if endpoint.is_away.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(sample::FEED_KEY.as_bytes()).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    if !header("webhook-signature").split(' ').any(|signature| signature == expected) {
        return StatusCode::UNAUTHORIZED;
    }
    endpoint.messages.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    StatusCode::NO_CONTENT
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_reaches_a_webhook_endpoint_signed_and_after_an_outage_too() {
    let (endpoint, shutdown) = (Endpoint::default(), Shutdown::new());
    let server = Server::bind(0).await.unwrap();
    let url = format!("{}/changes", server.base_url());
    let router = Router::new().fallback(take).with_state(endpoint.clone());
    let serving = server.serve(router, shutdown.clone());
    let world = World::start_with(crate::PROGRAM, Vec::new(), |options| {
        sample::set(options, &settings::CRM, "webhook");
        sample::set(options, &settings::FEED, &url);
    })
    .await;

    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    let has = async |name: &str, value: &str| {
        eventually(&format!("the endpoint knows {name}"), async || {
            endpoint.property(&user_id, name).filter(|held| held == value)
        })
        .await
    };
    has("firstname", "Ada").await;
    eventually("a milestone is told", async || endpoint.has("milestones.reached").then_some(()))
        .await;

    endpoint.is_away.store(true, Ordering::SeqCst);
    let answer = ada.put("/enrollments/course/first-steps", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    endpoint.is_away.store(false, Ordering::SeqCst);
    has("rollcall_enrolled_courses", "first-steps").await;

    assert!(world.cloud.hubspot.calls().is_empty(), "HubSpot was called");
    world.finish(Outcome::Clean).await;
    shutdown.begin();
    serving.await.unwrap();
}
