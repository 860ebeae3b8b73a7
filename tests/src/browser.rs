//! A browser as the API sees it: it keeps cookies, sends its origin, and follows no redirect by
//! itself.

use std::collections::BTreeMap;

use rollcall_local::Addresses;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::Canaries;

/// Pages and redirects between leaving for the provider and coming back.
const HOPS_MAX: usize = 12;

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers; several of one name are joined by a newline.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// A header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// A browser.
#[derive(Clone, Debug)]
pub struct Browser {
    http: reqwest::Client,
    /// Where the API is.
    pub api: String,
    provider: String,
    /// The API's cookies.
    pub cookies: BTreeMap<String, String>,
    csrf: Option<String>,
    /// What went through this browser and must stand in no log.
    canaries: Canaries,
}

impl Browser {
    /// A browser that nobody has signed in with.
    #[expect(clippy::disallowed_methods, reason = "a test client has no product's room")]
    pub fn new(addresses: &Addresses) -> Self {
        let provider = rustls::crypto::ring::default_provider();
        let roots = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("ring knows the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client can be made");
        Self {
            http,
            api: Addresses::url(addresses.api),
            provider: Addresses::url(addresses.provider),
            cookies: BTreeMap::new(),
            csrf: None,
            canaries: Canaries::default(),
        }
    }

    /// With `canaries` for whatever goes through it.
    #[must_use]
    pub fn watched(mut self, canaries: &Canaries) -> Self {
        self.canaries = canaries.clone();
        self
    }

    /// Fills in the provider's sign-in form, as a person would, whoever the provider is. Where the
    /// browser comes back to, without having gone there; `login` is a path of ours.
    ///
    /// # Panics
    ///
    /// When the provider shows no form, or never sends the browser back.
    pub async fn fill_in_form(&mut self, login: &str, username: &str, password: &str) -> String {
        let answer = self.get(login).await;
        assert_eq!(answer.status, 302, "{answer:?}");
        let mut elsewhere = Self { cookies: BTreeMap::new(), csrf: None, ..self.clone() };
        let mut url = Url::parse(answer.header("location")).expect("a URL");
        let typed = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("username", username), ("password", password)])
            .finish();
        let mut form = None;
        for _ in 0..HOPS_MAX {
            let answer = match form.take() {
                None => elsewhere.send("GET", url.as_str(), None, &[]).await,
                Some(form) => elsewhere.send_form(url.as_str(), form).await,
            };
            let next = if answer.status == 200 {
                form = Some(typed.as_str());
                action(&answer.text)
            } else {
                answer.header("location").to_owned()
            };
            url = url.join(&next).expect("a URL");
            if url.as_str().starts_with(&self.api) {
                return url.into();
            }
        }
        panic!("the provider sends nobody back, but to {url}");
    }

    /// Signs in through the provider, as `username`, and fetches the CSRF token.
    pub async fn sign_in(&mut self, username: &str) -> Answer {
        let login = self.get("/auth/login").await;
        assert_eq!(login.status, 302, "{login:?}");
        let order = json!({ "authorize_url": login.header("location"), "username": username });
        let url = format!("{}/_emulator/login-as", self.provider);
        let callback = self.plain("POST", &url, Some(order)).await.json();
        let callback = callback["callback_url"].as_str().expect("a callback").to_owned();
        let answer = self.send("GET", &callback, None, &[]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        self.fetch_csrf().await;
        answer
    }

    /// Fetches the session's CSRF token, to send with everything that changes something.
    pub async fn fetch_csrf(&mut self) {
        let answer = self.get("/auth/csrf").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.csrf = answer.json()["token"].as_str().map(ToOwned::to_owned);
    }

    /// The CSRF token that was fetched last; empty when none was.
    pub fn csrf(&self) -> String {
        self.csrf.clone().unwrap_or_default()
    }

    /// `GET path`.
    pub async fn get(&mut self, path: &str) -> Answer {
        let url = format!("{}{path}", self.api);
        self.send("GET", &url, None, &[]).await
    }

    /// `PUT path`.
    pub async fn put(&mut self, path: &str, body: Option<Value>) -> Answer {
        self.change("PUT", path, body).await
    }

    /// `POST path`.
    pub async fn post(&mut self, path: &str, body: Option<Value>) -> Answer {
        self.change("POST", path, body).await
    }

    /// `DELETE path`.
    pub async fn delete(&mut self, path: &str) -> Answer {
        self.change("DELETE", path, None).await
    }

    /// A request that changes something, as our own page sends it: with origin and CSRF token.
    pub async fn change(&mut self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.change_with(method, path, body, &[]).await
    }

    /// As [`Browser::change`], with more headers.
    pub async fn change_with(
        &mut self,
        method: &str,
        path: &str,
        body: Option<Value>,
        more: &[(&str, &str)],
    ) -> Answer {
        let url = format!("{}{path}", self.api);
        let origin = self.api.clone();
        let token = self.csrf();
        let mut headers = vec![("origin", origin.as_str())];
        if self.csrf.is_some() {
            headers.push(("x-csrf-token", token.as_str()));
        }
        headers.extend(more);
        self.send(method, &url, body.map(|body| body.to_string()), &headers).await
    }

    /// Any request with this browser's cookies; a body is sent as JSON unless a header says else.
    pub async fn send(
        &mut self,
        method: &str,
        url: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, url);
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        self.canaries.url(url);
        if let Some(body) = body {
            self.canaries.body(&body);
            if !headers.iter().any(|(name, _)| *name == "content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        for (name, value) in headers {
            if *name == "authorization" {
                self.canaries.secret("an Authorization header", value);
            }
            request = request.header(*name, *value);
        }
        let answer = self.read(request).await;
        if url.starts_with(&self.api) {
            self.canaries.answer(url, &answer.json());
        }
        for line in answer.header("set-cookie").lines() {
            self.keep(line);
        }
        answer
    }

    /// Sends a form as a page would, already encoded.
    pub async fn send_form(&mut self, url: &str, form: &str) -> Answer {
        let content_type = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", url, Some(form.to_owned()), &content_type).await
    }

    /// A request to any part of the local cloud, without cookies.
    pub async fn plain(&self, method: &str, url: &str, body: Option<Value>) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request =
            self.http.request(method, url).bearer_auth(rollcall_cli::sample::HUBSPOT_TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.read(request).await
    }

    async fn read(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = read(request.send().await.expect("an answer")).await;
        self.canaries.url(answer.header("location"));
        let document = answer.json();
        self.canaries.json(&document);
        for url in ["callback_url", "logout_url"] {
            self.canaries.url(document[url].as_str().unwrap_or_default());
        }
        answer
    }

    fn keep(&mut self, line: &str) {
        let mut parts = line.split("; ");
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        if parts.any(|attribute| attribute == "Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.canaries.secret("a cookie", value);
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Where the form of a page is sent.
fn action(page: &str) -> String {
    let (_, form) = page.split_once("<form").expect("a form");
    let (_, action) = form.split_once("action=\"").expect("an action");
    let (action, _) = action.split_once('"').expect("a whole action");
    action.replace("&amp;", "&")
}

async fn read(response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap_or_default();
        headers
            .entry(name.to_string())
            .and_modify(|values| {
                values.push('\n');
                values.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    let text = response.text().await.expect("a body");
    Answer { status, headers, text }
}
