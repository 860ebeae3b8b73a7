//! Dead letters: changes that the CRM refused for good and a person has to look at.
//!
//! There is at most one open dead letter per user and facet. What it shows of the request is hashed,
//! since it is read by more people than the contact itself.

use std::collections::BTreeMap;

use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::classifier::Failure;
use crate::limits::MESSAGE_CHARACTERS_MAX;
use crate::milestone::Milestone;
use crate::projection::Properties;

/// Characters of a fingerprint: hexadecimal digits.
pub const FINGERPRINT_CHARACTERS: usize = 16;

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// A person has to look.
    Open,
    /// It is being sent again.
    Replaying,
    /// It is a message and went back to its queue. It is opened again if it fails there again.
    Returned,
    /// An operator decided that nothing is to be done. It is opened again when something else of the
    /// same facet is refused.
    Discarded,
    /// Sending it again succeeded.
    Resolved,
    /// A later change of the same facet was accepted.
    Superseded,
    /// Its user left the CRM. What it showed of the request is gone with them.
    Withdrawn,
}

impl Status {
    /// Every status, in the order in which lists tell them.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Replaying,
        Self::Returned,
        Self::Discarded,
        Self::Resolved,
        Self::Superseded,
        Self::Withdrawn,
    ];

    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replaying => "replaying",
            Self::Returned => "returned",
            Self::Discarded => "discarded",
            Self::Resolved => "resolved",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The request: property names, and of each value its length and the start of its hash.
    pub request: BTreeMap<String, String>,
    /// The CRM's category.
    pub category: String,
    /// The CRM's message, without personal data.
    pub message: String,
    /// The same for refusals with the same cause.
    pub fingerprint: String,
}

/// A change that the CRM refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The id.
    pub id: DeadLetterId,
    /// Whose change.
    pub user: UserId,
    /// Of which facet.
    pub facet: Facet,
    /// The milestone, if it was one that was refused and not the facet's state.
    pub milestone: Option<Milestone>,
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
    /// The version of our program that sent it last.
    pub function_version: String,
}

/// A change of a dead letter, written together with the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterChange {
    /// A new one.
    Open(Box<DeadLetter>),
    /// It was refused again; it is open again if it was replayed.
    Repeat {
        /// Which.
        id: DeadLetterId,
        /// Why, this time.
        cause: Cause,
        /// When.
        at: Timestamp,
        /// The version of our program.
        function_version: String,
    },
    /// Its replay could not be tried: it needs a person again.
    Reopen {
        /// Which.
        id: DeadLetterId,
    },
    /// It needs nobody any more.
    Close {
        /// Which.
        id: DeadLetterId,
        /// [`Status::Superseded`], [`Status::Resolved`], or [`Status::Withdrawn`], which also takes
        /// request and message off the letter.
        status: Status,
        /// When.
        at: Timestamp,
    },
}

impl Cause {
    /// Why something was refused that carried no properties. `personal` is not to be shown.
    pub fn bare(personal: &Properties, failure: &Failure) -> Self {
        Self { request: BTreeMap::new(), ..Self::new(personal, failure) }
    }

    /// Why `properties` were refused, without anything personal.
    pub fn new(properties: &Properties, failure: &Failure) -> Self {
        let message = redact(&failure.message, properties);
        let request =
            properties.iter().map(|(name, value)| ((*name).to_owned(), sketch(value))).collect();
        let fingerprint = fingerprint(&failure.category, properties.keys().copied(), &message);
        Self { request, category: bounded(&failure.category), message, fingerprint }
    }

    /// Why a message was given up. `queue` is where it came from.
    pub fn of_message(queue: &str, category: &str, message: &str) -> Self {
        let message = redact(message, &Properties::new());
        let fingerprint = fingerprint(category, std::iter::once(queue), &message);
        Self { request: BTreeMap::new(), category: bounded(category), message, fingerprint }
    }
}

fn fingerprint<'a>(category: &str, names: impl Iterator<Item = &'a str>, message: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(category.as_bytes());
    for name in names {
        digest.update([0]);
        digest.update(name.as_bytes());
    }
    digest.update([0]);
    digest.update(normal(message).as_bytes());
    format!("{:x}", digest.finalize()).chars().take(FINGERPRINT_CHARACTERS).collect()
}

/// What may be shown of a value.
pub fn sketch(value: &str) -> String {
    let hash = format!("{:x}", Sha256::digest(value.as_bytes()));
    let start: String = hash.chars().take(12).collect();
    format!("{} characters, sha256 {start}…", value.chars().count())
}

/// `message` without our values and without anything that looks like an address.
pub(crate) fn redact(message: &str, properties: &Properties) -> String {
    let mut values: Vec<&str> = properties.values().map(String::as_str).collect();
    values.sort_unstable_by_key(|value| std::cmp::Reverse(value.len()));
    let mut text = message.to_owned();
    for value in values.into_iter().filter(|value| !value.is_empty()) {
        text = text.replace(value, "…");
    }
    let words = text.split(' ').map(|word| if word.contains('@') { "…" } else { word });
    bounded(&words.collect::<Vec<_>>().join(" "))
}

fn bounded(text: &str) -> String {
    text.chars().take(MESSAGE_CHARACTERS_MAX).collect()
}

/// Numbers differ between refusals with the same cause.
fn normal(message: &str) -> String {
    let mut text = String::new();
    for character in message.chars() {
        if !character.is_ascii_digit() {
            text.push(character);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    fn cause(email: &str, message: &str) -> Cause {
        let properties = Properties::from([
            (schema::EMAIL, email.to_owned()),
            (schema::LAST_NAME, "Lovelace".to_owned()),
        ]);
        let failure = Failure {
            category: "VALIDATION_ERROR".to_owned(),
            message: message.to_owned(),
            ..Failure::default()
        };
        Cause::new(&properties, &failure)
    }

    #[test]
    fn a_dead_letter_names_properties_and_shows_no_value() {
        let message = "Email ada@example.org of Lovelace (or <b@c.example>) is invalid";
        let cause = cause("ada@example.org", message);
        let shown = format!("{cause:?}");
        for secret in ["ada", "example", "Lovelace"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("lastname"));
        assert!(shown.contains("is invalid"));
    }

    #[test]
    fn refusals_with_one_cause_share_a_fingerprint() {
        let first = cause("a@example.org", "line 12: a@example.org is invalid");
        let second = cause("b@example.org", "line 7: b@example.org is invalid");
        let other = cause("b@example.org", "line 7: b@example.org is blocked");
        assert_eq!(first.fingerprint, second.fingerprint);
        assert_ne!(first.fingerprint, other.fingerprint);
    }
}
