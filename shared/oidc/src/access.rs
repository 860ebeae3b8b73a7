//! Access tokens that callers of our API present (RFC 9068 §4).

use rollcall_domain::secret::Secret;
use rollcall_domain::time::Timestamp;

use crate::error::OidcError;
use crate::provider::Provider;
use crate::settings::{AccessSettings, SettingsError};
use crate::verify::{AccessClaims, AccessExpectations, verify_access_token};

/// Checks the access tokens of one provider. Made once per process: what is learned about the
/// provider is kept.
pub struct AccessVerifier {
    settings: AccessSettings,
    provider: Provider,
}

impl AccessVerifier {
    /// A verifier that has not spoken to the provider yet.
    ///
    /// # Errors
    ///
    /// When the settings cannot work.
    pub fn new(settings: AccessSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let provider = Provider::new(&settings.issuer, settings.profile)?;
        Ok(Self { settings, provider })
    }

    /// What a token allows, and to whom. A key that is not known is looked for at the provider, at
    /// most once a minute.
    ///
    /// # Errors
    ///
    /// `OidcError::Token` with the first rule that the token breaks, or why the provider's keys are
    /// not known.
    pub async fn verify(
        &self,
        access_token: &Secret,
        now: Timestamp,
    ) -> Result<AccessClaims, OidcError> {
        let AccessSettings { issuer, profile, audience, client_ids } = &self.settings;
        let expected = AccessExpectations {
            issuer,
            client_ids,
            profile: *profile,
            audience: audience.as_deref(),
            now,
        };
        let check = |keys: &_| verify_access_token(access_token.expose(), keys, &expected);
        self.provider.verify(now, check).await
    }
}
