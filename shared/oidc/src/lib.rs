//! Rollcall as a client of an OpenID Connect provider, and as an API that takes its access tokens:
//! where to send a person who signs in, what to do with the code that comes back, and whether a
//! token is to be believed.
//!
//! Any provider is found by discovery; Amazon Cognito's ways are one [`ProviderProfile`]. The crate
//! reads no clock and draws no randomness: callers pass `now`, `state`, `nonce` and the verifier.
//! What decides about a token is [`verify`], which does no I/O.

pub mod access;
pub mod callback;
pub mod client;
pub mod error;
pub mod key_set;
pub mod pkce;
pub mod settings;
pub mod verify;

mod cache;
mod discovery;
mod http;
mod provider;

pub use access::AccessVerifier;
pub use client::{Client, Refreshed, Tokens};
pub use error::{Endpoint, ErrorClass, OidcError};
pub use pkce::code_challenge;
pub use settings::{AccessSettings, Entrance, ProviderProfile, Settings, SettingsError};
pub use verify::{AccessClaims, IdClaims, PROVIDER_GROUPS, TokenRefusal};
