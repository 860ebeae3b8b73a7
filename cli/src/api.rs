//! The HTTP API as an operator's commands call it: where it is, who asks, and what becomes of an
//! answer. It waits where the API asks it to wait, and tells failures in the API's own words.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reqwest::header::{ETAG, IF_MATCH, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};
use rollcall_local::Addresses;
use rollcall_runtime::invocation::chain;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use crate::{complain, sample, say};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first byte sent to the last byte read: the API itself gives up after 30 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(35);
/// Bytes of an answer: Lambda answers no more.
const ANSWER_BYTES_MAX: usize = 6 * 1024 * 1024;
/// How often a call is made that the API asks to make again.
const TRIES_MAX: u32 = 8;
/// The longest that is waited before a call is made again, whatever the API asks for.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// Pages of a list that are read; with a hundred entries each, a million entries.
const PAGES_MAX: usize = 10_000;

/// Where the API is and who asks. Without `--url` it is the local cloud.
#[derive(Clone, Debug, Args)]
pub struct ApiOptions {
    /// Where the API is, `https://` and a host, as browsers see it.
    #[arg(long, env = "ROLLCALL_URL", requires = "token")]
    url: Option<Url>,
    /// An access token with the scope rollcall/operate, or of a user with the role admin.
    #[arg(long, env = "ROLLCALL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The first port of the local cloud; a token comes from its identity provider.
    #[arg(long, value_name = "PORT", default_value_t = 9000, conflicts_with = "url")]
    local: u16,
    /// Prints what the API answers, as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Why a call did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The token would travel for everybody to read.
    #[error("{0} is neither https nor on this machine, so no token is sent there")]
    Unprotected(Url),
    /// The path cannot be put behind the URL.
    #[error("{0} is not a path of the API")]
    Path(String),
    /// This program cannot make calls.
    #[error("HTTP cannot be used on this machine")]
    Client,
    /// There was no answer.
    #[error("{url} does not answer")]
    Unreachable {
        /// Who.
        url: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is not one of the API.
    #[error("{url} answered {status}, and not in the way of this API")]
    Strange {
        /// Who.
        url: Url,
        /// The status.
        status: StatusCode,
    },
    /// The API refused.
    #[error("{0}")]
    Refused(Refusal),
    /// A list did not end.
    #[error("the list has more than {PAGES_MAX} pages")]
    Endless,
    /// The system is in the way.
    #[error("the system does not let this program start")]
    System(#[source] std::io::Error),
}

/// What the API says about a request that it refused (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The stable name.
    pub code: String,
    /// What happened.
    pub title: String,
    /// What is particular about it.
    pub detail: Option<String>,
    /// Which values are wrong.
    #[serde(default)]
    pub errors: Vec<FieldRefusal>,
}

/// A value that the API refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FieldRefusal {
    /// Where it stands.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, code, title, detail, errors } = self;
        write!(formatter, "{title} ({status} {code})")?;
        if let Some(detail) = detail {
            write!(formatter, ": {detail}")?;
        }
        for FieldRefusal { pointer, detail } in errors {
            write!(formatter, "; {pointer} {detail}")?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

/// The API, for whoever `ApiOptions` names.
pub struct Api {
    client: reqwest::Client,
    base: Url,
    token: String,
    is_local: bool,
    /// Whether answers are printed as they are.
    pub json: bool,
}

/// What the API shows, in a version of it that a change can name.
pub struct Versioned {
    /// What it shows.
    pub value: Value,
    /// The version's entity tag; empty when there is none.
    pub tag: String,
}

/// Parameters of a query.
pub type Query<'a> = &'a [(&'a str, String)];

/// Runs `work` over the API that `options` name, and says what went wrong.
pub fn run<F, E>(options: ApiOptions, work: impl FnOnce(Api) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + From<ApiError> + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime
        .map_err(|error| E::from(ApiError::System(error)))
        .and_then(|runtime| runtime.block_on(async { work(Api::connect(options).await?).await }));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&chain(&error)),
    }
}

/// Prints `value` as JSON, for programs: one value a line.
pub fn say_json(value: &Value) {
    say(&value.to_string());
}

/// The text at a key of an answer; empty when there is none.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a key of an answer; zero when there is none.
pub fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// The list at a key of an answer; empty when there is none.
pub fn entries<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Api {
    /// Finds out where the API is, and gets a token where none was given.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn connect(options: ApiOptions) -> Result<Self, ApiError> {
        let ApiOptions { url, token, local, json } = options;
        let client = client()?;
        let addresses = sample::addresses(local);
        let is_local = url.is_none();
        let base = match url {
            Some(url) => url,
            None => local_url(addresses.api, "")?,
        };
        if !is_protected(&base) {
            return Err(ApiError::Unprotected(base));
        }
        let token = match token {
            Some(token) => token,
            None => local_token(&client, &addresses).await?,
        };
        Ok(Self { client, base, token, is_local, json })
    }

    /// The client, for requests that are not made in the operator's name.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.client
    }

    /// Where the API is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Whether that is the local cloud.
    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }

    /// The URL of a path.
    ///
    /// # Errors
    ///
    /// [`ApiError::Path`].
    pub(crate) fn url(&self, path: &str) -> Result<Url, ApiError> {
        self.base.join(path).map_err(|_error| ApiError::Path(path.to_owned()))
    }

    /// The origin of our own pages, which are where the API is.
    ///
    /// # Errors
    ///
    /// [`ApiError::Path`].
    pub(crate) fn origin(&self) -> Result<String, ApiError> {
        Ok(self.url("/")?.origin().ascii_serialization())
    }

    /// Reads something.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn get(&self, path: &str, query: Query<'_>) -> Result<Value, ApiError> {
        self.call(Method::GET, path, query, None).await
    }

    /// Does something. Null when the API answers nothing.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        self.call(Method::POST, path, &[], body).await
    }

    /// Reads something that is going to be changed.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn version(&self, path: &str) -> Result<Versioned, ApiError> {
        self.exchange(Method::GET, path, &[], (None, None)).await
    }

    /// Changes the version that `tag` names, and no other.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        tag: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        Ok(self.exchange(method, path, &[], (Some(body), Some(tag))).await?.value)
    }

    /// Any call. One that is refused for its rate is made again when the API says; a reading also
    /// when the API cannot be reached for now.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        Ok(self.exchange(method, path, query, (body, None)).await?.value)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        (body, if_match): (Option<&Value>, Option<&str>),
    ) -> Result<Versioned, ApiError> {
        let url = self.base.join(path).map_err(|_error| ApiError::Path(path.to_owned()))?;
        let is_reading = method == Method::GET;
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self.client.request(method.clone(), url.clone()).bearer_auth(&self.token);
            let request = if query.is_empty() { request } else { request.query(query) };
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            let request = match if_match {
                Some(tag) => request.header(IF_MATCH, tag),
                None => request,
            };
            let answer = request.send().await.map_err(unreachable(&url))?;
            let again = match answer.status() {
                StatusCode::TOO_MANY_REQUESTS => true,
                StatusCode::SERVICE_UNAVAILABLE => is_reading,
                _ => false,
            };
            if !again || tries >= TRIES_MAX {
                let tag = answer.headers().get(ETAG).and_then(|value| value.to_str().ok());
                let tag = tag.unwrap_or_default().to_owned();
                return Ok(Versioned { value: understood(&url, answer).await?, tag });
            }
            tokio::time::sleep(wait(&answer)).await;
        }
    }

    /// Reads a list page by page until it ends, or `each` has enough and says `false`.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn pages(
        &self,
        path: &str,
        query: Query<'_>,
        mut each: impl FnMut(&Value) -> bool,
    ) -> Result<(), ApiError> {
        let mut query = query.to_vec();
        for _page in 0..PAGES_MAX {
            let page = self.get(path, &query).await?;
            let cursor = page.get("cursor").and_then(Value::as_str).map(ToOwned::to_owned);
            // Also of the last page, which has no cursor.
            let goes_on = each(&page);
            let Some(cursor) = cursor.filter(|_| goes_on) else {
                return Ok(());
            };
            query.retain(|(name, _)| *name != "cursor");
            query.push(("cursor", cursor));
        }
        Err(ApiError::Endless)
    }
}

/// Redirects are refused, since a token belongs to nobody else.
#[expect(clippy::disallowed_methods, reason = "this is the adapter that may")]
fn client() -> Result<reqwest::Client, ApiError> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_refused| ApiError::Client)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .build()
        .map_err(|_refused| ApiError::Client)
}

/// Whether what is sent there can be read by nobody else.
pub(crate) fn is_protected(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_here
}

fn local_url(port: u16, path: &str) -> Result<Url, ApiError> {
    let text = format!("{}{path}", Addresses::url(port));
    Url::parse(&text).map_err(|_error| ApiError::Path(text))
}

/// A token of the sample's machine, by its client credentials.
async fn local_token(client: &reqwest::Client, addresses: &Addresses) -> Result<String, ApiError> {
    let url = local_url(addresses.provider, "/oauth2/token")?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", sample::MONITOR_ID),
        ("client_secret", sample::MONITOR_SECRET),
    ];
    let answer = client.post(url.clone()).form(&form).send().await.map_err(unreachable(&url))?;
    let answer = understood(&url, answer).await?;
    let strange = |_error| ApiError::Strange { url, status: StatusCode::OK };
    let granted: Granted = serde_json::from_value(answer).map_err(strange)?;
    Ok(granted.access_token)
}

fn unreachable(url: &Url) -> impl Fn(reqwest::Error) -> ApiError {
    let url = url.clone();
    move |error| ApiError::Unreachable { url: url.clone(), source: error.without_url() }
}

fn wait(answer: &Response) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
    Duration::from_secs(seconds).min(WAIT_MAX)
}

/// What an answer says, or how it refuses.
///
/// # Errors
///
/// [`ApiError`].
pub(crate) async fn understood(url: &Url, mut answer: Response) -> Result<Value, ApiError> {
    let status = answer.status();
    let strange = || ApiError::Strange { url: url.clone(), status };
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable(url))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(strange());
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        if body.is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_slice(&body).map_err(|_error| strange());
    }
    match serde_json::from_slice(&body) {
        Ok(refusal) => Err(ApiError::Refused(refusal)),
        Err(_error) => Err(strange()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_encrypted_or_not_at_all() {
        for (url, expected) in [
            ("https://api.example.org", true),
            ("http://localhost:9000", true),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
            ("http://api.example.org", false),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
        ] {
            assert_eq!(is_protected(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_one_line() {
        let refusal = r#"{"type":"…","status":422,"code":"invalid-value","title":"A value is not allowed.",
            "errors":[{"pointer":"query:status","code":"invalid","detail":"is not a status"}]}"#;
        let refusal: Refusal = serde_json::from_str(refusal).unwrap();
        assert_eq!(
            refusal.to_string(),
            "A value is not allowed. (422 invalid-value); query:status is not a status"
        );
    }
}
