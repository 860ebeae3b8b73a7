//! Discovery (OpenID Connect Discovery 1.0 §4) and the key set (RFC 7517 §5).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::fault::{Kind, Place};
use crate::key::SigningKey;
use crate::options::Profile;
use crate::provider::{Failure, Provider};

/// The discovery document: exactly Cognito's keys, or those of a strict provider.
pub(crate) async fn configuration(State(provider): State<Provider>) -> impl IntoResponse {
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(document(&provider)))
}

/// The same as authorization server metadata (RFC 8414 §3), which Cognito does not have.
pub(crate) async fn authorization_server(State(provider): State<Provider>) -> Response {
    match provider.profile() {
        Profile::Cognito => StatusCode::NOT_FOUND.into_response(),
        Profile::Generic => configuration(State(provider)).await.into_response(),
    }
}

fn document(provider: &Provider) -> Value {
    let base = provider.base_url();
    let jwks_uri = format!("{}/.well-known/jwks.json", provider.issuer());
    let issuer = match provider.fault(Place::DiscoveryDocument) {
        Some(Kind::WrongDiscoveryIssuer) => "https://provider.invalid/other".to_owned(),
        _ => provider.issuer(),
    };
    let mut document = json!({
        "authorization_endpoint": format!("{base}/oauth2/authorize"),
        "end_session_endpoint": format!("{base}/logout"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["code", "token"],
        "revocation_endpoint": format!("{base}/oauth2/revoke"),
        "scopes_supported": ["openid", "email", "phone", "profile"],
        "subject_types_supported": ["public"],
        "token_endpoint": format!("{base}/oauth2/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "userinfo_endpoint": format!("{base}/oauth2/userInfo"),
    });
    if let (Profile::Generic, Value::Object(document)) = (provider.profile(), &mut document) {
        let strict = [
            ("authorization_response_iss_parameter_supported", json!(true)),
            ("code_challenge_methods_supported", json!(["S256"])),
            (
                "grant_types_supported",
                json!(["authorization_code", "refresh_token", "client_credentials"]),
            ),
            (
                "prompt_values_supported",
                json!(["none", "login", "consent", "select_account", "create"]),
            ),
            ("response_types_supported", json!(["code"])),
            (
                "token_endpoint_auth_methods_supported",
                json!(["client_secret_basic", "client_secret_post", "none"]),
            ),
        ];
        document.extend(strict.map(|(name, value)| (name.to_owned(), value)));
    }
    document
}

/// The public keys.
pub(crate) async fn key_set(
    State(provider): State<Provider>,
) -> Result<impl IntoResponse, Failure> {
    let now = provider.now();
    let mut keys = provider.read(|state| {
        state.keys.published(now).map(SigningKey::jwk).collect::<Result<Vec<_>, _>>()
    })?;
    if provider.fault(Place::KeySet) == Some(Kind::DuplicateKid) {
        // The access key under the id key's name, and the other way round.
        let mut wrong = keys.clone();
        let names: Vec<_> = keys.iter().rev().map(|key| key.common.key_id.clone()).collect();
        for (key, name) in wrong.iter_mut().zip(names) {
            key.common.key_id = name;
        }
        wrong.append(&mut keys);
        keys = wrong;
    }
    Ok(([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(json!({ "keys": keys }))))
}
