//! What our sessions have at the identity provider: refresh tokens, which leave this process sealed
//! or towards the provider and in no other way.

use std::time::Duration;

use futures::future::join_all;
use rollcall_domain::id::{SessionId, UserId};
use rollcall_domain::random::Random;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::Timestamp;
use rollcall_oidc::OidcError;
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Startup, StartupError};
use rollcall_secrets::SecretReader;
use rollcall_store::PortError;
use rollcall_store::sessions::Ended;
use rollcall_store::vault::{Keyring, Sealed};

use crate::provider::AuthenticatedClient;

/// What using [`Upstream`] needs.
pub(crate) const GRANTS: &[Grant] =
    &[Grant::secret(SecretName::OidcClientSecret), Grant::secret(SecretName::TokenKey)];

/// How long revoking may take. What is not done by then ends by itself, when the provider lets the
/// token expire.
const REVOCATION_TIMEOUT: Duration = Duration::from_secs(3);
/// Tokens that one request revokes.
const REVOCATIONS_MAX: usize = 50;

/// The provider, and the keys for what we keep of it.
pub(crate) struct Upstream {
    /// The provider.
    pub(crate) provider: AuthenticatedClient,
    token_key: SecretReader,
}

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
enum RevocationError {
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Provider(#[from] OidcError),
}

impl Upstream {
    /// The provider that the settings describe.
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            provider: AuthenticatedClient::new(startup)?,
            token_key: startup.secret(SecretName::TokenKey)?,
        })
    }

    /// Seals a refresh token for one session.
    pub(crate) async fn seal(
        &self,
        refresh_token: &Secret,
        (user, session): (&UserId, &SessionId),
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Sealed, PortError> {
        let keyring = Keyring::parse(&self.token_key.read(now).await?)?;
        Ok(keyring.seal(refresh_token, &place(user, session), random)?)
    }

    /// Opens the refresh token of a session.
    pub(crate) async fn open(
        &self,
        sealed: &Sealed,
        (user, session): (&UserId, &SessionId),
        now: Timestamp,
    ) -> Result<Secret, PortError> {
        let keyring = Keyring::parse(&self.token_key.read(now).await?)?;
        Ok(keyring.open(sealed, &place(user, session))?)
    }

    /// Revokes what ended sessions had (RFC 7009). Our sessions have ended already, so a provider
    /// that does not answer changes nothing about that, and nobody waits for it for long.
    pub(crate) async fn revoke(&self, ended: impl IntoIterator<Item = Ended>, now: Timestamp) {
        let revocations = ended.into_iter().take(REVOCATIONS_MAX).map(async |ended| {
            if let Err(error) = self.revoke_one(&ended, now).await {
                tracing::warn!(error = chain(&error), "a token at the provider is left to expire");
            }
        });
        if tokio::time::timeout(REVOCATION_TIMEOUT, join_all(revocations)).await.is_err() {
            tracing::warn!("tokens at the provider are left to expire: no answer in time");
        }
    }

    /// Revokes a token that no session has any more, as [`Upstream::revoke`] does.
    pub(crate) async fn revoke_token(&self, token: &Secret, now: Timestamp) {
        let revoking = async {
            self.provider.get(now).await?.revoke(token, now).await?;
            Ok::<(), RevocationError>(())
        };
        match tokio::time::timeout(REVOCATION_TIMEOUT, revoking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "a token at the provider is left to expire");
            }
            Err(_elapsed) => {
                tracing::warn!("a token at the provider is left to expire: no answer in time");
            }
        }
    }

    async fn revoke_one(&self, ended: &Ended, now: Timestamp) -> Result<(), RevocationError> {
        if let Some(sealed) = &ended.refresh_token {
            let token = self.open(sealed, (&ended.user, &ended.id), now).await?;
            self.provider.get(now).await?.revoke(&token, now).await?;
        }
        Ok(())
    }
}

/// What a sealed token is bound to, so that one that was moved to another session does not open.
fn place(user: &UserId, session: &SessionId) -> String {
    format!("{user} {session}")
}
