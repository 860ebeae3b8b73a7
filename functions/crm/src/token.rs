//! What opens HubSpot's API, from Secrets Manager: a token that does not end, or what our app gets access
//! tokens with.

use std::sync::Arc;

use async_trait::async_trait;
use rollcall_domain::port::PortError;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::{Clock, Timestamp, after_seconds};
use rollcall_hubspot::{AppSecrets, TokenSource};
use rollcall_runtime::invocation::chain;
use rollcall_secrets::{CACHE_SECONDS, SecretReader};
use tokio::sync::Mutex;

/// The token that an operator keeps in Secrets Manager and may replace at any time.
pub(crate) struct StoredToken {
    reader: SecretReader,
    clock: Arc<dyn Clock>,
    /// What the client got last. Compared with this and not with the cache, which may have been
    /// refreshed since.
    given: Mutex<Option<Secret>>,
}

impl StoredToken {
    pub(crate) fn new(reader: SecretReader, clock: Arc<dyn Clock>) -> Self {
        Self { reader, clock, given: Mutex::default() }
    }

    async fn read(&self, now: Timestamp) -> Result<Secret, PortError> {
        self.reader.read(now).await.inspect_err(|error| {
            tracing::error!(error = chain(error), "HubSpot's token cannot be read");
        })
    }
}

#[async_trait]
impl TokenSource for StoredToken {
    async fn token(&self) -> Result<Secret, PortError> {
        let token = self.read(self.clock.now()).await?;
        *self.given.lock().await = Some(token.clone());
        Ok(token)
    }

    /// Reads past the cache, as if what is in it had come to its end, since HubSpot refused it.
    async fn renew(&self) -> bool {
        let later = after_seconds(self.clock.now(), CACHE_SECONDS);
        let Ok(token) = self.read(later).await else {
            return false;
        };
        let given = self.given.lock().await;
        !given.as_ref().is_some_and(|given| given.matches(token.expose()))
    }
}

/// What our app proves itself with, as an operator keeps it in Secrets Manager.
pub(crate) struct StoredApp {
    client_secret: SecretReader,
    refresh_token: SecretReader,
    clock: Arc<dyn Clock>,
}

impl StoredApp {
    pub(crate) fn new(
        client_secret: SecretReader,
        refresh_token: SecretReader,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client_secret, refresh_token, clock }
    }
}

#[async_trait]
impl AppSecrets for StoredApp {
    async fn client_secret(&self) -> Result<Secret, PortError> {
        self.client_secret.read(self.clock.now()).await
    }

    async fn refresh_token(&self, anew: bool) -> Result<Secret, PortError> {
        let now = self.clock.now();
        let now = if anew { after_seconds(now, CACHE_SECONDS) } else { now };
        self.refresh_token.read(now).await
    }
}
