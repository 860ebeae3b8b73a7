//! The secrets. Their values live in Secrets Manager and nowhere else.

/// A secret, named `rollcall/{stage}/{name}` in AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretName {
    /// The key under which CSRF tokens are made.
    CsrfKey,
    /// The key that signs the cursors of lists.
    CursorKey,
    /// Our client secret at the identity provider.
    OidcClientSecret,
    /// The token for the HubSpot API.
    HubSpotToken,
    /// The client secret of our app at HubSpot, with which it signs what it tells us.
    HubSpotClientSecret,
    /// The key that signs what goes to another system than HubSpot, as Standard Webhooks writes it.
    FeedKey,
    /// The keys that certificates are signed with, newest first.
    CertificateKey,
    /// The key that signs what the validator of labs is asked, as Standard Webhooks writes it.
    LabValidatorKey,
    /// The keys under which tokens of third parties are stored, newest first.
    TokenKey,
}

impl SecretName {
    /// Every secret.
    pub const ALL: [Self; 9] = [
        Self::CsrfKey,
        Self::CursorKey,
        Self::OidcClientSecret,
        Self::HubSpotToken,
        Self::HubSpotClientSecret,
        Self::FeedKey,
        Self::CertificateKey,
        Self::LabValidatorKey,
        Self::TokenKey,
    ];

    /// The name without prefix and stage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CsrfKey => "csrf-key",
            Self::CursorKey => "cursor-key",
            Self::OidcClientSecret => "oidc-client-secret",
            Self::HubSpotToken => "hubspot-token",
            Self::HubSpotClientSecret => "hubspot-client-secret",
            Self::FeedKey => "feed-key",
            Self::CertificateKey => "certificate-key",
            Self::LabValidatorKey => "lab-validator-key",
            Self::TokenKey => "token-key",
        }
    }

    /// The name in AWS.
    pub fn full_name(self, stage: &str) -> String {
        format!("rollcall/{stage}/{}", self.name())
    }
}
