//! The canonical N-Quads of our documents (RDF Dataset Canonicalization 1.0, as JSON-LD 1.1 reads them).
//!
//! Our documents use few terms of two pinned contexts, so this module knows what each of them stands
//! for, and refuses whatever else there is, as JSON-LD's safe mode does. At most one node may be
//! without an id: then every canonical label is `_:c14n0`, and canonicalising is sorting. That what
//! comes out is what a full processor makes of the document is tested against one (`tests/peer`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::badge::{CREDENTIALS, OPEN_BADGES};

/// How deep nodes may lie in each other.
const DEPTH_MAX: u32 = 8;
/// The only label there is.
const BLANK: &str = "_:c14n0";
const RDF_TYPE: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type";
const BADGE: &str = "https://purl.imsglobal.org/spec/vc/ob/vocab.html#";
const CREDENTIAL: &str = "https://www.w3.org/2018/credentials#";
const SCHEMA: &str = "https://schema.org/";
const SECURITY: &str = "https://w3id.org/security#";
const STATUS: &str = "https://www.w3.org/ns/credentials/status#";
const DATE_TIME: &str = "http://www.w3.org/2001/XMLSchema#dateTime";
const INTEGER: &str = "http://www.w3.org/2001/XMLSchema#integer";
// So the contexts of Open Badges say it.
const OPEN_BADGES_ANY_URI: &str = "https://www.w3.org/2001/XMLSchema#anyURI";
const OPEN_BADGES_BOOLEAN: &str = "https://www.w3.org/2001/XMLSchema#boolean";

/// Why a document has no canonical form here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncanonical {
    /// Its contexts are not the pinned ones.
    #[error("the contexts are not known")]
    Context,
    /// A term that the contexts do not have, or that our documents do not use.
    #[error("the term {0} is not known")]
    Term(String),
    /// A value that its term does not take.
    #[error("the value of {0} is not what it must be")]
    Value(String),
    /// More than one node without an id.
    #[error("more than one node has no id")]
    Blank,
    /// Nodes within nodes within nodes.
    #[error("the document is too deep")]
    Depth,
}

/// What a term takes.
#[derive(Clone, Copy, Debug)]
enum Range {
    /// A node or several.
    Node,
    /// A node or its id, or several.
    Reference,
    /// A text.
    Text,
    /// A text of this type.
    Typed(&'static str),
    /// `true` or `false`, of this type.
    Boolean(&'static str),
    /// A whole number.
    Integer,
    /// A word of this vocabulary.
    Word(&'static str),
}

/// The terms of our documents: name, vocabulary, name there, and what they take.
const TERMS: [(&str, &str, &str, Range); 27] = [
    ("achievement", BADGE, "achievement", Range::Node),
    ("achievementType", BADGE, "achievementType", Range::Text),
    ("created", "http://purl.org/dc/terms/", "created", Range::Typed(DATE_TIME)),
    ("credentialStatus", CREDENTIAL, "credentialStatus", Range::Reference),
    ("credentialSubject", CREDENTIAL, "credentialSubject", Range::Reference),
    ("criteria", BADGE, "Criteria", Range::Reference),
    ("cryptosuite", SECURITY, "cryptosuite", Range::Typed(CRYPTOSUITE)),
    ("description", SCHEMA, "description", Range::Text),
    ("encodedList", STATUS, "encodedList", Range::Typed(MULTIBASE)),
    ("evidence", CREDENTIAL, "evidence", Range::Reference),
    ("hashed", BADGE, "hashed", Range::Boolean(OPEN_BADGES_BOOLEAN)),
    ("humanCode", BADGE, "humanCode", Range::Text),
    ("identifier", BADGE, "identifier", Range::Node),
    ("identityHash", BADGE, "identityHash", Range::Text),
    ("identityType", BADGE, "identityType", Range::Text),
    ("issuer", CREDENTIAL, "issuer", Range::Reference),
    ("name", SCHEMA, "name", Range::Text),
    ("narrative", BADGE, "narrative", Range::Text),
    ("proofPurpose", SECURITY, "proofPurpose", Range::Word(SECURITY)),
    ("statusListCredential", STATUS, "statusListCredential", Range::Reference),
    ("statusListIndex", STATUS, "statusListIndex", Range::Text),
    ("statusPurpose", STATUS, "statusPurpose", Range::Text),
    ("ttl", STATUS, "ttl", Range::Integer),
    ("url", SCHEMA, "url", Range::Typed(OPEN_BADGES_ANY_URI)),
    ("validFrom", CREDENTIAL, "validFrom", Range::Typed(DATE_TIME)),
    ("verificationMethod", SECURITY, "verificationMethod", Range::Reference),
    ("version", BADGE, "version", Range::Text),
];

const CRYPTOSUITE: &str = "https://w3id.org/security#cryptosuiteString";
const MULTIBASE: &str = "https://w3id.org/security#multibase";

/// The types of our documents' nodes.
const TYPES: [(&str, &str); 11] = [
    ("Achievement", BADGE),
    ("AchievementSubject", BADGE),
    ("BitstringStatusList", STATUS),
    ("BitstringStatusListCredential", STATUS),
    ("BitstringStatusListEntry", STATUS),
    ("DataIntegrityProof", SECURITY),
    ("Evidence", BADGE),
    ("IdentityObject", BADGE),
    ("OpenBadgeCredential", BADGE),
    ("Profile", BADGE),
    ("VerifiableCredential", CREDENTIAL),
];

/// The canonical N-Quads of a document without a proof.
pub fn canonical(document: &Value) -> Result<String, Uncanonical> {
    let mut document = document.as_object().cloned().ok_or(Uncanonical::Context)?;
    let contexts = document.remove("@context").unwrap_or_default();
    let contexts: Option<Vec<&str>> =
        contexts.as_array().and_then(|contexts| contexts.iter().map(Value::as_str).collect());
    match contexts.as_deref() {
        Some([CREDENTIALS] | [CREDENTIALS, OPEN_BADGES]) => {}
        Some(_) | None => return Err(Uncanonical::Context),
    }
    let mut walk = Walk { quads: BTreeSet::new(), has_blank: false };
    walk.node(&document, 0)?;
    Ok(walk.quads.into_iter().collect())
}

struct Walk {
    quads: BTreeSet<String>,
    has_blank: bool,
}

impl Walk {
    /// Adds what a node says, and answers how it is named.
    fn node(&mut self, node: &Map<String, Value>, depth: u32) -> Result<String, Uncanonical> {
        if depth > DEPTH_MAX {
            return Err(Uncanonical::Depth);
        }
        let subject = match node.get("id") {
            Some(id) => iri(id, "id")?,
            None if self.has_blank => return Err(Uncanonical::Blank),
            None => {
                self.has_blank = true;
                BLANK.to_owned()
            }
        };
        for (name, value) in node.iter().filter(|(name, _)| *name != "id") {
            for value in several(value) {
                let (predicate, object) = if name == "type" {
                    (RDF_TYPE.to_owned(), type_of(value)?)
                } else {
                    let (vocabulary, predicate, range) = term(name)?;
                    let object = self.object(name, value, range, depth)?;
                    (format!("{vocabulary}{predicate}"), object)
                };
                self.quads.insert(format!("{subject} <{predicate}> {object} .\n"));
            }
        }
        Ok(subject)
    }

    fn object(
        &mut self,
        name: &str,
        value: &Value,
        range: Range,
        depth: u32,
    ) -> Result<String, Uncanonical> {
        match (range, value) {
            (Range::Node | Range::Reference, Value::Object(node)) => self.node(node, depth + 1),
            (Range::Reference, value) => iri(value, name),
            (Range::Text, Value::String(text)) => Ok(literal(text)),
            (Range::Typed(of), Value::String(text)) => Ok(format!("{}^^<{of}>", literal(text))),
            (Range::Boolean(of), Value::Bool(value)) => Ok(format!("\"{value}\"^^<{of}>")),
            (Range::Integer, Value::Number(number)) if number.is_u64() => {
                Ok(format!("\"{number}\"^^<{INTEGER}>"))
            }
            (Range::Word(vocabulary), Value::String(word)) if is_word(word) => {
                Ok(format!("<{vocabulary}{word}>"))
            }
            (
                Range::Node
                | Range::Text
                | Range::Typed(_)
                | Range::Boolean(_)
                | Range::Integer
                | Range::Word(_),
                _,
            ) => Err(Uncanonical::Value(name.to_owned())),
        }
    }
}

fn several(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        one => std::slice::from_ref(one),
    }
}

fn term(name: &str) -> Result<(&'static str, &'static str, Range), Uncanonical> {
    let found = TERMS.iter().find(|(term, ..)| *term == name);
    let found = found.map(|(_, vocabulary, predicate, range)| (*vocabulary, *predicate, *range));
    found.ok_or_else(|| Uncanonical::Term(name.to_owned()))
}

fn type_of(value: &Value) -> Result<String, Uncanonical> {
    let found = TYPES.iter().find(|(name, _)| value.as_str() == Some(name));
    let found = found.map(|(name, vocabulary)| format!("<{vocabulary}{name}>"));
    found.ok_or_else(|| Uncanonical::Term(value.to_string()))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// An absolute IRI without characters that would have to be escaped.
fn iri(value: &Value, name: &str) -> Result<String, Uncanonical> {
    let is_plain = |text: &&str| {
        let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| is_word(scheme));
        let escaped = |character: char| character <= ' ' || "<>\"{}|^`\\".contains(character);
        has_scheme && !text.contains(escaped)
    };
    let text = value.as_str().filter(is_plain);
    text.map(|text| format!("<{text}>")).ok_or_else(|| Uncanonical::Value(name.to_owned()))
}

/// A text as canonical N-Quads write it (RDF 1.2 N-Quads §4).
fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\0'..='\u{1f}' | '\u{7f}' => {
                quoted.extend(format!("\\u{:04X}", u32::from(character)).chars());
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(more: &Value) -> Value {
        let mut document = json!({ "@context": [CREDENTIALS, OPEN_BADGES], "id": "urn:a" });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document
    }

    #[track_caller]
    fn refused(more: &Value, expected: &Uncanonical) {
        assert_eq!(canonical(&document(more)).as_ref(), Err(expected), "{more}");
    }

    #[test]
    fn what_is_not_known_is_refused_and_never_left_out() {
        refused(&json!({ "more": "x" }), &Uncanonical::Term("more".to_owned()));
        refused(&json!({ "type": "More" }), &Uncanonical::Term("\"More\"".to_owned()));
        refused(&json!({ "proof": {} }), &Uncanonical::Term("proof".to_owned()));
        for (name, value) in [
            ("name", json!(1)),
            ("name", json!({ "@value": "x" })),
            ("hashed", json!("true")),
            ("ttl", json!(1.5)),
            ("ttl", json!(-1)),
            ("issuer", json!("issuer")),
            ("issuer", json!("https://a b")),
            ("achievement", json!("urn:a")),
            ("proofPurpose", json!("https://x")),
            ("name", Value::Null),
        ] {
            refused(&json!({ name: value }), &Uncanonical::Value(name.to_owned()));
        }
        let blank = json!({ "identifier": [{ "name": "a" }, { "name": "b" }] });
        refused(&blank, &Uncanonical::Blank);
        let mut deep = json!({ "id": "urn:a" });
        for _ in 0..10 {
            deep = json!({ "id": "urn:a", "issuer": deep });
        }
        refused(&deep, &Uncanonical::Depth);
        for contexts in [json!([OPEN_BADGES]), json!(CREDENTIALS), json!([CREDENTIALS, "urn:x"])] {
            let document = json!({ "@context": contexts, "id": "urn:a" });
            assert_eq!(canonical(&document), Err(Uncanonical::Context), "{contexts}");
        }
    }

    #[test]
    fn texts_are_escaped_as_the_canonical_form_wants_it() {
        let text = "a\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}\"\\é\u{1f393}";
        let quads = canonical(&document(&json!({ "name": text }))).unwrap();
        assert_eq!(
            quads,
            "<urn:a> <https://schema.org/name> \
             \"a\\b\\t\\n\\u000B\\f\\r\\u001F\\u007F\\\"\\\\é\u{1f393}\" .\n"
        );
    }
}
