//! Answers: a status, headers, cookies and a body, with the headers that every answer carries.

use std::borrow::Cow;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use rollcall_domain::idempotency::{ANSWER_BYTES_MAX, KeptAnswer};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::condition;
use crate::problem::{INTERNAL, Problem};

/// Headers of every answer (OWASP Secure Headers Project).
const SECURITY_HEADERS: [(&str, &str); 7] = [
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-site"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
];

/// The header that names the request in the log.
const REQUEST_ID: &str = "x-request-id";
/// What JSON may load when somebody opens it as a page: nothing.
const JSON_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// The style of our own plain pages.
const PAGE_STYLE: &str = "body{font:1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:12vh auto;\
    padding:0 1.5rem;color:#1c2430;background:#fff}h1{font-size:1.6rem;line-height:1.2}\
    a{color:#1d5fc4}@media(prefers-color-scheme:dark){body{color:#e8ebf0;background:#151a21}\
    a{color:#8ab8ff}}button{font:inherit;padding:.4rem 1.2rem}";

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(Cow<'static, str>, String)>,
    cookies: Vec<String>,
    body: Option<String>,
    /// Whether the body is bytes, in base64.
    is_bytes: bool,
}

impl Response {
    /// JSON.
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        match serde_json::to_string(body) {
            Ok(text) => Self {
                status,
                headers: vec![
                    ("content-type".into(), "application/json".to_owned()),
                    ("content-security-policy".into(), JSON_POLICY.to_owned()),
                ],
                cookies: Vec::new(),
                body: Some(text),
                is_bytes: false,
            },
            Err(error) => {
                tracing::error!(%error, "failed to encode an answer");
                Self::problem(&Problem::new(&INTERNAL), "")
            }
        }
    }

    /// A text of any other media type.
    pub fn text(status: u16, content_type: &str, body: String) -> Self {
        let headers = vec![
            ("content-type".into(), content_type.to_owned()),
            ("content-security-policy".into(), JSON_POLICY.to_owned()),
        ];
        Self { status, headers, cookies: Vec::new(), body: Some(body), is_bytes: false }
    }

    /// Bytes of any media type.
    pub fn bytes(status: u16, content_type: &str, bytes: &[u8]) -> Self {
        let text = Self::text(status, content_type, STANDARD.encode(bytes));
        Self { is_bytes: true, ..text }
    }

    /// Nothing (RFC 9110 §15.3.5).
    pub fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), cookies: Vec::new(), body: None, is_bytes: false }
    }

    /// Sends a browser elsewhere; 302 keeps to GET in practice, 303 by definition.
    pub fn redirect(status: u16, location: &str) -> Self {
        let headers = vec![("location".into(), location.to_owned())];
        Self { status, headers, cookies: Vec::new(), body: None, is_bytes: false }
    }

    /// A plain page for people: a heading and a paragraph, both escaped, and a link to sign in.
    pub fn page(status: u16, heading: &str, text: &str) -> Self {
        Self::page_with_link(status, (heading, text), ("/auth/login", "Sign in"))
    }

    /// As [`Response::page`], with another link: a path on our site and what it says, both escaped.
    pub fn page_with_link(status: u16, texts: (&str, &str), (path, label): (&str, &str)) -> Self {
        let (path, label) = (escape(path), escape(label));
        let link = format!("<p><a href=\"{path}\">{label}</a></p>");
        Self::html(status, texts, &link, &page_policy("; form-action 'self'"))
    }

    /// A plain page with a heading and a paragraph, both escaped, and HTML of the caller's own, in which
    /// whatever others wrote has gone through [`escape`]. It needs no script and loads nothing.
    pub fn page_with_html(status: u16, texts: (&str, &str), html: &str) -> Self {
        Self::html(status, texts, html, &page_policy(""))
    }

    /// A plain page that asks people before something is done: a heading, a paragraph and a form, all
    /// escaped. It needs no script.
    pub fn form_page(heading: &str, text: &str, form: &Form<'_>) -> Self {
        // Browsers apply `form-action` to where the answer to the form leads as well, which may be
        // the provider, so the policy does not name it: the only form is this one.
        Self::html(200, (heading, text), &form.html(), &page_policy(""))
            // By no-referrer a browser would send the form with `Origin: null`, which nobody trusts.
            .with_header("referrer-policy", "same-origin")
    }

    fn html(status: u16, (heading, text): (&str, &str), rest: &str, policy: &str) -> Self {
        let (heading, text) = (escape(heading), escape(text));
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{heading} · Rollcall</title>\n<style>{PAGE_STYLE}</style>\n<h1>{heading}</h1>\n<p>{text}</p>\n\
             {rest}\n</html>\n"
        );
        Self {
            status,
            headers: vec![
                ("content-type".into(), "text/html; charset=utf-8".to_owned()),
                ("content-security-policy".into(), policy.to_owned()),
            ],
            cookies: Vec::new(),
            body: Some(body),
            is_bytes: false,
        }
    }

    /// The answer to a request that failed.
    pub fn problem(problem: &Problem, request_id: &str) -> Self {
        let mut response = Self::json(problem.kind.status, &problem.body(request_id))
            .with_header("content-type", "application/problem+json");
        if let Some(seconds) = problem.retry_after_seconds {
            response = response.with_header("retry-after", &seconds.to_string());
        }
        let realm = "Bearer realm=\"Rollcall\"";
        if let Some(challenge) = &problem.challenge {
            let value = format!("{realm}, {challenge}");
            response = response.with_header("www-authenticate", &value);
        } else if problem.kind.status == 401 {
            response = response.with_header("www-authenticate", realm);
        }
        response
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// With a header, in place of one of the same name.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.into(), value.to_owned()));
        self
    }

    /// With a cookie that only this host gets, that scripts cannot read, and that lasts `seconds`.
    ///
    /// The name must start with `__Host-`, by which browsers enforce the rest (RFC 6265bis §4.1.3.2).
    #[must_use]
    pub fn with_cookie(mut self, name: &str, value: &str, seconds: i64) -> Self {
        let cookie = Cookie::build((name.to_owned(), value.to_owned()))
            .path("/")
            .secure(true)
            .http_only(true)
            .same_site(SameSite::Lax)
            .max_age(cookie::time::Duration::seconds(seconds));
        self.cookies.push(cookie.build().to_string());
        self
    }

    /// That may be kept by anybody for `seconds`.
    #[must_use]
    pub fn cacheable(self, seconds: u32) -> Self {
        self.with_header("cache-control", &format!("public, max-age={seconds}"))
    }

    /// That pages of other sites may read, as far as the gateway lets them.
    #[must_use]
    pub fn shared(self) -> Self {
        self.with_header("cross-origin-resource-policy", "cross-origin")
    }

    /// With its entity tag (see [`crate::condition`]), if it has one: what a GET answers, and what
    /// the handler says to have a version. When the caller of a GET has it already, `if_none_match`
    /// says so and the body is left out.
    #[must_use]
    pub(crate) fn validated(mut self, is_get: bool, if_none_match: Option<&str>) -> Self {
        let own = self.header("etag");
        let is_json = self.header("content-type") == Some("application/json");
        let Some(body) = self.body.as_deref() else { return self };
        if self.status != 200 || !is_json || !is_get && own.is_none() {
            return self;
        }
        let tag = condition::complete_tag(own, body);
        if is_get && if_none_match.is_some_and(|known| condition::is_known(known, &tag)) {
            self.status = 304;
            self.body = None;
            self.headers.retain(|(name, _)| name != "content-type");
        }
        self.with_header("etag", &tag)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The answer as it may be kept for a repetition of the request; `None` when it may not, since
    /// it holds cookies, which are secrets, or bytes, or is too large. A repetition names the first
    /// request's id, as the body may.
    pub fn to_kept(&self, request_id: &str) -> Option<KeptAnswer> {
        let bytes = self.body.as_ref().map_or(0, String::len);
        if !self.cookies.is_empty() || self.is_bytes || bytes > ANSWER_BYTES_MAX {
            return None;
        }
        let own = self.headers.iter().map(|(name, value)| (name.to_string(), value.clone()));
        let id = (REQUEST_ID.to_owned(), request_id.to_owned());
        Some(KeptAnswer {
            status: self.status,
            headers: own.chain([id]).collect(),
            body: self.body.clone(),
        })
    }

    /// An answer that was kept.
    pub fn from_kept(kept: KeptAnswer) -> Self {
        let headers = kept.headers.into_iter().map(|(name, value)| (name.into(), value));
        Self {
            status: kept.status,
            headers: headers.collect(),
            cookies: Vec::new(),
            body: kept.body,
            is_bytes: false,
        }
    }

    /// The answer in API Gateway's form, with the headers that every answer carries.
    pub fn into_gateway(self, request_id: &str) -> ApiGatewayV2httpResponse {
        let mut headers = HeaderMap::new();
        for (name, value) in SECURITY_HEADERS {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(value) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, value);
        }
        for (name, value) in &self.headers {
            let (parsed, value) =
                (HeaderName::try_from(name.as_ref()), HeaderValue::from_str(value));
            if let (Ok(name), Ok(value)) = (parsed, value) {
                headers.insert(name, value);
            } else {
                tracing::error!(name = name.as_ref(), "an answer's header is not valid");
            }
        }
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(self.status);
        response.headers = headers;
        response.cookies = self.cookies;
        response.body = self.body.map(Body::Text);
        response.is_base64_encoded = self.is_bytes;
        response
    }
}

/// A form with one button.
#[derive(Clone, Copy, Debug)]
pub struct Form<'form> {
    /// The path that it is posted to.
    pub action: &'form str,
    /// Fields that people do not see, and their values.
    pub hidden: &'form [(&'form str, &'form str)],
    /// Fields that people may tick, and what they say; ticked, their value is `true`.
    pub choices: &'form [(&'form str, &'form str)],
    /// What the button says.
    pub button: &'form str,
}

impl Form<'_> {
    fn html(&self) -> String {
        let hidden = self.hidden.iter().map(|(name, value)| {
            let (name, value) = (escape(name), escape(value));
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">\n")
        });
        let choices = self.choices.iter().map(|(name, text)| {
            let (name, text) = (escape(name), escape(text));
            let input = format!("<input type=\"checkbox\" name=\"{name}\" value=\"true\">");
            format!("<p><label>{input} {text}</label></p>\n")
        });
        let (action, button) = (escape(self.action), escape(self.button));
        let fields: String = hidden.chain(choices).collect();
        format!(
            "<form method=\"post\" action=\"{action}\">\n{fields}<p><button>{button}</button></p>\n</form>"
        )
    }
}

/// What our own plain pages may load: nothing but their style, named by its hash (CSP Level 3 §8.2).
fn page_policy(rest: &str) -> String {
    let style = STANDARD.encode(Sha256::digest(PAGE_STYLE));
    format!("default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'{rest}")
}

/// Text as it may stand in HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_version_is_not_sent_again() {
        let plain = || Response::json(200, &"x").cacheable(60);
        let versioned = || Response::json(200, &"x").with_header("etag", "\"7\"");
        let tag_of = |response: Response| {
            let fresh = response.validated(true, None).into_gateway("r");
            fresh.headers["etag"].to_str().unwrap().to_owned()
        };
        let (tag, version) = (tag_of(plain()), tag_of(versioned()));
        assert_eq!(version, format!("\"7.{}", &tag[1..]));
        let other = tag_of(Response::json(200, &"y").with_header("etag", "\"7\""));
        for (response, is_get, if_none_match, status) in [
            (plain(), true, tag.clone(), 304),
            (plain(), true, format!("\"a\", W/{tag}"), 304),
            (plain(), true, "*".to_owned(), 304),
            (plain(), true, "\"a\"".to_owned(), 200),
            (versioned(), true, version.clone(), 304),
            (versioned(), true, "\"7\"".to_owned(), 200),
            (versioned(), true, other, 200),
            (versioned(), false, version, 200),
        ] {
            let shown = format!("{response:?} {is_get} {if_none_match}");
            let answer = response.validated(is_get, Some(&if_none_match)).into_gateway("r");
            assert_eq!(answer.status_code, status, "{shown}");
            assert_eq!(answer.body.is_none(), status == 304, "{shown}");
            assert!(!answer.headers["etag"].is_empty(), "{shown}");
        }
        let tagless = [
            (Response::json(200, &"x"), false),
            (Response::json(202, &"x"), true),
            (Response::problem(&Problem::new(&INTERNAL), "r"), true),
            (Response::page(200, "a", "b"), true),
        ];
        for (response, is_get) in tagless {
            let answer = response.validated(is_get, Some("*")).into_gateway("r");
            assert!(answer.body.is_some() && !answer.headers.contains_key("etag"), "{answer:?}");
        }
    }

    #[test]
    fn a_session_cookie_has_every_protection() {
        let answer = Response::no_content().with_cookie("__Host-s", "v", 60).into_gateway("r");
        assert_eq!(
            answer.cookies,
            ["__Host-s=v; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"]
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }

    #[test]
    fn a_page_escapes_what_it_shows() {
        let page = Response::page(400, "a<b", "\"&\"").into_gateway("r");
        let Some(Body::Text(text)) = page.body else { panic!("no text") };
        assert!(text.contains("a&lt;b") && text.contains("&quot;&amp;&quot;"));
        let form = Form {
            action: "/x",
            hidden: &[("csrf_token", "\"><script>")],
            choices: &[("all", "<all>")],
            button: "Go & do",
        };
        let page = Response::form_page("Sure?", "Really", &form).into_gateway("r");
        assert_eq!(page.headers["referrer-policy"], "same-origin");
        let Some(Body::Text(text)) = page.body else { panic!("no text") };
        assert!(
            text.contains("value=\"&quot;&gt;&lt;script&gt;\"") && text.contains("&lt;all&gt;")
        );
        assert!(text.contains("method=\"post\" action=\"/x\"") && text.contains("Go &amp; do"));
    }
}
