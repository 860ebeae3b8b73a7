//! The identity provider of the local cloud: what Amazon Cognito's hosted sign-in does, so that
//! signing in works on a laptop and every fault a provider can have can be produced on demand.
//!
//! Two profiles. `cognito` answers as Cognito does, quirks included (access tokens without `aud`,
//! its own `/logout`, an e-mail flag that is a string in user info). `generic` follows OpenID
//! Connect Core 1.0, RFC 9207 and RP-Initiated Logout 1.0 to the letter, so that Rollcall is never
//! tied to Cognito. The `cognito` profile calls the functions of a user pool's triggers when an address
//! is confirmed and before tokens are made; what they may change are groups and claims, not scopes.
//! Federation and the native sign-in API are not offered.
//!
//! Nothing here knows Rollcall: clients and the first users come from the caller.

mod authorize;
mod control;
mod discovery;
mod fault;
mod key;
mod login;
mod logout;
mod mint;
mod options;
mod page;
mod parameters;
mod provider;
mod random;
mod sign_up;
mod state;
mod token;
mod trigger;
mod user_info;

pub use options::{Client, OpenError, Options, Profile, User};
pub use provider::Provider;
pub use trigger::{TRIGGER_TIMEOUT, Trigger, TriggerError, Triggers};
