//! The hosted sign-up form: an address, a password, and a code that proves the address. No e-mail is
//! sent; the page shows the code.

use axum::extract::{RawForm, RawQuery, State};
use axum::response::Response;

use crate::authorize::Request;
use crate::login;
use crate::page;
use crate::parameters::Parameters;
use crate::provider::{Failure, Provider};
use crate::trigger::{self, Obstacle};

/// The password policy of Rollcall's user pools.
const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Longest password that Cognito takes.
const PASSWORD_CHARACTERS_MAX: usize = 256;
/// Longest address (RFC 5321 §4.5.3.1.3, less the angle brackets).
const EMAIL_BYTES_MAX: usize = 254;

const UNUSABLE_EMAIL: &str = "Invalid email address format.";
const WEAK_PASSWORD: &str = "Password did not conform with policy: it needs 12 characters or more, with upper and lower case letters, numbers and symbols.";
/// Cognito tells so too, whether or not it hides existing users elsewhere.
const EMAIL_EXISTS: &str = "An account with the given email already exists.";
const WRONG_CODE: &str = "Invalid verification code provided, please try again.";

pub(crate) async fn get(State(provider): State<Provider>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match Request::parse(&provider, &query) {
        Ok(request) => page::sign_up(&query, request.login_hint.as_deref().unwrap_or(""), None),
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
    let email = form.get("email").unwrap_or("").trim();
    let password = form.get("password").unwrap_or("");
    if !is_address(email) {
        return Ok(page::sign_up(&query, email, Some(UNUSABLE_EMAIL)));
    }
    if !is_strong(password) {
        return Ok(page::sign_up(&query, email, Some(WEAK_PASSWORD)));
    }
    Ok(match provider.sign_up(email, password)? {
        None => page::sign_up(&query, email, Some(EMAIL_EXISTS)),
        Some(account) => {
            let code = account.confirmation_code.as_deref().unwrap_or("");
            page::confirm(&query, &account.user.username, code, None)
        }
    })
}

/// Confirms the address, and goes on as if the person had signed in.
pub(crate) async fn confirm(
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
    let username = form.get("username").unwrap_or("");
    let code = form.get("code").unwrap_or("").trim();
    match provider.change(|state| state.confirm(username, code))? {
        // The account is made all the same; the person can go on at the sign-in form.
        Some(user) => {
            match trigger::post_confirmation(&provider, &request.client_id, &user).await {
                Ok(()) => login::sign_in(&provider, &request, &user),
                Err(Obstacle(reason)) => Ok(page::sign_in(&query, &user.email, Some(&reason))),
            }
        }
        None => Ok(page::confirm(&query, username, "", Some(WRONG_CODE))),
    }
}

fn is_address(text: &str) -> bool {
    let plain = text.len() <= EMAIL_BYTES_MAX
        && !text.chars().any(|character| character.is_whitespace() || character.is_control());
    plain
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && domain.split('.').all(|label| !label.is_empty())
        })
}

fn is_strong(password: &str) -> bool {
    let has = |class: fn(char) -> bool| password.chars().any(class);
    (PASSWORD_CHARACTERS_MIN..=PASSWORD_CHARACTERS_MAX).contains(&password.chars().count())
        && has(|character| character.is_ascii_lowercase())
        && has(|character| character.is_ascii_uppercase())
        && has(|character| character.is_ascii_digit())
        && has(|character| character.is_ascii_punctuation())
}
