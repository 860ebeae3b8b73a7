//! What the functions of the dead-letter desk have in common: how letters are asked for, how they are
//! shown, and how one is sent again. What is shown of a request is property names and hashes, since
//! more people read it than may read the contact.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_crm::dead_letter::{FINGERPRINT_CHARACTERS, Status};
use rollcall_crm::desk::{About, Filed, Filter, Kind, QueueMessage};
use rollcall_crm::pending::Reason;
use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::DeadLetterId;
use rollcall_domain::random::Random;
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Principal, Problem};
use rollcall_runtime::declaration::{Parameter, ProblemKind};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::PortError;
use rollcall_store::crm::{CrmTable, Replay};
use schemars::JsonSchema;
use serde::Serialize;

use crate::waiting::Waiting;

/// There is nothing to be done about a letter.
pub(crate) static DEAD_LETTER_CLOSED: ProblemKind = ProblemKind {
    code: "dead-letter-closed",
    status: 409,
    title: "The dead letter is not open.",
    advice: "Nothing has to be done: it is being replayed, or a later change or an operator has settled it.",
};

// What picks letters, for declarations.
pub(crate) const STATUS: Parameter = Parameter {
    name: "status",
    description: "Only these: `open` (the default), `replaying`, `returned`, `discarded`, `resolved`, `superseded`, `withdrawn`; `all` for every one.",
};
pub(crate) const KIND: Parameter =
    Parameter { name: "kind", description: "Only these: `facet`, `milestone` or `message`." };
pub(crate) const FINGERPRINT: Parameter =
    Parameter { name: "fingerprint", description: "Only those with this cause." };
pub(crate) const FACET: Parameter =
    Parameter { name: "facet", description: "Only those of this facet." };
pub(crate) const USER: Parameter =
    Parameter { name: "user", description: "Only those of this user, by id." };
pub(crate) const SINCE: Parameter = Parameter {
    name: "since",
    description: "Only those that were refused at this time or later (RFC 3339).",
};

/// The id in a path.
#[derive(Debug)]
pub(crate) struct Input(pub(crate) DeadLetterId);

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = request.path_parameter("id").parse();
        id.map(Self).map_err(|_error| Problem::new(&NOT_FOUND))
    }
}

/// The cause in a path or a query.
pub(crate) fn fingerprint(text: &str) -> Option<String> {
    let is_one = text.len() == FINGERPRINT_CHARACTERS
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_one.then(|| text.to_owned())
}

/// Which letters a request asks for.
#[derive(Debug)]
pub(crate) struct Asked(pub(crate) Filter);

impl FromRequest for Asked {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let given = |name: &str| request.query_parameter(name);
        let wrong = |name: &str, detail: &str| {
            Problem::invalid(format!("query:{name}"), "invalid", &detail)
        };
        let status = match given("status").as_deref() {
            None => Some(Status::Open),
            Some("all") => None,
            Some(text) => {
                let named = Status::ALL.into_iter().find(|status| status.as_str() == text);
                Some(named.ok_or_else(|| wrong("status", "must be a status, or all"))?)
            }
        };
        let kind = given("kind").map(|text| {
            let named = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
            named.ok_or_else(|| wrong("kind", "must be facet, milestone or message"))
        });
        let cause = given("fingerprint").map(|text| {
            fingerprint(&text).ok_or_else(|| wrong("fingerprint", "must be 16 hexadecimal digits"))
        });
        let facet = given("facet")
            .map(|text| text.parse::<Facet>().map_err(|error| wrong("facet", &error.to_string())));
        let user = given("user")
            .map(|text| text.parse().map_err(|_error| wrong("user", "must be the id of a user")));
        let since = given("since").map(|text| {
            let at = text.parse::<Timestamp>();
            at.map_err(|_error| wrong("since", "must be a time such as 2026-11-21T09:00:00Z"))
        });
        Ok(Self(Filter {
            status,
            kind: kind.transpose()?,
            fingerprint: cause.transpose()?,
            facet: facet.transpose()?,
            user: user.transpose()?,
            since: since.transpose()?,
            before: None,
        }))
    }
}

/// Something that needs or needed a person.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub(crate) struct LetterView {
    /// The id.
    id: String,
    /// `facet` or `milestone` of a user that the CRM refused, or a `message` that no function handled.
    kind: &'static str,
    /// Whose change.
    user_id: Option<String>,
    /// Of which facet: `identity` or `learning`.
    facet: Option<&'static str>,
    /// The milestone that was refused, such as `signed_in`.
    milestone: Option<&'static str>,
    /// The message that was given up.
    queue_message: Option<MessageView>,
    /// `open`, `replaying`, `returned`, `discarded`, `resolved`, `superseded` or `withdrawn`.
    status: &'static str,
    /// The CRM's category, or why the message was given up.
    category: String,
    /// The CRM's message, without personal data.
    message: String,
    /// The same for refusals with the same cause.
    fingerprint: String,
    /// What was sent: of each property the length of its value and the start of its hash.
    request: BTreeMap<String, String>,
    /// When it was first refused (RFC 3339, UTC).
    first_seen_at: String,
    /// When it was last refused (RFC 3339, UTC).
    last_seen_at: String,
    /// How often it was refused.
    tries: u32,
    /// The version of the program that tried last.
    function_version: String,
    /// What an operator replaced when it was last replayed with changes.
    edited: Option<EditedView>,
    /// Why an operator discarded it.
    discarded: Option<DiscardedView>,
}

/// A message that was given up.
#[derive(Debug, Serialize, JsonSchema)]
struct MessageView {
    /// The queue it failed in, and goes back to.
    queue: String,
    /// Its id there.
    message_id: String,
    /// Its body; of one that tells about people only the length and the start of the hash.
    body: String,
    /// How often it was received in vain.
    receives: u32,
}

/// What an operator replaced.
#[derive(Debug, Serialize, JsonSchema)]
struct EditedView {
    /// Who: a user's id, or `client:` and a client's.
    by: String,
    /// When (RFC 3339, UTC).
    at: String,
    /// Of each replaced property the length of its new value and the start of its hash.
    properties: BTreeMap<String, String>,
}

/// Why an operator discarded a letter.
#[derive(Debug, Serialize, JsonSchema)]
struct DiscardedView {
    /// Who: a user's id, or `client:` and a client's.
    by: String,
    /// When (RFC 3339, UTC).
    at: String,
    /// Why.
    reason: String,
}

impl From<Filed> for LetterView {
    fn from(letter: Filed) -> Self {
        let kind = letter.kind().as_str();
        let (user, facet, milestone, message) = match letter.about {
            About::Change { user, facet, milestone } => (Some(user), Some(facet), milestone, None),
            About::Message(message) => (None, None, None, Some(message)),
        };
        Self {
            id: letter.id.into(),
            kind,
            user_id: user.map(String::from),
            facet: facet.map(Facet::as_str),
            milestone: milestone.map(|milestone| milestone.kind.as_str()),
            queue_message: message.map(
                |QueueMessage { queue, message_id, shown, receives, .. }| MessageView {
                    queue,
                    message_id,
                    body: shown,
                    receives,
                },
            ),
            status: letter.status.as_str(),
            category: letter.cause.category,
            message: letter.cause.message,
            fingerprint: letter.cause.fingerprint,
            request: letter.cause.request,
            first_seen_at: letter.first_seen_at.to_string(),
            last_seen_at: letter.last_seen_at.to_string(),
            tries: letter.tries,
            function_version: letter.function_version,
            edited: letter.edited.map(|note| EditedView {
                by: note.by,
                at: note.at.to_string(),
                properties: note.properties,
            }),
            discarded: letter.discarded.map(|note| DiscardedView {
                by: note.by,
                at: note.at.to_string(),
                reason: note.reason,
            }),
        }
    }
}

/// A letter that is being sent again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Replay")]
pub(crate) struct Replaying {
    /// Which.
    pub(crate) id: String,
    /// `replaying`, or `returned` for a message.
    pub(crate) status: &'static str,
}

/// Sends refused changes again: marks them, and wakes the drain, which sends their newest state.
pub(crate) struct Replayer {
    pub(crate) table: Arc<CrmTable>,
    pub(crate) random: Arc<dyn Random>,
    waiting: Waiting,
}

impl Replayer {
    pub(crate) fn new(startup: &Startup, table: Arc<CrmTable>) -> Result<Self, StartupError> {
        let waiting = Waiting::new(startup, Arc::clone(&table))?;
        Ok(Self { table, random: startup.random(), waiting })
    }

    /// Takes an open letter off the desk and marks what it is about. `false`: it is not open, or is no
    /// change, or what `replay` asks for cannot be.
    pub(crate) async fn replay(
        &self,
        letter: &Filed,
        replay: Replay<'_>,
        (operator, context): (&Operator, &Context),
    ) -> Result<bool, PortError> {
        let Some(dirty) = letter.dirty(&context.trace_id) else { return Ok(false) };
        if letter.status != Status::Open {
            return Ok(false);
        }
        let (user, facet) = (dirty.user.clone(), dirty.facet);
        let action = match replay {
            Replay::Plain | Replay::Canary(_) => Action::DeadLetterReplayed { user, facet },
            Replay::Edited(edit, _) => Action::DeadLetterEdited {
                user,
                facet,
                properties: edit.properties.keys().cloned().collect(),
            },
        };
        let told = (operator.actor(), action, Subject::DeadLetter(letter.id.clone()));
        let entry = Entry::new(told, &context.trace_id, context.now, &*self.random);
        let mark = self.waiting.mark(dirty, Reason::Replay);
        let replays = self.table.replay(letter, &mark, replay, &entry).await?;
        if replays {
            let operator = operator.name();
            tracing::info!(dead_letter = %letter.id, operator, "a dead letter is replayed");
        }
        Ok(replays)
    }

    /// Wakes the drain; it looks by itself within a minute if that fails.
    pub(crate) async fn wake(&self) {
        if let Err(error) = self.waiting.wake().await {
            tracing::warn!(error = chain(&error), "the drain will only look at its next minute");
        }
    }
}
