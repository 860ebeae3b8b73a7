//! The authorization endpoint (OpenID Connect Core §3.1.2, RFC 6749 §4.1, RFC 7636 §4.3).

use axum::extract::{RawForm, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use url::Url;

use crate::fault::{Kind, Place};
use crate::options::{Client, Profile};
use crate::page;
use crate::parameters::Parameters;
use crate::provider::{Failure, Provider};
use crate::random;
use crate::state::{Grant, Session};

/// Scopes that say more about the person and make no sense without `openid`.
const PERSONAL_SCOPES: [&str; 3] = ["email", "phone", "profile"];

/// A request that may be answered with a code.
pub(crate) struct Request {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) code_challenge: Option<String>,
    pub(crate) prompt: Prompt,
    pub(crate) login_hint: Option<String>,
}

/// Whether the person may or must be asked (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// Ask only when there is no session.
    IfNeeded,
    /// Never ask.
    Never,
    /// Ask even when there is a session.
    Always,
    /// Show the sign-up form (Initiating User Registration via OpenID Connect 1.0 §4).
    Create,
}

/// A request that is refused.
pub(crate) enum Refusal {
    /// On a page, since the client or its address is not known.
    Page(&'static str),
    /// At the client.
    Redirect {
        redirect_uri: String,
        state: Option<String>,
        error: &'static str,
        description: &'static str,
    },
}

pub(crate) async fn get(
    State(provider): State<Provider>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    answer(&provider, &query.unwrap_or_default(), &headers)
}

pub(crate) async fn post(
    State(provider): State<Provider>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Result<Response, Failure> {
    answer(&provider, &String::from_utf8_lossy(&form), &headers)
}

fn answer(provider: &Provider, query: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    let request = match Request::parse(provider, query) {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal.respond(provider)),
    };
    let now = provider.now();
    let session = session_id(headers)
        .and_then(|id| provider.read(|state| state.session(&id, now).cloned()))
        .filter(|session| provider.user(&session.username).is_some());
    match (request.prompt, session) {
        (Prompt::IfNeeded | Prompt::Never, Some(session)) => {
            Ok(found(&request.grant(provider, &session)?))
        }
        (Prompt::Never, None) => {
            let refusal = request.refusal("login_required", "no session at the provider");
            Ok(refusal.respond(provider))
        }
        (Prompt::Create, _) => Ok(found(&format!("/signup?{query}"))),
        (Prompt::Always, _) | (Prompt::IfNeeded, None) => Ok(found(&format!("/login?{query}"))),
    }
}

impl Request {
    /// Checks a request; what is refused before the redirect URI is known goes to a page.
    pub(crate) fn parse(provider: &Provider, query: &str) -> Result<Self, Refusal> {
        let parameters = Parameters::parse(query.as_bytes());
        let client = parameters
            .get("client_id")
            .and_then(|client_id| provider.client(client_id))
            .ok_or(Refusal::Page("The application is not known here."))?;
        let redirect_uri = parameters
            .owned("redirect_uri")
            .filter(|uri| client.redirect_uris.contains(uri))
            .ok_or(Refusal::Page("The application did not register the address to return to."))?;
        let refuse = |(error, description)| Refusal::Redirect {
            redirect_uri: redirect_uri.clone(),
            state: parameters.owned("state"),
            error,
            description,
        };
        check_flow(provider.profile(), &parameters).map_err(refuse)?;
        let scopes = scopes(client, parameters.get("scope")).map_err(refuse)?;
        let prompt = prompt(provider.profile(), parameters.get("prompt")).map_err(refuse)?;
        Ok(Self {
            client_id: client.client_id.clone(),
            state: parameters.owned("state"),
            scopes,
            nonce: parameters.owned("nonce"),
            code_challenge: parameters.owned("code_challenge"),
            prompt,
            login_hint: parameters.owned("login_hint"),
            redirect_uri,
        })
    }

    /// Issues a code to the client and says where the browser goes with it.
    pub(crate) fn grant(&self, provider: &Provider, session: &Session) -> Result<String, Failure> {
        let grant = Grant {
            client_id: self.client_id.clone(),
            username: session.username.clone(),
            scopes: self.scopes.clone(),
            auth_time: session.auth_time,
            origin_jti: random::uuid(),
        };
        let now = provider.now();
        let code = provider.change(|state| state.issue_code(grant, self, now))?;
        let state = match provider.fault(Place::Callback) {
            Some(Kind::WrongState) => Some("another-state"),
            _ => self.state.as_deref(),
        };
        Ok(callback_url(provider, &self.redirect_uri, state, &[("code", &code)]))
    }

    /// What the client is told when the person turns back.
    pub(crate) fn cancelled(&self) -> Refusal {
        self.refusal("access_denied", "the person cancelled")
    }

    fn refusal(&self, error: &'static str, description: &'static str) -> Refusal {
        Refusal::Redirect {
            redirect_uri: self.redirect_uri.clone(),
            state: self.state.clone(),
            error,
            description,
        }
    }
}

impl Refusal {
    pub(crate) fn respond(self, provider: &Provider) -> Response {
        match self {
            Self::Page(reason) => page::error(reason),
            Self::Redirect { redirect_uri, state, error, description } => {
                let pairs = [("error", error), ("error_description", description)];
                found(&callback_url(provider, &redirect_uri, state.as_deref(), &pairs))
            }
        }
    }
}

/// An OAuth error code and what to tell the developer.
type Invalid = (&'static str, &'static str);

fn check_flow(profile: Profile, parameters: &Parameters) -> Result<(), Invalid> {
    if parameters.repeated {
        return Err(("invalid_request", "a parameter occurs twice"));
    }
    match (parameters.get("response_type"), profile) {
        (Some("code"), _) => {}
        (None, _) => return Err(("invalid_request", "response_type is missing")),
        (Some("token"), Profile::Cognito) => {
            return Err(("unauthorized_client", "implicit flow is not allowed"));
        }
        (Some(_), Profile::Cognito) => return Err(("invalid_request", "invalid response_type")),
        (Some(_), Profile::Generic) => {
            return Err(("unsupported_response_type", "only code is supported"));
        }
    }
    match (parameters.get("code_challenge"), parameters.get("code_challenge_method")) {
        (None, None) => Ok(()),
        (Some(challenge), Some("S256")) if is_pkce_text(challenge) => Ok(()),
        (Some(_), Some("S256")) => Err(("invalid_request", "code_challenge is malformed")),
        _ => Err(("invalid_request", "code_challenge_method must be S256")),
    }
}

/// The form of a verifier and of a challenge (RFC 7636 §4.1, §4.2).
pub(crate) fn is_pkce_text(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// What is granted of what was asked for: unknown scopes are ignored, none means all.
fn scopes(client: &Client, asked: Option<&str>) -> Result<Vec<String>, Invalid> {
    let Some(asked) = asked else {
        return Ok(client.scopes.clone());
    };
    // RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
    if !asked.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E)) {
        return Err(("invalid_scope", "scope is malformed"));
    }
    let granted: Vec<String> = asked
        .split(' ')
        .filter(|scope| client.scopes.iter().any(|known| known == scope))
        .map(str::to_owned)
        .collect();
    let personal = granted.iter().any(|scope| PERSONAL_SCOPES.contains(&scope.as_str()));
    if granted.is_empty() || personal && !granted.iter().any(|scope| scope == "openid") {
        return Err(("invalid_scope", "no usable scope; email, phone and profile need openid"));
    }
    Ok(granted)
}

fn prompt(profile: Profile, value: Option<&str>) -> Result<Prompt, Invalid> {
    match (value, profile) {
        (None | Some("consent"), _) => Ok(Prompt::IfNeeded),
        (Some("none"), _) => Ok(Prompt::Never),
        (Some("login" | "select_account"), _) => Ok(Prompt::Always),
        (Some("create"), Profile::Generic) => Ok(Prompt::Create),
        (Some(_), _) => Err(("invalid_request", "unknown prompt")),
    }
}

/// The redirect URI with the answer in its query; a strict provider names itself (RFC 9207 §2).
fn callback_url(
    provider: &Provider,
    redirect_uri: &str,
    state: Option<&str>,
    pairs: &[(&str, &str)],
) -> String {
    // Registered URIs were parsed when the provider opened, so the text itself is only a fallback.
    let Ok(mut url) = Url::parse(redirect_uri) else {
        return redirect_uri.to_owned();
    };
    let issuer = provider.issuer();
    let issuer = (provider.profile() == Profile::Generic).then_some(issuer.as_str());
    url.query_pairs_mut()
        .extend_pairs(pairs)
        .extend_pairs(state.map(|state| ("state", state)))
        .extend_pairs(issuer.map(|issuer| ("iss", issuer)));
    url.into()
}

/// 302, the status that Cognito uses for every redirect.
pub(crate) fn found(location: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, location), (header::CACHE_CONTROL, "no-store")])
        .into_response()
}

/// The hosted session's cookie, named as Cognito names it.
pub(crate) const SESSION_COOKIE: &str = "cognito";

/// The hosted session that the browser names.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, value)| value.to_owned())
}
