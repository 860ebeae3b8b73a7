//! Slugs: the stable, readable names of catalogue entries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::SLUG_CHARACTERS_MAX;

/// A canonical slug: lower-case letters, digits and single dashes, starting with a letter or digit.
///
/// There is one spelling per thing. The system before this one matched without regard to case and
/// stored what the caller wrote, so one module could be completed three times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// A text that is not a slug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {SLUG_CHARACTERS_MAX} lower-case letters, digits and single dashes")]
pub struct InvalidSlug;

impl Slug {
    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, InvalidSlug> {
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if text.len() <= SLUG_CHARACTERS_MAX && text.split('-').all(word) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidSlug)
    }
}

impl TryFrom<String> for Slug {
    type Error = InvalidSlug;

    fn try_from(text: String) -> Result<Self, InvalidSlug> {
        text.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> String {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_10_letter_case_never_makes_a_second_slug() {
        for (text, valid) in [
            ("streams-101", true),
            ("Streams-101", false),
            ("a--b", false),
            ("-a", false),
            ("a-", false),
            ("", false),
            ("__proto__", false),
            ("ä", false),
        ] {
            assert_eq!(text.parse::<Slug>().is_ok(), valid, "{text}");
        }
        assert!("a".repeat(SLUG_CHARACTERS_MAX).parse::<Slug>().is_ok());
        assert!("a".repeat(SLUG_CHARACTERS_MAX + 1).parse::<Slug>().is_err());
    }
}
