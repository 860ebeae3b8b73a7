//! The secrets. Their values live in Secrets Manager and nowhere else.

/// A secret, named `rollcall/{stage}/{name}` in AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretName {
    /// The key under which CSRF tokens are made.
    CsrfKey,
    /// Our client secret at the identity provider.
    OidcClientSecret,
    /// The token for the HubSpot API.
    HubSpotToken,
}

impl SecretName {
    /// Every secret.
    pub const ALL: [Self; 3] = [Self::CsrfKey, Self::OidcClientSecret, Self::HubSpotToken];

    /// The name without prefix and stage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CsrfKey => "csrf-key",
            Self::OidcClientSecret => "oidc-client-secret",
            Self::HubSpotToken => "hubspot-token",
        }
    }

    /// The name in AWS.
    pub fn full_name(self, stage: &str) -> String {
        format!("rollcall/{stage}/{}", self.name())
    }
}
