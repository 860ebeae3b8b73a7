//! What must stand in no log: the values that one test knows, and the shapes that all secrets and
//! addresses have. And what must stand in no answer of the API: the keys of quizzes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aho_corasick::AhoCorasick;
use serde_json::Value;
use url::{Url, form_urlencoded};

/// Bytes below which a secret or a name says nothing: it would be found everywhere.
const SECRET_BYTES_MIN: usize = 8;
const NAME_BYTES_MIN: usize = 3;
/// Characters of 256 random bits as base64url: sessions, states, codes and refresh tokens, ours and
/// the local provider's. The hash of one looks the same, and is no reader's business either.
const TOKEN_CHARACTERS: usize = 43;
/// Bytes of a credential after its scheme.
const CREDENTIAL_BYTES_MIN: usize = 8;

/// Fields of queries and forms whose values are secrets.
const SECRET_PARAMETERS: [&str; 5] = ["code", "code_verifier", "nonce", "password", "state"];
/// Fields of queries, forms and JSON documents whose values are secrets.
const SECRET_FIELDS: [&str; 5] =
    ["access_token", "client_secret", "id_token", "refresh_token", "token"];

/// What one test knows and no log may hold. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Canaries {
    values: Arc<Mutex<BTreeMap<String, Kind>>>,
    quizzes: Arc<Mutex<Quizzes>>,
}

/// What no answer may say about quizzes, and which did.
#[derive(Debug, Default)]
struct Quizzes {
    /// Why the right options are right, which only who found them may read.
    explanations: BTreeSet<String>,
    told: Vec<String>,
}

/// How a value is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Anywhere.
    Secret(&'static str),
    /// As a word of its own, since names are parts of other words.
    Name(&'static str),
}

impl Kind {
    fn what(self) -> &'static str {
        match self {
            Self::Secret(what) | Self::Name(what) => what,
        }
    }
}

impl Canaries {
    /// A value that must not stand anywhere, and what it is.
    pub fn secret(&self, what: &'static str, value: &str) {
        self.add(Kind::Secret(what), value);
    }

    /// A name that must not stand anywhere as a word of its own.
    pub fn name(&self, what: &'static str, value: &str) {
        self.add(Kind::Name(what), value);
    }

    /// An e-mail address, also as a part of a URL.
    pub fn address(&self, address: &str) {
        self.secret("an e-mail address", address);
        self.secret("an e-mail address", &address.replace('@', "%40"));
    }

    /// The telling parameters of a URL's query.
    pub fn url(&self, url: &str) {
        if let Ok(url) = Url::parse(url) {
            self.form(url.query().unwrap_or_default());
        }
    }

    /// The telling fields of a body, a JSON document or a form.
    pub fn body(&self, body: &str) {
        match serde_json::from_str(body) {
            Ok(document) => self.json(&document),
            Err(_) => self.form(body),
        }
    }

    /// The telling fields of a JSON document, however deep.
    pub fn json(&self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.json(value)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                if let Value::String(text) = value {
                    self.field(name, text);
                }
                // Who sees a field stands there under the field's name.
                if name != "visibility" {
                    self.json(value);
                }
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Why an option is the right one: to be read by nobody who has not found it.
    pub fn explanation(&self, text: &str) {
        self.quizzes().explanations.insert(text.to_owned());
    }

    /// Looks whether an answer of the API tells the key of a quiz (fault S16).
    pub fn answer(&self, url: &str, document: &Value) {
        let mut quizzes = self.quizzes();
        if let Some(what) = tells_key(document, &quizzes.explanations) {
            quizzes.told.push(format!("{what} in the answer of {url}"));
        }
    }

    /// The answers so far that told the key of a quiz.
    pub fn keys_told(&self) -> Vec<String> {
        self.quizzes().told.clone()
    }

    fn quizzes(&self) -> MutexGuard<'_, Quizzes> {
        self.quizzes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn form(&self, form: &str) {
        for (name, value) in form_urlencoded::parse(form.as_bytes()) {
            if let Some(what) = SECRET_PARAMETERS.into_iter().find(|secret| *secret == name) {
                self.secret(what, &value);
            }
            self.field(&name, &value);
        }
    }

    fn field(&self, name: &str, value: &str) {
        match name {
            "email" => self.address(value),
            "given_name" | "family_name" => self.name("a person's name", value),
            "phone" => self.name("a telephone number", value),
            "birth_date" => self.name("a date of birth", value),
            _ => {
                if let Some(what) = SECRET_FIELDS.into_iter().find(|secret| *secret == name) {
                    self.secret(what, value);
                }
            }
        }
    }

    fn add(&self, kind: Kind, value: &str) {
        let bytes_min = match kind {
            Kind::Secret(_) => SECRET_BYTES_MIN,
            Kind::Name(_) => NAME_BYTES_MIN,
        };
        if value.len() >= bytes_min {
            self.lock().insert(value.to_owned(), kind);
        }
    }

    /// What each line holds that it must not: the number of the line and what it is.
    ///
    /// # Panics
    ///
    /// When there are more values than a search can hold.
    pub fn find<'line>(
        &self,
        lines: impl IntoIterator<Item = &'line str>,
    ) -> Vec<(usize, &'static str)> {
        let values = self.lock().clone();
        let (values, kinds): (Vec<String>, Vec<Kind>) = values.into_iter().unzip();
        let search = AhoCorasick::new(&values).expect("so few values fit");
        let mut found = Vec::new();
        for (number, line) in lines.into_iter().enumerate() {
            let known = search.find_overlapping_iter(line).find_map(|hit| {
                let kind = kinds[hit.pattern().as_usize()];
                let holds = match kind {
                    Kind::Secret(_) => true,
                    Kind::Name(_) => is_word(line, hit.start(), hit.end()),
                };
                holds.then_some(kind.what())
            });
            found.extend(known.or_else(|| shape(line)).map(|what| (number, what)));
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kind>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a quiz's key a document tells. A question that was answered right may say why.
fn tells_key(document: &Value, explanations: &BTreeSet<String>) -> Option<&'static str> {
    match document {
        Value::String(text) => explanations.contains(text).then_some("why an option is right"),
        Value::Array(values) => values.iter().find_map(|value| tells_key(value, explanations)),
        Value::Object(fields) => {
            let was_right = fields.get("is_correct") == Some(&Value::Bool(true));
            fields.iter().find_map(|(name, value)| match name.as_str() {
                "correct_answer" => Some("which option is right"),
                "explanation" if was_right => None,
                _ => tells_key(value, explanations),
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn is_word(line: &str, start: usize, end: usize) -> bool {
    let before = line[..start].chars().next_back();
    let after = line[end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// What a line holds by its shape alone.
fn shape(line: &str) -> Option<&'static str> {
    let base64url = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let runs = |of: fn(char) -> bool| line.split(move |character| !of(character));
    if runs(|character| character.is_ascii_alphanumeric() || "-_.".contains(character)).any(is_jwt)
    {
        return Some("a JSON Web Token");
    }
    if runs(|character| character.is_ascii_alphanumeric() || "-_.+%@".contains(character))
        .any(is_address)
    {
        return Some("an e-mail address");
    }
    if line.split(|character| !base64url(character)).any(is_token) {
        return Some("256 bits");
    }
    has_credential(line).then_some("an Authorization header")
}

fn is_jwt(run: &str) -> bool {
    run.find("eyJ").is_some_and(|start| run[start..].matches('.').count() >= 2)
}

fn is_address(run: &str) -> bool {
    let Some((local, domain)) = run.split_once('@') else {
        return false;
    };
    let last = domain.trim_end_matches('.').rsplit_once('.').map_or("", |(_, last)| last);
    !local.is_empty() && last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_token(run: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| run.bytes().any(|byte| kind(&byte));
    run.len() == TOKEN_CHARACTERS
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

fn has_credential(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.contains("aws4-hmac-sha256")
        || ["bearer ", "basic "].into_iter().any(|scheme| {
            lower.match_indices(scheme).any(|(start, _)| {
                let credential = &lower[start + scheme.len()..];
                let length = credential
                    .bytes()
                    .take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte))
                    .count();
                length >= CREDENTIAL_BYTES_MIN && !credential.starts_with("realm=")
            })
        })
}
