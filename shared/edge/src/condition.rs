//! Conditional requests (RFC 9110 §13): who changes something says which version they saw, so that
//! nobody undoes what they never read, and who has the current state is not sent it again.
//!
//! Every answer to a GET that is JSON has an entity tag, and a GET that names it by `If-None-Match`
//! answers 304; no handler does anything for that ([`crate::serve`] does). The tag is the digest of the
//! answer. Where the resource can be changed, the handler sets the tag of its version
//! ([`entity_tag`]), which goes before the digest: `"7.F2PjQ5…"`. A change names that tag by
//! `If-Match`, and its version counts alone, since answers also tell what nobody changes by hand, such
//! as when a user was last seen.
//!
//! The smallest example is `functions/identity/src/user_update.rs`:
//!
//! ```text
//! let if_match = IfMatch::from_request(request)?;
//! if_match.check(user.profile_version).map_err(UserUpdateError::Condition)?;
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rollcall_runtime::declaration::ProblemKind;

use crate::problem::Problem;
use crate::request::HttpRequest;
use sha2::{Digest, Sha256};

/// Bytes of a digest that stand in a tag: enough that no two answers ever share one.
const DIGEST_BYTES: usize = 16;

/// The request changes something and does not say which version it is about (RFC 6585 §3).
pub static PRECONDITION_REQUIRED: ProblemKind = ProblemKind {
    code: "if-match-required",
    status: 428,
    title: "The request needs an If-Match.",
    advice: "Read the current state and send its ETag as If-Match.",
};

/// There is another version than the one that the request is about (RFC 9110 §15.5.13).
pub static PRECONDITION_FAILED: ProblemKind = ProblemKind {
    code: "version-changed",
    status: 412,
    title: "This was changed since you read it.",
    advice: "Read the current state, see whether your change still makes sense, and send it with the new ETag.",
};

/// The strong entity tag of a version (RFC 9110 §8.8.3).
pub fn entity_tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// The tag of an answer with this body; `own` is what the handler set, for a version.
pub(crate) fn complete_tag(own: Option<&str>, body: &str) -> String {
    let digest = Sha256::digest(body);
    let digest = URL_SAFE_NO_PAD.encode(digest.get(..DIGEST_BYTES).unwrap_or_default());
    match own {
        Some(own) => format!("\"{}.{digest}\"", own.trim_matches('"')),
        None => format!("\"{digest}\""),
    }
}

/// Whether `If-None-Match` names a tag; weak comparison (RFC 9110 §13.1.2).
pub(crate) fn is_known(if_none_match: &str, tag: &str) -> bool {
    if_none_match.split(',').any(|other| {
        let other = other.trim();
        other == "*" || other.strip_prefix("W/").unwrap_or(other) == tag
    })
}

/// The version that a strong tag names.
fn named_version(tag: &str) -> Option<&str> {
    let inner = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.split_once('.').map_or(inner, |(version, _digest)| version))
}

/// The versions that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfMatch(String);

impl IfMatch {
    /// The request's `If-Match`; 428 without.
    pub fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let value = request.header("if-match").filter(|value| !value.trim().is_empty());
        let value = value.ok_or_else(|| Problem::new(&PRECONDITION_REQUIRED))?;
        Ok(Self(value.to_owned()))
    }

    /// Whether the request is about `version`; 412 if not. Weak tags never match, and `*` is any
    /// version (RFC 9110 §13.1.1).
    pub fn check(&self, version: u64) -> Result<(), Problem> {
        let version = version.to_string();
        let Self(value) = self;
        let names = |tag| named_version(tag) == Some(version.as_str());
        let matches = value.trim() == "*" || value.split(',').any(names);
        if matches { Ok(()) } else { Err(Problem::new(&PRECONDITION_FAILED)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_strong_tag_of_the_version_matches() {
        for (value, matches) in [
            ("\"7\"", true),
            ("\"7.digest\"", true),
            ("\"6.digest\", \"7.digest\"", true),
            ("\"77.digest\"", false),
            ("\"digest\"", false),
            ("\"digest.7\"", false),
            ("W/\"7.digest\"", false),
            ("\"7.digest", false),
            (" \"6\" , \"7\" ", true),
            ("*", true),
            ("W/\"7\"", false),
            ("7", false),
            ("\"77\"", false),
            ("\"6\"", false),
            ("\"*\"", false),
            ("'7'", false),
        ] {
            assert_eq!(IfMatch(value.to_owned()).check(7).is_ok(), matches, "{value}");
        }
    }
}
