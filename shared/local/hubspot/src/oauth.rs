//! OAuth: access tokens for one installation of an app, from its refresh token (RFC 6749 §6), in both
//! generations of HubSpot's paths, and looking at tokens.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::emulator::HubSpot;
use crate::portal::Portal;
use crate::settings::ErrorGeneration;
use crate::wire::{Answer, Refusal, Request, decoded};
use crate::{Scopes, Token};

/// What access tokens begin with.
pub(crate) const MINTED: &str = "oauth-minted-";
/// Scopes that an installation has, as far as answers name them.
const SCOPES: [&str; 3] = ["oauth", "crm.objects.contacts.read", "crm.objects.contacts.write"];

/// An account's installation of an app.
#[derive(Clone)]
pub struct Installation {
    /// The app.
    pub client_id: String,
    /// What proves that a caller is the app.
    pub client_secret: String,
    /// What access tokens are made for.
    pub refresh_token: String,
    /// How long an access token lives; 1 800 s at the real HubSpot.
    pub life_seconds: u64,
}

impl fmt::Debug for Installation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Installation")
            .field("client", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// The installation and the tokens that were made for it.
#[derive(Debug, Default)]
pub(crate) struct OAuth {
    installation: Option<Installation>,
    /// When each access token ends, in milliseconds since the epoch.
    minted: BTreeMap<String, i64>,
}

impl OAuth {
    /// The access token that a call came with; `None` when none was made with this value.
    pub(crate) fn token(&self, value: &str, now: Timestamp) -> Option<Result<Token, Refusal>> {
        let until = *self.minted.get(value)?;
        if now.as_millisecond() < until {
            return Some(Ok(Token { value: value.to_owned(), scopes: Scopes::All }));
        }
        let message = "The OAuth token used to make this call expired.";
        Some(Err(Refusal::new(401, "EXPIRED_AUTHENTICATION", message)))
    }
}

impl HubSpot {
    /// From now on an app is installed.
    pub fn install(&self, installation: Installation) {
        self.portal().oauth.installation = Some(installation);
    }
}

/// The fields of a form.
fn form(request: &Request) -> BTreeMap<String, String> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

impl Portal {
    /// `/oauth/…`: answers without looking at any bearer token.
    pub(crate) fn oauth_call(&mut self, request: &Request, now: Timestamp) -> Answer {
        let path = request.path.trim_start_matches("/oauth/");
        let segments: Vec<&str> = path.split('/').collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("POST", [generation, "token"]) => self.mint(request, generation, now),
            ("POST", [_, "token", "introspect"]) => {
                let fields = form(request);
                let token = fields.get("token").map(String::as_str).unwrap_or_default();
                let seen = self.look_at(token, now);
                Answer::json(200, seen.unwrap_or_else(|| json!({ "active": false })))
            }
            ("POST", [_, "token", "revoke"]) => {
                let fields = form(request);
                self.revoke(fields.get("token").map(String::as_str).unwrap_or_default());
                Answer::empty(204)
            }
            ("GET", ["v1", "access-tokens" | "refresh-tokens", token]) => {
                match self.look_at(&decoded(token), now) {
                    Some(seen) => Answer::json(200, seen),
                    None => self.refused(&Refusal::not_found()),
                }
            }
            ("DELETE", ["v1", "refresh-tokens", token]) => {
                self.revoke(&decoded(token));
                Answer::empty(204)
            }
            _ => self.refused(&Refusal::not_found()),
        }
    }

    fn mint(&mut self, request: &Request, generation: &str, now: Timestamp) -> Answer {
        let fields = form(request);
        let is =
            |name: &str, expected: &str| fields.get(name).is_some_and(|value| value == expected);
        if !is("grant_type", "refresh_token") {
            return self.oauth_refusal("BAD_GRANT_TYPE", "unsupported_grant_type");
        }
        let Some(app) = self.oauth.installation.clone() else {
            return self.oauth_refusal("BAD_CLIENT_ID", "invalid_client");
        };
        if !is("client_id", &app.client_id) || !is("client_secret", &app.client_secret) {
            return self.oauth_refusal("BAD_CLIENT_SECRET", "invalid_client");
        }
        if !is("refresh_token", &app.refresh_token) {
            return self.oauth_refusal("BAD_REFRESH_TOKEN", "invalid_grant");
        }
        let token = format!("{MINTED}{}", self.uuid());
        let life_ms = i64::try_from(app.life_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let until = now.as_millisecond().saturating_add(life_ms);
        self.oauth.minted.insert(token.clone(), until);
        let mut body = json!({
            "access_token": token,
            "refresh_token": app.refresh_token,
            "expires_in": app.life_seconds,
            "token_type": "bearer",
        });
        if let (true, Value::Object(fields)) = (generation != "v1", &mut body) {
            fields.insert("token_use".to_owned(), json!("access_token"));
            fields.insert("hub_id".to_owned(), json!(self.settings.portal_id));
            fields.insert("scopes".to_owned(), json!(SCOPES));
        }
        Answer::json(200, body)
    }

    /// Both generations of refusals, by the setting.
    fn oauth_refusal(&mut self, legacy: &str, current: &str) -> Answer {
        let correlation_id: Uuid = self.uuid();
        let message = "The request of the app was refused";
        let body = match self.settings.error_generation {
            ErrorGeneration::Legacy => {
                json!({ "status": legacy, "message": message, "correlationId": correlation_id })
            }
            ErrorGeneration::Current => json!({ "error": current, "error_description": message }),
        };
        Answer::json(400, body)
    }

    fn look_at(&self, token: &str, now: Timestamp) -> Option<Value> {
        let app = self.oauth.installation.as_ref()?;
        let (what, left) = match self.oauth.minted.get(token) {
            Some(until) if now.as_millisecond() < *until => {
                ("access_token", (*until - now.as_millisecond()) / 1_000)
            }
            None if token == app.refresh_token => ("refresh_token", 0),
            Some(_) | None => return None,
        };
        Some(json!({
            "active": true,
            "token_use": what,
            "token_type": "bearer",
            "client_id": app.client_id,
            "hub_id": self.settings.portal_id,
            "expires_in": left,
            "scopes": SCOPES,
        }))
    }

    fn revoke(&mut self, token: &str) {
        if self.oauth.installation.as_ref().is_some_and(|app| app.refresh_token == token) {
            self.oauth = OAuth::default();
        } else {
            self.oauth.minted.remove(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use rollcall_local_kit::LocalClock;

    use super::*;
    use crate::{Options, Settings};

    fn installed(error_generation: ErrorGeneration) -> HubSpot {
        let hubspot = HubSpot::open(Options {
            folder: None,
            clock: LocalClock::new(),
            base_url: "http://localhost".to_owned(),
            tokens: Vec::new(),
            settings: Settings { error_generation, ..Settings::default() },
        })
        .unwrap();
        hubspot.install(Installation {
            client_id: "app".to_owned(),
            client_secret: "secret".to_owned(),
            refresh_token: "refresh".to_owned(),
            life_seconds: 60,
        });
        hubspot
    }

    fn call(
        hubspot: &HubSpot,
        method: &str,
        path: &str,
        body: &str,
        token: &str,
        at: i64,
    ) -> (u16, Value) {
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            authorization: Some(format!("Bearer {token}")),
            trace_id: None,
            body: body.as_bytes().to_vec(),
        };
        let now = Timestamp::from_second(at).unwrap();
        let answer = hubspot.portal().exchange(&request, now).answer.unwrap();
        (answer.status, answer.body.unwrap_or_default())
    }

    const GRANT: &str =
        "grant_type=refresh_token&client_id=app&client_secret=secret&refresh_token=";

    #[test]
    fn a_refresh_token_makes_access_tokens_that_end() {
        let hubspot = installed(ErrorGeneration::Current);
        let account = "/account-info/v3/details";
        for path in ["/oauth/v1/token", "/oauth/v3/token", "/oauth/2026-09/token"] {
            let (status, minted) = call(&hubspot, "POST", path, &format!("{GRANT}refresh"), "", 0);
            assert_eq!((status, &minted["expires_in"]), (200, &json!(60)), "{path}");
            assert_eq!(minted["hub_id"].is_number(), path != "/oauth/v1/token");
            let token = minted["access_token"].as_str().unwrap();
            assert_eq!(call(&hubspot, "GET", account, "", token, 59).0, 200);
            let (status, refused) = call(&hubspot, "GET", account, "", token, 60);
            assert_eq!((status, &refused["category"]), (401, &json!("EXPIRED_AUTHENTICATION")));
            let seen = format!("/oauth/v1/access-tokens/{token}");
            assert_eq!(call(&hubspot, "GET", &seen, "", "", 1).1["active"], true);
            let introspect = "/oauth/2026-09/token/introspect";
            let old = call(&hubspot, "POST", introspect, &format!("token={token}"), "", 61);
            assert_eq!(old.1["active"], false);
        }
        assert!(hubspot.calls().iter().all(|call| !call.answer.contains(MINTED)));
        let revoked = call(&hubspot, "DELETE", "/oauth/v1/refresh-tokens/refresh", "", "", 0);
        assert_eq!(revoked.0, 204);
        let (status, _) =
            call(&hubspot, "POST", "/oauth/v1/token", &format!("{GRANT}refresh"), "", 0);
        assert_eq!(status, 400);
    }

    #[test]
    fn a_dead_refresh_token_is_refused_in_both_generations() {
        for (generation, field, code) in [
            (ErrorGeneration::Current, "error", "invalid_grant"),
            (ErrorGeneration::Legacy, "status", "BAD_REFRESH_TOKEN"),
        ] {
            let hubspot = installed(generation);
            let (status, body) =
                call(&hubspot, "POST", "/oauth/v1/token", &format!("{GRANT}dead"), "", 0);
            assert_eq!((status, &body[field]), (400, &json!(code)));
        }
    }
}
