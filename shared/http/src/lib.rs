//! The HTTP client with which adapters call third parties: TLS against roots of our own, no redirects, no
//! proxies, no second tries, and answers that are bounded in size.

mod public;

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response};
use rustls::{ClientConfig, RootCertStore};

use public::PublicOnly;
pub use public::is_public;

/// Name resolution, TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The built-in TLS settings were refused by the TLS library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the http client cannot be built")]
pub struct ClientError;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke, or the time was over.
    #[error("the body broke off")]
    Broken(#[source] reqwest::Error),
    /// It is longer than allowed.
    #[error("the body is too long")]
    TooLong,
}

/// A client whose connections are used again for `idle` after their last use; zero for never. A
/// sandbox that was frozen wakes with connections that are dead, so this is seconds at most.
///
/// Certificates are checked against Mozilla's roots built into the program: reading a platform's store
/// would cost start-up time, and the sandbox may have none. The caller bounds each call in time.
pub fn client(idle: Duration) -> Result<Client, ClientError> {
    builder(idle)?.build().map_err(|_refused| ClientError)
}

/// As [`client`], for URLs that others chose: names lead to public addresses or nowhere. An address that
/// stands in a URL itself is the caller's to check, by [`is_public`].
pub fn public_client(idle: Duration) -> Result<Client, ClientError> {
    let client = builder(idle)?.dns_resolver(Arc::new(PublicOnly));
    client.build().map_err(|_refused| ClientError)
}

#[expect(clippy::disallowed_methods, reason = "the one place where clients are made")]
fn builder(idle: Duration) -> Result<ClientBuilder, ClientError> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_refused| ClientError)?
            .with_root_certificates(roots)
            .with_no_client_auth();
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(Policy::none())
        // Whether to try again is the caller's to say.
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(idle);
    if idle.is_zero() {
        client = client.pool_max_idle_per_host(0);
    }
    Ok(client)
}

/// The body of an answer, never more than `bytes_max` in memory.
pub async fn body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(BodyError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Asks a URL whether somebody is there, and knows nothing else of it.
#[derive(Clone, Debug)]
pub struct Probe {
    client: Client,
}

impl Probe {
    /// A probe whose every call makes a connection of its own.
    ///
    /// # Errors
    ///
    /// When the TLS library refuses the settings.
    pub fn new() -> Result<Self, ClientError> {
        Ok(Self { client: client(Duration::ZERO)? })
    }

    /// Whether a GET of `url` is answered within `limit` by a status from 200 to 299.
    pub async fn is_answered(&self, url: &str, limit: Duration) -> bool {
        let answer = self.client.get(url).timeout(limit).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}
