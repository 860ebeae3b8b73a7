//! HTTP to the provider: short, bounded, without redirects, and only where secrets may travel.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use rollcall_domain::secret::Secret;
use rollcall_http::BodyError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::{Endpoint, OidcError};
use crate::settings::SettingsError;

/// From the first byte sent to the last byte read.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

pub(crate) struct Http {
    client: reqwest::Client,
}

/// The refusal of RFC 6749 §5.2, without its texts.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Http {
    pub(crate) fn new() -> Result<Self, SettingsError> {
        // A sandbox that was frozen wakes with connections that are dead.
        let client = rollcall_http::client(Duration::ZERO);
        Ok(Self { client: client.map_err(|_refused| SettingsError::HttpClient)? })
    }

    /// A document.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        endpoint: Endpoint,
        url: &Url,
    ) -> Result<T, OidcError> {
        self.document(endpoint, self.client.get(url.clone())).await
    }

    /// A document that is shown to the bearer of a token (RFC 6750 §2.1).
    pub(crate) async fn get_as<T: DeserializeOwned>(
        &self,
        endpoint: Endpoint,
        url: &Url,
        token: &Secret,
    ) -> Result<T, OidcError> {
        self.document(endpoint, self.client.get(url.clone()).bearer_auth(token.expose())).await
    }

    async fn document<T: DeserializeOwned>(
        &self,
        endpoint: Endpoint,
        request: RequestBuilder,
    ) -> Result<T, OidcError> {
        let (status, body) = read(endpoint, request).await?;
        match status {
            StatusCode::OK => parse(endpoint, &body),
            status => Err(unexpected(endpoint, status)),
        }
    }

    /// A form post; `basic` is the client's id and secret, form-encoded (RFC 6749 §2.3.1).
    pub(crate) async fn post(
        &self,
        endpoint: Endpoint,
        url: &Url,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Result<Vec<u8>, OidcError> {
        let mut request = self.client.post(url.clone()).form(form);
        if let Some((client_id, secret)) = basic {
            request = request.basic_auth(client_id, Some(secret));
        }
        let (status, body) = read(endpoint, request).await?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => {
                Err(refusal(endpoint, &body, status))
            }
            status => Err(unexpected(endpoint, status)),
        }
    }
}

pub(crate) fn parse<T: DeserializeOwned>(endpoint: Endpoint, body: &[u8]) -> Result<T, OidcError> {
    serde_json::from_slice(body).map_err(|_malformed| OidcError::Unreadable { endpoint })
}

/// Status and body, never more than [`ANSWER_BYTES_MAX`] in memory.
async fn read(
    endpoint: Endpoint,
    request: RequestBuilder,
) -> Result<(StatusCode, Vec<u8>), OidcError> {
    let unreachable =
        |source: reqwest::Error| OidcError::Unreachable { endpoint, source: source.without_url() };
    let response = request.timeout(TOTAL_TIMEOUT).send().await.map_err(unreachable)?;
    let status = response.status();
    match rollcall_http::body(response, ANSWER_BYTES_MAX).await {
        Ok(body) => Ok((status, body)),
        Err(BodyError::Broken(source)) => Err(unreachable(source)),
        Err(BodyError::TooLong) => {
            Err(OidcError::TooLarge { endpoint, bytes_max: ANSWER_BYTES_MAX })
        }
    }
}

fn refusal(endpoint: Endpoint, body: &[u8], status: StatusCode) -> OidcError {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        return unexpected(endpoint, status);
    };
    match refusal.error.as_str() {
        "invalid_grant" => OidcError::GrantRefused,
        "invalid_client" | "unauthorized_client" => OidcError::ClientRefused,
        "temporarily_unavailable" | "server_error" => {
            OidcError::Busy { endpoint, status: status.as_u16() }
        }
        _ => OidcError::RequestRefused,
    }
}

fn unexpected(endpoint: Endpoint, status: StatusCode) -> OidcError {
    let busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let status = status.as_u16();
    if busy {
        OidcError::Busy { endpoint, status }
    } else {
        OidcError::UnexpectedStatus { endpoint, status }
    }
}
