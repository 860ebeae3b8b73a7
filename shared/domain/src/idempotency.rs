//! Idempotency keys: one effect and one answer for a request that is sent several times
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! The first request with a key holds it until its answer is kept. Those that come meanwhile wait,
//! those that come later get the kept answer, byte for byte. A key that comes back with another
//! request is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::id::UserId;
use crate::time::Timestamp;

/// How long an answer is kept, in seconds.
pub const KEPT_SECONDS: i64 = 24 * 60 * 60;
/// Characters of a key.
pub const KEY_CHARACTERS_MAX: usize = 255;
/// Bytes of an answer that is kept.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A text that cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {KEY_CHARACTERS_MAX} visible ASCII characters")]
pub struct InvalidKey;

/// A key as it is stored: only a hash, bound to who sent it where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    hash: String,
    user: Option<UserId>,
}

impl IdempotencyKey {
    /// The key that `caller`, a user's id or a client's name, sent to `route`.
    pub fn new(caller: &str, route: &str, text: &str) -> Result<Self, InvalidKey> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > KEY_CHARACTERS_MAX || !is_visible {
            return Err(InvalidKey);
        }
        let hash = hash(&[caller.as_bytes(), route.as_bytes(), text.as_bytes()]);
        Ok(Self { hash, user: caller.parse().ok() })
    }

    /// The user who sent it: an answer that is kept may tell of them, and goes with them. None of a
    /// machine.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The hash.
    pub fn as_str(&self) -> &str {
        &self.hash
    }
}

/// What was asked, as a hash: method, path with query, and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(String);

impl Payload {
    /// The hash of a request.
    pub fn of(method: &str, path: &str, body: &[u8]) -> Self {
        Self(hash(&[method.as_bytes(), path.as_bytes(), body]))
    }

    /// A hash as it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 over parts, each behind its length, so that no two lists of parts are hashed alike.
fn hash(parts: &[&[u8]]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| {
        digest.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
    });
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

/// An answer as it is kept. Cookies are secrets and never part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<String>,
}

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was asked.
    pub payload: Payload,
    /// Until when the key means this request.
    pub kept_until: Timestamp,
    /// How far it is.
    pub progress: Progress,
}

/// How far the request with a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Somebody works on it, until this time at the latest.
    Held(Timestamp),
    /// It was answered.
    Answered(KeptAnswer),
}

/// What a request with a key does, given what is stored under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Takes the key and does the work.
    Begin,
    /// Waits for who holds the key, until this time at the latest.
    Wait(Timestamp),
    /// Gives this answer.
    Repeat(KeptAnswer),
    /// Is refused: the key belongs to another request.
    Refuse,
}

/// Decides what a request with this payload does.
///
/// Of an expired record nothing counts; DynamoDB may take two days to remove it.
pub fn turn(record: Option<Record>, payload: &Payload, now: Timestamp) -> Turn {
    match record {
        None => Turn::Begin,
        Some(record) if record.kept_until <= now => Turn::Begin,
        Some(record) if record.payload != *payload => Turn::Refuse,
        Some(Record { progress: Progress::Answered(answer), .. }) => Turn::Repeat(answer),
        Some(Record { progress: Progress::Held(until), .. }) if until <= now => Turn::Begin,
        Some(Record { progress: Progress::Held(until), .. }) => Turn::Wait(until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_key_means_one_request_until_it_expires() {
        let (asked, other) = (Payload::of("POST", "/a", b"1"), Payload::of("POST", "/a", b"2"));
        let answer = KeptAnswer { status: 200, headers: Vec::new(), body: None };
        let held = |until| Progress::Held(at(until));
        let answered = Progress::Answered(answer.clone());
        for (progress, payload, now, expected) in [
            (held(30), &asked, 29, Turn::Wait(at(30))),
            (held(30), &asked, 30, Turn::Begin),
            (held(30), &other, 29, Turn::Refuse),
            (held(30), &other, 30, Turn::Refuse),
            (answered.clone(), &asked, 99, Turn::Repeat(answer)),
            (answered.clone(), &other, 99, Turn::Refuse),
            (answered.clone(), &asked, 100, Turn::Begin),
            (answered, &other, 100, Turn::Begin),
        ] {
            let record = Record { payload: asked.clone(), kept_until: at(100), progress };
            let shown = format!("{record:?} {payload:?} {now}");
            assert_eq!(turn(Some(record), payload, at(now)), expected, "{shown}");
        }
        assert_eq!(turn(None, &asked, at(0)), Turn::Begin);
    }

    #[test]
    fn a_key_belongs_to_its_sender_and_route() {
        let key = |caller, route, text: &str| IdempotencyKey::new(caller, route, text);
        let own = key("usr_1", "POST /a", "k").unwrap();
        assert_eq!(key("usr_1", "POST /a", "k").unwrap(), own);
        for other in [
            key("usr_2", "POST /a", "k"),
            key("usr_1", "POST /b", "k"),
            key("usr_1", "POST /a", "K"),
        ] {
            assert_ne!(other.unwrap(), own);
        }
        assert_ne!(Payload::of("POST", "/ab", b"c"), Payload::of("POST", "/a", b"bc"));
        for text in ["", "a b", "é", "\u{7}", &"x".repeat(256)] {
            assert_eq!(key("usr_1", "POST /a", text), Err(InvalidKey), "{text}");
        }
        assert!(key("usr_1", "POST /a", &"x".repeat(255)).is_ok());
        let user = UserId::new(at(1), &SeededRandom::new(1));
        assert_eq!(key(user.as_str(), "POST /a", "k").unwrap().user(), Some(&user));
        assert_eq!(key("client:usr_1", "POST /a", "k").unwrap().user(), None);
    }
}
