//! The id under which one change can be followed from the request that made it to HubSpot's logs.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Our own header; HubSpot passes over it, a proxy in between can log it.
const TRACE_ID: HeaderName = HeaderName::from_static("x-rollcall-trace-id");
/// W3C Trace Context §3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Bytes of a trace id that are sent; a longer one did not come from us.
const TRACE_ID_BYTES_MAX: usize = 256;

/// The headers that carry `trace_id`; none if it cannot stand in a header.
pub(crate) fn headers(trace_id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if trace_id.is_empty()
        || trace_id.len() > TRACE_ID_BYTES_MAX
        || !trace_id.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return headers;
    }
    if let Ok(value) = HeaderValue::from_str(trace_id) {
        if is_traceparent(trace_id) {
            headers.insert(TRACEPARENT, value.clone());
        }
        headers.insert(TRACE_ID, value);
    }
    headers
}

/// W3C Trace Context §3.2.2, version 00: lower-case hexadecimal, and ids that are not zero.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |part: &str, length: usize| hex(part, length) && part.bytes().any(|b| b != b'0');
    match text.split('-').collect::<Vec<_>>().as_slice() {
        ["00", trace, parent, flags] => id(trace, 32) && id(parent, 16) && hex(flags, 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(trace_id: &str, expected: &[&str]) {
        let headers = headers(trace_id);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{trace_id}");
        assert!(headers.values().all(|value| value == trace_id));
    }

    #[test]
    fn a_trace_id_travels_in_our_header_and_a_w3c_one_in_theirs_too() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let both = ["traceparent", "x-rollcall-trace-id"];
        let ours = ["x-rollcall-trace-id"];
        check(&format!("00-{trace}-b7ad6b7169203331-01"), &both);
        check(&format!("01-{trace}-b7ad6b7169203331-01"), &ours);
        check(&format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), &ours);
        check(&format!("00-{trace}-0000000000000000-01"), &ours);
        check(&format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()), &ours);
        check(&format!("00-{trace}-b7ad6b7169203331-01-x"), &ours);
        check("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", &ours);
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_not_sent() {
        check("", &[]);
        check("a\r\nauthorization: b", &[]);
        check("é", &[]);
        check(&"a".repeat(TRACE_ID_BYTES_MAX + 1), &[]);
    }
}
