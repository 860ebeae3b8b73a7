//! Controls for tests and developers. They take JSON, which no page of another origin can post
//! without being asked first, and they exist in the local cloud alone.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::authorize::Request;
use crate::fault::Order;
use crate::key::Keys;
use crate::provider::{Failure, Provider};
use crate::state::{Rotation, Session};

/// A sign-in without the form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginAs {
    authorize_url: String,
    username: String,
}

/// Signs a person in as if the form had been filled in; answers where the browser would go.
pub(crate) async fn login_as(
    State(provider): State<Provider>,
    Json(asked): Json<LoginAs>,
) -> Result<Response, Failure> {
    let Ok(url) = Url::parse(&asked.authorize_url) else {
        return Ok(refused("authorize_url is not a URL"));
    };
    let Some(user) = provider.user(&asked.username) else {
        return Ok(refused("no such user; GET /_emulator/users lists them"));
    };
    let Ok(request) = Request::parse(&provider, url.query().unwrap_or_default()) else {
        return Ok(refused("the provider refuses this authorize_url; open it to see why"));
    };
    let session = Session { username: user.username.clone(), auth_time: provider.now() };
    let callback_url = request.grant(&provider, &session)?;
    Ok(Json(json!({ "callback_url": callback_url })).into_response())
}

/// A rotation of the signing keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRotation {
    /// Whether the old keys stay published for an hour; they do unless said otherwise.
    #[serde(default = "keeps_old")]
    keep_old: bool,
}

fn keeps_old() -> bool {
    true
}

/// Signs with new keys from now on. Without the old ones, as after a leak, no token from before can
/// be verified any more.
pub(crate) async fn rotate_keys(
    State(provider): State<Provider>,
    Json(rotation): Json<KeyRotation>,
) -> Result<Response, Failure> {
    let fresh = Keys::generate()?;
    let now = provider.now();
    let kids = provider.change(|state| {
        if rotation.keep_old {
            state.keys.rotate(fresh, now);
        } else {
            state.keys = fresh;
        }
        state.keys.published(now).map(|key| key.kid.clone()).collect::<Vec<_>>()
    })?;
    Ok(Json(json!({ "kids": kids })).into_response())
}

/// A token that a test makes up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeUp {
    /// What the header says beside `alg` and `kid`; null takes one of them away.
    #[serde(default)]
    header: Map<String, Value>,
    /// All that the token claims.
    claims: Map<String, Value>,
}

/// Signs any claims with the key for access tokens.
pub(crate) async fn sign(
    State(provider): State<Provider>,
    Json(asked): Json<MadeUp>,
) -> Result<Response, Failure> {
    let key = provider.read(|state| state.keys.access.clone());
    let usual = [("alg", json!("RS256")), ("kid", json!(key.kid))];
    let mut header: Map<String, Value> =
        usual.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    header.extend(asked.header);
    header.retain(|_, value| !value.is_null());
    let token = key.sign_anything(&Value::Object(header), &Value::Object(asked.claims))?;
    Ok(Json(json!({ "token": token })).into_response())
}

/// Orders a fault.
pub(crate) async fn break_next(
    State(provider): State<Provider>,
    Json(order): Json<Order>,
) -> StatusCode {
    provider.faults().add(order);
    StatusCode::NO_CONTENT
}

/// Answers no call, until mended.
pub(crate) async fn begin_outage(State(provider): State<Provider>) -> StatusCode {
    provider.faults().begin_outage();
    StatusCode::NO_CONTENT
}

/// Forgets all faults that were ordered.
pub(crate) async fn mend(State(provider): State<Provider>) -> StatusCode {
    provider.faults().clear();
    StatusCode::NO_CONTENT
}

/// Switches refresh token rotation.
pub(crate) async fn set_rotation(
    State(provider): State<Provider>,
    Json(rotation): Json<Rotation>,
) -> Result<StatusCode, Failure> {
    provider.change(|state| state.rotation = rotation)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
struct UserView<'a> {
    username: &'a str,
    subject: &'a str,
    email: &'a str,
    email_verified: bool,
    given_name: &'a str,
    family_name: &'a str,
    groups: &'a [String],
}

/// Who can sign in, without passwords.
pub(crate) async fn users(State(provider): State<Provider>) -> Response {
    let users = provider.users();
    let users: Vec<UserView<'_>> = users
        .iter()
        .map(|user| UserView {
            username: &user.username,
            subject: &user.subject,
            email: &user.email,
            email_verified: user.email_verified,
            given_name: &user.given_name,
            family_name: &user.family_name,
            groups: &user.groups,
        })
        .collect();
    Json(json!({ "users": users })).into_response()
}

fn refused(reason: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response()
}
