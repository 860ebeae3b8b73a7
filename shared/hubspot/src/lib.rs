//! HubSpot as the CRM that the sync speaks to: contacts, their properties, and what HubSpot says
//! about its limits.
//!
//! The crate decides nothing about retries. It tells the engine exactly one of four things about a
//! call (answered input by input, refused, never sent, unknown), and is in doubt whenever HubSpot's
//! answer leaves one: a call that may have been carried out is never reported as one that was not.
//!
//! Both path families of HubSpot's API are spoken, dated (`/crm/objects/2026-09/…`) and undated
//! (`/crm/v3/objects/…`); one setting chooses.

mod answer;
mod contacts;
mod http;
mod listing;
mod oauth;
mod schema;
mod settings;
mod text;
mod token;
mod trace;
pub mod webhook;
mod wire;

pub use contacts::HubSpotCrm;
pub use oauth::{AppSecrets, OAuthTokens};
pub use settings::{ApiFamily, Settings, SettingsError};
pub use token::TokenSource;
