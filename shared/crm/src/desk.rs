//! The dead-letter desk: what operators see of letters, and what they may do about them.
//!
//! Sync is by state, so replaying a letter sends the newest state and not the refused one. An [`Edit`]
//! fits into that as a correction of exactly one state: it is applied while the projection is the one
//! that was refused, and means nothing as soon as the user's state changes.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::random::Random;
use rollcall_domain::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::dead_letter::{Cause, Status, redact, sketch};
use crate::ledger::{Lease, Ledger};
use crate::limits::{BATCH_INPUTS_MAX, RUN_TASKS_MAX, TEXT_CHARACTERS_MAX};
use crate::milestone::Milestone;
use crate::pending::{Dirty, PendingRow, Reason};
use crate::port::{Input, KeyKind};
use crate::projection::Projected;
use crate::run::{Candidate, Run, Task, Want, Work};
use crate::schema::{self, SCHEMA};

/// What kind of thing a letter is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A facet that the CRM refused.
    Facet,
    /// A milestone that the CRM refused.
    Milestone,
    /// A message of a queue that no function could handle.
    Message,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Facet, Self::Milestone, Self::Message];

    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Facet => "facet",
            Self::Milestone => "milestone",
            Self::Message => "message",
        }
    }
}

/// What a letter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A change of a user.
    Change {
        /// Whose.
        user: UserId,
        /// Of which facet.
        facet: Facet,
        /// The milestone, if it was one that was refused and not the facet's state.
        milestone: Option<Milestone>,
    },
    /// A message.
    Message(QueueMessage),
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMessage {
    /// The queue it failed in, without prefix and stage.
    pub queue: String,
    /// Its id there.
    pub message_id: String,
    /// Its body; `None` once nobody needs it any more.
    pub body: Option<String>,
    /// What may be shown of the body.
    pub shown: String,
    /// How often it was received in vain.
    pub receives: u32,
}

/// A letter as it lies on the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The id.
    pub id: DeadLetterId,
    /// What it is about.
    pub about: About,
    /// Why.
    pub cause: Cause,
    /// When it was first refused.
    pub first_seen_at: Timestamp,
    /// When it was last refused.
    pub last_seen_at: Timestamp,
    /// How often it was refused.
    pub tries: u32,
    /// What became of it.
    pub status: Status,
    /// The version of our program that tried last.
    pub function_version: String,
    /// What an operator replaced when it was last sent again with changes.
    pub edited: Option<Edited>,
    /// Why an operator discarded it, if one did.
    pub discarded: Option<Discarded>,
}

/// The note that an operator replaced something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Of each replaced property what may be shown of its new value.
    pub properties: BTreeMap<String, String>,
}

/// The note that an operator decided to do nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
}

impl Filed {
    /// What kind of thing it is about.
    pub fn kind(&self) -> Kind {
        match &self.about {
            About::Change { milestone: None, .. } => Kind::Facet,
            About::Change { milestone: Some(_), .. } => Kind::Milestone,
            About::Message(_) => Kind::Message,
        }
    }

    /// The change that has to be sent again; `None` for a message.
    pub fn dirty(&self, trace_id: &str) -> Option<Dirty> {
        match &self.about {
            About::Change { user, facet, .. } => Some(Dirty {
                user: user.clone(),
                facet: *facet,
                trace_id: Some(trace_id.to_owned()),
            }),
            About::Message(_) => None,
        }
    }
}

/// Which letters are asked for. What is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One status; all of them, in their order.
    pub status: Option<Status>,
    /// One kind.
    pub kind: Option<Kind>,
    /// One cause.
    pub fingerprint: Option<String>,
    /// One facet.
    pub facet: Option<Facet>,
    /// One user.
    pub user: Option<UserId>,
    /// Last refused at this time or later.
    pub since: Option<Timestamp>,
    /// Last refused before this time.
    pub before: Option<Timestamp>,
}

impl Filter {
    /// The statuses that are asked for, in order.
    pub fn statuses(&self) -> Vec<Status> {
        self.status.map_or_else(|| Status::ALL.to_vec(), |status| vec![status])
    }

    /// Names the filter: different filters have different names.
    pub fn name(&self) -> String {
        let Self { status, kind, fingerprint, facet, user, since, before } = self;
        let text = |value: Option<&str>| value.unwrap_or("*").to_owned();
        let time = |at: &Option<Timestamp>| at.map_or("*".to_owned(), |at| at.to_string());
        [
            text(status.map(Status::as_str)),
            text(kind.map(Kind::as_str)),
            text(fingerprint.as_deref()),
            text(facet.map(Facet::as_str)),
            text(user.as_ref().map(UserId::as_str)),
            time(since),
            time(before),
        ]
        .join("&")
    }
}

/// A page of letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterPage {
    /// By status, and within a status the last refused first.
    pub letters: Vec<Filed>,
    /// Where the next page begins, if there is one.
    pub position: Option<String>,
}

/// Letters with one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The cause.
    pub fingerprint: String,
    /// Its category, as of the last one.
    pub category: String,
    /// Its message, as of the last one.
    pub message: String,
    /// What they are about.
    pub kinds: BTreeSet<Kind>,
    /// How many.
    pub count: usize,
    /// When the first of them was first refused.
    pub first_seen_at: Timestamp,
    /// When the last of them was last refused.
    pub last_seen_at: Timestamp,
    /// The last of them.
    pub example: DeadLetterId,
}

/// Letters by their causes, the most frequent first.
pub fn grouped(letters: &[Filed]) -> Vec<Group> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for letter in letters {
        let Cause { category, message, fingerprint, .. } = &letter.cause;
        let group = groups.entry(fingerprint).or_insert_with(|| Group {
            fingerprint: fingerprint.clone(),
            category: category.clone(),
            message: message.clone(),
            kinds: BTreeSet::new(),
            count: 0,
            first_seen_at: letter.first_seen_at,
            last_seen_at: letter.last_seen_at,
            example: letter.id.clone(),
        });
        group.kinds.insert(letter.kind());
        group.count += 1;
        group.first_seen_at = group.first_seen_at.min(letter.first_seen_at);
        if letter.last_seen_at > group.last_seen_at {
            group.last_seen_at = letter.last_seen_at;
            group.example = letter.id.clone();
            category.clone_into(&mut group.category);
            message.clone_into(&mut group.message);
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.count, group.last_seen_at)));
    groups
}

/// The letter that is sent ahead of all others with its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Which.
    pub letter: DeadLetterId,
    /// Since when. What was refused later has not been helped by what helped the canary.
    pub at: Timestamp,
}

/// What has to be done next to replay all letters with one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send one ahead.
    Begin,
    /// It is not known yet what becomes of it.
    Wait,
    /// It was refused again: the others stay.
    Stop,
    /// It was acknowledged: send the others.
    Spread,
}

/// What has to be done next, from the canary and what became of its letter.
pub fn step(canary: Option<(&Canary, Option<Status>)>) -> Step {
    match canary.and_then(|(_, status)| status) {
        Some(Status::Replaying) => Step::Wait,
        Some(Status::Open) => Step::Stop,
        Some(Status::Resolved) => Step::Spread,
        // There is none, or something else settled it, which says nothing about the cause.
        None
        | Some(Status::Returned | Status::Discarded | Status::Superseded | Status::Withdrawn) => {
            Step::Begin
        }
    }
}

/// What an operator replaced in one refused state of a facet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The refused state, by its hash.
    pub of: String,
    /// New values by property; `None`: the property is left out.
    pub properties: BTreeMap<String, Option<String>>,
}

/// Why an edit cannot be made. `property` names where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct InvalidEdit {
    /// The property; empty when it is none of them.
    pub property: String,
    /// What is wrong.
    pub fault: EditFault,
}

/// What is wrong with an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditFault {
    /// Nothing is replaced.
    #[error("must replace at least one property")]
    Nothing,
    /// The facet has no such property.
    #[error("is not a property of this facet")]
    Unknown,
    /// It says whose contact it is.
    #[error("says whose contact it is and cannot be replaced")]
    Key,
    /// It would be refused for its length.
    #[error("must be at most {TEXT_CHARACTERS_MAX} characters")]
    TooLong,
}

impl EditFault {
    /// The stable name, kebab-case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Nothing => "empty",
            Self::Unknown => "unknown-property",
            Self::Key => "key-property",
            Self::TooLong => "too-long",
        }
    }
}

impl Edit {
    /// Replacements in the state of `facet` whose hash is `of`.
    ///
    /// # Errors
    ///
    /// [`InvalidEdit`] names the first property that cannot be replaced.
    pub fn new(
        facet: Facet,
        of: String,
        properties: BTreeMap<String, Option<String>>,
    ) -> Result<Self, InvalidEdit> {
        let fault = |property: &str, fault| InvalidEdit { property: property.to_owned(), fault };
        if properties.is_empty() {
            return Err(fault("", EditFault::Nothing));
        }
        let mut checked = BTreeMap::new();
        for (name, value) in properties {
            if name == schema::USER_ID {
                return Err(fault(&name, EditFault::Key));
            }
            if static_name(facet, &name).is_none() {
                return Err(fault(&name, EditFault::Unknown));
            }
            let length = value.as_ref().map_or(0, |value| value.chars().count());
            if length > TEXT_CHARACTERS_MAX {
                return Err(fault(&name, EditFault::TooLong));
            }
            // As the projection does it.
            let value =
                value.map(|text| if name == schema::EMAIL { text.to_lowercase() } else { text });
            checked.insert(name, value);
        }
        Ok(Self { of, properties: checked })
    }

    /// `projected` with the replacements, if it is the state that they are for. Its hash stays that of
    /// the state, so what was acknowledged is the state.
    #[must_use]
    pub fn apply(&self, mut projected: Projected) -> Projected {
        if projected.hash != self.of {
            return projected;
        }
        for (name, value) in &self.properties {
            let Some(name) = Facet::ALL.into_iter().find_map(|facet| static_name(facet, name))
            else {
                continue;
            };
            match value {
                Some(value) => projected.properties.insert(name, value.clone()),
                None => projected.properties.remove(name),
            };
        }
        projected
    }

    /// What may be shown of the replacements.
    pub fn sketched(&self) -> BTreeMap<String, String> {
        let properties = self.properties.iter();
        properties
            .map(|(name, value)| {
                let shown = value.as_deref().map_or_else(|| "left out".to_owned(), sketch);
                (name.clone(), shown)
            })
            .collect()
    }
}

fn static_name(facet: Facet, name: &str) -> Option<&'static str> {
    let mut properties = SCHEMA.properties.iter();
    properties
        .find(|property| property.facet == facet && property.name == name)
        .map(|property| property.name)
}

/// What the engine would send about `facets` of a user now; `forced`: whatever was refused before, as
/// after a replay. Nothing when the CRM holds it already, or when the contact has to leave.
pub fn requests(
    user: &UserId,
    facets: &[Facet],
    forced: bool,
    (ledger, state): (&Ledger, BTreeMap<Facet, Projected>),
    key: KeyKind,
) -> Vec<Input> {
    if ledger.removal.is_some() {
        return Vec::new();
    }
    let (nobody, never) = (String::new(), Timestamp::UNIX_EPOCH);
    let want = |facet: &Facet| {
        let row = PendingRow {
            dirty: Dirty { user: user.clone(), facet: *facet, trace_id: None },
            mark: nobody.clone(),
            reason: Reason::Replay,
            attempts: 0,
            first_at: never,
            due_at: never,
            forced,
        };
        (*facet, Want { trace_id: None, row: Some(row) })
    };
    let work = Work { user: user.clone(), facets: facets.iter().map(want).collect() };
    let lease = Lease { token: nobody.clone(), until: Timestamp::MAX };
    let candidate = Candidate { work, lease, ledger: ledger.clone(), abandoned: false, state };
    let mut run = Run::new(vec![candidate], key, true);
    let mut inputs = Vec::new();
    for _task in 0..RUN_TASKS_MAX {
        match run.next_task() {
            Some(Task::Write(slots)) => inputs.extend(run.ready(slots, never, BATCH_INPUTS_MAX)),
            Some(Task::DeclareSchema | Task::RenewCredentials | Task::FindOwners(_)) => {}
            None => break,
        }
    }
    inputs
}

/// The letter that a message of a queue becomes: the same for the same message, and sorted by when it
/// was sent as other letters are.
pub fn letter_of_message(queue: &str, message_id: &str, sent_at: Timestamp) -> DeadLetterId {
    let digest = Sha256::new().chain_update(queue).chain_update([0]).chain_update(message_id);
    DeadLetterId::new(sent_at, &Digested(digest.finalize().into()))
}

/// The bits of a digest where an id takes random ones.
struct Digested([u8; 32]);

impl Random for Digested {
    fn fill(&self, bytes: &mut [u8]) {
        for (byte, digit) in bytes.iter_mut().zip(self.0) {
            *byte = digit;
        }
    }
}

/// What may be shown of a message's body: of one that tells about people nothing but its length.
pub fn shown(body: &str, is_personal: bool) -> String {
    if is_personal {
        return sketch(body);
    }
    redact(body, &BTreeMap::new())
}

#[cfg(test)]
mod tests;
