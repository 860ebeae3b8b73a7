//! The token endpoint (RFC 6749 §3.2, OpenID Connect Core §3.1.3) and revocation (RFC 7009).

use axum::Json;
use axum::extract::{RawForm, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::authorize::is_pkce_text;
use crate::mint::{TOKEN_SECONDS, mint, mint_for_client};
use crate::options::{Client, Profile};
use crate::parameters::Parameters;
use crate::provider::{Failure, Provider, equal};
use crate::state::{Code, Presented};
use crate::trigger::{Obstacle, Occasion, pre_token_generation};

/// Why the token endpoint refuses (RFC 6749 §5.2).
pub(crate) enum Refusal {
    /// An error code and, where Cognito gives one, a description.
    Invalid(&'static str, Option<&'static str>),
    /// The client did not prove who it is; the profile decides between 400 and 401.
    Client(Profile),
    /// A function of the pool's keeps the person out.
    Obstacle(Obstacle),
    /// Our own failure.
    Failure(Failure),
}

impl From<Obstacle> for Refusal {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

const INVALID_REQUEST: Refusal = Refusal::Invalid("invalid_request", None);
const INVALID_GRANT: Refusal = Refusal::Invalid("invalid_grant", None);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Invalid(error, description) => {
                let body = ErrorBody { error, error_description: description };
                answer(StatusCode::BAD_REQUEST, &body)
            }
            Self::Client(Profile::Cognito) => {
                answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_client" }))
            }
            Self::Client(Profile::Generic) => {
                let body = json!({ "error": "invalid_client" });
                let mut response = answer(StatusCode::UNAUTHORIZED, &body);
                let challenge = HeaderValue::from_static("Basic realm=\"provider\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                response
            }
            Self::Obstacle(Obstacle(reason)) => {
                let body = json!({ "error": "invalid_request", "error_description": reason });
                answer(StatusCode::BAD_REQUEST, &body)
            }
            Self::Failure(failure) => failure.into_response(),
        }
    }
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<&'static str>,
}

#[derive(Serialize)]
struct Tokens {
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    token_type: &'static str,
    expires_in: i64,
}

pub(crate) async fn token(
    State(provider): State<Provider>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Result<Response, Refusal> {
    let form = Parameters::parse(&form);
    if form.repeated {
        return Err(INVALID_REQUEST);
    }
    let client = authenticate(&provider, &headers, &form)?;
    let tokens = match form.get("grant_type") {
        Some("authorization_code") => redeem_code(&provider, client, &form).await?,
        Some("refresh_token") => refresh(&provider, client, &form).await?,
        Some("client_credentials") => client_credentials(&provider, client, &form)?,
        Some(_) => return Err(Refusal::Invalid("unsupported_grant_type", None)),
        None => return Err(INVALID_REQUEST),
    };
    Ok(answer(StatusCode::OK, &tokens))
}

pub(crate) async fn revoke(
    State(provider): State<Provider>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Result<Response, Refusal> {
    let form = Parameters::parse(&form);
    let client = match authenticate(&provider, &headers, &form) {
        // Unlike the token endpoint, Cognito answers 401 here.
        Err(Refusal::Client(_)) => return Err(Refusal::Client(Profile::Generic)),
        other => other?,
    };
    let token = form.get("token").ok_or(INVALID_REQUEST)?;
    if jsonwebtoken::decode_header(token).is_ok() {
        return Err(Refusal::Invalid("unsupported_token_type", None));
    }
    provider.change(|state| state.revoke(token, &client.client_id))?;
    Ok(StatusCode::OK.into_response())
}

async fn redeem_code(
    provider: &Provider,
    client: &Client,
    form: &Parameters,
) -> Result<Tokens, Refusal> {
    let value = form.get("code").ok_or(INVALID_REQUEST)?;
    let redirect_uri = form.get("redirect_uri").ok_or(INVALID_REQUEST)?;
    let now = provider.now();
    let code = provider
        .change(|state| state.take_code(value, &client.client_id, now))?
        .ok_or(INVALID_GRANT)?;
    if code.redirect_uri != redirect_uri {
        return Err(match provider.profile() {
            Profile::Cognito => Refusal::Invalid("unauthorized_client", Some("invalid_redirect")),
            Profile::Generic => INVALID_GRANT,
        });
    }
    if !proves_possession(&code, form.get("code_verifier")) {
        return Err(INVALID_GRANT);
    }
    let user = provider.user(&code.grant.username).ok_or(INVALID_GRANT)?;
    let occasion = Occasion::HostedAuth;
    let changes = pre_token_generation(provider, occasion, &code.grant, &user).await?;
    let minted = mint(provider, &user, &code.grant, code.nonce.as_deref(), &changes)?;
    let refresh_token = provider.change(|state| state.issue_refresh(code.grant, now))?;
    Ok(Tokens {
        access_token: minted.access_token,
        id_token: minted.id_token,
        refresh_token: Some(refresh_token),
        token_type: "Bearer",
        expires_in: TOKEN_SECONDS,
    })
}

/// RFC 7636 §4.6. A verifier without a challenge is refused too (RFC 9700 §2.1.1).
fn proves_possession(code: &Code, verifier: Option<&str>) -> bool {
    match (&code.challenge, verifier) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => {
            let computed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
            is_pkce_text(verifier) && equal(challenge, &computed)
        }
        _ => false,
    }
}

async fn refresh(
    provider: &Provider,
    client: &Client,
    form: &Parameters,
) -> Result<Tokens, Refusal> {
    let value = form.get("refresh_token").ok_or(INVALID_REQUEST)?;
    let now = provider.now();
    let profile = provider.profile();
    let (grant, replacement) = provider
        .change(|state| match state.refresh(value, &client.client_id, now) {
            Presented::Usable(grant) => Some((grant, state.rotate_refresh(value, now))),
            Presented::Replayed(grant) => {
                if profile == Profile::Generic {
                    state.revoke_origin(grant.origin_jti);
                }
                None
            }
            Presented::Unknown => None,
        })?
        .ok_or(INVALID_GRANT)?;
    let user = provider.user(&grant.username).ok_or(INVALID_GRANT)?;
    let occasion = Occasion::RefreshTokens;
    let changes = pre_token_generation(provider, occasion, &grant, &user).await?;
    let minted = mint(provider, &user, &grant, None, &changes)?;
    Ok(Tokens {
        access_token: minted.access_token,
        id_token: minted.id_token,
        refresh_token: replacement,
        token_type: "Bearer",
        expires_in: TOKEN_SECONDS,
    })
}

/// Resource servers' scopes only, confidential clients that have such only (RFC 6749 §4.4).
fn client_credentials(
    provider: &Provider,
    client: &Client,
    form: &Parameters,
) -> Result<Tokens, Refusal> {
    let available: Vec<String> =
        client.scopes.iter().filter(|scope| scope.contains('/')).cloned().collect();
    if client.client_secret.is_none() || available.is_empty() {
        return Err(Refusal::Invalid("unauthorized_client", None));
    }
    let granted: Vec<String> = match form.get("scope") {
        None => available,
        Some(asked) => {
            let asked: Vec<String> = asked.split(' ').map(str::to_owned).collect();
            if !asked.iter().all(|scope| available.contains(scope)) {
                return Err(Refusal::Invalid("invalid_scope", None));
            }
            asked
        }
    };
    Ok(Tokens {
        access_token: mint_for_client(provider, &client.client_id, &granted)?,
        id_token: None,
        refresh_token: None,
        token_type: "Bearer",
        expires_in: TOKEN_SECONDS,
    })
}

/// Who calls: Basic or body for a client with a secret, the bare id for one without
/// (RFC 6749 §2.3.1). Both at once, or a secret where none is registered, is refused.
fn authenticate<'a>(
    provider: &'a Provider,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<&'a Client, Refusal> {
    let refused = || Refusal::Client(provider.profile());
    let (client_id, secret) = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (client_id, secret) = basic(value).ok_or_else(refused)?;
            let other_id = form.get("client_id").is_some_and(|id| id != client_id);
            if other_id || form.get("client_secret").is_some() {
                return Err(INVALID_REQUEST);
            }
            (client_id, Some(secret))
        }
        None => (form.owned("client_id").ok_or_else(refused)?, form.owned("client_secret")),
    };
    let client = provider.client(&client_id).ok_or_else(refused)?;
    let proven = match (&client.client_secret, &secret) {
        (None, None) => true,
        (Some(expected), Some(given)) => equal(expected, given),
        _ => false,
    };
    if proven { Ok(client) } else { Err(refused()) }
}

/// The two halves of a Basic header, each form-encoded as RFC 6749 §2.3.1 demands.
fn basic(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some((form_decoded(client_id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

/// Tokens are never cached (RFC 6749 §5.1), and browsers may call from anywhere.
fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (status, headers, Json(body)).into_response()
}
