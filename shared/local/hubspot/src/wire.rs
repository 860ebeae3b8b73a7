//! HubSpot's side of the conversation as plain values, so that the portal can be driven without
//! HTTP: a request in, an answer out, and refusals in the shapes of HubSpot's error bodies.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// One HTTP request, without its transport.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// `GET`, `POST`, `PATCH` or `DELETE`.
    pub(crate) method: String,
    /// Path without the query, as sent.
    pub(crate) path: String,
    /// Query without its question mark, as sent.
    pub(crate) query: String,
    /// Value of the `Authorization` header.
    pub(crate) authorization: Option<String>,
    /// Value of the header by which the caller follows a change; HubSpot passes over it.
    pub(crate) trace_id: Option<String>,
    /// The body, byte for byte.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The first value of query parameter `name`.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).next()
    }

    /// Every value of query parameter `name`, lists by comma and by repetition alike.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.parameters(name)
            .flat_map(|value| value.split(',').map(str::to_owned).collect::<Vec<_>>())
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// Whether query parameter `name` is `true`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.parameter(name).as_deref() == Some("true")
    }

    fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        form_urlencoded::parse(self.query.as_bytes())
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The body as `T`; HubSpot's answer to anything else names the place.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let mut refusal = Refusal::new(
                400,
                "",
                format!(
                    "Invalid input JSON on line {}, column {}: {error}",
                    error.line(),
                    error.column()
                ),
            );
            refusal.category = None;
            refusal
        })
    }
}

/// What goes back when the connection is not dropped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Value>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }
}

/// How one exchange ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// `None` closes the connection without a byte.
    pub(crate) answer: Option<Answer>,
    /// The answer's body as it goes over the wire.
    pub(crate) text: String,
    /// How long the answer, or the close, is held back.
    pub(crate) delay: Duration,
}

/// Code of a write to a property that has no definition.
pub(crate) const UNKNOWN_PROPERTY: &str = "PROPERTY_DOESNT_EXIST";

/// An entry of `errors[]` inside an error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detail {
    pub(crate) message: String,
    pub(crate) code: Option<&'static str>,
    /// The field it is about, which HubSpot calls `in`.
    pub(crate) field: Option<String>,
    pub(crate) context: BTreeMap<String, Vec<String>>,
}

impl Detail {
    /// A detail about the value of one property.
    pub(crate) fn of_property(name: &str, code: &'static str, message: &str) -> Self {
        Self {
            message: message.to_owned(),
            code: Some(code),
            field: Some(name.to_owned()),
            context: BTreeMap::from([("propertyName".to_owned(), vec![name.to_owned()])]),
        }
    }

    fn json(&self) -> Value {
        let mut detail = json!({ "message": self.message, "context": self.context });
        if let Value::Object(fields) = &mut detail {
            fields.extend(self.code.map(|code| ("code".to_owned(), json!(code))));
            fields.extend(self.field.as_ref().map(|field| ("in".to_owned(), json!(field))));
        }
        detail
    }
}

/// A request, or one input of a batch, that HubSpot does not carry out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) category: Option<String>,
    pub(crate) message: String,
    pub(crate) context: BTreeMap<String, Vec<String>>,
    pub(crate) details: Vec<Detail>,
}

impl Refusal {
    pub(crate) fn new(status: u16, category: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            category: Some(category.to_owned()),
            message: message.into(),
            context: BTreeMap::new(),
            details: Vec::new(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "VALIDATION_ERROR", message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "OBJECT_NOT_FOUND", "resource not found")
    }

    /// Names the scopes of which the call needs one, in the shape HubSpot uses for that.
    pub(crate) fn with_required_scopes(mut self, scopes: Vec<String>) -> Self {
        self.details.push(Detail {
            message: "One or more of the following scopes are required.".to_owned(),
            code: None,
            field: None,
            context: BTreeMap::from([("requiredGranularScopes".to_owned(), scopes)]),
        });
        self
    }

    pub(crate) fn with_context(mut self, key: &str, values: Vec<String>) -> Self {
        self.context.insert(key.to_owned(), values);
        self
    }

    /// Properties of a write that have no definition.
    pub(crate) fn unknown_properties(&self) -> impl Iterator<Item = String> + '_ {
        let unknown = self.details.iter().filter(|detail| detail.code == Some(UNKNOWN_PROPERTY));
        unknown.filter_map(|detail| detail.field.clone())
    }

    fn details(&self) -> Vec<Value> {
        self.details.iter().map(Detail::json).collect()
    }

    /// The answer of a request that fails as a whole.
    pub(crate) fn answer(&self, correlation_id: Uuid) -> Answer {
        let mut body = Map::new();
        body.insert("status".to_owned(), json!("error"));
        body.insert("message".to_owned(), json!(self.message));
        body.insert("correlationId".to_owned(), json!(correlation_id));
        if let Some(category) = &self.category {
            body.insert("category".to_owned(), json!(category));
        }
        if !self.context.is_empty() {
            body.insert("context".to_owned(), json!(self.context));
        }
        if !self.details.is_empty() {
            body.insert("errors".to_owned(), json!(self.details()));
        }
        Answer::json(self.status, Value::Object(body))
    }

    /// The `StandardError` item of a batch that goes on without this input.
    pub(crate) fn item(&self, trace_id: Option<&str>) -> Value {
        let mut context = self.context.clone();
        if let Some(trace_id) = trace_id {
            context.insert("objectWriteTraceId".to_owned(), vec![trace_id.to_owned()]);
        }
        json!({
            "status": "error",
            "category": self.category.as_deref().unwrap_or("VALIDATION_ERROR"),
            "message": self.message,
            "context": context,
            "errors": self.details(),
            "links": {},
        })
    }
}

/// A moment as HubSpot writes it: milliseconds with three digits, or none.
pub(crate) fn instant(moment: Timestamp) -> String {
    if moment.subsec_nanosecond() == 0 { moment.to_string() } else { format!("{moment:.3}") }
}

/// Decodes `%XX` in one path segment.
pub(crate) fn decoded(segment: &str) -> String {
    // A plus sign is itself in a path and a space in a form.
    let escaped = segment.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes())
        .map(
            |(name, value)| {
                if value.is_empty() { name.into_owned() } else { format!("{name}={value}") }
            },
        )
        .collect::<Vec<_>>()
        .join("&")
}
