//! HubSpot's access token, from Secrets Manager.

use std::sync::Arc;

use async_trait::async_trait;
use rollcall_domain::port::PortError;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::{Clock, after_seconds};
use rollcall_hubspot::TokenSource;
use rollcall_runtime::invocation::chain;
use rollcall_secrets::{CACHE_SECONDS, SecretReader};

/// The token that an operator keeps in Secrets Manager and may replace at any time.
pub(crate) struct StoredToken {
    reader: SecretReader,
    clock: Arc<dyn Clock>,
}

impl StoredToken {
    pub(crate) fn new(reader: SecretReader, clock: Arc<dyn Clock>) -> Self {
        Self { reader, clock }
    }
}

#[async_trait]
impl TokenSource for StoredToken {
    async fn token(&self) -> Result<Secret, PortError> {
        self.reader.read(self.clock.now()).await.inspect_err(|error| {
            tracing::error!(error = chain(error), "HubSpot's token cannot be read");
        })
    }

    /// Reads past the cache, as if what is in it had come to its end, since HubSpot refused it.
    async fn renew(&self) -> bool {
        let Ok(before) = self.reader.read(self.clock.now()).await else { return false };
        let later = after_seconds(self.clock.now(), CACHE_SECONDS);
        match self.reader.read(later).await {
            Ok(token) => !token.matches(before.expose()),
            Err(error) => {
                tracing::error!(error = chain(&error), "HubSpot's token cannot be read anew");
                false
            }
        }
    }
}
