//! Sign-out: Cognito's own parameters, or RP-Initiated Logout 1.0 in the generic profile. Tokens
//! stay valid in both, as at Cognito.

use axum::extract::{RawForm, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use url::Url;

use crate::authorize::{Request, SESSION_COOKIE, found, session_id};
use crate::options::{Client, Profile};
use crate::page;
use crate::parameters::Parameters;
use crate::provider::{Failure, Provider};

pub(crate) async fn get(
    State(provider): State<Provider>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    answer(&provider, &query.unwrap_or_default(), &headers)
}

/// RP-Initiated Logout 1.0 §2 demands both methods; Cognito takes GET alone.
pub(crate) async fn post(
    State(provider): State<Provider>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Result<Response, Failure> {
    match provider.profile() {
        Profile::Cognito => Ok(StatusCode::METHOD_NOT_ALLOWED.into_response()),
        Profile::Generic => answer(&provider, &String::from_utf8_lossy(&form), &headers),
    }
}

fn answer(provider: &Provider, query: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    let mut response = match destination(provider, query) {
        Some(Destination::Url(location)) => found(&location),
        Some(Destination::Page) => page::signed_out(),
        None => {
            return Ok(page::error("The application did not register the address to return to."));
        }
    };
    if let Some(id) = session_id(headers) {
        provider.change(|state| state.end_session(&id))?;
    }
    let cookie = format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

enum Destination {
    Url(String),
    /// A page of ours, since no address was named.
    Page,
}

/// Where the browser goes, `None` when the request is refused.
fn destination(provider: &Provider, query: &str) -> Option<Destination> {
    let parameters = Parameters::parse(query.as_bytes());
    match provider.profile() {
        Profile::Cognito => {
            let client = provider.client(parameters.get("client_id")?)?;
            registered(client, parameters.get("logout_uri"))
                .or_else(|| Request::parse(provider, query).ok().map(|_| format!("/login?{query}")))
                .map(Destination::Url)
        }
        Profile::Generic => {
            let client_id = relying_party(provider, &parameters).ok()?;
            let Some(uri) = parameters.get("post_logout_redirect_uri") else {
                return Some(Destination::Page);
            };
            let client = provider.client(&client_id?)?;
            let mut url = Url::parse(&registered(client, Some(uri))?).ok()?;
            if let Some(state) = parameters.get("state") {
                url.query_pairs_mut().append_pair("state", state);
            }
            Some(Destination::Url(url.into()))
        }
    }
}

#[derive(Deserialize)]
struct Hint {
    aud: String,
}

/// The hint is no id token of ours, or it and the client id contradict each other.
struct UnusableHint;

/// Which client asks, if it says so (RP-Initiated Logout 1.0 §2). An id token that has expired is
/// still a hint.
fn relying_party(
    provider: &Provider,
    parameters: &Parameters,
) -> Result<Option<String>, UnusableHint> {
    let named = parameters.owned("client_id");
    let Some(hint) = parameters.get("id_token_hint") else {
        return Ok(named);
    };
    let Hint { aud } = provider.verified(hint).ok_or(UnusableHint)?;
    if named.is_some_and(|named| named != aud) {
        return Err(UnusableHint);
    }
    Ok(Some(aud))
}

fn registered(client: &Client, uri: Option<&str>) -> Option<String> {
    let uri = uri?;
    client.logout_uris.iter().find(|known| *known == uri).cloned()
}
