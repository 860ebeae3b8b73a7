//! HTTP to HubSpot: one attempt, bounded in time and size, without redirects, and an exact account
//! of how far it came.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rollcall_domain::port::PortErrorClass;
use rollcall_domain::secret::Secret;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, Exchange};
use crate::settings::SettingsError;
use crate::token::TokenSource;
use crate::trace;

/// From asking for a token to the last byte read. Leases are held meanwhile, so it must stay below
/// [`rollcall_crm::limits::CALL_SECONDS_MAX`].
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that was idle for longer is not used again; its age is looked at when it is about to
/// be used. The calls of one run follow each other faster and share a connection, which saves each a
/// TLS handshake; a sandbox that was frozen in between wakes with a connection that HubSpot has
/// likely closed. A call that hits one all the same ends as unknown and is repeated.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 5 * 1024 * 1024;

/// The HTTP client.
pub(crate) struct Http {
    client: Client,
    tokens: Arc<dyn TokenSource>,
    call_timeout: Duration,
}

impl Http {
    pub(crate) fn new(tokens: Arc<dyn TokenSource>) -> Result<Self, SettingsError> {
        // The calls of one run follow each other faster and share a connection.
        let client =
            rollcall_http::client(IDLE_TIMEOUT).map_err(|_refused| SettingsError::HttpClient)?;
        Ok(Self { client, tokens, call_timeout: CALL_TIMEOUT })
    }

    /// Fetches the token anew; `false`: it is the one we had.
    pub(crate) async fn renew_token(&self) -> bool {
        self.tokens.renew().await
    }

    /// One POST.
    pub(crate) async fn post(&self, url: &str, body: &impl Serialize, trace_id: &str) -> Exchange {
        self.exchange(self.client.post(url).json(body), trace_id).await
    }

    /// One GET.
    pub(crate) async fn get(&self, url: &str, trace_id: &str) -> Exchange {
        self.exchange(self.client.get(url), trace_id).await
    }

    async fn exchange(&self, request: RequestBuilder, trace_id: &str) -> Exchange {
        let end = Instant::now() + self.call_timeout;
        let token = match timeout_at(end, self.tokens.token()).await {
            Ok(Ok(token)) => token,
            // There is none to be had: the same follows as when HubSpot refuses one.
            Ok(Err(error)) if error.class == PortErrorClass::Rejected => {
                return Exchange::Answered(Answer::bare(StatusCode::UNAUTHORIZED));
            }
            Ok(Err(_)) | Err(_) => return Exchange::NotSent,
        };
        let Some(authorization) = bearer(&token) else {
            // What no header can carry is no token of HubSpot's: the same follows as from its 401.
            return Exchange::Answered(Answer::bare(StatusCode::UNAUTHORIZED));
        };
        let mut headers = trace::headers(trace_id);
        headers.insert(AUTHORIZATION, authorization);
        match timeout_at(end, request.headers(headers).send()).await {
            Ok(Ok(response)) => Exchange::Answered(read(response, end).await),
            Ok(Err(error)) if error.is_connect() || error.is_builder() => Exchange::NotSent,
            Ok(Err(_broken)) => Exchange::Unanswered,
            Err(_late) => Exchange::Unanswered,
        }
    }
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    // Secrets that were stored from a file often end in a line break.
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose().trim())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Status and headers count even when the body does not come.
async fn read(mut response: Response, end: Instant) -> Answer {
    let status = response.status();
    let headers: HeaderMap = std::mem::take(response.headers_mut());
    let reading = rollcall_http::body(response, ANSWER_BYTES_MAX);
    let body = timeout_at(end, reading).await.ok().and_then(Result::ok);
    Answer { status, headers, body }
}

#[cfg(test)]
mod tests;
