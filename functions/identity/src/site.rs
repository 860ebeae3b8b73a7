//! Our own site, as the browser is sent there, and the cookie of a sign-in in flight.

use rollcall_domain::text;
use rollcall_runtime::{Startup, StartupError};
use url::Url;

use crate::settings::{LANDING_PATH, SITE_URL};

/// The cookie that binds a sign-in to the browser that began it.
pub const LOGIN_COOKIE: &str = "__Host-rollcall_login";

/// The cookie that binds an identity that waits to be linked to the browser that proved it.
pub const LINK_COOKIE: &str = "__Host-rollcall_link";

/// The site that people return to.
pub struct Site(String);

impl Site {
    /// The site that the settings name.
    pub fn new(startup: &Startup) -> Result<Self, StartupError> {
        startup.setting(&SITE_URL).map(|url| Self(url.to_owned()))
    }

    /// The URL of a page. The gateway hands us paths decoded and a header takes ASCII only, so what
    /// needs encoding is encoded again.
    pub fn page(&self, path: &str) -> String {
        match Url::parse(&format!("{}{path}", self.0)) {
            Ok(url) => url.into(),
            Err(_) => self.0.clone(),
        }
    }
}

/// The landing path; the program does not start with one that leads elsewhere.
pub fn landing_path(startup: &Startup) -> Result<String, StartupError> {
    text::return_path(startup.setting(&LANDING_PATH)?, &[])
        .map_err(|error| StartupError::Part { what: "ROLLCALL_LANDING_PATH", source: error.into() })
}
