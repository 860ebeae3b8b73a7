//! The local HubSpot: a stateful emulator that a CRM sync can be proven against.
//!
//! It holds contacts and the other standard object types, their properties and groups, search with
//! index lag, merges, GDPR erasure, custom events and account details; it keeps HubSpot's rate
//! limits and refuses what HubSpot refuses. Undated (`/crm/v3/objects/…`) and dated
//! (`/crm/objects/2026-09/…`) paths lead to the same handlers. Where sources about HubSpot
//! disagree there is a switch in [`Settings`]. It tells an app what happens to contacts, by signed
//! webhooks, gives an installed app access tokens, and keeps associations. Everything it does not emulate
//! (timeline, journal) answers 404.
//!
//! Ids, correlation ids and the order of batch results come from `shuffle_seed`, and time from the
//! clock of the local cloud, so a run repeats exactly.
//!
//! # Controls
//!
//! They need no token, count against no limit and keep working in an outage. Each answers JSON;
//! 400 says what is wrong with the request.
//!
//! ```sh
//! H=http://localhost:9002/_emulator
//!
//! # Forget records, own properties, faults, limits and the log; settings as at the start.
//! curl -X POST $H/reset
//!
//! # Move the clock of the whole local cloud forward.
//! curl $H/clock -d '{"advance_ms": 10000}'
//!
//! # Change settings (all of them: see `Settings`), replace tokens, let tokens expire.
//! curl $H/portal -d '{"email_upsert_blanks_omitted": true, "merge_keeps_primary_id": true}'
//! curl $H/portal -d '{"tokens": [{"value": "pat-na1-new", "scopes": "all"}]}'
//! curl $H/portal -d '{"expired_tokens": ["oauth-old"]}'
//!
//! # Search lag (0 to 60000 ms); rate limits by tier, or of any size.
//! curl $H/lag -d '{"ms": 0}'
//! curl $H/tier -d '{"tier": "starter"}'
//! curl $H/tier -d '{"burst_limit": 10, "daily_limit": 1000}'
//!
//! # Act as a person in HubSpot's pages: change values, archive, restore, merge.
//! curl $H/edit -d '{"id": "501", "properties": {"firstname": "Ann"}}'
//! curl $H/edit -d '{"object_type": "companies", "id": "502", "archived": true}'
//! curl $H/merge -d '{"primary_id": "501", "merged_id": "502"}'
//!
//! # Erase a person for good, as somebody does in HubSpot's pages.
//! curl $H/erase -d '{"id": "501"}'
//!
//! # Webhooks: what goes wrong with them from now on (all of these are off unless named), and what
//! # was sent.
//! curl $H/webhooks -d '{"paused": true}'
//! curl $H/webhooks -d '{"bad_signature": true}'
//! curl $H/webhooks -d '{"stale": true}'
//! curl $H/webhooks -d '{"reorder": true, "duplicate": true}'
//! curl $H/webhooks
//!
//! # Faults. `route` is a path prefix in which `*` stands for any text (absent: every call),
//! # `method`, `count` (absent: until removed) and `delay_ms` go with every kind.
//! curl $H/faults -d '{"kind": "status", "status": 503, "route": "*batch/upsert", "count": 3}'
//! curl $H/faults -d '{"kind": "status", "status": 477, "headers": {"Retry-After": "3600"}}'
//! curl $H/faults -d '{"kind": "delay", "delay_ms": 12000}'
//! curl $H/faults -d '{"kind": "drop_before"}'
//! curl $H/faults -d '{"kind": "drop_after_commit", "count": 1}'
//! curl $H/faults -d '{"kind": "silent_no_op"}'
//! curl $H/faults -d '{"kind": "partial_at", "indices": [0, 7], "message": "no"}'
//! curl $H/faults -d '{"kind": "empty_results", "status": 207}'
//! curl $H/faults -d '{"kind": "outage"}'
//! curl $H/faults -d '{"kind": "outage", "status": 503}'
//! curl $H/faults -d '{"kind": "refuse_property", "name": "phone", "message": "no"}'
//! curl -X DELETE $H/faults
//!
//! # Look: everything but tokens; every call after number 17; what no good client does.
//! curl $H/dump
//! curl "$H/calls?after=17"
//! curl $H/violations
//! ```

mod associations;
mod batch;
mod calls;
mod controls;
mod definitions;
mod emulator;
mod events;
mod faults;
mod http;
mod limits;
mod merge;
mod oauth;
mod objects;
pub mod openapi;
mod portal;
mod properties;
mod records;
mod routes;
mod search;
mod settings;
mod standard;
mod values;
mod webhooks;
mod wire;
mod write;

pub use calls::{Call, TokenKind, Violation, ViolationKind};
pub use emulator::{Contact, HubSpot, Options, Scopes, Token};
pub use events::Occurred;
pub use limits::Policy;
pub use oauth::Installation;
pub use settings::{ErrorGeneration, SearchFilterLimits, Settings, Tier};
pub use webhooks::{Delivery, Subscription, signature};
