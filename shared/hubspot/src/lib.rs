//! HubSpot behind the CRM port: batch upserts of contacts, the schema of our properties, and what
//! HubSpot says about its limits.
//!
//! This crate only speaks the protocol. What follows from a refusal is decided in `rollcall-crm`;
//! HubSpot's texts never reach a caller of ours.

mod contacts;
mod http;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

pub use contacts::{HubSpot, TokenSource};
pub use settings::{Api, Settings, SettingsError};
