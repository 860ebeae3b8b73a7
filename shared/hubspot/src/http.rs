//! HTTP to HubSpot: bounded in time and size, without redirects.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use rollcall_crm::classifier::Failure;
use rollcall_crm::portal::Quota;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::SignedDuration;
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;

use crate::settings::{Settings, SettingsError};
use crate::wire::ErrorBody;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first byte sent to the last byte read; what a lease needs is a little more.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Header by which one of our requests is found in logs on both sides.
const TRACE_HEADER: &str = "x-rollcall-trace-id";

/// What came back.
pub(crate) enum Answer {
    /// 2xx with this body.
    Success(Vec<u8>),
    /// Any other status.
    Refused(Failure),
    /// The request never left.
    NotSent,
    /// It left, and nothing came back that can be used.
    Unknown,
}

pub(crate) struct Http {
    client: reqwest::Client,
    settings: Settings,
}

impl Http {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the adapter that may make a client"
    )]
    pub(crate) fn new(settings: Settings) -> Result<Self, SettingsError> {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_refused| SettingsError::HttpClient)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            // A sandbox that was frozen for longer wakes with connections that are dead.
            .pool_idle_timeout(Duration::from_secs(20))
            .build()
            .map_err(|_refused| SettingsError::HttpClient)?;
        Ok(Self { client, settings })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        token: &Secret,
        trace_id: &str,
        body: &impl Serialize,
    ) -> (Answer, Quota) {
        let Ok(url) = self.settings.base_url.join(path) else {
            return (Answer::NotSent, Quota::default());
        };
        let request = self
            .client
            .post(url)
            .bearer_auth(token.expose())
            .header(TRACE_HEADER, trace_id)
            .json(body);
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) if error.is_connect() || error.is_builder() => {
                (Answer::NotSent, Quota::default())
            }
            Err(_) => (Answer::Unknown, Quota::default()),
        }
    }
}

async fn read(mut response: reqwest::Response) -> (Answer, Quota) {
    let quota = quota(response.headers());
    let status = response.status();
    let retry_after = header(response.headers(), RETRY_AFTER.as_str());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => break,
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) | Err(_) => return (Answer::Unknown, quota),
        }
    }
    if status.is_success() {
        return (Answer::Success(body), quota);
    }
    // A proxy's page is a refusal too: its status is all that counts.
    let error: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
    let failure = Failure {
        status: status.as_u16(),
        retry_after: retry_after.map(SignedDuration::from_secs),
        ..error.into_failure()
    };
    (Answer::Refused(failure), quota)
}

/// The limits that HubSpot tells with every answer (daily ones not to OAuth apps).
fn quota(headers: &HeaderMap) -> Quota {
    let number = |name: &str| header(headers, &format!("x-hubspot-ratelimit-{name}"));
    Quota {
        limit: number("max").zip(number("interval-milliseconds")),
        remaining: number("remaining"),
        daily: header(headers, "x-hubspot-ratelimit-daily")
            .zip(header(headers, "x-hubspot-ratelimit-daily-remaining")),
    }
}

fn header<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
