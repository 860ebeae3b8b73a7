//! Users: the person behind an account.

use crate::id::UserId;
use crate::limits::NAME_CHARACTERS_MAX;
use crate::random::Random;
use crate::role::Role;
use crate::text;
use crate::time::{Timestamp, day};

/// Who the identity provider says somebody is, after every check on the id token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// The person at that provider. Issuer and subject together name a user; nothing else does.
    pub subject: String,
    /// The e-mail address, if the provider told one that can be an address.
    pub email: Option<String>,
    /// Whether the provider verified it.
    pub email_verified: bool,
    /// Given name; empty when not told.
    pub given_name: String,
    /// Family name; empty when not told.
    pub family_name: String,
    /// Roles, from the provider's groups.
    pub roles: Vec<Role>,
}

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The identity the account was made for.
    pub issuer: String,
    /// The subject at the issuer.
    pub subject: String,
    /// A verified e-mail address. An address that nobody verified is not kept (fault S13).
    pub email: Option<String>,
    /// Given name; may be empty.
    pub given_name: String,
    /// Family name; may be empty.
    pub family_name: String,
    /// Roles, sorted.
    pub roles: Vec<Role>,
    /// When the account was made.
    pub joined_at: Timestamp,
    /// When the user last signed in.
    pub last_seen_at: Timestamp,
    /// Counts the writes of this user; 1 for a new one.
    pub version: u64,
}

impl User {
    /// The account of somebody who signs in for the first time.
    pub fn join(identity: Identity, now: Timestamp, random: &dyn Random) -> Self {
        let id = UserId::new(now, random);
        let blank = Self {
            id,
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            email: None,
            given_name: String::new(),
            family_name: String::new(),
            roles: Vec::new(),
            joined_at: now,
            last_seen_at: now,
            version: 0,
        };
        blank.sign_in(identity, now)
    }

    /// The account after another sign-in. What the provider does not tell this time stays as it was
    /// (fault D16: names were overwritten with nothing); roles follow the provider at every sign-in.
    #[must_use]
    pub fn sign_in(self, identity: Identity, now: Timestamp) -> Self {
        let verified = identity.email.filter(|_| identity.email_verified);
        let mut roles = identity.roles;
        roles.sort_unstable();
        roles.dedup();
        Self {
            email: verified.and_then(|email| text::email(&email).ok()).or(self.email),
            given_name: told(&identity.given_name, self.given_name),
            family_name: told(&identity.family_name, self.family_name),
            roles,
            last_seen_at: now.max(self.last_seen_at),
            version: self.version + 1,
            ..self
        }
    }

    /// The day of the last sign-in, UTC.
    pub fn last_seen_on(&self) -> String {
        day(self.last_seen_at)
    }
}

fn told(new: &str, old: String) -> String {
    match text::normalize_required(new, NAME_CHARACTERS_MAX) {
        Ok(name) => name,
        Err(_) => old,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    fn identity() -> Identity {
        Identity {
            issuer: "https://provider.example".to_owned(),
            subject: "1".to_owned(),
            email: Some("Ada@Example.org".to_owned()),
            email_verified: true,
            given_name: "Ada".to_owned(),
            family_name: "Lovelace".to_owned(),
            roles: vec![Role::Admin, Role::Admin],
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn d_16_a_later_sign_in_never_blanks_what_was_known() {
        let user = User::join(identity(), at(1), &SeededRandom::new(1));
        assert_eq!(user.email.as_deref(), Some("ada@example.org"));
        assert_eq!((user.version, user.roles.as_slice()), (1, [Role::Admin].as_slice()));
        let silent = Identity {
            email: None,
            given_name: String::new(),
            family_name: " ".to_owned(),
            roles: Vec::new(),
            ..identity()
        };
        let later = user.clone().sign_in(silent, at(90_000));
        assert_eq!(later.given_name, "Ada");
        assert_eq!(later.family_name, "Lovelace");
        assert_eq!(later.email, user.email);
        assert_eq!(later.joined_at, user.joined_at);
        assert_eq!((later.version, later.roles.len()), (2, 0));
        assert_eq!(later.last_seen_on(), "1970-01-02");
    }

    #[test]
    fn s_13_an_unverified_address_is_not_kept() {
        let unverified = Identity { email_verified: false, ..identity() };
        assert_eq!(User::join(unverified, at(1), &SeededRandom::new(1)).email, None);
    }
}
