//! The pages a person sees. They work without JavaScript, and everything that came with the
//! request is escaped before it is shown.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// No script, no frame, no other origin: a page shows text and one form.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "\
body{font:1rem/1.5 system-ui,sans-serif;background:#f4f5f7;color:#1d2129;margin:0;display:grid;\
min-height:100vh;place-items:center}\
main{background:#fff;padding:2rem;border-radius:.5rem;box-shadow:0 1px 4px #0003;width:min(22rem,90vw)}\
h1{font-size:1.4rem;margin:0 0 1rem}label{display:block;margin:.75rem 0 .25rem;font-weight:600}\
input{font:inherit;box-sizing:border-box;width:100%;padding:.5rem;border:1px solid #6b7280;border-radius:.25rem}\
button{font:inherit;font-weight:600;width:100%;margin-top:1.25rem;padding:.6rem;border:0;border-radius:.25rem;\
background:#1f5fbf;color:#fff;cursor:pointer}\
:focus-visible{outline:3px solid #f0a020;outline-offset:2px}\
button.quiet{background:none;color:#1f5fbf;margin-top:.5rem}code{font-size:1.2rem}\
[role=alert]{border-left:.25rem solid #b3261e;padding:.5rem .75rem;background:#fdecea;margin:0 0 1rem}\
small{color:#4b5563}";

/// Turns back without filling in the form.
const CANCEL: &str = "<button class=\"quiet\" type=\"submit\" name=\"cancel\" value=\"yes\" formnovalidate>Cancel</button>";

/// The sign-in form. `query` is the authorization request it continues.
pub(crate) fn sign_in(query: &str, username: &str, error: Option<&str>) -> Response {
    let alert = alert(error);
    let body = format!(
        "<h1>Sign in</h1>{alert}<form method=\"post\" action=\"/login?{query}\">\
         <label for=\"username\">Username or e-mail address</label>\
         <input id=\"username\" name=\"username\" autocomplete=\"username\" autocapitalize=\"none\" \
         required autofocus value=\"{username}\">\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\
         <button type=\"submit\">Sign in</button>{CANCEL}</form>\
         <p>No account yet? <a href=\"/signup?{query}\">Sign up</a></p>\
         <p><small>Identity provider of a local cloud. Use its sample accounts, never a real password.</small></p>",
        query = escape(query),
        username = escape(username),
    );
    document(form_status(error), "Sign in", &body)
}

/// The sign-up form. `query` is the authorization request it continues.
pub(crate) fn sign_up(query: &str, email: &str, error: Option<&str>) -> Response {
    let body = format!(
        "<h1>Sign up</h1>{alert}<form method=\"post\" action=\"/signup?{query}\">\
         <label for=\"email\">E-mail address</label>\
         <input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"email\" \
         required autofocus value=\"{email}\">\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" required>\
         <button type=\"submit\">Sign up</button>{CANCEL}</form>\
         <p>Have an account? <a href=\"/login?{query}\">Sign in</a></p>\
         <p><small>Identity provider of a local cloud. Never use a real password.</small></p>",
        alert = alert(error),
        query = escape(query),
        email = escape(email),
    );
    document(form_status(error), "Sign up", &body)
}

/// The form that takes the confirmation code, which is shown if it is not empty.
pub(crate) fn confirm(query: &str, username: &str, code: &str, error: Option<&str>) -> Response {
    let shown = if code.is_empty() {
        String::new()
    } else {
        format!("<p>A local cloud sends no e-mail. Your code is <code>{}</code></p>", escape(code))
    };
    let body = format!(
        "<h1>Confirm your account</h1>{alert}{shown}<form method=\"post\" action=\"/confirmUser?{query}\">\
         <input type=\"hidden\" name=\"username\" value=\"{username}\">\
         <label for=\"code\">Code</label>\
         <input id=\"code\" name=\"code\" inputmode=\"numeric\" autocomplete=\"one-time-code\" required autofocus>\
         <button type=\"submit\">Confirm</button></form>",
        alert = alert(error),
        query = escape(query),
        username = escape(username),
    );
    document(form_status(error), "Confirm", &body)
}

/// Nobody is signed in any more, and no address to return to was asked for.
pub(crate) fn signed_out() -> Response {
    document(StatusCode::OK, "Signed out", "<h1>You are signed out</h1>")
}

fn alert(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| format!("<p role=\"alert\">{}</p>", escape(error)))
}

fn form_status(error: Option<&str>) -> StatusCode {
    if error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK }
}

/// A request that cannot be answered to the client, because it is not known where the client is
/// (RFC 6749 §4.1.2.1).
pub(crate) fn error(reason: &str) -> Response {
    let body = format!(
        "<h1>This sign-in link does not work</h1><p role=\"alert\">{}</p>\
         <p>Go back to the application and start again.</p>",
        escape(reason),
    );
    document(StatusCode::BAD_REQUEST, "Error", &body)
}

fn document(status: StatusCode, title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main>{body}</main></body></html>",
    );
    let mut response = (status, Html(page)).into_response();
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
