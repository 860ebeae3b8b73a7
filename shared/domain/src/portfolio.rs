//! What users show of their work: pieces on two shelves, each an item of its own, as many as fit.
//! Who sees a profile sees its shelves.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::{PieceId, UserId};
use crate::limits::{
    PIECE_DESCRIPTION_CHARACTERS_MAX, PIECE_TITLE_CHARACTERS_MAX, PIECE_YEAR_MAX, PIECE_YEAR_MIN,
};
use crate::profile::https_url;
use crate::text::{self, TextError};

/// A collection of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shelf {
    /// What somebody worked on.
    Work,
    /// What somebody made and shows.
    Portfolio,
}

impl Shelf {
    /// Every shelf.
    pub const ALL: [Self; 2] = [Self::Work, Self::Portfolio];

    /// The name in tables and paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Portfolio => "portfolio",
        }
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names no shelf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no shelf")]
pub struct UnknownShelf;

impl FromStr for Shelf {
    type Err = UnknownShelf;

    fn from_str(text: &str) -> Result<Self, UnknownShelf> {
        Self::ALL.into_iter().find(|shelf| shelf.as_str() == text).ok_or(UnknownShelf)
    }
}

/// What is said about a piece, as somebody sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawContent {
    /// Its name.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Where it is.
    pub url: Option<String>,
    /// When it was made.
    pub year: Option<i32>,
}

/// What is said about a piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its name.
    pub title: String,
    /// What it is; may be empty. It is text and never mark-up.
    pub description: String,
    /// Where it is, by https.
    pub url: Option<String>,
    /// When it was made.
    pub year: Option<i32>,
}

/// What is wrong with something that is said about a piece.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The title is no title.
    #[error(transparent)]
    Title(TextError),
    /// The description is no description.
    #[error(transparent)]
    Description(TextError),
    /// The URL leads nowhere by https.
    #[error("must be an https URL without user name and password")]
    Url,
    /// The year is none.
    #[error("must be a year from {PIECE_YEAR_MIN} to {PIECE_YEAR_MAX}")]
    Year,
}

impl ContentError {
    /// The member that is wrong, as a JSON pointer (RFC 6901).
    pub const fn pointer(&self) -> &'static str {
        match self {
            Self::Title(_) => "/title",
            Self::Description(_) => "/description",
            Self::Url => "/url",
            Self::Year => "/year",
        }
    }

    /// What is wrong, stable, kebab-case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Title(_) | Self::Description(_) => "invalid-text",
            Self::Url => "invalid-url",
            Self::Year => "out-of-range",
        }
    }
}

impl RawContent {
    /// Checks everything at once, so that its sender learns of every fault.
    pub fn check(self) -> Result<Content, Vec<ContentError>> {
        let mut errors = Vec::new();
        let title = text::normalize_required(&self.title, PIECE_TITLE_CHARACTERS_MAX);
        let title = kept(title.map_err(ContentError::Title), &mut errors);
        let description = text::normalize(&self.description, PIECE_DESCRIPTION_CHARACTERS_MAX);
        let description = kept(description.map_err(ContentError::Description), &mut errors);
        let url = self.url.map(|url| https_url(&url).map_err(|_error| ContentError::Url));
        let url = kept(url.transpose(), &mut errors).flatten();
        let known = |year: &i32| (PIECE_YEAR_MIN..=PIECE_YEAR_MAX).contains(year);
        if !self.year.as_ref().is_none_or(known) {
            errors.push(ContentError::Year);
        }
        match (title, description) {
            (Some(title), Some(description)) if errors.is_empty() => {
                Ok(Content { title, description, url, year: self.year })
            }
            _ => Err(errors),
        }
    }
}

fn kept<T>(checked: Result<T, ContentError>, errors: &mut Vec<ContentError>) -> Option<T> {
    checked.map_err(|error| errors.push(error)).ok()
}

/// A piece on somebody's shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its id.
    pub id: PieceId,
    /// On which shelf it is.
    pub shelf: Shelf,
    /// What is said about it.
    pub content: Content,
    /// When it was put there.
    pub created_at: Timestamp,
    /// Counts its writes.
    pub version: u64,
}

impl Piece {
    /// A new piece. Its id follows from who puts it where under which idempotency key, so putting it
    /// there again is putting the same piece there.
    pub fn new(owner: &UserId, shelf: Shelf, key: &str, content: Content, now: Timestamp) -> Self {
        let mut hash = Sha256::new_with_prefix(b"rollcall piece\0");
        for part in [owner.as_str(), shelf.as_str(), key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let id = PieceId::of_digest(&hash.finalize().into());
        Self { id, shelf, content, created_at: now, version: 1 }
    }

    /// The piece with something else said about it; `None` when it is the same.
    pub fn changed(&self, content: Content) -> Option<Self> {
        let changed = Self { content, version: self.version + 1, ..self.clone() };
        (changed.content != self.content).then_some(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use proptest::prelude::*;

    fn raw(title: &str, url: Option<&str>, year: Option<i32>) -> RawContent {
        let url = url.map(ToOwned::to_owned);
        RawContent { title: title.to_owned(), description: String::new(), url, year }
    }

    fn check(raw: RawContent, pointers: &[&str]) {
        let shown = format!("{raw:?}");
        let refused = raw.check().err().unwrap_or_default();
        let actual: Vec<&str> = refused.iter().map(ContentError::pointer).collect();
        assert_eq!(actual, pointers, "{shown}");
    }

    #[test]
    fn every_fault_of_a_piece_is_named_at_once() {
        check(raw("Giselle", Some("https://a.example/g"), Some(1841)), &[]);
        check(raw("G", None, None), &[]);
        check(raw(" ", None, None), &["/title"]);
        check(raw(&"x".repeat(121), None, None), &["/title"]);
        check(raw("a\u{7}", Some("http://a.example"), Some(99)), &["/title", "/url", "/year"]);
        for url in ["javascript:alert(1)", "https://u:p@a.example", "//a.example", ""] {
            check(raw("G", Some(url), None), &["/url"]);
        }
        let long = RawContent { description: "x".repeat(2_001), ..raw("G", None, Some(2101)) };
        check(long, &["/description", "/year"]);
    }

    #[test]
    fn the_same_key_makes_the_same_piece_and_no_other_does() {
        let user = |seed| UserId::new(Timestamp::UNIX_EPOCH, &SeededRandom::new(seed));
        let content = || raw("G", None, None).check().unwrap();
        let id = |seed, shelf, key: &str, second| {
            let now = Timestamp::from_second(second).unwrap();
            Piece::new(&user(seed), shelf, key, content(), now).id
        };
        let one = id(1, Shelf::Work, "key", 1);
        assert_eq!(one, id(1, Shelf::Work, "key", 2));
        assert_eq!(one.as_str().parse(), Ok(one.clone()));
        for other in [
            id(2, Shelf::Work, "key", 1),
            id(1, Shelf::Portfolio, "key", 1),
            id(1, Shelf::Work, "other", 1),
        ] {
            assert_ne!(one, other);
        }
    }

    proptest! {
        #[test]
        fn what_passes_passes_again_unchanged(
            title in ".{0,130}",
            description in ".{0,60}",
            year in prop::option::of(1_700..2_200),
        ) {
            if let Ok(content) = (RawContent { title, description, url: None, year }).check() {
                let Content { title, description, url, year } = content.clone();
                let again = RawContent { title, description, url, year }.check();
                prop_assert_eq!(again, Ok(content));
            }
        }
    }
}
