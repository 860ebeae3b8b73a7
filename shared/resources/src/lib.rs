//! What Rollcall keeps in the cloud, as data: tables, queues and secrets, and the grants on them.
//!
//! The adapters (store, queue, secrets) take names from here, functions declare grants with it, and
//! the CDK app, the local cloud and the documents are generated from it. No AWS crate is needed.

pub mod grant;
pub mod queue;
pub mod secret;
pub mod table;

pub use grant::{Grant, Resource};
pub use queue::Queue;
pub use secret::SecretName;
pub use table::{Index, Table};
