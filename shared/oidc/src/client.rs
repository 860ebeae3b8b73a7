//! The client: the calls a sign-in makes, and what comes of them.

use rollcall_domain::secret::Secret;
use rollcall_domain::time::Timestamp;
use serde::Deserialize;
use url::Url;

use crate::callback;
use crate::discovery::SignUp;
use crate::error::{Endpoint, OidcError};
use crate::http::parse;
use crate::provider::Provider;
use crate::settings::{Entrance, ProviderProfile, Settings, SettingsError};
use crate::verify::{Expectations, IdClaims, verify_id_token};

/// One provider, with what was learned about it. Made once per process; all calls share the
/// discovery document and the keys.
pub struct Client {
    settings: Settings,
    provider: Provider,
}

/// What a code was exchanged for.
#[derive(Debug)]
pub struct Tokens {
    /// Not to be believed before [`Client::verify_id_token`] has said so.
    pub id_token: Secret,
    /// For calls to the provider in the person's name.
    pub access_token: Secret,
    /// Absent when the provider gives none.
    pub refresh_token: Option<Secret>,
    /// How long the access token is valid, if the provider says so.
    pub expires_in_seconds: Option<u32>,
}

/// What a refresh token was exchanged for.
#[derive(Debug)]
pub struct Refreshed {
    /// Absent when the provider tells nothing new about the person. Not to be believed before
    /// [`Client::verify_id_token`] has said so.
    pub id_token: Option<Secret>,
    /// For calls to the provider in the person's name.
    pub access_token: Secret,
    /// What takes the place of the refresh token; absent when that one stays valid.
    pub refresh_token: Option<Secret>,
    /// How long the access token is valid, if the provider says so.
    pub expires_in_seconds: Option<u32>,
}

/// The answer of RFC 6749 §5.1 and OpenID Connect Core §3.1.3.3 and §12.2.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    id_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u32>,
}

impl Client {
    /// A client that has not spoken to its provider yet; nothing is fetched here.
    ///
    /// # Errors
    ///
    /// When the settings cannot work.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let provider = Provider::new(&settings.issuer, settings.profile)?;
        Ok(Self { settings, provider })
    }

    /// Where to send the browser (OpenID Connect Core §3.1.2.1, RFC 7636 §4.3).
    pub async fn authorization_url(
        &self,
        entrance: Entrance,
        state: &str,
        nonce: &str,
        code_challenge: &str,
        now: Timestamp,
    ) -> Result<Url, OidcError> {
        let discovery = self.provider.discovery(now).await?;
        let (endpoint, prompt) = match (entrance, &discovery.sign_up) {
            (Entrance::SignUp, SignUp::Page(page)) => (page, None),
            (Entrance::SignUp, SignUp::Prompt) => {
                (&discovery.authorization_endpoint, Some(("prompt", "create")))
            }
            (Entrance::SignUp, SignUp::None) | (Entrance::SignIn, _) => {
                (&discovery.authorization_endpoint, None)
            }
            (Entrance::SignInAnew, _) => {
                (&discovery.authorization_endpoint, Some(("prompt", "login")))
            }
        };
        let mut url = endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.settings.redirect_uri)
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", code_challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(prompt);
        Ok(url)
    }

    /// Refuses a callback whose `iss` parameter is not this provider's, or is missing although the
    /// provider promises it (RFC 9207 §2.4). Call it for answers and errors alike.
    pub async fn check_callback_issuer(
        &self,
        iss: Option<&str>,
        now: Timestamp,
    ) -> Result<(), OidcError> {
        let promised = self.provider.discovery(now).await?.promises_callback_issuer;
        if callback::is_from(&self.settings.issuer, promised, iss) {
            Ok(())
        } else {
            Err(OidcError::WrongCallbackIssuer)
        }
    }

    /// Exchanges a code (OpenID Connect Core §3.1.3.1). Never repeated: a code works once, and after
    /// a reply that was lost only a new sign-in helps.
    pub async fn exchange(
        &self,
        code: &str,
        code_verifier: &Secret,
        now: Timestamp,
    ) -> Result<Tokens, OidcError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.settings.redirect_uri.as_str()),
            ("code_verifier", code_verifier.expose()),
        ];
        let Refreshed { id_token, access_token, refresh_token, expires_in_seconds } =
            self.tokens(&form, now).await?;
        let id_token = id_token.ok_or(OidcError::Unreadable { endpoint: Endpoint::Token })?;
        Ok(Tokens { id_token, access_token, refresh_token, expires_in_seconds })
    }

    /// Exchanges a refresh token (RFC 6749 §6, OpenID Connect Core §12). Never repeated: where the
    /// provider rotates refresh tokens, one works once, or for a short grace time.
    pub async fn refresh(
        &self,
        refresh_token: &Secret,
        now: Timestamp,
    ) -> Result<Refreshed, OidcError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        self.tokens(&form, now).await
    }

    async fn tokens(&self, form: &[(&str, &str)], now: Timestamp) -> Result<Refreshed, OidcError> {
        let endpoint = Endpoint::Token;
        let discovery = self.provider.discovery(now).await?;
        let body =
            self.call(endpoint, &discovery.token_endpoint, discovery.takes_basic, form).await?;
        let answer: TokenAnswer = parse(endpoint, &body)?;
        // RFC 6749 §7.1: a token of a type that is not known must not be used.
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(OidcError::Unreadable { endpoint });
        }
        Ok(Refreshed {
            id_token: answer.id_token.map(Secret::new),
            access_token: Secret::new(answer.access_token),
            refresh_token: answer.refresh_token.map(Secret::new),
            expires_in_seconds: answer.expires_in,
        })
    }

    /// Checks an id token that [`Client::exchange`] or [`Client::refresh`] gave; after a refresh
    /// there is no nonce to expect (OpenID Connect Core §12.2). A key that is not known is looked
    /// for at the provider, at most once a minute.
    pub async fn verify_id_token(
        &self,
        id_token: &Secret,
        expected_nonce: Option<&str>,
        access_token: &Secret,
        now: Timestamp,
    ) -> Result<IdClaims, OidcError> {
        let expected = Expectations {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            profile: self.settings.profile,
            nonce: expected_nonce,
            access_token: access_token.expose(),
            now,
        };
        self.provider.verify(now, |keys| verify_id_token(id_token.expose(), keys, &expected)).await
    }

    /// The claims of an id token with what this provider tells at its user info endpoint alone, which
    /// OpenID Connect Core §5.4 lets it do. It is asked when the id token names no address.
    pub async fn complete(
        &self,
        claims: IdClaims,
        access_token: &Secret,
        now: Timestamp,
    ) -> Result<IdClaims, OidcError> {
        let discovery = self.provider.discovery(now).await?;
        match &discovery.user_info_endpoint {
            Some(url) if claims.email.is_none() => {
                let endpoint = Endpoint::UserInfo;
                let info = self.provider.http.get_as(endpoint, url, access_token).await?;
                claims.completed(info)
            }
            Some(_) | None => Ok(claims),
        }
    }

    /// Ends a refresh token and what came from it (RFC 7009). A token that is already gone counts as
    /// success there and here.
    pub async fn revoke(&self, refresh_token: &Secret, now: Timestamp) -> Result<(), OidcError> {
        let endpoint = Endpoint::Revocation;
        let discovery = self.provider.discovery(now).await?;
        let url = discovery
            .revocation_endpoint
            .as_ref()
            .ok_or(OidcError::MissingEndpoint { endpoint })?;
        self.call(endpoint, url, discovery.takes_basic, &[("token", refresh_token.expose())])
            .await
            .map(drop)
    }

    /// Where to send the browser to end the provider's own session and come back to `return_to`,
    /// which must be registered there: Cognito's `/logout`, or RP-Initiated Logout 1.0 §2.
    pub async fn logout_url(&self, return_to: &str, now: Timestamp) -> Result<Url, OidcError> {
        let endpoint = Endpoint::EndSession;
        let discovery = self.provider.discovery(now).await?;
        let mut url = discovery
            .end_session_endpoint
            .clone()
            .ok_or(OidcError::MissingEndpoint { endpoint })?;
        let parameter = match self.settings.profile {
            ProviderProfile::Cognito => "logout_uri",
            ProviderProfile::Generic => "post_logout_redirect_uri",
        };
        url.query_pairs_mut()
            .append_pair("client_id", &self.settings.client_id)
            .append_pair(parameter, return_to);
        Ok(url)
    }

    /// A call in the client's name: in the header or the body with a secret, by the bare id without
    /// (RFC 6749 §2.3.1, §3.2.1).
    async fn call(
        &self,
        endpoint: Endpoint,
        url: &Url,
        takes_basic: bool,
        form: &[(&str, &str)],
    ) -> Result<Vec<u8>, OidcError> {
        let client_id = self.settings.client_id.as_str();
        let mut form = form.to_vec();
        let secret = self.settings.client_secret.as_ref().map(Secret::expose);
        match secret {
            Some(secret) if takes_basic => {
                let secret = Secret::new(form_encoded(secret));
                let basic = (form_encoded(client_id), secret.expose());
                self.provider.http.post(endpoint, url, &form, Some((&basic.0, basic.1))).await
            }
            _ => {
                form.push(("client_id", client_id));
                form.extend(secret.map(|secret| ("client_secret", secret)));
                self.provider.http.post(endpoint, url, &form, None).await
            }
        }
    }
}

fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
