//! The identity context: signing in at an OpenID Connect provider, sessions, who is signed in.

use rollcall_runtime::Function;

mod account;
mod answer;
pub mod auth_callback;
pub mod auth_csrf;
pub mod auth_login;
pub mod auth_logout;
pub mod auth_me;
mod page;
mod provider;
pub mod settings;
pub mod site;

/// Every function of this context.
pub static FUNCTIONS: &[&Function] = &[
    &auth_callback::FUNCTION,
    &auth_csrf::FUNCTION,
    &auth_login::FUNCTION,
    &auth_logout::FUNCTION,
    &auth_me::FUNCTION,
];
