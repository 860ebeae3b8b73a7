//! Identifiers: a prefix that says what the id names, and a UUIDv7 (RFC 9562 §5.7), so that ids of
//! one kind sort by the time they were made.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::random::Random;

/// A text that is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an id that starts with {prefix}_")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// A UUIDv7 of `now`, its random bits from `random`.
pub fn uuid_v7(now: Timestamp, random: &dyn Random) -> Uuid {
    let mut bytes = [0_u8; 10];
    random.fill(&mut bytes);
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &bytes).into_uuid()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind starts with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id.
            pub fn new(now: Timestamp, random: &dyn Random) -> Self {
                Self(format!("{}_{}", $prefix, uuid_v7(now, random).simple()))
            }

            /// The id that this SHA-256 makes, for what is named by its content; it does not sort by
            /// time.
            pub fn of_digest(digest: &[u8; 32]) -> Self {
                let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
                Self(format!("{}_{}", $prefix, digits.collect::<String>()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid = text
                    .strip_prefix(concat!($prefix, "_"))
                    .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(is_lower_hex));
                if valid { Ok(Self(text.to_owned())) } else { Err(InvalidId { prefix: $prefix }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )*};
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

ids! {
    /// A person with an account.
    UserId = "usr";
    /// A change that the CRM refused and a person has to look at.
    DeadLetterId = "dlt";
    /// An entry of the audit log.
    AuditId = "aud";
    /// A piece of work that a user shows.
    PieceId = "pce";
    /// A certificate.
    CertificateId = "crt";
    /// A recorded learning event.
    EventId = "evt";
    /// An attempt at a quiz.
    AttemptId = "att";
    /// A signed-in browser, as its user sees it in a list.
    SessionId = "ses";
    /// A mail that is sent, was sent, or cannot be.
    MailId = "mai";
    /// A comparison of all users with the CRM.
    ReconciliationId = "rec";
    /// Somebody's wish for an account.
    ClaimId = "clm";
    /// An invitation that an operator sent.
    InvitationId = "inv";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn ids_sort_by_time_and_survive_parsing() {
        let random = SeededRandom::new(1);
        let early = UserId::new(Timestamp::from_millisecond(1_000).unwrap(), &random);
        let late = UserId::new(Timestamp::from_millisecond(2_000).unwrap(), &random);
        assert!(early < late);
        assert_eq!(early.as_str().parse(), Ok(early.clone()));
    }

    #[test]
    fn only_the_right_prefix_and_lower_case_hex_parse() {
        for text in [
            "",
            "usr_",
            "usr_0",
            "dlt_00000000000000000000000000000000",
            "usr_0000000000000000000000000000000G",
        ] {
            assert_eq!(text.parse::<UserId>(), Err(InvalidId { prefix: "usr" }), "{text}");
        }
    }
}
