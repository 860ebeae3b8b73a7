//! The hosted sign-in form, and how a person leaves it.

use axum::extract::{RawForm, RawQuery, State};
use axum::response::Response;
use http::{HeaderValue, header};

use crate::authorize::{Request, SESSION_COOKIE, found};
use crate::options::User;
use crate::page;
use crate::parameters::Parameters;
use crate::provider::{Failure, Provider};
use crate::state::SESSION_SECONDS;

/// The same text for an unknown name and a wrong password.
const WRONG_CREDENTIALS: &str = "Incorrect username or password.";

pub(crate) async fn get(State(provider): State<Provider>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match Request::parse(&provider, &query) {
        Ok(request) => page::sign_in(&query, request.login_hint.as_deref().unwrap_or(""), None),
        Err(refusal) => refusal.respond(&provider),
    }
}

pub(crate) async fn post(
    State(provider): State<Provider>,
    RawQuery(query): RawQuery,
    RawForm(form): RawForm,
) -> Result<Response, Failure> {
    let query = query.unwrap_or_default();
    let request = match Request::parse(&provider, &query) {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal.respond(&provider)),
    };
    let form = Parameters::parse(&form);
    if form.get("cancel").is_some() {
        return Ok(request.cancelled().respond(&provider));
    }
    let name = form.get("username").unwrap_or("");
    let Some(account) = provider.authenticate(name, form.get("password").unwrap_or("")) else {
        return Ok(page::sign_in(&query, name, Some(WRONG_CREDENTIALS)));
    };
    if let Some(code) = &account.confirmation_code {
        return Ok(page::confirm(&query, &account.user.username, code, None));
    }
    sign_in(&provider, &request, &account.user)
}

/// Sends somebody who proved who they are back to the client, with a hosted session.
pub(crate) fn sign_in(
    provider: &Provider,
    request: &Request,
    user: &User,
) -> Result<Response, Failure> {
    let now = provider.now();
    let (id, session) = provider.change(|state| state.begin_session(&user.username, now))?;
    let mut response = found(&request.grant(provider, &session)?);
    let cookie =
        format!("{SESSION_COOKIE}={id}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
