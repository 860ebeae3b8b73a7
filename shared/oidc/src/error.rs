//! What can go wrong with a provider, and whose fault it is.
//!
//! No text that came from the provider is kept: it could carry anything, and would end in a log.

use std::fmt;

use crate::verify::TokenRefusal;

/// An endpoint of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The discovery document.
    Discovery,
    /// The key set.
    Jwks,
    /// Where the browser is sent to sign in.
    Authorization,
    /// The token endpoint.
    Token,
    /// The revocation endpoint.
    Revocation,
    /// The sign-out endpoint.
    EndSession,
    /// The user info endpoint.
    UserInfo,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::Authorization => "authorization",
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::EndSession => "end session",
            Self::UserInfo => "user info",
        })
    }
}

/// Whose fault an error is, and so what the person is told and who is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// What came from the browser cannot be used: signing in again helps.
    Caller,
    /// The provider does not answer now: trying later helps.
    ProviderUnavailable,
    /// The provider answers what it must not: nobody is signed in, and an operator should look.
    ProviderMisbehaving,
    /// The provider refuses us or lacks something we need: an operator must change settings.
    Misconfigured,
}

/// Why a call to the provider or a check failed.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// No answer: no connection, no time left, or a reply that broke off.
    #[error("the provider's {endpoint} endpoint did not answer")]
    Unreachable {
        /// Which endpoint.
        endpoint: Endpoint,
        /// What the HTTP client says, without the URL.
        #[source]
        source: reqwest::Error,
    },
    /// The provider says that it cannot answer now: 429, 5xx or an OAuth code that means the same.
    #[error("the provider's {endpoint} endpoint answered {status}")]
    Busy {
        /// Which endpoint.
        endpoint: Endpoint,
        /// The HTTP status.
        status: u16,
    },
    /// A status that the protocol does not know here, redirects among them.
    #[error("the provider's {endpoint} endpoint answered {status}, which is not expected")]
    UnexpectedStatus {
        /// Which endpoint.
        endpoint: Endpoint,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is longer than any honest one.
    #[error("the provider's {endpoint} endpoint answered more than {bytes_max} bytes")]
    TooLarge {
        /// Which endpoint.
        endpoint: Endpoint,
        /// The bound.
        bytes_max: usize,
    },
    /// The answer is not the document that the protocol asks for.
    #[error("the provider's {endpoint} endpoint answered something unreadable")]
    Unreadable {
        /// Which endpoint.
        endpoint: Endpoint,
    },
    /// Discovery §4.3: the document belongs to another issuer.
    #[error("the discovery document names another issuer")]
    WrongDiscoveryIssuer,
    /// Discovery names an endpoint that secrets must not be sent to.
    #[error("the discovery document names an unsafe {endpoint} endpoint")]
    UnsafeEndpoint {
        /// Which endpoint.
        endpoint: Endpoint,
    },
    /// The provider does not have this endpoint.
    #[error("the provider has no {endpoint} endpoint")]
    MissingEndpoint {
        /// Which endpoint.
        endpoint: Endpoint,
    },
    /// No key of the set can verify an RS256 or ES256 signature.
    #[error("the provider publishes no usable key")]
    NoUsableKey,
    /// RFC 6749 §5.2 `invalid_grant`: the code or refresh token is unknown, used, late, revoked or not
    /// ours.
    #[error("the provider refused the code or refresh token")]
    GrantRefused,
    /// RFC 6749 §5.2 `invalid_client` or `unauthorized_client`.
    #[error("the provider refused our client id, secret or redirect URI")]
    ClientRefused,
    /// Any other refusal of a well-formed request.
    #[error("the provider refused a well-formed request")]
    RequestRefused,
    /// RFC 9207 §2.4: the callback comes from another provider, or does not say from which.
    #[error("the callback does not come from this provider")]
    WrongCallbackIssuer,
    /// OpenID Connect Core §5.3.2: the user info is about somebody else than the id token.
    #[error("the user info is somebody else's")]
    WrongUserInfo,
    /// The token is not to be believed.
    #[error("the token is refused")]
    Token(#[from] TokenRefusal),
}

impl OidcError {
    /// Whose fault it is.
    pub fn class(&self) -> ErrorClass {
        match self {
            // A nonce that does not fit is the mark of an injected code (RFC 9700 §4.5).
            Self::GrantRefused
            | Self::WrongCallbackIssuer
            | Self::Token(TokenRefusal::MissingNonce | TokenRefusal::WrongNonce) => {
                ErrorClass::Caller
            }
            Self::Unreachable { .. } | Self::Busy { .. } => ErrorClass::ProviderUnavailable,
            Self::UnexpectedStatus { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::WrongDiscoveryIssuer
            | Self::UnsafeEndpoint { .. }
            | Self::NoUsableKey
            | Self::RequestRefused
            | Self::WrongUserInfo
            | Self::Token(_) => ErrorClass::ProviderMisbehaving,
            Self::MissingEndpoint { .. } | Self::ClientRefused => ErrorClass::Misconfigured,
        }
    }
}
