//! The mailbox, for people. The pages work without JavaScript. A mail is shown as its plain text:
//! everything in it is escaped, and what looks like a link becomes one.

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::{Mail, Message};

/// No script, no frame, no other origin.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "\
body{font:1rem/1.5 system-ui,sans-serif;background:#f4f5f7;color:#1d2129;margin:0 auto;\
padding:2rem 1rem;max-width:46rem}\
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%;background:#fff}\
th,td{text-align:left;padding:.5rem .75rem;border-bottom:1px solid #d9dde3}\
pre{font:inherit;white-space:pre-wrap;overflow-wrap:anywhere;background:#fff;padding:1rem}\
dt{font-weight:600;float:left;width:5rem}dd{margin:0 0 0 5rem}\
a{color:#1d5fc4}:focus-visible{outline:3px solid #f0a020;outline-offset:2px}";

/// Every message, newest first.
pub(crate) async fn list(State(mail): State<Mail>) -> Response {
    let mut messages = mail.messages();
    messages.reverse();
    if messages.is_empty() {
        return document(StatusCode::OK, "Mailbox", "<h1>Mailbox</h1><p>Nothing was sent yet.</p>");
    }
    let rows: Vec<String> = messages.iter().map(row).collect();
    let rows = rows.concat();
    let body = format!(
        "<h1>Mailbox</h1><table><thead><tr><th>Sent</th><th>To</th><th>Subject</th></tr></thead>\
         <tbody>{rows}</tbody></table>"
    );
    document(StatusCode::OK, "Mailbox", &body)
}

fn row(message: &Message) -> String {
    let Message { id, at, to, subject, .. } = message;
    let (id, to, at, subject) = (escape(id), escape(&to.join(", ")), escape(at), escape(subject));
    format!("<tr><td>{at}</td><td>{to}</td><td><a href=\"/messages/{id}\">{subject}</a></td></tr>")
}

/// One message.
pub(crate) async fn one(State(mail): State<Mail>, Path(id): Path<String>) -> Response {
    let Some(message) = mail.messages().into_iter().find(|message| message.id == id) else {
        let body = "<h1>There is no such mail</h1><p><a href=\"/\">Mailbox</a></p>";
        return document(StatusCode::NOT_FOUND, "Mailbox", body);
    };
    let Message { at, from, to, subject, text, .. } = message;
    let body = format!(
        "<p><a href=\"/\">Mailbox</a></p><h1>{subject}</h1>\
         <dl><dt>From</dt><dd>{from}</dd><dt>To</dt><dd>{to}</dd><dt>Sent</dt><dd>{at}</dd></dl>\
         <pre>{text}</pre>",
        subject = escape(&subject),
        from = escape(&from),
        to = escape(&to.join(", ")),
        at = escape(&at),
        text = linked(&text),
    );
    document(StatusCode::OK, &subject, &body)
}

fn document(status: StatusCode, title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>\
         <style>{STYLE}</style></head><body>{body}</body></html>",
        escape(title),
    );
    let mut response = (status, Html(page)).into_response();
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `text` escaped, with its `http` and `https` URLs as links. A URL ends at white space.
pub(crate) fn linked(text: &str) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(|piece| {
            let word = piece.trim_end();
            let escaped = escape(piece);
            if word.starts_with("https://") || word.starts_with("http://") {
                let url = escape(word);
                let rest = escaped.get(url.len()..).unwrap_or_default();
                format!("<a href=\"{url}\">{url}</a>{rest}")
            } else {
                escaped
            }
        })
        .collect()
}

pub(crate) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}
