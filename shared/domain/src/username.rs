//! Usernames: the one public name of a user, and the claims that make a name one user's.
//!
//! A claim stays when its user takes another name, held for a while, so that nobody can pass for
//! the one who had it a moment ago.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::UserId;
use crate::limits::{
    USERNAME_CHARACTERS_MAX, USERNAME_CHARACTERS_MIN, USERNAME_HELD_SECONDS,
    USERNAME_RENAME_SECONDS,
};
use crate::time::{Timestamp, after_seconds};

/// Names that are paths of ours or that pass for the organisation; compared without underscores.
const RESERVED: [&str; 40] = [
    "about",
    "account",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "api",
    "auth",
    "billing",
    "contact",
    "everyone",
    "guest",
    "help",
    "here",
    "info",
    "login",
    "logout",
    "mail",
    "me",
    "members",
    "moderator",
    "nobody",
    "null",
    "official",
    "owner",
    "privacy",
    "rollcall",
    "root",
    "search",
    "security",
    "settings",
    "signup",
    "staff",
    "support",
    "system",
    "team",
    "terms",
    "undefined",
    "user",
    "users",
];

/// A username: 3 to 30 of `a-z`, `0-9` and `_`, and not reserved.
///
/// There is one spelling per name: ASCII letters are folded to lower case, and letters of other
/// scripts are refused even where Unicode folds them to ASCII, as it does with the Kelvin sign.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Username(String);

/// Why a text is no username.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsername {
    /// Too short, too long, or another character.
    #[error(
        "must be {USERNAME_CHARACTERS_MIN} to {USERNAME_CHARACTERS_MAX} letters a to z, digits and underscores"
    )]
    Shape,
    /// Kept for the organisation itself.
    #[error("is reserved")]
    Reserved,
}

impl Username {
    /// The username as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = InvalidUsername;

    fn from_str(text: &str) -> Result<Self, InvalidUsername> {
        let folded = text.trim().to_ascii_lowercase();
        let fits = (USERNAME_CHARACTERS_MIN..=USERNAME_CHARACTERS_MAX).contains(&folded.len());
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if !fits || !folded.bytes().all(allowed) {
            return Err(InvalidUsername::Shape);
        }
        if RESERVED.contains(&folded.replace('_', "").as_str()) {
            return Err(InvalidUsername::Reserved);
        }
        Ok(Self(folded))
    }
}

impl TryFrom<String> for Username {
    type Error = InvalidUsername;

    fn try_from(text: String) -> Result<Self, InvalidUsername> {
        text.parse()
    }
}

impl From<Username> for String {
    fn from(username: Username) -> String {
        username.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whose a username is, or was until lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The name.
    pub username: Username,
    /// Who goes, or went, by it.
    pub user: UserId,
    /// `None` while the name is in use; afterwards, until when nobody else gets it.
    pub held_until: Option<Timestamp>,
    /// Counts the writes of this claim; 1 for a new one.
    pub version: u64,
}

impl Claim {
    /// Whether somebody goes by the name now.
    pub fn is_in_use(&self) -> bool {
        self.held_until.is_none()
    }

    /// Whether `user` may take the name: it was given up, and either was their own or the time for
    /// which it was held is over.
    fn is_free_for(&self, user: &UserId, now: Timestamp) -> bool {
        self.held_until.is_some_and(|until| self.user == *user || until <= now)
    }
}

/// What is stored about the two names of a renaming.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The claim on the name that the user has.
    pub current: Option<Claim>,
    /// The claim, of whomever, on the name that the user wants.
    pub wanted: Option<Claim>,
}

/// Why a user does not get a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamingRefusal {
    /// It is somebody else's, or held for them.
    #[error("the name is taken")]
    Taken,
    /// The last renaming was too short a time ago.
    #[error("the name can be changed again from {from}")]
    TooSoon {
        /// When the next renaming is allowed.
        from: Timestamp,
    },
}

/// When somebody who was last renamed at `renamed_at` may be renamed again.
pub fn renamable_from(renamed_at: Timestamp) -> Timestamp {
    after_seconds(renamed_at, USERNAME_RENAME_SECONDS)
}

/// Gives `user` the name `wanted`: the claims to store, all at once. To choose a first name is no
/// renaming.
pub(crate) fn take(
    wanted: &Username,
    user: &UserId,
    renamed_at: Option<Timestamp>,
    claims: &Claims,
    now: Timestamp,
) -> Result<Vec<Claim>, NamingRefusal> {
    if let Some(from) = renamed_at.map(renamable_from).filter(|from| now < *from) {
        return Err(NamingRefusal::TooSoon { from });
    }
    let version = match &claims.wanted {
        None => 1,
        Some(claim) if claim.is_free_for(user, now) => claim.version + 1,
        Some(_) => return Err(NamingRefusal::Taken),
    };
    let taken = Claim { username: wanted.clone(), user: user.clone(), held_until: None, version };
    let released = claims.current.clone().map(|claim| Claim {
        held_until: Some(after_seconds(now, USERNAME_HELD_SECONDS)),
        version: claim.version + 1,
        ..claim
    });
    Ok([Some(taken), released].into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SeededRandom;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn user(seed: u64) -> UserId {
        UserId::new(at(0), &SeededRandom::new(seed))
    }

    #[test]
    fn c_09_a_name_has_one_spelling_and_a_narrow_alphabet() {
        let longest = "a".repeat(USERNAME_CHARACTERS_MAX);
        let too_long = "a".repeat(USERNAME_CHARACTERS_MAX + 1);
        let shape = Err(InvalidUsername::Shape);
        let reserved = Err(InvalidUsername::Reserved);
        for (text, expected) in [
            ("ada", Ok("ada")),
            (" Ada_Lovelace_1815 ", Ok("ada_lovelace_1815")),
            ("___", Ok("___")),
            ("007", Ok("007")),
            (&longest, Ok(longest.as_str())),
            (&too_long, shape),
            ("ad", shape),
            ("", shape),
            ("a da", shape),
            ("a-da", shape),
            ("a.da", shape),
            ("../me", shape),
            ("<b>", shape),
            ("ad\u{0}a", shape),
            ("adé", shape),
            // The Kelvin sign: Unicode's lower case of it is an ASCII k.
            ("\u{212a}im", shape),
            // Cyrillic a.
            ("\u{0430}da", shape),
            ("ad\u{ff41}", shape),
            ("ad\u{200b}a", shape),
            ("admin", reserved),
            ("_Ad_Min_", reserved),
            ("m_e", reserved),
            ("users", reserved),
            ("rollcall", reserved),
            ("admins", Ok("admins")),
        ] {
            let parsed = text.parse::<Username>();
            assert_eq!(parsed.as_ref().map(Username::as_str), expected.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn a_name_that_was_given_up_is_held_thirty_days_and_only_for_who_had_it() {
        let name: Username = "ada".parse().unwrap();
        let day = 24 * 60 * 60;
        let held = |user: UserId| Claim {
            username: name.clone(),
            user,
            held_until: Some(at(30 * day)),
            version: 4,
        };
        let in_use = Claim { held_until: None, ..held(user(1)) };
        for (claim, now, taken) in [
            (None, 0, Ok(1)),
            (Some(in_use.clone()), 0, Err(NamingRefusal::Taken)),
            (Some(in_use), 1_000 * day, Err(NamingRefusal::Taken)),
            (Some(held(user(1))), 0, Err(NamingRefusal::Taken)),
            (Some(held(user(1))), 30 * day - 1, Err(NamingRefusal::Taken)),
            (Some(held(user(1))), 30 * day, Ok(5)),
            (Some(held(user(2))), 0, Ok(5)),
        ] {
            let claims = Claims { current: None, wanted: claim };
            let result = take(&name, &user(2), None, &claims, at(now));
            let version = result.map(|claims| claims.first().unwrap().version);
            assert_eq!(version, taken, "{claims:?} {now}");
        }
    }

    #[test]
    fn nobody_is_renamed_twice_in_a_week_and_a_first_name_is_no_renaming() {
        let claim = |text: &str| Claim {
            username: text.parse().unwrap(),
            user: user(1),
            held_until: None,
            version: 1,
        };
        let week = USERNAME_RENAME_SECONDS;
        for (current, renamed_at, now, refused) in [
            (None, None, 0, false),
            (Some(claim("ada")), None, 0, false),
            (Some(claim("ada")), Some(at(10)), 10, true),
            (Some(claim("ada")), Some(at(10)), 9 + week, true),
            (Some(claim("ada")), Some(at(10)), 10 + week, false),
        ] {
            let claims = Claims { current: current.clone(), wanted: None };
            let wanted = "countess".parse().unwrap();
            let result = take(&wanted, &user(1), renamed_at, &claims, at(now));
            if refused {
                assert_eq!(result, Err(NamingRefusal::TooSoon { from: at(10 + week) }));
                continue;
            }
            let stored = result.unwrap();
            assert_eq!(stored.first().unwrap().username, wanted);
            assert_eq!(stored.len(), 1 + usize::from(current.is_some()));
            if let Some(released) = stored.get(1) {
                assert_eq!(released.username.as_str(), "ada");
                let until = after_seconds(at(now), USERNAME_HELD_SECONDS);
                assert_eq!((released.held_until, released.version), (Some(until), 2));
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_in_the_alphabet_and_parses_to_itself(text in "\\PC{0,40}|[A-Za-z0-9_ ]{0,40}") {
            if let Ok(name) = text.parse::<Username>() {
                let bytes = name.as_str().bytes();
                prop_assert!(bytes.clone().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
                prop_assert!((3..=30).contains(&bytes.len()));
                prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
                prop_assert_eq!(text.to_uppercase().parse(), Ok(name));
            }
        }
    }
}
