//! Sessions: how long they last and what proves a request was made by our own page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::id::{SessionId, UserId};
use crate::limits::{
    REFRESH_DUE_SECONDS, SESSION_ABSOLUTE_SECONDS, SESSION_IDLE_SECONDS, SESSION_TOUCH_SECONDS,
};
use crate::random::{Random, token_256};
use crate::role::Role;
use crate::secret::{Secret, constant_time_equal};
use crate::time::{Timestamp, after_seconds};

/// What is stored of a session id: its SHA-256, so that a read of the table signs nobody in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionHash(String);

impl SessionHash {
    /// The hash of the id that a cookie carries.
    pub fn of(session_id: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(session_id.as_bytes())))
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

/// One signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names the session among those of its user; shown to them, and worth nothing as a cookie.
    pub id: SessionId,
    /// Finds the session by its cookie.
    pub hash: SessionHash,
    /// Who signed in.
    pub user: UserId,
    /// What the user may do; a change of roles ends the session.
    pub roles: Vec<Role>,
    /// When the user signed in.
    pub signed_in_at: Timestamp,
    /// When the session was last used, to within five minutes.
    pub last_used_at: Timestamp,
    /// When the identity provider was last asked about the user: at the sign-in or a refresh.
    pub asked_at: Timestamp,
    /// Counts the CSRF tokens that were handed out and revoked.
    pub epoch: u32,
}

impl Session {
    /// A session of somebody who has just proved who they are; the second value goes into the
    /// browser's cookie.
    pub fn begin(
        user: UserId,
        roles: Vec<Role>,
        now: Timestamp,
        random: &dyn Random,
    ) -> (Self, String) {
        let cookie = token_256(random);
        let session = Self {
            id: SessionId::new(now, random),
            hash: SessionHash::of(&cookie),
            user,
            roles,
            signed_in_at: now,
            last_used_at: now,
            asked_at: now,
            epoch: 1,
        };
        (session, cookie)
    }

    /// The session that takes this one's place when what the user may do has changed. Its cookie is
    /// new, so that an old one cannot be lifted to new rights; it ends no later than this one had
    /// to.
    pub fn succeed(&self, roles: Vec<Role>, now: Timestamp, random: &dyn Random) -> (Self, String) {
        let (session, cookie) = Self::begin(self.user.clone(), roles, now, random);
        (Self { signed_in_at: self.signed_in_at, ..session }, cookie)
    }

    /// When the session ends: the earlier of its idle and its absolute end.
    pub fn ends_at(&self) -> Timestamp {
        after_seconds(self.last_used_at, SESSION_IDLE_SECONDS)
            .min(after_seconds(self.signed_in_at, SESSION_ABSOLUTE_SECONDS))
    }

    /// Whether the session may still be used.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.ends_at()
    }

    /// Whether this use should be stored.
    pub fn needs_touch(&self, now: Timestamp) -> bool {
        now >= after_seconds(self.last_used_at, SESSION_TOUCH_SECONDS)
    }

    /// Whether the provider is to be asked about the user again, now that the session is used.
    pub fn needs_refresh(&self, now: Timestamp) -> bool {
        now >= after_seconds(self.asked_at, REFRESH_DUE_SECONDS)
    }

    /// The token that a page of ours sends with an unsafe request: HMAC-SHA-256 under `key` over
    /// session and epoch, so it is useless with another session or after the epoch moved on.
    pub fn csrf_token(&self, key: &Secret) -> String {
        // HMAC takes a key of any length, so the error cannot occur; an empty token matches nothing.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
            return String::new();
        };
        mac.update(b"rollcall csrf\0");
        mac.update(self.hash.as_str().as_bytes());
        mac.update(&self.epoch.to_be_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Whether `token` is this session's CSRF token, in constant time.
    pub fn accepts_csrf_token(&self, key: &Secret, token: &str) -> bool {
        let expected = self.csrf_token(key);
        !expected.is_empty() && constant_time_equal(&expected, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    fn session(signed_in: i64, last_used: i64) -> Session {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        Session {
            id: SessionId::new(at(0), &SeededRandom::new(2)),
            hash: SessionHash::of("id"),
            user: UserId::new(at(0), &SeededRandom::new(1)),
            roles: Vec::new(),
            signed_in_at: at(signed_in),
            last_used_at: at(last_used),
            asked_at: at(signed_in),
            epoch: 1,
        }
    }

    #[test]
    fn a_session_ends_when_idle_and_in_any_case_after_thirty_days() {
        for (last_used, now, live) in [
            (0, SESSION_IDLE_SECONDS - 1, true),
            (0, SESSION_IDLE_SECONDS, false),
            (SESSION_ABSOLUTE_SECONDS - 60, SESSION_ABSOLUTE_SECONDS - 1, true),
            (SESSION_ABSOLUTE_SECONDS - 60, SESSION_ABSOLUTE_SECONDS, false),
        ] {
            let now = Timestamp::from_second(now).unwrap();
            assert_eq!(session(0, last_used).is_live(now), live, "{last_used} {now}");
        }
    }

    #[test]
    fn a_successor_has_a_cookie_of_its_own_and_no_more_time() {
        let (random, now) = (SeededRandom::new(3), Timestamp::from_second(60).unwrap());
        let (first, cookie) = Session::begin(session(0, 0).user, vec![Role::Admin], now, &random);
        assert_eq!(first.hash, SessionHash::of(&cookie));
        let later = Timestamp::from_second(SESSION_ABSOLUTE_SECONDS).unwrap();
        let (second, other_cookie) = first.succeed(Vec::new(), later, &random);
        assert!(second.roles.is_empty() && second.user == first.user);
        assert!(cookie != other_cookie && first.hash != second.hash && first.id != second.id);
        assert_eq!(second.ends_at(), after_seconds(now, SESSION_ABSOLUTE_SECONDS));
        assert!(first.needs_refresh(later) && !second.needs_refresh(later));
    }

    #[test]
    fn a_csrf_token_is_bound_to_its_session_epoch_and_key() {
        let (key, other_key) = (Secret::new("key"), Secret::new("other"));
        let own = session(0, 0);
        let token = own.csrf_token(&key);
        assert!(own.accepts_csrf_token(&key, &token));
        let other = Session { hash: SessionHash::of("other"), ..own.clone() };
        assert!(!other.accepts_csrf_token(&key, &token));
        let later = Session { epoch: 2, ..own.clone() };
        assert!(!later.accepts_csrf_token(&key, &token));
        assert!(!own.accepts_csrf_token(&other_key, &token));
        assert!(!own.accepts_csrf_token(&key, ""));
    }
}
