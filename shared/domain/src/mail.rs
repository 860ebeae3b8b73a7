//! Mail: what Rollcall tells people by e-mail, how it reads, and when a mail that could not be sent
//! is tried again.
//!
//! A letter is data until the moment it is sent: what stands in a table says which letter it is and
//! what is special about it, never its text, so a text can be mended while letters wait.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::MailId;
use crate::limits::{MAIL_RETRY_SECONDS_MAX, MAIL_RETRY_SECONDS_MIN};
use crate::secret::Secret;
use crate::text::{self, TextError};
use crate::time::Timestamp;

/// An address that mail can be sent to: trimmed and case-folded, one mailbox and nothing else.
///
/// Narrower than RFC 5321 §4.1.2, in the way that mail services are: a dot-string of ASCII before
/// the `@` and host name labels behind it. So no address can smuggle in a second recipient, a
/// display name or a header. Its `Debug` form hides it, since addresses stand in no log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let folded = text::email(text)?;
        let Some((local, domain)) = folded.split_once('@') else {
            return Err(NOT_AN_ADDRESS);
        };
        let is_local = local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext));
        let is_domain = domain.contains('.') && domain.split('.').all(is_label);
        if is_local && is_domain && local.len() <= LOCAL_PART_CHARACTERS_MAX {
            Ok(Self(folded))
        } else {
            Err(NOT_AN_ADDRESS)
        }
    }

    /// The address itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const NOT_AN_ADDRESS: TextError = TextError::Shape { expected: "an e-mail address" };
/// Characters before the `@` (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_CHARACTERS_MAX: usize = 64;
/// Characters of one part of a host name (RFC 1035 §2.3.4).
const LABEL_CHARACTERS_MAX: usize = 63;

/// `atext` of RFC 5322 §3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty()
        && label.len() <= LABEL_CHARACTERS_MAX
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Address(…)")
    }
}

impl TryFrom<String> for Address {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

/// What a mail says. `S` is the form of what only its reader may know: sealed while the mail waits,
/// a [`Secret`] while it is being written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Letter<S> {
    /// Somebody asked for an account for an address that has one.
    AccountExists,
    /// Somebody asked that the reader's account is erased.
    ErasureAsked,
    /// Somebody asked the organisation that the reader's account is erased.
    ErasureOrdered,
    /// The organisation erased the reader elsewhere, so that the account goes too.
    ErasureTakenIn,
    /// Somebody may make an account.
    Invitation {
        /// Proves that whoever comes with it has read this mail.
        token: S,
        /// How its reader is addressed, if an operator said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

/// A mail that is to be sent.
#[derive(Clone, Debug)]
pub struct Mail<S> {
    /// Its id.
    pub id: MailId,
    /// Who gets it.
    pub to: Address,
    /// What it says.
    pub letter: Letter<S>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Why a mail will never arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The mail service does not take the address.
    #[error("the address is refused")]
    Address,
    /// The mail service does not take this mail.
    #[error("the mail is refused")]
    Content,
}

impl Refusal {
    /// The stable name, as it is stored and shown to operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Content => "content",
        }
    }
}

impl<S> Letter<S> {
    /// The stable name of the kind of letter, as it is stored and logged.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AccountExists => "account_exists",
            Self::ErasureAsked => "erasure_asked",
            Self::ErasureOrdered => "erasure_ordered",
            Self::ErasureTakenIn => "erasure_taken_in",
            Self::Invitation { .. } => "invitation",
        }
    }

    /// The same letter with its secret in another form.
    pub fn try_map<T, E>(self, change: impl FnOnce(S) -> Result<T, E>) -> Result<Letter<T>, E> {
        Ok(match self {
            Self::AccountExists => Letter::AccountExists,
            Self::ErasureAsked => Letter::ErasureAsked,
            Self::ErasureOrdered => Letter::ErasureOrdered,
            Self::ErasureTakenIn => Letter::ErasureTakenIn,
            Self::Invitation { token, name } => Letter::Invitation { token: change(token)?, name },
        })
    }
}

/// A mail as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The subject, one line.
    pub subject: String,
    /// For readers that show plain text.
    pub text: String,
    /// The same as HTML, without anything that has to be loaded.
    pub html: String,
}

/// The parts of a letter, in the order in which they are read.
struct Draft {
    subject: &'static str,
    greeting: Option<String>,
    opening: &'static str,
    action: &'static str,
    link: String,
    closing: &'static str,
}

impl Letter<Secret> {
    /// The letter as it is read; its links lead to `site_url`, a URL without a slash at the end.
    pub fn render(&self, site_url: &str) -> Rendered {
        match self {
            Self::AccountExists => Draft {
                subject: "You already have a Rollcall account",
                greeting: None,
                opening: "Somebody asked for a Rollcall account for this e-mail address. It has \
                          one already, so there is nothing to set up.",
                action: "Sign in",
                link: format!("{site_url}/auth/login"),
                closing: "If it was not you who asked, you can ignore this mail.",
            },
            Self::ErasureAsked => Draft {
                subject: "Your Rollcall account is going to be erased",
                greeting: None,
                opening: "Somebody who was signed in to your Rollcall account asked that it is \
                          erased. In seven days everything that it holds goes for good.",
                action: "Sign in to keep it",
                link: format!("{site_url}/auth/login"),
                closing: "If it was you who asked, there is nothing to do. If it was not, call it \
                          off and end the sessions that you do not know.",
            },
            Self::ErasureOrdered => Draft {
                subject: "Your Rollcall account is going to be erased",
                greeting: None,
                opening: "We were asked to erase your Rollcall account. In seven days everything \
                          that it holds goes for good.",
                action: "Sign in to keep it",
                link: format!("{site_url}/auth/login"),
                closing: "If it was you who asked, there is nothing to do. If it was not, call it \
                          off, and write to us.",
            },
            Self::ErasureTakenIn => Draft {
                subject: "Your Rollcall account is going to be erased",
                greeting: None,
                opening: "We were asked to forget you, and have removed you from our address \
                          book. In seven days your account and everything that it holds goes \
                          for good.",
                action: "Sign in to keep it",
                link: format!("{site_url}/auth/login"),
                closing: "If it was you who asked, there is nothing to do. If you keep your \
                          account, you stay removed from the address book.",
            },
            Self::Invitation { token, name } => Draft {
                subject: "Your invitation to Rollcall",
                greeting: name.as_ref().map(|name| format!("Hello {name},")),
                opening: "You can now make your Rollcall account.",
                action: "Make my account",
                // Characters of base64url stand in a query as they are (RFC 3986 §2.3).
                link: format!("{site_url}/auth/signup?invitation={}", token.expose()),
                closing: "The link works once, within seven days. If you did not expect this \
                          mail, you can ignore it: without the link nothing happens.",
            },
        }
        .render()
    }
}

impl Draft {
    fn render(&self) -> Rendered {
        let Self { subject, greeting, opening, action, link, closing } = self;
        let greeting = greeting.as_deref();
        let greeting_line = greeting.map(|words| format!("{words}\n\n")).unwrap_or_default();
        let text = format!("{greeting_line}{opening}\n\n{action}:\n{link}\n\n{closing}\n");
        let greeting = greeting.map(|words| format!("<p>{}</p>\n", escape(words)));
        let greeting = greeting.unwrap_or_default();
        let (title, opening, action) = (escape(subject), escape(opening), escape(action));
        let (link, closing) = (escape(link), escape(closing));
        // Mail readers know few styles and no variables (fault §3.7 of the creators' system), so
        // the page has none: it looks like the reader's own text.
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <title>{title}</title></head>\n<body>\n{greeting}<p>{opening}</p>\n\
             <p><a href=\"{link}\">{action}</a></p>\n<p>{closing}</p>\n</body>\n</html>\n"
        );
        Rendered { subject: (*subject).to_owned(), text, html }
    }
}

/// `text` as it may stand in HTML, between tags and in quoted attributes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// How long a mail waits after its `attempts`th failure, in seconds: twice as long each time, at
/// most an hour. It is tried until it is sent or refused.
pub fn retry_after_seconds(attempts: u32) -> i64 {
    let doublings = attempts.saturating_sub(1).min(MAIL_RETRY_SECONDS_MAX.ilog2());
    (MAIL_RETRY_SECONDS_MIN << doublings).min(MAIL_RETRY_SECONDS_MAX)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_one_mailbox_and_nothing_else() {
        let long = format!("{}@rollcall.example", "a".repeat(65));
        for (text, expected) in [
            (" Ada@Rollcall.Example ", Some("ada@rollcall.example")),
            ("o'hara+tag@mail.rollcall.example", Some("o'hara+tag@mail.rollcall.example")),
            ("a@b@rollcall.example", None),
            ("a@rollcall.example,b@rollcall.example", None),
            ("a,b@rollcall.example", None),
            ("<a@rollcall.example>", None),
            ("\"a b\"@rollcall.example", None),
            ("a\r\nbcc:b@rollcall.example", None),
            ("a..b@rollcall.example", None),
            (".a@rollcall.example", None),
            ("a@localhost", None),
            ("a@-x.example", None),
            ("a@x..example", None),
            ("a@[127.0.0.1]", None),
            ("ä@rollcall.example", None),
            (long.as_str(), None),
        ] {
            assert_eq!(Address::parse(text).ok().as_ref().map(Address::as_str), expected, "{text}");
        }
        let address = Address::parse("ada@rollcall.example").unwrap();
        assert_eq!(format!("{address:?}"), "Address(…)");
    }

    fn rendered(letter: &Letter<Secret>) -> String {
        let Rendered { subject, text, html } = letter.render("https://www.rollcall.example");
        format!("{subject}\n\n{text}\n{html}")
    }

    #[test]
    fn letters_read_as_they_are_meant_to() {
        assert_snapshot!("account-exists", rendered(&Letter::AccountExists));
        assert_snapshot!("erasure-asked", rendered(&Letter::ErasureAsked));
        assert_snapshot!("erasure-ordered", rendered(&Letter::ErasureOrdered));
        assert_snapshot!("erasure-taken-in", rendered(&Letter::ErasureTakenIn));
        let token = Secret::new("3q2-7w_t0");
        assert_snapshot!("invitation", rendered(&Letter::Invitation { token, name: None }));
    }

    #[test]
    fn what_is_put_into_html_cannot_become_mark_up() {
        let name = Some("<b>Ada</b>".to_owned());
        let letter = Letter::Invitation { token: Secret::new("\"><script>&"), name };
        let Rendered { text, html, .. } = letter.render("https://www.rollcall.example");
        assert!(html.contains("invitation=&quot;&gt;&lt;script&gt;&amp;"), "{html}");
        assert!(html.contains("<p>Hello &lt;b&gt;Ada&lt;/b&gt;,</p>"), "{html}");
        assert!(text.starts_with("Hello <b>Ada</b>,\n\nYou can now"), "{text}");
    }

    #[test]
    fn a_stored_letter_says_its_kind_and_holds_no_text() {
        let letter = Letter::Invitation { token: "sealed".to_owned(), name: None };
        let json = serde_json::to_value(&letter).unwrap();
        assert_eq!(json, serde_json::json!({ "kind": letter.kind(), "token": "sealed" }));
        assert_eq!(serde_json::from_value::<Letter<String>>(json).unwrap(), letter);
    }

    proptest! {
        #[test]
        fn waits_grow_to_an_hour_and_no_further(attempts in any::<u32>()) {
            let wait = retry_after_seconds(attempts);
            prop_assert!((MAIL_RETRY_SECONDS_MIN..=MAIL_RETRY_SECONDS_MAX).contains(&wait));
            prop_assert!(wait <= retry_after_seconds(attempts.saturating_add(1)));
            if attempts > 7 {
                prop_assert_eq!(wait, MAIL_RETRY_SECONDS_MAX);
            }
        }
    }
}
