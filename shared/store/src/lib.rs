//! DynamoDB: one module per table, one type per capability, one method per access pattern.
//!
//! A capability carries the grants it needs beside the code that needs them, so a function that
//! declares the capability has exactly the permissions that its calls use. Each method is one atomic
//! step: if two calls must not be separated, they are one conditional write or one transaction.

pub mod attempts;
pub mod audit;
pub mod badges;
pub mod cache;
pub mod catalog;
pub mod certificates;
pub mod crm;
pub mod enrollments;
pub mod erasure;
mod error;
pub mod flags;
pub mod grades;
pub mod idempotency;
pub mod invitations;
mod item;
pub mod learner;
pub mod logins;
pub mod mail;
pub mod merge;
pub mod migration;
pub mod personal;
pub mod portfolio;
pub mod rate_limits;
pub mod refresh;
pub mod search;
pub mod sessions;
pub mod streams;
pub mod tables;
mod update;
pub mod users;
pub mod vault;

pub use rollcall_domain::port::{PortError, PortErrorClass};
pub use tables::{Capability, Tables};
