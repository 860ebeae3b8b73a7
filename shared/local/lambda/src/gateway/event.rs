//! The event a function gets for a request: payload format 2.0.
//!
//! Followed: "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway", and where that
//! page is silent what the service is known to do: `rawPath` is percent-decoded while
//! `rawQueryString` is not, a decoded `?` ends the path, and a body is text only for a short list of
//! content types (a form is not among them).

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Version};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::ACCOUNT_ID;

/// The id of the one API there is.
const API_ID: &str = "local";

/// What the gateway knows about a request besides the request itself.
pub(super) struct Received<'request> {
    pub(super) request_id: &'request str,
    pub(super) route_key: &'request str,
    pub(super) path_parameters: BTreeMap<String, String>,
    pub(super) domain_name: &'request str,
    pub(super) source: IpAddr,
    pub(super) trace: &'request str,
    pub(super) at: Timestamp,
}

/// The path as routes and functions see it.
pub(super) fn decoded_path(raw: &str) -> String {
    let path = percent_decode_str(raw).decode_utf8_lossy();
    path.split('?').next().unwrap_or_default().to_owned()
}

/// The event, as JSON.
pub(super) fn build(parts: &Parts, body: &Bytes, received: &Received<'_>) -> Value {
    let path = decoded_path(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let mut event = Map::new();
    let mut set = |name: &str, value: Value| event.insert(name.to_owned(), value);
    set("version", json!("2.0"));
    set("routeKey", json!(received.route_key));
    set("rawPath", json!(path));
    set("rawQueryString", json!(query));
    let cookies = cookies(&parts.headers);
    if !cookies.is_empty() {
        set("cookies", json!(cookies));
    }
    set("headers", json!(headers(&parts.headers, received)));
    let query = query_parameters(query);
    if !query.is_empty() {
        set("queryStringParameters", json!(query));
    }
    set("requestContext", context(parts, &path, received));
    if !received.path_parameters.is_empty() {
        set("pathParameters", json!(received.path_parameters));
    }
    let text = is_text(&parts.headers).then(|| std::str::from_utf8(body).ok()).flatten();
    if !body.is_empty() {
        set("body", json!(text.map_or_else(|| STANDARD.encode(body), str::to_owned)));
    }
    set("isBase64Encoded", json!(!body.is_empty() && text.is_none()));
    Value::Object(event)
}

fn context(parts: &Parts, path: &str, received: &Received<'_>) -> Value {
    json!({
        "accountId": ACCOUNT_ID,
        "apiId": API_ID,
        "domainName": received.domain_name,
        "domainPrefix": received.domain_name.split('.').next(),
        "http": {
            "method": parts.method.as_str(),
            "path": path,
            "protocol": protocol(parts.version),
            "sourceIp": received.source.to_string(),
            "userAgent": parts.headers.get(USER_AGENT).map(text_of).unwrap_or_default(),
        },
        "requestId": received.request_id,
        "routeKey": received.route_key,
        "stage": "$default",
        "time": received.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "timeEpoch": received.at.as_millisecond(),
    })
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| {
            text_of(header).split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

/// Headers with lower-case names and joined duplicates, without those that belong to the connection,
/// and with what the gateway says about where the request came from.
fn headers(headers: &HeaderMap, received: &Received<'_>) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = headers
        .keys()
        .filter(|name| *name != COOKIE && !super::is_hop_by_hop(name))
        .map(|name| {
            let values: Vec<String> = headers.get_all(name).iter().map(text_of).collect();
            (name.as_str().to_owned(), values.join(","))
        })
        .collect();
    let source = received.source.to_string();
    let forwarded = match joined.get("x-forwarded-for") {
        Some(claimed) => format!("{claimed}, {source}"),
        None => source,
    };
    let port = received.domain_name.rsplit_once(':').map_or("80", |(_, port)| port);
    for (name, value) in [
        ("x-forwarded-for", forwarded.as_str()),
        ("x-forwarded-port", port),
        ("x-forwarded-proto", "http"),
        ("x-amzn-trace-id", received.trace),
    ] {
        joined.insert(name.to_owned(), value.to_owned());
    }
    joined
}

fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    parameters
}

fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(CONTENT_ENCODING) {
        return false;
    }
    let content_type = headers.get(CONTENT_TYPE).map(text_of).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"]
            .contains(&media_type.as_str())
}

fn text_of(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_as_api_gateway_does() {
        for (raw, expected) in [
            ("/a/b", "/a/b"),
            ("/a%20b/%C3%A9", "/a b/é"),
            ("/a%2Fb", "/a/b"),
            ("/a%3Fb=1", "/a"),
            ("/a+b", "/a+b"),
            ("/%FF", "/\u{fffd}"),
        ] {
            assert_eq!(decoded_path(raw), expected, "{raw}");
        }
    }
}
