//! What the caller decides: users, clients, profile, place.

use std::path::PathBuf;
use std::sync::Arc;

use rollcall_local_kit::LocalClock;
use rollcall_local_kit::snapshot::SnapshotError;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::trigger::Triggers;

/// A person who can sign in.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// What is typed into the sign-in form; the e-mail address works too.
    pub username: String,
    /// The password in clear: this is a fixture of a local cloud.
    pub password: String,
    /// The `sub` claim, a UUID that never changes.
    pub subject: String,
    /// E-mail address.
    pub email: String,
    /// Whether the person has proved to own the address.
    pub email_verified: bool,
    /// Given name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// Names of the groups the person is in.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// An application that may send people here.
#[derive(Clone, Deserialize)]
pub struct Client {
    /// The public name of the application.
    pub client_id: String,
    /// Present for a confidential client.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// Where a sign-in may return to, compared character by character (RFC 9700 §2.1). A machine has
    /// none, and no person can sign in through it.
    pub redirect_uris: Vec<String>,
    /// Where a sign-out may return to.
    #[serde(default)]
    pub logout_uris: Vec<String>,
    /// Scopes the application may ask for. A name with a `/` is a resource server's and is
    /// available to `client_credentials` too.
    pub scopes: Vec<String>,
}

/// Whose behaviour is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Amazon Cognito's hosted sign-in.
    #[default]
    Cognito,
    /// A provider that follows OpenID Connect Core 1.0 strictly.
    Generic,
}

/// How to open a provider.
pub struct Options {
    /// Where keys, hosted sessions and refresh tokens survive a restart; `None` keeps them in
    /// memory and shares signing keys within the process, since making them takes a second.
    pub folder: Option<PathBuf>,
    /// The time of the local cloud.
    pub clock: LocalClock,
    /// Where browsers and functions reach the provider, without a trailing slash:
    /// `http://localhost:9001`.
    pub base_url: String,
    /// The user pool's id, the last part of the issuer: `us-east-1_rollcall`.
    pub pool_id: String,
    /// Whose behaviour is imitated.
    pub profile: Profile,
    /// Who can sign in without having signed up.
    pub users: Vec<User>,
    /// Which applications may ask.
    pub clients: Vec<Client>,
    /// Whether people's claims stand in id tokens as well, or are told at the user info endpoint alone,
    /// as OpenID Connect Core §5.4 has it for the code flow.
    pub claims_in_id_tokens: bool,
    /// What calls the functions of the pool's triggers, in the `cognito` profile.
    pub triggers: Option<Arc<dyn Triggers>>,
}

/// Why a provider cannot be opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A registered URL is not one that a provider would accept.
    #[error(
        "client {client_id} registers {url}, which must be absolute, without a fragment, and https except on localhost"
    )]
    UnusableUrl {
        /// The client.
        client_id: String,
        /// The URL as registered.
        url: String,
    },
    /// No signing key could be made.
    #[error("a signing key could not be made")]
    Key(#[from] KeyError),
    /// The saved state could not be read or written.
    #[error("the saved state of the identity provider cannot be used")]
    Snapshot(#[from] SnapshotError),
}

/// Why a signing key could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Key generation failed.
    #[error("rsa key generation failed")]
    Generate(#[from] rsa::Error),
    /// The key could not be written as PEM.
    #[error("the rsa key could not be encoded")]
    EncodePrivate(#[from] rsa::pkcs1::Error),
    /// The public key could not be written as PEM.
    #[error("the rsa public key could not be encoded")]
    EncodePublic(#[from] rsa::pkcs8::spki::Error),
    /// The key could not be read back or did not sign.
    #[error("the signing key cannot be used")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

impl Client {
    /// Refuses what Cognito's console refuses: relative URLs, fragments, plain http to a host
    /// other than localhost.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let unusable =
            self.redirect_uris.iter().chain(&self.logout_uris).find(|url| !is_registrable(url));
        match unusable {
            None => Ok(()),
            Some(url) => {
                Err(OpenError::UnusableUrl { client_id: self.client_id.clone(), url: url.clone() })
            }
        }
    }
}

fn is_registrable(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.fragment().is_none() && (url.scheme() != "http" || loopback)
}
