//! Which provider, and who we are there.

use rollcall_domain::secret::Secret;
use url::{Host, Url};

/// Whose deviations from the standards are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderProfile {
    /// Amazon Cognito: tokens carry `token_use`, and sign-out has parameters of its own.
    Cognito,
    /// Any provider that follows OpenID Connect Core 1.0.
    Generic,
}

/// Which form of the provider's somebody is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// For people who have an account there.
    SignIn,
    /// For people who have an account there and are to choose how they sign in, even when the
    /// provider remembers them (`prompt=login`, OpenID Connect Core §3.1.2.1).
    SignInAnew,
    /// For people who have none yet. A provider that offers no such form shows its sign-in form,
    /// which leads on.
    SignUp,
}

/// One client at one provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// Our secret there; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// Where the provider returns the browser to.
    pub redirect_uri: String,
    /// Whose deviations are expected.
    pub profile: ProviderProfile,
    /// What we ask for; must contain `openid`.
    pub scopes: Vec<String>,
}

/// Whose access tokens our API takes.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// Whose deviations are expected.
    pub profile: ProviderProfile,
    /// Whom access tokens for our API name as their audience (RFC 9068 §3); those of Cognito may
    /// name nobody.
    pub audience: Option<String>,
    /// The clients whose tokens are taken.
    pub client_ids: Vec<String>,
}

/// Why settings cannot work. Each message says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Discovery §3: an https URL without query or fragment; plain http only on this machine.
    #[error("the issuer must be an https URL without query or fragment (http only on localhost)")]
    Issuer,
    /// RFC 6749 §3.1.2.
    #[error("the redirect URI must be an absolute URL without a fragment")]
    RedirectUri,
    /// Without it there is no id token (OpenID Connect Core §3.1.2.1).
    #[error("the scopes must contain openid")]
    Scopes,
    /// The built-in TLS settings were refused by the TLS library.
    #[error("the http client cannot be built")]
    HttpClient,
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        check_issuer(&self.issuer)?;
        if !Url::parse(&self.redirect_uri).is_ok_and(|uri| uri.fragment().is_none()) {
            return Err(SettingsError::RedirectUri);
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return Err(SettingsError::Scopes);
        }
        Ok(())
    }
}

impl AccessSettings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        check_issuer(&self.issuer)
    }
}

fn check_issuer(issuer: &str) -> Result<(), SettingsError> {
    let issuer = Url::parse(issuer).map_err(|_malformed| SettingsError::Issuer)?;
    if is_reachable_safely(&issuer) && issuer.query().is_none() {
        Ok(())
    } else {
        Err(SettingsError::Issuer)
    }
}

/// Whether secrets may travel to `url`: over https, or to this very machine. Credentials in the URL
/// and fragments have no place in an endpoint.
pub(crate) fn is_reachable_safely(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    plain && (url.scheme() == "https" || url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(issuer: &str, redirect_uri: &str, scope: &str, expected: Result<(), SettingsError>) {
        let settings = Settings {
            issuer: issuer.to_owned(),
            client_id: "web".to_owned(),
            client_secret: None,
            redirect_uri: redirect_uri.to_owned(),
            profile: ProviderProfile::Generic,
            scopes: vec![scope.to_owned()],
        };
        assert_eq!(settings.check(), expected, "{issuer} {redirect_uri} {scope}");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_at_the_start() {
        let (issuer, callback) = ("https://id.example/pool", "https://app.example/auth/callback");
        check(issuer, callback, "openid", Ok(()));
        check("http://localhost:9001/pool", callback, "openid", Ok(()));
        check("http://127.0.0.1:9001", callback, "openid", Ok(()));
        check("http://[::1]:9001", callback, "openid", Ok(()));
        for bad in [
            "http://id.example",
            "http://localhost.example",
            "https://id.example?a=b",
            "https://id.example#a",
            "https://me@id.example",
            "ftp://id.example",
            "id.example",
        ] {
            check(bad, callback, "openid", Err(SettingsError::Issuer));
        }
        check(issuer, "/auth/callback", "openid", Err(SettingsError::RedirectUri));
        check(issuer, "https://app.example/#x", "openid", Err(SettingsError::RedirectUri));
        check(issuer, callback, "email", Err(SettingsError::Scopes));
    }
}
