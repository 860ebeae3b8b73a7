//! The user info endpoint (OpenID Connect Core §5.3).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Place;
use crate::mint::personal_claims;
use crate::options::{Profile, User};
use crate::provider::Provider;

#[derive(Deserialize)]
struct AccessClaims {
    sub: String,
    exp: i64,
    scope: String,
    origin_jti: String,
}

pub(crate) async fn user_info(State(provider): State<Provider>, headers: HeaderMap) -> Response {
    let Some(token) = bearer(&headers) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "error=\"invalid_request\", error_description=\"Bad OAuth2 request at UserInfo Endpoint\"",
        );
    };
    let Some((user, scopes)) = verify(&provider, token) else {
        return refused(
            StatusCode::UNAUTHORIZED,
            "error=\"invalid_token\", error_description=\"Access token is expired, disabled, or deleted, or the user has globally signed out.\"",
        );
    };
    let mut claims = personal_claims(&user, &scopes);
    let subject = match provider.fault(Place::UserInfo) {
        Some(_) => json!("somebody-else"),
        None => json!(user.subject),
    };
    claims.insert("sub".to_owned(), subject);
    if provider.profile() == Profile::Cognito {
        claims.insert("username".to_owned(), json!(user.username));
        if let Some(verified @ Value::Bool(_)) = claims.get_mut("email_verified") {
            *verified = json!(verified.to_string());
        }
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(claims)).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The person and the scopes of an access token of ours that is still good.
fn verify(provider: &Provider, token: &str) -> Option<(User, Vec<String>)> {
    let now = provider.now();
    let claims: AccessClaims = provider.verified(token)?;
    let scopes: Vec<String> = claims.scope.split(' ').map(str::to_owned).collect();
    let live = claims.exp > now
        && scopes.iter().any(|scope| scope == "openid")
        && !provider.read(|state| state.is_revoked(&claims.origin_jti));
    let user = provider.users().into_iter().find(|user| user.subject == claims.sub)?;
    live.then_some((user, scopes))
}

fn refused(status: StatusCode, challenge: &'static str) -> Response {
    (status, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
}
