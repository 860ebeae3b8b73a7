//! The cloud on a laptop: every part of AWS and every third party that Rollcall uses, in one
//! process, with the functions as processes of their own.
//!
//! `rollcall dev` runs one copy on fixed ports with its data in a folder; each test runs a private
//! copy on free ports in memory. What exists is taken from the functions' declarations and from
//! `rollcall_resources`, the same that CDK deploys. This crate knows AWS and vendors, and no context
//! of Rollcall: the caller hands in functions, settings and sample users.

pub mod cloud;
mod pool;
mod sources;
mod start;

pub use cloud::{Addresses, Cloud};
pub use rollcall_local_dynamodb as dynamodb;
pub use rollcall_local_hubspot as hubspot;
pub use rollcall_local_kit as kit;
pub use rollcall_local_lambda as lambda;
pub use rollcall_local_mail as mail;
pub use rollcall_local_provider as provider;
pub use start::{Options, PortChoice, ProviderChoice, SettingsChoice, StartError};

/// The full names of all queues.
pub fn queues() -> Vec<String> {
    rollcall_resources::Queue::ALL.map(|queue| queue.full_name(cloud::STAGE)).to_vec()
}
