//! Text from people: stored as given, in one Unicode form, without control characters.

use unicode_normalization::UnicodeNormalization;

use crate::limits::{EMAIL_CHARACTERS_MAX, URL_CHARACTERS_MAX};

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than allowed, counted in characters after normalisation.
    #[error("must be at most {characters_max} characters")]
    TooLong {
        /// The limit.
        characters_max: usize,
    },
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// A control character.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// Not the shape that was asked for.
    #[error("must be {expected}")]
    Shape {
        /// What was expected, as the end of a sentence.
        expected: &'static str,
    },
}

/// `text` trimmed and in Unicode normalisation form C; may be empty.
pub fn normalize(text: &str, characters_max: usize) -> Result<String, TextError> {
    let normalized: String = text.trim().nfc().collect();
    if normalized.chars().any(char::is_control) {
        return Err(TextError::ControlCharacter);
    }
    if normalized.chars().count() > characters_max {
        return Err(TextError::TooLong { characters_max });
    }
    Ok(normalized)
}

/// As [`normalize`], but not empty.
pub fn normalize_required(text: &str, characters_max: usize) -> Result<String, TextError> {
    let normalized = normalize(text, characters_max)?;
    if normalized.is_empty() { Err(TextError::Empty) } else { Ok(normalized) }
}

/// A text of many lines, in Unicode normalisation form C, its lines ended by a line feed each and
/// without white space around it; not empty.
pub fn normalize_lines(text: &str, characters_max: usize) -> Result<String, TextError> {
    let normalized: String = text.replace("\r\n", "\n").trim().nfc().collect();
    if normalized.is_empty() {
        return Err(TextError::Empty);
    }
    if normalized.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(TextError::ControlCharacter);
    }
    if normalized.chars().count() > characters_max {
        return Err(TextError::TooLong { characters_max });
    }
    Ok(normalized)
}

/// An e-mail address in the form it is compared and stored in: trimmed and case-folded.
///
/// The provider verifies addresses; this only refuses what cannot be one.
pub fn email(text: &str) -> Result<String, TextError> {
    let folded = normalize_required(text, EMAIL_CHARACTERS_MAX)?.to_lowercase();
    let shape = TextError::Shape { expected: "an e-mail address" };
    let Some((local, domain)) = folded.rsplit_once('@') else {
        return Err(shape);
    };
    if local.is_empty() || domain.is_empty() || folded.contains(char::is_whitespace) {
        return Err(shape);
    }
    Ok(folded)
}

/// A path on our own site to return to after signing in: it starts with one slash, so no host can
/// be smuggled in, neither `//host` nor `/\host` which browsers read alike.
///
/// An absolute URL of one of `origins` is accepted and cut to its path (fault A7 of the system
/// before this one: its own pages sent absolute URLs and were refused).
pub fn return_path(text: &str, origins: &[String]) -> Result<String, TextError> {
    let shape = TextError::Shape { expected: "a path on this site" };
    if text.chars().count() > URL_CHARACTERS_MAX {
        return Err(TextError::TooLong { characters_max: URL_CHARACTERS_MAX });
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return Err(shape);
    }
    let path = origins
        .iter()
        .find_map(|origin| text.strip_prefix(origin.as_str()))
        .map_or(text, |rest| if rest.is_empty() { "/" } else { rest });
    if path.starts_with('/') && !path.starts_with("//") { Ok(path.to_owned()) } else { Err(shape) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_normalised_before_it_is_counted() {
        assert_eq!(normalize("  e\u{301}  ", 1), Ok("é".to_owned()));
        assert_eq!(normalize("ab", 1), Err(TextError::TooLong { characters_max: 1 }));
        assert_eq!(normalize("a\u{0}b", 9), Err(TextError::ControlCharacter));
        assert_eq!(normalize_required("  ", 9), Err(TextError::Empty));
        assert_eq!(normalize_lines(" a\r\n\te\u{301}\n", 4), Ok("a\n\té".to_owned()));
        assert_eq!(normalize_lines("a\u{0}b", 9), Err(TextError::ControlCharacter));
        assert_eq!(normalize_lines("abc", 2), Err(TextError::TooLong { characters_max: 2 }));
        assert_eq!(normalize_lines("\n", 9), Err(TextError::Empty));
    }

    #[test]
    fn e_mail_addresses_are_folded() {
        assert_eq!(email(" Ada@Example.ORG "), Ok("ada@example.org".to_owned()));
        for text in ["ada", "@b", "a@", "a b@c"] {
            assert!(email(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_7_own_absolute_addresses_are_accepted_and_foreign_ones_are_not() {
        let origins = ["https://rollcall.example".to_owned()];
        for (text, path) in [
            ("/courses?x=1", Some("/courses?x=1")),
            ("https://rollcall.example/courses", Some("/courses")),
            ("https://rollcall.example", Some("/")),
            ("https://rollcall.example.evil.example/", None),
            ("https://evil.example/", None),
            ("//evil.example", None),
            ("/\\evil.example", None),
            ("javascript:alert(1)", None),
            ("courses", None),
            ("/a\nb", None),
        ] {
            assert_eq!(return_path(text, &origins).ok().as_deref(), path, "{text}");
        }
    }
}
