//! Which portal is called, through which paths, and by what its contacts are found.

use std::str::FromStr;

use rollcall_crm::port::KeyKind;
use rollcall_crm::schema;
use url::{Host, Url};

/// A family of HubSpot's API paths. The undated one ends in September 2027.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFamily {
    /// `/crm/objects/{version}/…`; the version is a year and a month, such as `2026-09`.
    Dated(String),
    /// `/crm/v3/objects/…`.
    Undated,
}

/// How HubSpot is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the API is: `https://api.hubapi.com`, or this machine.
    pub base_url: String,
    /// Which paths.
    pub api: ApiFamily,
    /// By what contacts are found.
    pub key: KeyKind,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Urls {
    /// Contacts.
    pub(crate) objects: String,
    /// The definitions of their properties.
    pub(crate) properties: String,
    /// Custom events.
    pub(crate) events: String,
    /// What the portal says about itself.
    pub(crate) account: String,
    /// Where access tokens are made.
    pub(crate) token: String,
}

/// Why settings cannot work. Each message says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The token must not travel in clear, and nothing may follow the path.
    #[error(
        "the HubSpot URL must be https without query, fragment or credentials (http only on localhost)"
    )]
    BaseUrl,
    /// Neither a version nor `v3`.
    #[error("the HubSpot API must be a version such as 2026-09, or v3 for the undated paths")]
    Api,
    /// Neither of the two properties.
    #[error("the HubSpot key must be rollcall_user_id or email")]
    Key,
    /// The built-in TLS settings were refused by the TLS library.
    #[error("the http client cannot be built")]
    HttpClient,
}

impl FromStr for ApiFamily {
    type Err = SettingsError;

    /// A version such as `2026-09`, or `v3`.
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        if text == "v3" {
            return Ok(Self::Undated);
        }
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once('-') {
            Some((year, month))
                if year.len() == 4 && month.len() == 2 && digits(year) && digits(month) =>
            {
                Ok(Self::Dated(text.to_owned()))
            }
            _ => Err(SettingsError::Api),
        }
    }
}

impl Settings {
    /// Settings from the texts in which a stage is configured; `key` is the name of the property by
    /// which contacts are found.
    pub fn parse(base_url: &str, api: &str, key: &str) -> Result<Self, SettingsError> {
        let key = match key {
            schema::USER_ID => KeyKind::UserId,
            schema::EMAIL => KeyKind::Email,
            _ => return Err(SettingsError::Key),
        };
        Ok(Self { base_url: base_url.to_owned(), api: api.parse()?, key })
    }

    /// Where everything is.
    pub(crate) fn urls(&self) -> Result<Urls, SettingsError> {
        let url = Url::parse(&self.base_url).map_err(|_malformed| SettingsError::BaseUrl)?;
        if !may_carry_tokens(&url) {
            return Err(SettingsError::BaseUrl);
        }
        let base = self.base_url.trim_end_matches('/');
        match &self.api {
            ApiFamily::Undated => Ok(Urls {
                objects: format!("{base}/crm/v3/objects/contacts"),
                properties: format!("{base}/crm/v3/properties/contacts"),
                events: format!("{base}/events/v3"),
                account: format!("{base}/account-info/v3/details"),
                token: format!("{base}/oauth/v1/token"),
            }),
            ApiFamily::Dated(version) => {
                if version.parse::<ApiFamily>()? == ApiFamily::Undated {
                    return Err(SettingsError::Api);
                }
                Ok(Urls {
                    objects: format!("{base}/crm/objects/{version}/contacts"),
                    properties: format!("{base}/crm/properties/{version}/contacts"),
                    events: format!("{base}/events/custom/{version}"),
                    account: format!("{base}/account-info/{version}/details"),
                    token: format!("{base}/oauth/{version}/token"),
                })
            }
        }
    }
}

fn may_carry_tokens(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain && (url.scheme() == "https" || url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: (&str, &str, &str), expected: Result<&str, SettingsError>) {
        let (base_url, api, key) = texts;
        let objects = Settings::parse(base_url, api, key)
            .and_then(|settings| settings.urls())
            .map(|urls| urls.objects);
        assert_eq!(objects.as_deref().map_err(|error| *error), expected, "{texts:?}");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_at_the_start() {
        let (url, api, key) = ("https://api.hubapi.com", "2026-09", "rollcall_user_id");
        check((url, api, key), Ok("https://api.hubapi.com/crm/objects/2026-09/contacts"));
        check((url, "v3", "email"), Ok("https://api.hubapi.com/crm/v3/objects/contacts"));
        for local in ["http://localhost:9002/", "http://127.0.0.1:9002", "http://[::1]:9002"] {
            let expected = format!("{}/crm/v3/objects/contacts", local.trim_end_matches('/'));
            check((local, "v3", key), Ok(&expected));
        }
        for bad in [
            "http://api.hubapi.com",
            "http://localhost.example",
            "https://api.hubapi.com?a=b",
            "https://api.hubapi.com#a",
            "https://me@api.hubapi.com",
            "ftp://api.hubapi.com",
            "api.hubapi.com",
            "",
        ] {
            check((bad, api, key), Err(SettingsError::BaseUrl));
        }
        for bad in ["", "v4", "2026", "2026-9", "2026-09-01", "20x6-09", "../09"] {
            check((url, bad, key), Err(SettingsError::Api));
        }
        check((url, api, "hs_object_id"), Err(SettingsError::Key));
    }

    #[test]
    fn a_version_is_checked_however_the_settings_were_made() {
        for version in ["v3", "2026-09/../.."] {
            let settings = Settings {
                base_url: "https://api.hubapi.com".to_owned(),
                api: ApiFamily::Dated(version.to_owned()),
                key: KeyKind::UserId,
            };
            assert_eq!(settings.urls(), Err(SettingsError::Api));
        }
    }
}
