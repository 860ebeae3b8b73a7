//! What an app hears of contacts, and what goes wrong with that on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use rollcall_local_kit::LocalClock;

use super::*;
use crate::{Options, Scopes, Settings, Token};

type Heard = Arc<Mutex<Vec<(HeaderMap, Vec<Value>)>>>;

/// An app that refuses the first `refusals` requests.
async fn app(refusals: usize) -> (String, Heard) {
    let heard = Heard::default();
    let take = move |State(heard): State<Heard>, headers: HeaderMap, body: String| async move {
        let mut heard = heard.lock().unwrap();
        heard.push((headers, serde_json::from_str(&body).unwrap()));
        StatusCode::from_u16(if heard.len() > refusals { 204 } else { 503 }).unwrap()
    };
    let router = Router::new().fallback(take).with_state(Arc::clone(&heard));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

fn portal_telling(url: &str) -> HubSpot {
    let hubspot = HubSpot::open(Options {
        folder: None,
        clock: LocalClock::new(),
        base_url: "http://localhost".to_owned(),
        tokens: vec![Token { value: "key".to_owned(), scopes: Scopes::All }],
        settings: Settings::default(),
    })
    .unwrap();
    hubspot.subscribe(Subscription {
        url: url.to_owned(),
        app_id: 7,
        client_secret: "secret".to_owned(),
    });
    hubspot
}

fn call(hubspot: &HubSpot, path: &str, body: &Value) -> Value {
    let request = crate::wire::Request {
        method: "POST".to_owned(),
        path: path.to_owned(),
        query: String::new(),
        authorization: Some("Bearer key".to_owned()),
        trace_id: None,
        body: body.to_string().into_bytes(),
    };
    let now = hubspot.clock().now();
    let mut portal = hubspot.portal();
    let answer = if path.starts_with("/_emulator") {
        portal.control(&request, &Settings::default(), now).unwrap()
    } else {
        portal.exchange(&request, now).answer.unwrap().body.unwrap_or_default()
    };
    drop(portal);
    hubspot.tell_webhooks();
    answer
}

/// What was told, once there are `count` events: what, of which contact, by whom.
async fn told(heard: &Heard, count: usize) -> Vec<(String, u64, String)> {
    for _ in 0..500 {
        let events: Vec<Value> =
            heard.lock().unwrap().iter().flat_map(|(_, events)| events.clone()).collect();
        if events.len() >= count {
            let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
            return events
                .iter()
                .map(|event| {
                    let id = event["objectId"].as_u64().unwrap();
                    (text(event, "subscriptionType"), id, text(event, "changeSource"))
                })
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", heard.lock().unwrap());
}

#[tokio::test]
async fn whatever_happens_to_a_contact_is_told_with_its_author() {
    let (url, heard) = app(0).await;
    let hubspot = portal_telling(&url);
    let contacts = "/crm/v3/objects/contacts";
    for name in ["a", "b"] {
        let properties = json!({ "email": format!("{name}@example.org") });
        call(&hubspot, contacts, &json!({ "properties": properties }));
    }
    let edit = json!({ "id": "501", "properties": { "firstname": "Ann" } });
    call(&hubspot, "/_emulator/edit", &edit);
    call(&hubspot, "/_emulator/edit", &edit);
    call(&hubspot, "/_emulator/edit", &json!({ "id": "501", "archived": true }));
    call(&hubspot, "/_emulator/edit", &json!({ "id": "501", "archived": false }));
    call(&hubspot, "/_emulator/merge", &json!({ "primary_id": "501", "merged_id": "502" }));
    call(&hubspot, "/_emulator/erase", &json!({ "id": "503" }));
    let told = told(&heard, 9).await;
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (what, _, source) in &told {
        *counts.entry((what.as_str(), source.as_str())).or_default() += 1;
    }
    for (what, source, count) in [
        ("contact.creation", "INTEGRATION", 2),
        ("contact.propertyChange", "CRM_UI", 1),
        ("contact.deletion", "CRM_UI", 1),
        ("contact.restore", "CRM_UI", 1),
        ("contact.merge", "CRM_UI", 1),
        ("contact.privacyDeletion", "CRM_UI", 1),
    ] {
        assert_eq!(counts.get(&(what, source)), Some(&count), "{what}: {told:?}");
    }
    let requests = heard.lock().unwrap();
    let (headers, events) = &requests[0];
    let timestamp = headers["x-hubspot-request-timestamp"].to_str().unwrap();
    let expected = signature("secret", &url, &json!(events).to_string(), timestamp);
    assert_eq!(headers["x-hubspot-signature-v3"], expected);
}

#[tokio::test]
async fn what_is_not_taken_is_told_again_and_faults_come_on_demand() {
    let (url, heard) = app(2).await;
    let hubspot = portal_telling(&url);
    call(&hubspot, "/_emulator/webhooks", &json!({ "paused": true }));
    let properties = json!({ "email": "a@example.org" });
    call(&hubspot, "/crm/v3/objects/contacts", &json!({ "properties": properties }));
    assert!(heard.lock().unwrap().is_empty());
    call(&hubspot, "/_emulator/webhooks", &json!({ "duplicate": true, "bad_signature": true }));
    told(&heard, 4).await;
    let requests = heard.lock().unwrap().clone();
    let attempts: Vec<_> =
        requests.iter().map(|(_, events)| events[0]["attemptNumber"].clone()).collect();
    assert_eq!(attempts[..2], [0, 0]);
    let (headers, events) = &requests[0];
    let timestamp = headers["x-hubspot-request-timestamp"].to_str().unwrap();
    let honest = signature("secret", &url, &json!(events).to_string(), timestamp);
    assert_ne!(headers["x-hubspot-signature-v3"], honest);
}
