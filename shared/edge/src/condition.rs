//! Conditional changes (RFC 9110 §13): who changes something says which version they saw, so that
//! nobody undoes what they never read.

use rollcall_runtime::declaration::ProblemKind;

use crate::problem::Problem;
use crate::request::HttpRequest;

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
        let tag = entity_tag(version);
        let Self(value) = self;
        let matches = value.trim() == "*" || value.split(',').any(|other| other.trim() == tag);
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
