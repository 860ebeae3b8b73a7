//! Another way to sign in that waits to become a user's: its address is the user's, and the same
//! browser has yet to sign in as the user (faults S13 and S19 of the system before this one).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::id::UserId;
use crate::limits::{IDENTITIES_PER_USER_MAX, LINKING_SECONDS};
use crate::random::{Random, token_256};
use crate::session::SessionHash;
use crate::standing::Closed;
use crate::time::{Timestamp, after_seconds};
use crate::user::{AddressTaken, Identity, User};

/// An identity that was proven, with an address that is `owner`'s. One half of what it takes to
/// become theirs; the other is that the same browser signs in as the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingLink {
    /// Finds it by the cookie of the browser that it is bound to.
    pub hash: SessionHash,
    /// The provider of the identity.
    pub issuer: String,
    /// The person at that provider.
    pub subject: String,
    /// Whose the address is.
    pub owner: UserId,
    /// The hash of the address; what waits for ten minutes holds nobody's address in clear.
    pub address_hash: String,
    /// When the identity was proven.
    pub started_at: Timestamp,
}

/// Why an identity does not become a user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefusal {
    /// Somebody else signed in than whose the address is.
    #[error("the address is another user's")]
    OtherUser,
    /// The owner has another address by now.
    #[error("the address is not the user's any more")]
    OtherAddress,
    /// More than ten minutes passed.
    #[error("the identity was proven too long ago")]
    Expired,
    /// The user has as many identities as anybody may have.
    #[error("the user has {IDENTITIES_PER_USER_MAX} identities already")]
    TooMany,
    /// Nobody signs in with the account.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl PendingLink {
    /// Lets `identity` wait for the owner of its address; the second value goes into the browser's
    /// cookie.
    pub fn begin(
        identity: &Identity,
        taken: &AddressTaken,
        now: Timestamp,
        random: &dyn Random,
    ) -> (Self, String) {
        let cookie = token_256(random);
        let link = Self {
            hash: SessionHash::of(&cookie),
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            owner: taken.owner.clone(),
            address_hash: hash(&taken.address),
            started_at: now,
        };
        (link, cookie)
    }

    /// When it can no longer be linked.
    pub fn ends_at(&self) -> Timestamp {
        after_seconds(self.started_at, LINKING_SECONDS)
    }
}

impl User {
    /// The user with one identity more, who has just signed in with one of theirs, in the browser
    /// that `link` is bound to.
    pub fn link(self, link: &PendingLink, now: Timestamp) -> Result<Self, LinkRefusal> {
        if self.id != link.owner {
            return Err(LinkRefusal::OtherUser);
        }
        if self.email.as_deref().map(hash).as_deref() != Some(&link.address_hash) {
            return Err(LinkRefusal::OtherAddress);
        }
        if now >= link.ends_at() {
            return Err(LinkRefusal::Expired);
        }
        if self.identities >= IDENTITIES_PER_USER_MAX {
            return Err(LinkRefusal::TooMany);
        }
        self.standing.check_open(now)?;
        Ok(Self { identities: self.identities + 1, version: self.version + 1, ..self })
    }
}

fn hash(address: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(address.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn identity(subject: &str) -> Identity {
        Identity {
            issuer: "https://provider.example".to_owned(),
            subject: subject.to_owned(),
            email: Some("Ada@example.org".to_owned()),
            email_verified: true,
            given_name: String::new(),
            family_name: String::new(),
            roles: Vec::new(),
        }
    }

    #[test]
    fn s_19_an_identity_becomes_the_users_whose_address_it_has_and_nobody_elses() {
        let random = SeededRandom::new(1);
        let user = User::join(identity("1"), None, at(0), &random).unwrap().user;
        let taken = User::join(identity("2"), Some(&user.id), at(0), &random).unwrap_err();
        let (link, cookie) = PendingLink::begin(&identity("2"), &taken, at(0), &random);
        assert_eq!(link.hash, SessionHash::of(&cookie));
        let last = LINKING_SECONDS - 1;
        let email = |address: &str| User { email: Some(address.to_owned()), ..user.clone() };
        let full = User { identities: IDENTITIES_PER_USER_MAX, ..user.clone() };
        let stranger = User { id: UserId::new(at(0), &random), ..user.clone() };
        for (user, now, refusal) in [
            (user.clone(), last, None),
            (user.clone(), last + 1, Some(LinkRefusal::Expired)),
            (stranger, 0, Some(LinkRefusal::OtherUser)),
            (email("new@example.org"), 0, Some(LinkRefusal::OtherAddress)),
            (email("Ada@example.org"), 0, Some(LinkRefusal::OtherAddress)),
            (User { email: None, ..user.clone() }, 0, Some(LinkRefusal::OtherAddress)),
            (full, 0, Some(LinkRefusal::TooMany)),
            (user.clone().suspend(at(0)).unwrap(), 0, Some(LinkRefusal::Closed(Closed::Suspended))),
        ] {
            let expected = match refusal {
                Some(refusal) => Err(refusal),
                None => Ok(User { identities: 2, version: user.version + 1, ..user.clone() }),
            };
            assert_eq!(user.link(&link, at(now)), expected);
        }
    }
}
