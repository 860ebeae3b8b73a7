//! Requests, as API Gateway's HTTP API hands them over (payload format 2.0).

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cookie::Cookie;
use http::HeaderMap;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::problem::{FieldError, INVALID, MALFORMED, Problem, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE};

/// What every handler may know about a request beside its input.
#[derive(Clone, Debug)]
pub struct Context {
    /// The gateway's id of the request; problems name it as `instance`.
    pub request_id: String,
    /// When the request arrived.
    pub now: Timestamp,
    /// When the invocation is killed.
    pub deadline: Timestamp,
    /// One id through tables, streams and CRM calls.
    pub trace_id: String,
}

/// What bodies a function takes.
#[derive(Clone, Copy, Debug)]
pub struct BodyRules {
    /// Bytes at most.
    pub bytes_max: usize,
    /// Whether forms are taken beside JSON.
    pub takes_forms: bool,
}

/// A request whose size and body type have been checked.
#[derive(Debug)]
pub struct HttpRequest {
    event: ApiGatewayV2httpRequest,
    body: Vec<u8>,
}

/// What a route takes, read from a request. After this, no raw text travels further.
pub trait FromRequest: Sized {
    /// Reads the input, or says what is wrong with it.
    fn from_request(request: &HttpRequest) -> Result<Self, Problem>;
}

/// The input of routes that take nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoInput;

impl FromRequest for NoInput {
    fn from_request(_request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self)
    }
}

impl HttpRequest {
    /// Checks the event's body: its encoding, its size, and that it says it is JSON, or a form where
    /// forms are taken.
    pub fn new(event: ApiGatewayV2httpRequest, rules: BodyRules) -> Result<Self, Problem> {
        let BodyRules { bytes_max: body_bytes_max, takes_forms } = rules;
        let text = event.body.as_deref().unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(text).map_err(|_error| {
                Problem::new(&MALFORMED).with_detail("the body is not valid base64")
            })?
        } else {
            text.as_bytes().to_vec()
        };
        if body.len() > body_bytes_max {
            let detail = format!("the body must be at most {body_bytes_max} bytes");
            return Err(Problem::new(&TOO_LARGE).with_detail(detail));
        }
        let request = Self { event, body };
        let is_taken = request.says_json() || takes_forms && request.is_form();
        if !request.body.is_empty() && !is_taken {
            return Err(Problem::new(&UNSUPPORTED_MEDIA_TYPE));
        }
        Ok(request)
    }

    /// The method, upper-case.
    pub fn method(&self) -> &str {
        self.event.request_context.http.method.as_str()
    }

    /// Whether the method changes nothing (RFC 9110 §9.2.1).
    pub fn is_safe(&self) -> bool {
        matches!(self.method(), "GET" | "HEAD" | "OPTIONS")
    }

    /// The route that matched, such as `GET /courses/{slug}`.
    pub fn route(&self) -> &str {
        self.event.route_key.as_deref().unwrap_or_default()
    }

    /// The path as it was sent, with its query, without the host.
    pub fn target(&self) -> String {
        let path = self.event.raw_path.as_deref().unwrap_or_default();
        let query = self.event.raw_query_string.as_deref().unwrap_or_default();
        format!("{path}?{query}")
    }

    /// The address that the gateway took the connection from. Headers such as `X-Forwarded-For` say
    /// what a caller likes and are never asked.
    pub fn source_ip(&self) -> &str {
        self.event.request_context.http.source_ip.as_deref().unwrap_or_default()
    }

    /// The body's bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// A header, if it came once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        headers(&self.event).get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether a header is there, whatever it holds.
    pub fn has_header(&self, name: &str) -> bool {
        headers(&self.event).contains_key(name)
    }

    /// A cookie's value. The first cookie of that exact name counts (fault S12: a pattern search
    /// took a cookie whose name merely ended alike).
    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.event.cookies.as_deref().unwrap_or_default();
        cookies
            .iter()
            .flat_map(|line| Cookie::split_parse(line.as_str()))
            .filter_map(Result::ok)
            .find(|cookie| cookie.name() == name)
            .map(|cookie| cookie.value().to_owned())
    }

    /// A parameter of the path; empty if the route has none of that name.
    pub fn path_parameter(&self, name: &str) -> &str {
        self.event.path_parameters.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A parameter of the query, if it came once. Read from the raw query: the gateway's own map
    /// joins repeated values with commas, which values may hold themselves.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        once(self.event.raw_query_string.as_deref().unwrap_or_default().as_bytes(), name)
    }

    /// Whether the request has a body.
    pub fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// The body as `T`: 400 when it is not JSON, 422 with the field when it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // Serde would take an array for an object, field by field in order.
        if self.body.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::invalid("", "invalid", &"must be an object"));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&self.body);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let pointer = pointer(error.path());
            let error = error.into_inner();
            if error.is_data() {
                let detail = without_position(&error);
                let error = FieldError { pointer, code: "invalid", detail };
                Problem { errors: vec![error], ..Problem::new(&INVALID) }
            } else {
                let place = format!("line {}, column {}", error.line(), error.column());
                Problem::new(&MALFORMED).with_detail(format!("the body is not JSON: {place}"))
            }
        })?;
        deserializer.end().map_err(|_error| {
            Problem::new(&MALFORMED).with_detail("the body goes on after its JSON value")
        })?;
        Ok(value)
    }

    /// Whether the body is what an HTML form posts.
    pub fn is_form(&self) -> bool {
        self.says(&["application/x-www-form-urlencoded"])
    }

    /// A field of the form that was posted, if it came once; `None` in any other body.
    pub fn form_field(&self, name: &str) -> Option<String> {
        if self.is_form() { once(&self.body, name) } else { None }
    }

    fn says_json(&self) -> bool {
        self.says(&["application/json", "application/merge-patch+json"])
    }

    fn says(&self, media_types: &[&str]) -> bool {
        self.header("content-type").is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            media_types.iter().any(|other| essence.eq_ignore_ascii_case(other))
        })
    }
}

/// The value of a name in a query or a form, if it came once.
fn once(encoded: &[u8], name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(encoded).filter(|(other, _)| other.as_ref() == name);
    let (_, value) = values.next()?;
    if values.next().is_some() { None } else { Some(value.into_owned()) }
}

fn headers(event: &ApiGatewayV2httpRequest) -> &HeaderMap {
    &event.headers
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |mut pointer, segment| {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => pointer.push('?'),
        }
        pointer
    })
}

/// The parser's text without its position, which the pointer tells better.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only its parsing is looked at")]
        events: Vec<u8>,
    }

    const JSON_ALONE: BodyRules = BodyRules { bytes_max: 40, takes_forms: false };

    fn request(body: &str, content_type: &str) -> Result<HttpRequest, Problem> {
        request_by(JSON_ALONE, body, content_type)
    }

    fn request_by(
        rules: BodyRules,
        body: &str,
        content_type: &str,
    ) -> Result<HttpRequest, Problem> {
        let event = json!({
            "version": "2.0",
            "routeKey": "POST /x",
            "rawPath": "/x",
            "rawQueryString": "one=a%2Cb,c&two=1&two=2",
            "headers": { "content-type": content_type },
            "cookies": ["x__Host-a=1", "__Host-a=2"],
            "requestContext": { "http": { "method": "POST", "path": "/x", "protocol": "HTTP/1.1" } },
            "body": body,
            "isBase64Encoded": false,
        });
        HttpRequest::new(serde_json::from_value(event).unwrap(), rules)
    }

    #[track_caller]
    fn check(body: &str, content_type: &str, status: u16, pointer: Option<&str>) {
        let problem = request(body, content_type).and_then(|r| r.json::<Body>()).unwrap_err();
        assert_eq!(problem.kind.status, status, "{problem:?}");
        assert_eq!(problem.errors.first().map(|e| e.pointer.as_str()), pointer, "{problem:?}");
    }

    #[test]
    fn a_bad_body_is_refused_with_the_field_it_is_bad_in() {
        let json = "application/json";
        check("{", json, 400, None);
        check(r#"{"events":[]} {}"#, json, 400, None);
        check(r#"{"events":[1,"a"]}"#, json, 422, Some("/events/1"));
        check(" [[1]]", json, 422, Some(""));
        check(r#"{"events":[],"more":1}"#, json, 422, Some("/more"));
        check(r#"{"events":[]}"#, "text/plain", 415, None);
        check(&"1".repeat(41), json, 413, None);
    }

    #[test]
    fn forms_are_taken_where_they_are_declared_and_nowhere_else() {
        let (form, json) = ("application/x-www-form-urlencoded; charset=utf-8", "application/json");
        let refused = request("a=1", form).unwrap_err();
        assert_eq!(refused.kind.status, 415);
        let forms = BodyRules { takes_forms: true, ..JSON_ALONE };
        let posted = request_by(forms, "a=1+%26&b=1&b=2", form).unwrap();
        assert_eq!(posted.form_field("a").as_deref(), Some("1 &"));
        assert_eq!((posted.form_field("b"), posted.form_field("c")), (None, None));
        assert_eq!(request_by(forms, "a=1", json).unwrap().form_field("a"), None);
        assert_eq!(request_by(forms, "a=1", "text/plain").unwrap_err().kind.status, 415);
    }

    #[test]
    fn a_query_parameter_counts_when_it_came_once() {
        let request = request("", "").unwrap();
        assert_eq!(request.query_parameter("one").as_deref(), Some("a,b,c"));
        assert_eq!(request.query_parameter("two"), None);
        assert_eq!(request.query_parameter("three"), None);
    }

    #[test]
    fn s_12_only_a_cookie_of_the_exact_name_counts() {
        let request = request("", "").unwrap();
        assert_eq!(request.cookie("__Host-a").as_deref(), Some("2"));
        assert_eq!(request.cookie("Host-a"), None);
    }
}
