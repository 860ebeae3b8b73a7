//! OAuth: access tokens for an installation of our app, from its refresh token.
//!
//! An access token lives for half an hour. One instance keeps one, and asks for the next a minute before
//! its end; of any number of calls that need it at once, one asks and the others wait for its answer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, StatusCode};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::secret::Secret;
use rollcall_domain::time::{Clock, Timestamp, after_seconds};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;

use crate::http::ANSWER_BYTES_MAX;
use crate::settings::{Settings, SettingsError};
use crate::token::TokenSource;

/// A token is not used when it ends sooner than this: a call may take ten seconds, and clocks differ.
const MARGIN_SECONDS: i64 = 60;
/// HubSpot's own life of a token, where it does not say.
const LIFE_SECONDS_DEFAULT: i64 = 1_800;
/// From the first byte sent to the last byte read.
const TIMEOUT: Duration = Duration::from_secs(5);
/// After a refusal nobody asks again for this long: it is the refresh token that is dead, and only a
/// person replaces it.
const REFUSED_SECONDS: i64 = 30;

/// A token that is younger than this was asked for by another call that was refused with the one
/// before.
const FRESH_SECONDS: i64 = 5;

const OPERATION: &str = "refresh HubSpot's token";

/// What proves that we are the app, and for which account.
#[async_trait]
pub trait AppSecrets: Send + Sync {
    /// The app's client secret.
    async fn client_secret(&self) -> Result<Secret, PortError>;

    /// The refresh token of the installation. `anew`: past any cache, since the last one was refused.
    async fn refresh_token(&self, anew: bool) -> Result<Secret, PortError>;
}

/// The access tokens of one installation.
pub struct OAuthTokens {
    client: Client,
    url: String,
    client_id: String,
    secrets: Arc<dyn AppSecrets>,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    access: Option<Access>,
    refused_until: Option<Timestamp>,
}

struct Access {
    token: Secret,
    from: Timestamp,
    until: Timestamp,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<i64>,
}

/// A refusal (RFC 6749 §5.2), or HubSpot's older form of it.
#[derive(Deserialize)]
struct RefusalAnswer {
    error: Option<String>,
    status: Option<String>,
}

impl OAuthTokens {
    /// Prepares the client; connects to nothing yet.
    pub fn new(
        settings: &Settings,
        client_id: &str,
        secrets: Arc<dyn AppSecrets>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SettingsError> {
        // Nobody asks twice within the life of a connection.
        let client = rollcall_http::client(Duration::ZERO);
        Ok(Self {
            client: client.map_err(|_refused| SettingsError::HttpClient)?,
            url: settings.urls()?.token,
            client_id: client_id.to_owned(),
            secrets,
            clock,
            held: Mutex::default(),
        })
    }

    async fn ask(&self, anew: bool) -> Result<Access, PortError> {
        let (client_secret, refresh_token) =
            (self.secrets.client_secret().await?, self.secrets.refresh_token(anew).await?);
        let body = Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", client_secret.expose().trim())
            .append_pair("refresh_token", refresh_token.expose().trim())
            .finish();
        let asked_at = self.clock.now();
        let request = self.client.post(&self.url).timeout(TIMEOUT);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let unavailable = |error| PortError::new(OPERATION, PortErrorClass::Unavailable, error);
        // An error of the client may name the URL, which holds no secret.
        let response = request.body(body).send().await.map_err(unavailable)?;
        let status = response.status();
        let text = rollcall_http::body(response, ANSWER_BYTES_MAX).await.unwrap_or_default();
        if !status.is_success() {
            return Err(refused(status, &text));
        }
        let answer: TokenAnswer = serde_json::from_slice(&text)
            .map_err(|_invalid| corrupt("an answer that is no token"))?;
        let life = answer.expires_in.unwrap_or(LIFE_SECONDS_DEFAULT);
        Ok(Access {
            token: Secret::new(answer.access_token),
            from: asked_at,
            until: after_seconds(asked_at, life),
        })
    }

    /// The token at hand, or the next one.
    async fn next(&self, held: &mut Held, anew: bool) -> Result<Secret, PortError> {
        let now = self.clock.now();
        if let Some(access) = &held.access
            && after_seconds(now, MARGIN_SECONDS) < access.until
        {
            return Ok(access.token.clone());
        }
        if !anew && held.refused_until.is_some_and(|until| now < until) {
            return Err(PortError::new(OPERATION, PortErrorClass::Rejected, "it was refused"));
        }
        match self.ask(anew).await {
            Ok(access) => {
                let token = access.token.clone();
                *held = Held { access: Some(access), refused_until: None };
                Ok(token)
            }
            Err(error) => {
                if error.class == PortErrorClass::Rejected {
                    held.refused_until = Some(after_seconds(now, REFUSED_SECONDS));
                }
                // What lives a little longer is better than nothing.
                match &held.access {
                    Some(access) if now < access.until => Ok(access.token.clone()),
                    Some(_) | None => Err(error),
                }
            }
        }
    }
}

/// What a refusal means; its texts stay where they are, since they may repeat what was sent.
fn refused(status: StatusCode, text: &[u8]) -> PortError {
    let answer = serde_json::from_slice::<RefusalAnswer>(text).ok();
    let code = answer.and_then(|answer| answer.error.or(answer.status)).unwrap_or_default();
    let is_final =
        matches!(code.as_str(), "invalid_grant" | "invalid_client" | "BAD_REFRESH_TOKEN")
            || status == StatusCode::UNAUTHORIZED;
    let class = if is_final { PortErrorClass::Rejected } else { PortErrorClass::Unavailable };
    let what = if is_final { "the app must be installed again" } else { "not now" };
    PortError::new(OPERATION, class, format!("status {}: {what}", status.as_u16()))
}

fn corrupt(text: &'static str) -> PortError {
    PortError::new(OPERATION, PortErrorClass::Corrupt, text)
}

#[async_trait]
impl TokenSource for OAuthTokens {
    async fn token(&self) -> Result<Secret, PortError> {
        let mut held = self.held.lock().await;
        self.next(&mut held, false).await
    }

    /// Of several calls that were refused with one token the first asks, and the others find the next.
    async fn renew(&self) -> bool {
        let mut held = self.held.lock().await;
        let now = self.clock.now();
        if held
            .access
            .as_ref()
            .is_some_and(|access| now < after_seconds(access.from, FRESH_SECONDS))
        {
            return true;
        }
        held.access = None;
        self.next(&mut held, true).await.is_ok()
    }
}

#[cfg(test)]
mod tests;
