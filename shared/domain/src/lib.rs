//! Rollcall's rules, as values and functions.
//!
//! Nothing here performs input or output, reads a clock, draws randomness, knows AWS or is
//! asynchronous: time and randomness come in as parameters, so every rule can be tested as data.

pub mod attempt;
pub mod audit;
pub mod badge;
pub mod catalog;
pub mod certificate;
pub mod connection;
pub mod cursor;
pub mod desk;
pub mod enrollment;
pub mod facet;
pub mod flag;
pub mod grading;
pub mod groups;
pub mod id;
pub mod idempotency;
pub mod import;
pub mod invitation;
pub mod learning;
pub mod limits;
pub mod linking;
pub mod login;
pub mod mail;
pub mod merge;
pub mod port;
pub mod portfolio;
pub mod profile;
pub mod progress;
pub mod quiz;
pub mod random;
pub mod rate_limit;
pub mod role;
pub mod rotation;
pub mod route_group;
pub mod scope;
pub mod search;
pub mod secret;
pub mod session;
pub mod slug;
pub mod standing;
pub mod text;
pub mod time;
pub mod user;
pub mod username;
