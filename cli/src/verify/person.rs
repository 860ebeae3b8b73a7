//! The synthetic user: signed in as a browser is, or with an access token.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use url::Url;

use super::{Fault, joined, wrong};
use crate::api::{self, Api, understood};
use crate::sample;

/// Pages and redirects between leaving for the provider and coming back.
const HOPS_MAX: usize = 12;

/// A user of the API.
pub(super) struct Person {
    http: reqwest::Client,
    base: Url,
    origin: String,
    /// The user's id; empty until it is known.
    pub(super) id: String,
    token: Option<String>,
    cookies: BTreeMap<String, String>,
    csrf: String,
}

impl Person {
    /// Somebody with an access token.
    pub(super) fn with_token(api: &Api, token: &str) -> Self {
        Self {
            http: api.http().clone(),
            base: api.base().clone(),
            origin: api.origin().unwrap_or_default(),
            id: String::new(),
            token: Some(token.to_owned()),
            cookies: BTreeMap::new(),
            csrf: String::new(),
        }
    }

    /// The first of the sample's users, through the local provider's form.
    pub(super) async fn signed_in(api: &Api) -> Result<Self, Fault> {
        let users = sample::users().map_err(|error| Fault::Wrong(error.to_string()))?;
        let Some(user) = users.into_iter().next() else {
            return wrong("the sample has no users".to_owned());
        };
        let mut person = Self { token: None, ..Self::with_token(api, "") };
        let begun =
            person.send(person.http.get(joined(&person.base, "/auth/login")?), true).await?;
        let callback = person
            .fill_in(&location(&begun, &person.base)?, &user.username, &user.password)
            .await?;
        let back = person.send(person.http.get(callback), true).await?;
        if back.status() != 303 {
            return wrong(format!("coming back from the provider answers {}", back.status()));
        }
        let csrf = person.get("/auth/csrf").await?;
        api::text(&csrf, "token").clone_into(&mut person.csrf);
        Ok(person)
    }

    /// Fills in the provider's form. Where it sends the browser back to, without having gone there.
    async fn fill_in(&self, first: &Url, name: &str, password: &str) -> Result<Url, Fault> {
        let mut url = first.clone();
        for _hop in 0..HOPS_MAX {
            let answer = self.http.get(url.clone()).send().await?;
            let next = if answer.status().is_success() {
                let typed = [("username", name), ("password", password)];
                self.http.post(url.clone()).form(&typed).send().await?
            } else {
                answer
            };
            url = location(&next, &url)?;
            if url.as_str().starts_with(self.base.as_str()) {
                return Ok(url);
            }
        }
        wrong("the provider sends nobody back".to_owned())
    }

    /// Reads something.
    pub(super) async fn get(&mut self, path: &str) -> Result<Value, Fault> {
        let url = joined(&self.base, path)?;
        let answer = self.send(self.http.get(url.clone()), false).await?;
        Ok(understood(&url, answer).await?)
    }

    /// Changes something.
    pub(super) async fn change(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Fault> {
        let url = joined(&self.base, path)?;
        let mut request = self.http.request(method, url.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.send(request, false).await?;
        Ok(understood(&url, answer).await?)
    }

    /// `navigates` is what a browser does that follows a link: it sends no origin.
    async fn send(&mut self, request: RequestBuilder, navigates: bool) -> Result<Response, Fault> {
        let mut request = request;
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        } else {
            let cookies: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(COOKIE, cookies.join("; "));
            if !navigates {
                request = request.header(ORIGIN, &self.origin).header("x-csrf-token", &self.csrf);
            }
        }
        let answer = request.send().await?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap_or_default();
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }
}

/// Where an answer sends the browser.
fn location(answer: &Response, from: &Url) -> Result<Url, Fault> {
    let to = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    match to.and_then(|to| from.join(to).ok()) {
        Some(url) => Ok(url),
        None => wrong(format!("{} leads nowhere, with status {}", from.path(), answer.status())),
    }
}
