//! The CRM port for every other system: changes as messages, each of which says the newest state.
//!
//! There are two ways to deliver them. [`Webhook`] posts each to an HTTP endpoint, signed as Standard
//! Webhooks has it (<https://www.standardwebhooks.com>); [`Lines`] appends each to a file as a line of
//! JSON. Both deliver the same documents:
//!
//! ```json
//! {"type":"contacts.changed","timestamp":"2026-11-21T09:00:00Z","data":{"contacts":[
//!   {"user_id":"usr_…","facets":["identity"],"properties":{"email":"ada@example.org"}}]}}
//! {"type":"milestones.reached","timestamp":"…","data":{"milestones":[
//!   {"id":"…","user_id":"usr_…","kind":"course_completed","at":"…","subject":"first-steps"}]}}
//! {"type":"contact.removed","timestamp":"…","data":{"user_id":"usr_…","kind":"erase"}}
//! ```
//!
//! A reader keeps, for each user and property, what the last message said. A message may come twice; a
//! milestone has an id by which a second one is recognised; and nothing about a user comes after the
//! message that they were erased. Nobody can be looked up there, so what was taken counts as done.

mod feed;
mod lines;
mod message;
mod signature;
mod webhook;

pub use feed::{Delivery, Feed, Transport};
pub use lines::Lines;
pub use webhook::{AskError, KeySource, Webhook, WebhookError};
