//! Sign-out: Cognito's own parameters, or RP-Initiated Logout 1.0 in the generic profile. Tokens
//! stay valid in both, as at Cognito.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use url::Url;

use crate::authorize::{Request, SESSION_COOKIE, found, session_id};
use crate::options::{Client, Profile};
use crate::page;
use crate::parameters::Parameters;
use crate::provider::{Failure, Provider};

pub(crate) async fn logout(
    State(provider): State<Provider>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let query = query.unwrap_or_default();
    let Some(location) = destination(&provider, &query) else {
        return Ok(page::error("The application did not register the address to return to."));
    };
    if let Some(id) = session_id(&headers) {
        provider.change(|state| state.end_session(&id))?;
    }
    let mut response = found(&location);
    let cookie = format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Where the browser goes, `None` when the request is refused.
fn destination(provider: &Provider, query: &str) -> Option<String> {
    let parameters = Parameters::parse(query.as_bytes());
    let client = provider.client(parameters.get("client_id")?)?;
    let registered = |uri: Option<&str>| registered(client, uri);
    match provider.profile() {
        Profile::Cognito => registered(parameters.get("logout_uri"))
            .or_else(|| Request::parse(provider, query).ok().map(|_| format!("/login?{query}"))),
        Profile::Generic => {
            let mut url =
                Url::parse(&registered(parameters.get("post_logout_redirect_uri"))?).ok()?;
            if let Some(state) = parameters.get("state") {
                url.query_pairs_mut().append_pair("state", state);
            }
            Some(url.into())
        }
    }
}

fn registered(client: &Client, uri: Option<&str>) -> Option<String> {
    let uri = uri?;
    client.logout_uris.iter().find(|known| *known == uri).cloned()
}
