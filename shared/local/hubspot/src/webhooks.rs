//! Webhooks: what HubSpot tells an app about its contacts, signed, in batches, and again until the app
//! takes it; and all that may be wrong with that.
//!
//! <https://developers.hubspot.com/docs/api/webhooks>

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::emulator::HubSpot;
use crate::portal::Portal;
use crate::records::{Change, Source};

/// Events in one request.
const EVENTS_MAX: usize = 100;
/// How often an event is told, the first time included.
const ATTEMPTS_MAX: u64 = 11;
/// Between two attempts; the real HubSpot spreads them over a day.
const RETRY_DELAY: Duration = Duration::from_millis(300);
/// How long the app may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Deliveries that are kept to look at.
const DELIVERIES_KEPT: usize = 1_000;
/// How old a request is made to look: more than the five minutes that apps should allow.
const STALE_MS: i64 = 6 * 60 * 1_000;

/// Where webhooks go, and in whose name.
#[derive(Clone)]
pub struct Subscription {
    /// The URL, `http` on this machine.
    pub url: String,
    /// The app.
    pub app_id: u64,
    /// The app's client secret, with which requests are signed.
    pub client_secret: String,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Subscription").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What is wrong with webhooks, through `POST /_emulator/webhooks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fault, named in JSON")]
pub(crate) struct Faults {
    /// Nothing is sent; what happens is collected.
    paused: bool,
    /// The signature is made with another secret.
    bad_signature: bool,
    /// The time of the request is long ago, and signed.
    stale: bool,
    /// Events are sent one by one, in any order.
    reorder: bool,
    /// Everything is sent twice.
    duplicate: bool,
}

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Delivery {
    /// When.
    pub at: Timestamp,
    /// The status of the answer; `None` when there was none.
    pub status: Option<u16>,
    /// The events.
    pub events: Vec<Value>,
}

/// What an account tells.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    subscription: Option<Subscription>,
    faults: Faults,
    outbox: VecDeque<Value>,
    deliveries: VecDeque<Delivery>,
    next_event: u64,
    is_sending: bool,
}

impl Webhooks {
    fn tell(&mut self, portal_id: u64, now: Timestamp, event: Map<String, Value>) {
        let Some(subscription) = &self.subscription else {
            return;
        };
        self.next_event += 1;
        let mut told = Map::from_iter([
            ("eventId".to_owned(), json!(3_400_000_000_u64 + self.next_event)),
            ("subscriptionId".to_owned(), json!(3_329_277)),
            ("portalId".to_owned(), json!(portal_id)),
            ("appId".to_owned(), json!(subscription.app_id)),
            ("occurredAt".to_owned(), json!(now.as_millisecond())),
            ("attemptNumber".to_owned(), json!(0)),
        ]);
        told.extend(event);
        self.outbox.push_back(Value::Object(told));
    }

    fn source(&self, source: Source) -> [(String, Value); 2] {
        let app_id = self.subscription.as_ref().map_or(0, |subscription| subscription.app_id);
        let (name, id) = match source {
            Source::Integration => ("INTEGRATION", app_id.to_string()),
            Source::CrmUi => ("CRM_UI", "userId:1001".to_owned()),
        };
        [("changeSource".to_owned(), json!(name)), ("sourceId".to_owned(), json!(id))]
    }

    /// Settings and deliveries after a reset of the account.
    pub(crate) fn reset(self) -> Self {
        Self { subscription: self.subscription, is_sending: self.is_sending, ..Self::default() }
    }

    pub(crate) fn set(&mut self, faults: Faults) {
        self.faults = faults;
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "faults": self.faults,
            "waiting": self.outbox.len(),
            "deliveries": self.deliveries,
        })
    }
}

fn numbered(id: u64) -> Value {
    json!(id)
}

impl Portal {
    /// Tells what a request changed in contacts, beside merges and erasures, which tell themselves.
    pub(crate) fn tell_changes(&mut self, changes: Vec<Change>, source: Source, now: Timestamp) {
        for (old, new) in changes {
            let Some(new) = new else {
                continue;
            };
            match &old {
                None if new.merged.is_empty() => self.tell("creation", new.id, source, now),
                // The survivor of a merge, which tells itself.
                None => continue,
                Some(old) => match (old.archived_at, new.archived_at) {
                    (None, Some(_)) => self.tell("deletion", new.id, source, now),
                    (Some(_), None) => self.tell("restore", new.id, source, now),
                    (None, None) | (Some(_), Some(_)) => {}
                },
            }
            for (name, values) in &new.values {
                let before = old.as_ref().map_or("", |old| old.get(name));
                let Some(last) = values.versions.last() else {
                    continue;
                };
                if last.value != before {
                    self.tell_change(new.id, name, &last.value, last.source, now);
                }
            }
        }
    }

    fn tell_change(&mut self, id: u64, name: &str, value: &str, source: Source, now: Timestamp) {
        let mut event = self.webhook_event("propertyChange", id, source);
        event.insert("propertyName".to_owned(), json!(name));
        event.insert("propertyValue".to_owned(), json!(value));
        self.webhooks.tell(self.settings.portal_id, now, event);
    }

    /// Tells that something happened to a contact.
    pub(crate) fn tell(&mut self, what: &str, id: u64, source: Source, now: Timestamp) {
        let event = self.webhook_event(what, id, source);
        self.webhooks.tell(self.settings.portal_id, now, event);
    }

    /// Tells that contacts were merged.
    pub(crate) fn tell_merge(
        &mut self,
        (primary, merged, survivor): (u64, u64, u64),
        source: Source,
        now: Timestamp,
    ) {
        let mut event = self.webhook_event("merge", survivor, source);
        event.insert("primaryObjectId".to_owned(), numbered(primary));
        event.insert("mergedObjectIds".to_owned(), json!([merged]));
        event.insert("newObjectId".to_owned(), numbered(survivor));
        self.webhooks.tell(self.settings.portal_id, now, event);
    }

    fn webhook_event(&self, what: &str, id: u64, source: Source) -> Map<String, Value> {
        let mut event = Map::from_iter(self.webhooks.source(source));
        event.insert("subscriptionType".to_owned(), json!(format!("contact.{what}")));
        event.insert("objectId".to_owned(), numbered(id));
        event
    }

    /// What is sent next, as a body and the time it claims; `None` when nothing is.
    fn next_delivery(&mut self, now: Timestamp) -> Option<(Subscription, Vec<Value>, Request)> {
        let webhooks = &mut self.webhooks;
        let subscription = webhooks.subscription.clone()?;
        if webhooks.faults.paused || webhooks.outbox.is_empty() {
            return None;
        }
        let most = if webhooks.faults.reorder { 1 } else { EVENTS_MAX };
        if webhooks.faults.reorder {
            webhooks.outbox.make_contiguous().shuffle(&mut self.random);
        }
        let count = webhooks.outbox.len().min(most);
        let events: Vec<Value> = webhooks.outbox.drain(..count).collect();
        let age_ms = if webhooks.faults.stale { STALE_MS } else { 0 };
        let key =
            if webhooks.faults.bad_signature { "another" } else { &subscription.client_secret };
        let timestamp = (now.as_millisecond() - age_ms).to_string();
        let body = json!(events).to_string();
        let signature = signature(key, &subscription.url, &body, &timestamp);
        let copies = if webhooks.faults.duplicate { 2 } else { 1 };
        Some((subscription, events, Request { body, timestamp, signature, copies }))
    }

    /// Keeps a delivery; what was not taken is told again, unless it was told too often.
    fn delivered(&mut self, events: Vec<Value>, status: Option<u16>, at: Timestamp) -> bool {
        let webhooks = &mut self.webhooks;
        let is_taken = status.is_some_and(|status| (200..300).contains(&status));
        if !is_taken {
            for event in &events {
                let attempt = event.get("attemptNumber").and_then(Value::as_u64).unwrap_or(0) + 1;
                if attempt < ATTEMPTS_MAX {
                    let mut event = event.clone();
                    if let Value::Object(fields) = &mut event {
                        fields.insert("attemptNumber".to_owned(), json!(attempt));
                    }
                    webhooks.outbox.push_back(event);
                }
            }
        }
        webhooks.deliveries.push_back(Delivery { at, status, events });
        while webhooks.deliveries.len() > DELIVERIES_KEPT {
            webhooks.deliveries.pop_front();
        }
        is_taken
    }
}

struct Request {
    body: String,
    timestamp: String,
    signature: String,
    copies: u32,
}

/// Version 3 of HubSpot's signatures of a request with this body to `url` at `timestamp`, in
/// milliseconds.
pub fn signature(secret: &str, url: &str, body: &str, timestamp: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    for part in ["POST", url, body, timestamp] {
        mac.update(part.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

impl HubSpot {
    /// From now on tells an app what happens to contacts.
    pub fn subscribe(&self, subscription: Subscription) {
        self.portal().webhooks.subscription = Some(subscription);
    }

    /// Every request to the app that is kept, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.portal().webhooks.deliveries.iter().cloned().collect()
    }

    /// Sends what there is to tell, beside whatever else goes on.
    pub(crate) fn tell_webhooks(&self) {
        let mut portal = self.portal();
        let webhooks = &mut portal.webhooks;
        if webhooks.subscription.is_none() || webhooks.outbox.is_empty() || webhooks.is_sending {
            return;
        }
        webhooks.is_sending = true;
        drop(portal);
        let hubspot = self.clone();
        tokio::spawn(async move { hubspot.send_webhooks().await });
    }

    async fn send_webhooks(&self) {
        loop {
            let now = self.clock().now();
            let Some((subscription, events, request)) = self.next_delivery(now) else {
                return;
            };
            let mut status = None;
            for _copy in 0..request.copies {
                let posting = post(&subscription.url, &request);
                status = tokio::time::timeout(TIMEOUT, posting).await.ok().and_then(Result::ok);
            }
            let is_taken = self.portal().delivered(events, status, now);
            if !is_taken {
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }

    /// The next delivery; without one, sending ends in the same moment, so that nothing is forgotten.
    fn next_delivery(&self, now: Timestamp) -> Option<(Subscription, Vec<Value>, Request)> {
        let mut portal = self.portal();
        let next = portal.next_delivery(now);
        portal.webhooks.is_sending = next.is_some();
        next
    }
}

/// The status of one POST over a connection of its own.
async fn post(url: &str, request: &Request) -> std::io::Result<u16> {
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let Request { body, timestamp, signature, .. } = request;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-HubSpot-Request-Timestamp: {timestamp}\r\nX-HubSpot-Signature-v3: {signature}\r\n\r\n",
        body.len()
    );
    let mut connection = TcpStream::connect(host).await?;
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body.as_bytes()).await?;
    let mut line = [0_u8; 12];
    connection.read_exact(&mut line).await?;
    let status = std::str::from_utf8(&line).ok().and_then(|line| line.get(9..12)?.parse().ok());
    status.ok_or_else(invalid)
}

#[cfg(test)]
mod tests;
