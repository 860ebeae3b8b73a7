//! The discovery document (OpenID Connect Discovery 1.0 §3 and §4).

use serde::Deserialize;
use url::Url;

use crate::error::{Endpoint, OidcError};
use crate::settings::{ProviderProfile, is_reachable_safely};

/// The document as it is sent.
#[derive(Deserialize)]
pub(crate) struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    revocation_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    prompt_values_supported: Vec<String>,
}

/// What we need of a provider, checked.
pub(crate) struct Discovery {
    pub(crate) authorization_endpoint: Url,
    pub(crate) token_endpoint: Url,
    pub(crate) jwks_uri: Url,
    pub(crate) revocation_endpoint: Option<Url>,
    pub(crate) end_session_endpoint: Option<Url>,
    pub(crate) user_info_endpoint: Option<Url>,
    /// RFC 9207 §3.
    pub(crate) promises_callback_issuer: bool,
    /// Whether a secret goes into the `Authorization` header, the default of RFC 8414 §2.
    pub(crate) takes_basic: bool,
    pub(crate) sign_up: SignUp,
}

/// How somebody without an account comes to the form that makes one.
pub(crate) enum SignUp {
    /// A page beside the authorization endpoint, with the same parameters: Cognito's `/signup`.
    Page(Url),
    /// `prompt=create` (Initiating User Registration via OpenID Connect 1.0 §4).
    Prompt,
    /// By themselves, from the sign-in form.
    None,
}

/// Where the document of `issuer` is (Discovery §4): the path is appended, never replaced.
pub(crate) fn document_url(issuer: &str) -> Result<Url, OidcError> {
    let issuer = issuer.trim_end_matches('/');
    Url::parse(&format!("{issuer}/.well-known/openid-configuration"))
        .map_err(|_malformed| OidcError::UnsafeEndpoint { endpoint: Endpoint::Discovery })
}

impl Discovery {
    /// Checks a document that `issuer`'s address answered.
    pub(crate) fn check(
        document: &Document,
        issuer: &str,
        profile: ProviderProfile,
    ) -> Result<Self, OidcError> {
        if document.issuer != issuer {
            return Err(OidcError::WrongDiscoveryIssuer);
        }
        let base = document_url(issuer)?;
        let url = |endpoint, text: &String| endpoint_url(endpoint, text, &base);
        let optional = |endpoint, text: &Option<String>| {
            text.as_ref().map(|text| url(endpoint, text)).transpose()
        };
        let user_info_endpoint = optional(Endpoint::UserInfo, &document.userinfo_endpoint)?;
        let authorization_endpoint =
            url(Endpoint::Authorization, &document.authorization_endpoint)?;
        let takes_create = document.prompt_values_supported.iter().any(|value| value == "create");
        let mut sign_up = if takes_create { SignUp::Prompt } else { SignUp::None };
        let mut revocation_endpoint =
            optional(Endpoint::Revocation, &document.revocation_endpoint)?;
        let mut end_session_endpoint =
            optional(Endpoint::EndSession, &document.end_session_endpoint)?;
        if profile == ProviderProfile::Cognito {
            // Older user pools have both endpoints and do not name them.
            let beside = |path| authorization_endpoint.join(path).ok();
            revocation_endpoint = revocation_endpoint.or_else(|| beside("/oauth2/revoke"));
            end_session_endpoint = end_session_endpoint.or_else(|| beside("/logout"));
            sign_up = beside("/signup").map_or(sign_up, SignUp::Page);
        }
        Ok(Self {
            token_endpoint: url(Endpoint::Token, &document.token_endpoint)?,
            jwks_uri: url(Endpoint::Jwks, &document.jwks_uri)?,
            authorization_endpoint,
            sign_up,
            revocation_endpoint,
            end_session_endpoint,
            user_info_endpoint,
            promises_callback_issuer: document.authorization_response_iss_parameter_supported,
            takes_basic: document
                .token_endpoint_auth_methods_supported
                .as_ref()
                .is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic")),
        })
    }
}

/// Refuses an endpoint that secrets must not be sent to. A provider on the network must not send us
/// to a port of this machine either: in a sandbox, the runtime listens there.
fn endpoint_url(endpoint: Endpoint, text: &str, issuer: &Url) -> Result<Url, OidcError> {
    Url::parse(text)
        .ok()
        .filter(is_reachable_safely)
        .filter(|url| url.scheme() == "https" || url.scheme() == issuer.scheme())
        .ok_or(OidcError::UnsafeEndpoint { endpoint })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://id.example/pool";

    /// A Cognito document with `changes`.
    fn check(changes: &Value, profile: ProviderProfile) -> Result<Discovery, OidcError> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example/oauth2/authorize",
            "token_endpoint": "https://login.example/oauth2/token",
            "jwks_uri": "https://id.example/pool/.well-known/jwks.json",
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        Discovery::check(&serde_json::from_value(document).unwrap(), ISSUER, profile)
    }

    #[test]
    fn a_document_of_another_issuer_or_with_an_unsafe_endpoint_is_refused() {
        for issuer in ["https://id.example/pool/", "https://id.example", "https://evil.example"] {
            let refused = check(&json!({ "issuer": issuer }), ProviderProfile::Generic);
            assert!(matches!(refused, Err(OidcError::WrongDiscoveryIssuer)), "{issuer}");
        }
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "revocation_endpoint",
            "end_session_endpoint",
            "userinfo_endpoint",
        ] {
            for url in [
                "http://login.example/x",
                "http://localhost:9001/x",
                "file:///etc/passwd",
                "/x",
                "https://a:b@login.example/",
            ] {
                let refused = check(&json!({ name: url }), ProviderProfile::Generic);
                assert!(matches!(refused, Err(OidcError::UnsafeEndpoint { .. })), "{name} {url}");
            }
        }
    }

    #[test]
    fn a_provider_shows_its_sign_up_form_in_its_own_way_or_not_at_all() {
        let way = |changes: &Value, profile| match check(changes, profile).ok().unwrap().sign_up {
            SignUp::Page(url) => url.to_string(),
            SignUp::Prompt => "prompt".to_owned(),
            SignUp::None => "none".to_owned(),
        };
        let create = json!({ "prompt_values_supported": ["login", "create"] });
        let other = json!({ "prompt_values_supported": ["login"] });
        assert_eq!(way(&json!({}), ProviderProfile::Cognito), "https://login.example/signup");
        for (changes, expected) in [(json!({}), "none"), (other, "none"), (create, "prompt")] {
            assert_eq!(way(&changes, ProviderProfile::Generic), expected);
        }
    }

    #[test]
    fn an_older_cognito_pool_has_endpoints_that_it_does_not_name() {
        let cognito = check(&json!({}), ProviderProfile::Cognito).ok().unwrap();
        let url = |url: Option<Url>| url.map(String::from);
        assert_eq!(
            url(cognito.revocation_endpoint).as_deref(),
            Some("https://login.example/oauth2/revoke"),
        );
        assert_eq!(
            url(cognito.end_session_endpoint).as_deref(),
            Some("https://login.example/logout")
        );
        let generic = check(&json!({}), ProviderProfile::Generic).ok().unwrap();
        assert!(generic.revocation_endpoint.is_none() && generic.end_session_endpoint.is_none());
    }
}
