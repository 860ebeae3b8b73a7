//! The local cloud's Amazon SES, with a mailbox that people can read.
//!
//! `SendEmail` of version 2 of the API works with standard clients: it checks the caller against the
//! local IAM, refuses what SES refuses in SES's words, and delivers nothing to anybody. What it took
//! can be read at `GET /`, newest first, and as JSON at `GET /_emulator/messages`;
//! `DELETE /_emulator/messages` empties the mailbox. `POST /_emulator/faults` takes
//! `{"kind": "throttle" | "outage" | "reject" | "lost_answer", "count": 3}`: what the next calls, or
//! all of them until `DELETE /_emulator/faults`, run into. A `lost_answer` takes the mail and answers
//! as in an outage. Messages survive a restart, faults do not.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use rollcall_local_kit::snapshot::SnapshotError;
use rollcall_local_kit::{Iam, LocalClock, Snapshot};
use serde::{Deserialize, Serialize};

mod api;
mod control;
mod page;

/// Messages that are kept; older ones are forgotten.
pub const MESSAGES_MAX: usize = 1_000;

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The id that the sender got.
    pub id: String,
    /// When it was taken (RFC 3339, UTC).
    pub at: String,
    /// Who sent it, as given.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
    /// Headers that the sender added.
    pub headers: Vec<(String, String)>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The account sends too fast.
    Throttle,
    /// SES is away.
    Outage,
    /// SES takes none of these mails.
    Reject,
    /// SES takes the mail, and nobody hears of it.
    LostAnswer,
}

/// Something that goes wrong on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// For how many more calls; until removed when absent.
    #[serde(default)]
    pub count: Option<u32>,
}

/// What a local cloud gives to its mail.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the messages are kept; in memory only when absent.
    pub folder: Option<PathBuf>,
    /// The time.
    pub clock: LocalClock,
    /// Who may do what.
    pub iam: Iam,
    /// Domains whose addresses mail may come from.
    pub domains: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    fault: Option<Fault>,
}

struct Shared {
    state: Mutex<State>,
    snapshot: Snapshot,
    clock: LocalClock,
    iam: Iam,
    domains: Vec<String>,
}

/// The mail of one local cloud. Cloning shares it.
#[derive(Clone)]
pub struct Mail {
    shared: Arc<Shared>,
}

impl Mail {
    /// Opens what was saved in the folder, or begins empty.
    ///
    /// # Errors
    ///
    /// When the saved state is damaged or cannot be read.
    pub fn open(options: Options) -> Result<Self, SnapshotError> {
        let snapshot = Snapshot::new(options.folder.as_deref(), "mail");
        let messages = snapshot.load()?.unwrap_or_default();
        Ok(Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State { messages, fault: None }),
                snapshot,
                clock: options.clock,
                iam: options.iam,
                domains: options.domains,
            }),
        })
    }

    /// SES, the mailbox and, under `/_emulator/`, the controls.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(page::list))
            .route("/messages/{id}", get(page::one))
            .route("/v2/email/outbound-emails", post(api::send_email))
            .route("/_emulator/messages", get(control::messages).delete(control::forget))
            .route("/_emulator/faults", post(control::set_fault).delete(control::clear_faults))
            .fallback(api::unknown)
            .with_state(self.clone())
    }

    /// Every message, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.lock().messages.clone()
    }

    /// Lets something go wrong, in place of what went wrong before; `None` mends everything.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    pub(crate) fn forget_messages(&self) {
        let mut state = self.lock();
        state.messages.clear();
        self.save(&state);
    }

    /// What goes wrong with the call that is made now.
    pub(crate) fn next_fault(&self) -> Option<FaultKind> {
        let mut state = self.lock();
        let fault = state.fault?;
        state.fault = match fault.count {
            None => Some(fault),
            Some(count) => count
                .checked_sub(1)
                .filter(|left| *left > 0)
                .map(|left| Fault { count: Some(left), ..fault }),
        };
        Some(fault.kind)
    }

    /// Takes a message.
    pub(crate) fn keep(&self, message: Message) {
        let mut state = self.lock();
        state.messages.push(message);
        let surplus = state.messages.len().saturating_sub(MESSAGES_MAX);
        state.messages.drain(..surplus);
        self.save(&state);
    }

    /// Saved under the lock, so that an older state never replaces a newer one.
    fn save(&self, state: &State) {
        if let Err(error) = self.shared.snapshot.save(&state.messages) {
            tracing::error!(%error, "the mailbox could not be saved");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
