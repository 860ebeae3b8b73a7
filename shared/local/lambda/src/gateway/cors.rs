//! Cross-origin resource sharing, answered by the gateway.
//!
//! Followed: "Configure CORS for HTTP APIs in API Gateway". With a configuration, preflight requests
//! never reach a function, and CORS headers of functions are replaced.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use http::{Method, Request};

/// The CORS configuration of an API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// `https://example.org`, `https://*`, or `*`. An origin that only `*` allows never gets
    /// credentials, even with `allow_credentials`.
    pub allow_origins: Vec<String>,
    /// Methods a preflight answer names.
    pub allow_methods: Vec<String>,
    /// Request headers a preflight answer names.
    pub allow_headers: Vec<String>,
    /// Response headers scripts may read.
    pub expose_headers: Vec<String>,
    /// Whether origins that are named may send cookies.
    pub allow_credentials: bool,
    /// How long browsers may keep a preflight answer, in seconds.
    pub max_age_seconds: Option<u32>,
}

/// Whether a request is a preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// Replaces the CORS headers of an answer to `origin` by what the configuration says.
    pub(super) fn apply(
        &self,
        origin: Option<&HeaderValue>,
        preflight: bool,
        headers: &mut HeaderMap,
    ) {
        let foreign: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"))
            .cloned()
            .collect();
        for name in foreign {
            headers.remove(name);
        }
        let Some((allowed, credentials)) = origin.and_then(|origin| self.allow(origin)) else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        list(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose_headers);
        if preflight {
            list(headers, ACCESS_CONTROL_ALLOW_METHODS, &self.allow_methods);
            list(headers, ACCESS_CONTROL_ALLOW_HEADERS, &self.allow_headers);
            if let Some(seconds) = self.max_age_seconds {
                headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.into());
            }
        }
    }

    /// What to answer an origin, and whether with credentials.
    fn allow(&self, origin: &HeaderValue) -> Option<(HeaderValue, bool)> {
        let named = self.allow_origins.iter().any(|allowed| {
            allowed == origin
                || (allowed != "*"
                    && allowed
                        .strip_suffix('*')
                        .is_some_and(|prefix| origin.as_bytes().starts_with(prefix.as_bytes())))
        });
        if named {
            return Some((origin.clone(), self.allow_credentials));
        }
        let anyone = self.allow_origins.iter().any(|allowed| allowed == "*");
        anyone.then(|| (HeaderValue::from_static("*"), false))
    }
}

fn list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if let Ok(value) = HeaderValue::from_str(&values.join(","))
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}
