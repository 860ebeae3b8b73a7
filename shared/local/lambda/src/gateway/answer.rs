//! What a function's payload means as an HTTP answer.
//!
//! Followed: "Lambda function response for format 2.0" of the HTTP API proxy integration page.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// The answer, or `None` when the payload is malformed and API Gateway would answer 500.
pub(super) fn translate(payload: &[u8]) -> Option<Response> {
    let payload: Value = serde_json::from_slice(payload).ok()?;
    if payload.get("statusCode").is_some() {
        return structured(serde_json::from_value(payload).ok()?);
    }
    // Without a status code the whole payload is the body.
    let body = match payload {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Response::builder().header(CONTENT_TYPE, "application/json").body(Body::from(body)).ok()
}

fn structured(answer: Answer) -> Option<Response> {
    let text = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded == Some(true) {
        STANDARD.decode(text).ok()?
    } else {
        text.into_bytes()
    };
    let has_body = !body.is_empty();
    let mut response =
        Response::builder().status(answer.status_code).body(Body::from(body)).ok()?;
    let headers = response.headers_mut();
    for (name, value) in answer.headers.unwrap_or_default() {
        let name: HeaderName = name.parse().ok()?;
        let value = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        if !super::is_hop_by_hop(&name) && name != CONTENT_LENGTH {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
    }
    for cookie in answer.cookies.unwrap_or_default() {
        let cookie = HeaderValue::from_bytes(cookie.as_bytes()).ok()?;
        headers.append(SET_COOKIE, cookie);
    }
    if has_body && !headers.contains_key(CONTENT_TYPE) {
        let plain = HeaderValue::from_static("text/plain;charset=UTF-8");
        headers.insert(CONTENT_TYPE, plain);
    }
    // An informational status would leave the client waiting for the real one.
    (!response.status().is_informational()).then_some(response)
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn check(payload: &str, expected: Option<Value>) {
        let found = match translate(payload.as_bytes()) {
            None => None,
            Some(response) => {
                let headers: Vec<String> = response
                    .headers()
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                    .collect();
                let status = response.status().as_u16();
                let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
                let body = body.escape_ascii().to_string();
                Some(json!([status, headers, body]))
            }
        };
        assert_eq!(found, expected, "{payload}");
    }

    #[tokio::test]
    async fn payloads_become_answers_as_format_2_0_says() {
        let json = "content-type: application/json";
        check(r#""Hello""#, Some(json!([200, [json], "Hello"]))).await;
        check("[1]", Some(json!([200, [json], "[1]"]))).await;
        check(
            r#"{"statusCode":201,"body":"x"}"#,
            Some(json!([201, ["content-type: text/plain;charset=UTF-8"], "x"])),
        )
        .await;
        check(
            r#"{"statusCode":302,"headers":{"Location":"/a","Content-Length":"9"},"cookies":["a=1","b=2; Secure"]}"#,
            Some(json!([302, ["location: /a", "set-cookie: a=1", "set-cookie: b=2; Secure"], ""])),
        )
        .await;
        check(
            r#"{"statusCode":200,"headers":{"content-type":"image/png"},"body":"/wA=","isBase64Encoded":true}"#,
            Some(json!([200, ["content-type: image/png"], "\\xff\\x00"])),
        )
        .await;
    }

    #[tokio::test]
    async fn malformed_payloads_are_refused() {
        for payload in [
            "",
            "{",
            r#"{"statusCode":"200"}"#,
            r#"{"statusCode":42}"#,
            r#"{"statusCode":101}"#,
            r#"{"statusCode":200,"body":{"a":1}}"#,
            r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            r#"{"statusCode":200,"headers":{"a":"b\r\nc: d"}}"#,
            r#"{"statusCode":200,"cookies":["a\nb"]}"#,
        ] {
            check(payload, None).await;
        }
    }
}
