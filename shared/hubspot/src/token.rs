//! Where the access token comes from. HubSpot takes service-key, private-app and OAuth tokens alike
//! as bearer tokens, so the client does not know which one it holds.

use async_trait::async_trait;
use rollcall_domain::port::PortError;
use rollcall_domain::secret::Secret;

/// The source of HubSpot access tokens.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// The token to call with. Asked for before every call, so it should be kept at hand. After an
    /// error nothing is sent; whoever implements this reports why.
    async fn token(&self) -> Result<Secret, PortError>;

    /// Fetches the token anew, since HubSpot refused the one that was given. `false`: it is still the
    /// same one, or there is none.
    async fn renew(&self) -> bool;
}
