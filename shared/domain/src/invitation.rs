//! Invitations: how somebody who is known, but has no account, comes by one.
//!
//! Whoever asks hears the same whether the address is known or not (fault S8 of the system before
//! this one: anybody could find out who is a member, and have mail sent to them without end). What
//! follows is decided later and told by mail alone, to the reader of the address.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::id::InvitationId;
use crate::limits::{
    CLAIM_ANSWERS_MAX, CLAIM_ANSWERS_SECONDS, CLAIM_INTERVAL_SECONDS, INVITATION_SECONDS,
};
use crate::mail::Address;
use crate::random::{Random, token_256};
use crate::secret::Secret;
use crate::time::{Timestamp, after_seconds};

/// What is stored of an invitation's token: its SHA-256, so that a read of the table invites nobody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvitationHash(String);

impl InvitationHash {
    /// The hash of a token.
    pub fn of(token: &Secret) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(token.expose().as_bytes())))
    }

    /// A hash as it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvitationHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The right of whoever reads an address to make an account for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Finds the invitation by its token.
    pub hash: InvitationHash,
    /// Whose; `None` once it was accepted.
    pub address: Option<Address>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
}

/// Why an invitation is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvitationRefusal {
    /// An account was made with it.
    #[error("the invitation was accepted before")]
    Used,
    /// Its time is over.
    #[error("the invitation has expired")]
    Expired,
}

impl Invitation {
    /// A new invitation; the second value goes to the reader of the address, and nowhere else.
    pub fn make(address: Address, now: Timestamp, random: &dyn Random) -> (Self, Secret) {
        let token = Secret::new(token_256(random));
        let hash = InvitationHash::of(&token);
        (Self { hash, address: Some(address), created_at: now, accepted_at: None }, token)
    }

    /// When it can no longer be accepted.
    pub fn ends_at(&self) -> Timestamp {
        after_seconds(self.created_at, INVITATION_SECONDS)
    }

    /// Whom it invites now.
    pub fn open(&self, now: Timestamp) -> Result<&Address, InvitationRefusal> {
        match &self.address {
            Some(_) if now >= self.ends_at() => Err(InvitationRefusal::Expired),
            Some(address) if self.accepted_at.is_none() => Ok(address),
            Some(_) | None => Err(InvitationRefusal::Used),
        }
    }
}

/// What has become of an invitation that an operator sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationState {
    /// It can be accepted.
    Open,
    /// An account was made with it.
    Accepted,
    /// Nobody accepted it in time.
    Expired,
    /// A later invitation of the same address took its place, or its reader was erased.
    Replaced,
}

impl InvitationState {
    /// The state of what is kept of an invitation; nothing is kept of one that was replaced.
    pub fn of(kept: Option<&Invitation>, now: Timestamp) -> Self {
        match kept.map(|invitation| invitation.open(now)) {
            None => Self::Replaced,
            Some(Ok(_)) => Self::Open,
            Some(Err(InvitationRefusal::Used)) => Self::Accepted,
            Some(Err(InvitationRefusal::Expired)) => Self::Expired,
        }
    }

    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
        }
    }
}

/// An invitation that an operator sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id, for operators; it proves nothing.
    pub id: InvitationId,
    /// Finds the invitation.
    pub hash: InvitationHash,
    /// Who sent it, as in the audit log.
    pub invited_by: String,
    /// When.
    pub created_at: Timestamp,
    /// How its reader is addressed; forgotten once it was accepted.
    pub name: Option<String>,
    /// What is kept of it; nothing once it was replaced.
    pub kept: Option<Invitation>,
}

impl Sent {
    /// What has become of it.
    pub fn state(&self, now: Timestamp) -> InvitationState {
        InvitationState::of(self.kept.as_ref(), now)
    }

    /// Whether to invite the same address again is to invite it once.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.state(now) == InvitationState::Open
            && now < after_seconds(self.created_at, CLAIM_INTERVAL_SECONDS)
    }
}

/// What an address was answered lately. It bounds the mails that anybody can have sent to somebody
/// else, and how often we ask the CRM about an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correspondence {
    /// When it was answered, oldest first; only what still counts.
    pub answered_at: Vec<Timestamp>,
    /// The invitation that is out.
    pub invitation: Option<InvitationHash>,
    /// Counts the writes; 0 when there was none.
    pub version: u64,
}

impl Correspondence {
    /// The correspondence after one more answer, which replaces the invitation that is out if it is
    /// one; `None` when the address was answered a moment ago, or often enough for a day.
    #[must_use]
    pub fn answer(&self, invitation: Option<&InvitationHash>, now: Timestamp) -> Option<Self> {
        let since = after_seconds(now, -CLAIM_ANSWERS_SECONDS);
        let mut answered_at: Vec<Timestamp> =
            self.answered_at.iter().copied().filter(|at| *at > since).collect();
        let recent = answered_at
            .last()
            .is_some_and(|last| now < after_seconds(*last, CLAIM_INTERVAL_SECONDS));
        if recent || answered_at.len() >= CLAIM_ANSWERS_MAX {
            return None;
        }
        answered_at.push(now);
        let invitation = invitation.cloned().or_else(|| self.invitation.clone());
        Some(Self { answered_at, invitation, version: self.version + 1 })
    }
}

/// What is known about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A user has it, verified.
    User,
    /// The CRM has a contact with it.
    Contact,
    /// Nothing.
    Nobody,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SeededRandom;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn address() -> Address {
        Address::parse("ada@rollcall.example").unwrap()
    }

    #[test]
    fn an_invitation_is_open_for_seven_days_and_until_it_is_used() {
        let (invitation, token) = Invitation::make(address(), at(0), &SeededRandom::new(1));
        assert_eq!(invitation.hash, InvitationHash::of(&token));
        assert!(!format!("{invitation:?}").contains(token.expose()));
        let used = Invitation { accepted_at: Some(at(1)), address: None, ..invitation.clone() };
        for (invitation, now, expected) in [
            (&invitation, INVITATION_SECONDS - 1, Ok(&address())),
            (&invitation, INVITATION_SECONDS, Err(InvitationRefusal::Expired)),
            (&used, 1, Err(InvitationRefusal::Used)),
            (&used, INVITATION_SECONDS, Err(InvitationRefusal::Used)),
        ] {
            assert_eq!(invitation.open(at(now)), expected, "{now}");
        }
        for (kept, now, expected) in [
            (Some(&invitation), INVITATION_SECONDS - 1, InvitationState::Open),
            (Some(&invitation), INVITATION_SECONDS, InvitationState::Expired),
            (Some(&used), 1, InvitationState::Accepted),
            (None, 1, InvitationState::Replaced),
        ] {
            assert_eq!(InvitationState::of(kept, at(now)), expected, "{now}");
        }
    }

    #[test]
    fn inviting_twice_within_ten_minutes_is_inviting_once() {
        let random = SeededRandom::new(1);
        let (invitation, _token) = Invitation::make(address(), at(0), &random);
        let sent = Sent {
            id: InvitationId::new(at(0), &random),
            hash: invitation.hash.clone(),
            invited_by: "client:import".to_owned(),
            created_at: at(0),
            name: None,
            kept: Some(invitation),
        };
        let replaced = Sent { kept: None, ..sent.clone() };
        for (sent, now, expected) in [
            (&sent, CLAIM_INTERVAL_SECONDS - 1, true),
            (&sent, CLAIM_INTERVAL_SECONDS, false),
            (&replaced, 1, false),
        ] {
            assert_eq!(sent.is_fresh(at(now)), expected, "{now}");
        }
    }

    #[test]
    fn a_new_invitation_takes_the_place_of_the_one_that_is_out() {
        let hash = |text: &str| InvitationHash::stored(text.to_owned());
        let first = Correspondence::default().answer(Some(&hash("1")), at(0)).unwrap();
        assert_eq!((first.invitation.clone(), first.version), (Some(hash("1")), 1));
        let told = first.answer(None, at(CLAIM_INTERVAL_SECONDS)).unwrap();
        assert_eq!((told.invitation.clone(), told.version), (Some(hash("1")), 2));
        let second = told.answer(Some(&hash("2")), at(2 * CLAIM_INTERVAL_SECONDS)).unwrap();
        assert_eq!(second.invitation, Some(hash("2")));
    }

    proptest! {
        #[test]
        fn s_08_nobody_gets_more_than_a_mail_in_ten_minutes_and_five_a_day(
            gaps in prop::collection::vec(0..7_200_i64, 1..200),
        ) {
            let (mut correspondence, mut now) = (Correspondence::default(), 0);
            let mut answered: Vec<i64> = Vec::new();
            for gap in gaps {
                now += gap;
                if let Some(next) = correspondence.answer(None, at(now)) {
                    correspondence = next;
                    answered.push(now);
                }
                prop_assert!(correspondence.answered_at.len() <= CLAIM_ANSWERS_MAX);
            }
            for (index, first) in answered.iter().enumerate() {
                let later = &answered[index + 1..];
                prop_assert!(later.iter().all(|at| at - first >= CLAIM_INTERVAL_SECONDS));
                let of_a_day = later.iter().filter(|at| *at - first < CLAIM_ANSWERS_SECONDS);
                prop_assert!(of_a_day.count() < CLAIM_ANSWERS_MAX);
            }
        }
    }
}
