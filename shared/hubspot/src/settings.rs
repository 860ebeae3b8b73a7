//! Where HubSpot is and which of its API families is spoken.

use rollcall_crm::port::KeyKind;
use url::{Host, Url};

/// A family of HubSpot's API paths. The undated one reaches its end in September 2027.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/crm/objects/2026-09/…`
    Dated,
    /// `/crm/v3/objects/…`
    Undated,
}

impl Api {
    /// The dated family in use.
    pub const VERSION: &str = "2026-09";

    pub(crate) fn contacts(self, operation: &str) -> String {
        match self {
            Self::Dated => format!("crm/objects/{}/contacts/batch/{operation}", Self::VERSION),
            Self::Undated => format!("crm/v3/objects/contacts/batch/{operation}"),
        }
    }

    pub(crate) fn properties(self, operation: &str) -> String {
        match self {
            Self::Dated => format!("crm/properties/{}/contacts/{operation}", Self::VERSION),
            Self::Undated => format!("crm/v3/properties/contacts/{operation}"),
        }
    }
}

/// How to reach a portal.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) base_url: Url,
    pub(crate) api: Api,
    pub(crate) key: KeyKind,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The base URL is none, or would carry the token in clear.
    #[error("HubSpot's base URL must be https, or http on this machine")]
    BaseUrl,
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    HttpClient,
}

impl Settings {
    /// Settings for the portal at `base_url`: `https`, or `http` on loopback.
    pub fn new(base_url: &str, api: Api, key: KeyKind) -> Result<Self, SettingsError> {
        let base_url = Url::parse(base_url).map_err(|_malformed| SettingsError::BaseUrl)?;
        let is_loopback = match base_url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        match base_url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            _ => return Err(SettingsError::BaseUrl),
        }
        Ok(Self { base_url, api, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_never_travels_in_clear() {
        for (url, accepted) in [
            ("https://api.hubapi.com", true),
            ("http://127.0.0.1:9002", true),
            ("http://localhost:9002", true),
            ("http://[::1]:9002", true),
            ("http://api.hubapi.com", false),
            ("http://localhost.example.org", false),
            ("ftp://127.0.0.1", false),
            ("api.hubapi.com", false),
        ] {
            let settings = Settings::new(url, Api::Dated, KeyKind::UserId);
            assert_eq!(settings.is_ok(), accepted, "{url}");
        }
    }
}
