//! What an operator sets for this context: our site, and the identity provider.

pub use rollcall_edge::bearer::{OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE};
use rollcall_runtime::settings::{Setting, SettingKind};

/// The site that people return to.
pub static SITE_URL: Setting = Setting {
    name: "ROLLCALL_SITE_URL",
    description: "Our site. People return to it after signing in and out; the provider must know it as a sign-out URL.",
    kind: SettingKind::Url,
};

/// The page for those who asked for none.
pub static LANDING_PATH: Setting = Setting {
    name: "ROLLCALL_LANDING_PATH",
    description: "The path on the site for people who asked for no page of their own, such as /learn.",
    kind: SettingKind::Text,
};

/// Who mail comes from.
pub static MAIL_FROM: Setting = Setting {
    name: "ROLLCALL_MAIL_FROM",
    description: "The address that mail comes from, such as Rollcall <mail@rollcall.example>; its domain must be verified at the mail service.",
    kind: SettingKind::Text,
};

/// Where the provider sends browsers back to.
pub static OIDC_REDIRECT_URI: Setting = Setting {
    name: "ROLLCALL_OIDC_REDIRECT_URI",
    description: "The URL of auth-callback as registered at the provider.",
    kind: SettingKind::Url,
};

/// Whether we have a secret there.
pub static OIDC_CLIENT_AUTHENTICATION: Setting = Setting {
    name: "ROLLCALL_OIDC_CLIENT_AUTHENTICATION",
    description: "secret when our client has a secret (oidc-client-secret), none when it is public.",
    kind: SettingKind::OneOf(&["none", "secret"]),
};
