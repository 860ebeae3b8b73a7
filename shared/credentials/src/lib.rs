//! Credentials: certificates in the form that programs of others check by themselves, offline.
//!
//! A certificate becomes an Open Badges 3.0 credential ([`badge`]), in two representations that say the
//! same: JSON-LD with a proof by the cryptosuite `eddsa-rdfc-2022` ([`proof`]), and a VC-JWT ([`jwt`]).
//! Both are signed with Ed25519 by one of our keys ([`key`]), which [`issuer`] publishes. Whether a
//! credential is revoked says a status list ([`status_list`]), itself a signed credential.
//!
//! Nothing here performs input or output: contexts are pinned and never fetched.

pub mod badge;
pub mod issuer;
pub mod jwt;
pub mod key;
pub mod proof;
pub mod quads;
pub mod status_list;

pub use issuer::Issuer;
pub use key::{PublicKey, SigningKey};

use rollcall_domain::time::Timestamp;

/// A time as credentials say it: whole seconds, `Z` (XML Schema `dateTimeStamp`).
fn date_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
