//! HubSpot's words, made fit to be kept: short, and without e-mail addresses. Only the dead-letter
//! desk shows them.

/// Characters of a message that are kept. More than the desk shows, since the classifier reads what
/// is said about each property.
const MESSAGE_CHARACTERS_MAX: usize = 4_000;
/// Characters of a code or category that are kept.
const CODE_CHARACTERS_MAX: usize = 100;
/// Codes that are added to a message.
const CODES_MAX: usize = 8;

/// A code or category.
pub(crate) fn code(text: &str) -> String {
    text.chars().take(CODE_CHARACTERS_MAX).collect()
}

/// A message, followed by the codes that it does not mention: HubSpot gives some reasons in the
/// text, some beside it.
pub(crate) fn message<'a>(text: &str, codes: impl Iterator<Item = &'a str>) -> String {
    let mut message: String = redacted(text).chars().take(MESSAGE_CHARACTERS_MAX).collect();
    for code in codes.filter(|code| !code.is_empty()).take(CODES_MAX).map(code) {
        if !message.contains(&code) {
            message.push_str(if message.is_empty() { "" } else { " " });
            message.push_str(&redacted(&code));
        }
    }
    message
}

/// `text` without e-mail addresses. Cut at quotes and brackets too, since HubSpot puts JSON into its
/// messages and the codes beside an address are needed.
fn redacted(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    for piece in text.split_inclusive(ends_address) {
        let word = piece.trim_end_matches(ends_address);
        if word.contains('@') || word.contains("%40") {
            redacted.push('…');
            redacted.push_str(piece.strip_prefix(word).unwrap_or_default());
        } else {
            redacted.push_str(piece);
        }
    }
    redacted
}

fn ends_address(character: char) -> bool {
    character.is_whitespace() || "\"<>()[]{},;:=\\|".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, codes: &[&str], expected: &str) {
        assert_eq!(message(text, codes.iter().copied()), expected);
    }

    #[test]
    fn messages_keep_their_codes_and_lose_their_addresses() {
        check("Existing ID: 512", &[], "Existing ID: 512");
        check("Duplicate IDs: [a@b.c, d@e.f]. Unique", &[], "Duplicate IDs: […, …]. Unique");
        check("by mailto:o'brien@x.org!", &[], "by mailto:…");
        check("?email=a%40b.c", &[], "?email=…");
        check(
            r#"[{"message":"\"a@b.c\" is","error":"INVALID_EMAIL"}]"#,
            &["INVALID_EMAIL"],
            r#"[{"message":"\"…\" is","error":"INVALID_EMAIL"}]"#,
        );
        check("no", &["", "PROPERTY_DOESNT_EXIST", "a@b.c"], "no PROPERTY_DOESNT_EXIST …");
        check("", &["X", "X"], "X");
    }

    #[test]
    fn texts_are_bounded() {
        let long = "é".repeat(MESSAGE_CHARACTERS_MAX * 2);
        let codes = vec![long.as_str(); CODES_MAX * 2];
        let kept = message(&long, codes.into_iter()).chars().count();
        assert!(kept <= MESSAGE_CHARACTERS_MAX + CODES_MAX * (CODE_CHARACTERS_MAX + 1), "{kept}");
        assert_eq!(code(&long).chars().count(), CODE_CHARACTERS_MAX);
    }
}
