//! Messages to an HTTP endpoint, as Standard Webhooks has it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode};
use rollcall_crm::classifier::Failure;
use rollcall_crm::port::LimitSignal;
use rollcall_domain::port::PortError;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use url::{Host, Url};

use crate::feed::{Delivery, Transport};
use crate::signature::signatures;

/// From the first byte sent to the answer's status.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that was idle for longer is not used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a message id.
const ID_BYTES: usize = 16;

/// The keys that messages are signed with, the current one first.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The keys. After an error nothing is sent; whoever implements this reports why.
    async fn keys(&self) -> Result<Vec<Secret>, PortError>;
}

/// Why an endpoint cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Names and addresses must not travel in clear.
    #[error("the endpoint must be an https URL without credentials (http only on this machine)")]
    Url,
    /// The built-in TLS settings were refused by the TLS library.
    #[error(transparent)]
    Client(#[from] rollcall_http::ClientError),
}

/// An HTTP endpoint of another system.
pub struct Webhook {
    client: Client,
    url: Url,
    keys: Arc<dyn KeySource>,
}

impl Webhook {
    /// Prepares the client; connects to nothing yet.
    pub fn new(url: &str, keys: Arc<dyn KeySource>) -> Result<Self, WebhookError> {
        let url = Url::parse(url).map_err(|_malformed| WebhookError::Url)?;
        if !may_carry_names(&url) {
            return Err(WebhookError::Url);
        }
        Ok(Self { client: rollcall_http::client(IDLE_TIMEOUT)?, url, keys })
    }

    /// As [`Webhook::new`], for an endpoint on the internet or on this machine: it never leads into the
    /// network between them.
    pub fn public(url: &str, keys: Arc<dyn KeySource>) -> Result<Self, WebhookError> {
        let here = Self::new(url, keys)?;
        if here.url.scheme() == "http" {
            return Ok(here);
        }
        let is_public = match here.url.host() {
            Some(Host::Domain(name)) => name != "localhost",
            Some(Host::Ipv4(address)) => rollcall_http::is_public(address.into()),
            Some(Host::Ipv6(address)) => rollcall_http::is_public(address.into()),
            None => false,
        };
        if !is_public {
            return Err(WebhookError::Url);
        }
        Ok(Self { client: rollcall_http::public_client(IDLE_TIMEOUT)?, ..here })
    }

    /// Asks the endpoint something, and gives what it answers, of at most `bytes_max` bytes. The same
    /// text asked again is the same message.
    ///
    /// # Errors
    ///
    /// [`AskError`]; whether the endpoint has heard the question is then unknown.
    pub async fn ask(
        &self,
        body: Vec<u8>,
        at: Timestamp,
        bytes_max: usize,
    ) -> Result<Vec<u8>, AskError> {
        let id = id(&body, "");
        let request = self.signed(body, at, id).await.ok_or(AskError::Unsigned)?;
        let answer = request.send().await.map_err(|_broken| AskError::Broken)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(AskError::Status(status.as_u16()));
        }
        rollcall_http::body(answer, bytes_max).await.map_err(|_broken| AskError::Broken)
    }

    /// A message as it is sent, or `None` when no key can sign it.
    async fn signed(&self, body: Vec<u8>, at: Timestamp, id: String) -> Option<RequestBuilder> {
        let keys = self.keys.keys().await.ok()?;
        let seconds = at.as_second();
        let signature = signatures(&keys, &id, seconds, &body)?;
        let request = self
            .client
            .post(self.url.clone())
            .timeout(CALL_TIMEOUT)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature)
            .body(body);
        Some(request)
    }
}

/// Why there is no answer to a question. Nothing of what the other side wrote is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No key can sign.
    #[error("the question cannot be signed")]
    Unsigned,
    /// There was no whole answer.
    #[error("there was no whole answer")]
    Broken,
    /// The other side refused.
    #[error("the question was answered with status {0}")]
    Status(u16),
}

fn may_carry_names(url: &Url) -> bool {
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let plain = url.username().is_empty() && url.password().is_none();
    plain && (url.scheme() == "https" || url.scheme() == "http" && is_here)
}

#[async_trait]
impl Transport for Webhook {
    const LIMIT_SIGNAL: LimitSignal = LimitSignal::Status;

    async fn deliver(&self, body: Vec<u8>, at: Timestamp, trace_id: &str) -> Delivery {
        let id = id(&body, trace_id);
        let Some(sending) = self.signed(body, at, id).await else {
            return Delivery::NotSent;
        };
        match sending.send().await {
            // Nothing that stands in the answer's body decides anything.
            Ok(answer) => delivery(answer.status(), answer.headers()),
            Err(error) if error.is_connect() || error.is_builder() => Delivery::NotSent,
            Err(_broken) => Delivery::Unknown,
        }
    }
}

/// Names a message by what it says; the same text sent again for the same reason is the same message.
fn id(body: &[u8], trace_id: &str) -> String {
    let digest = Sha256::new().chain_update(trace_id).chain_update(body).finalize();
    let hex = digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}"));
    format!("msg_{}", hex.collect::<String>())
}

/// "2xx: delivered. 410: stop sending. 429, 502, 504: slow down" (Standard Webhooks, Operational
/// considerations).
fn delivery(status: StatusCode, headers: &HeaderMap) -> Delivery {
    if status.is_success() {
        return Delivery::Taken;
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    // Whoever wants no more messages has to be asked by a person, as with a missing permission.
    let status = if status == StatusCode::GONE { StatusCode::FORBIDDEN } else { status };
    Delivery::Refused(Failure {
        status: status.as_u16(),
        retry_after: seconds.map(SignedDuration::from_secs),
        ..Failure::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_taken_or_refused_for_a_reason() {
        let refused = |status, retry_after| {
            Delivery::Refused(Failure { status, retry_after, ..Failure::default() })
        };
        let later = Some(SignedDuration::from_secs(30));
        for (status, header, expected) in [
            (200, "", Delivery::Taken),
            (204, "", Delivery::Taken),
            (302, "", refused(302, None)),
            (400, "", refused(400, None)),
            (410, "", refused(403, None)),
            (429, "30", refused(429, later)),
            (503, "Wed, 21 Oct", refused(503, None)),
        ] {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert(RETRY_AFTER, header.parse().unwrap());
            }
            assert_eq!(delivery(StatusCode::from_u16(status).unwrap(), &headers), expected);
        }
    }

    #[test]
    fn a_public_endpoint_is_on_the_internet_or_on_this_machine() {
        struct NoKeys;
        #[async_trait]
        impl KeySource for NoKeys {
            async fn keys(&self) -> Result<Vec<Secret>, PortError> {
                Ok(Vec::new())
            }
        }
        for (url, may) in [
            ("https://validator.example.org/labs", true),
            ("https://93.184.216.34/labs", true),
            ("http://127.0.0.1:9000/labs", true),
            ("http://validator.example.org/labs", false),
            ("https://10.0.0.7/labs", false),
            ("https://169.254.169.254/latest", false),
            ("https://[fd00:ec2::254]/latest", false),
            ("https://localhost/labs", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(Webhook::public(url, Arc::new(NoKeys)).is_ok(), may, "{url}");
        }
    }

    #[test]
    fn names_travel_only_where_nobody_listens() {
        for (url, may) in [
            ("https://example.org/hooks", true),
            ("http://localhost:9000/hooks", true),
            ("http://127.0.0.1:9000", true),
            ("http://example.org/hooks", false),
            ("https://me:secret@example.org", false),
            ("ftp://localhost", false),
        ] {
            assert_eq!(may_carry_names(&Url::parse(url).unwrap()), may, "{url}");
        }
    }
}
