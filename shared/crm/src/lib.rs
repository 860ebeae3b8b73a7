//! The CRM sync: whatever happens to a user reaches the CRM, the newest state wins, and nothing is
//! lost whatever crashes.
//!
//! Sync is by state. A change only says which user and facet changed; the [`engine`] reads the
//! facet's current state, projects it ([`projection`]), compares it with what the CRM last
//! acknowledged ([`ledger`]) and sends the difference, many users in one call. What cannot be sent
//! now waits in [`pending`] rows; what can never be sent becomes a [`dead_letter`].
//!
//! Decisions ([`run`], [`classifier`], [`pacer`], [`portal`]) are pure; the engine drives them over
//! [`port`]s, takes clock, sleep and randomness as parameters, and may be dropped at every await.

pub mod classifier;
pub mod dead_letter;
pub mod desk;
pub mod engine;
pub mod finder;
pub mod inbound;
pub mod ledger;
pub mod limits;
pub mod milestone;
pub mod pacer;
pub mod pending;
pub mod port;
pub mod portal;
pub mod projection;
pub mod reconcile;
pub mod removal;
pub mod run;
pub mod schema;
pub mod schema_desk;
pub mod schema_plan;
pub mod turns;
