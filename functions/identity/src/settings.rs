//! What an operator sets for this context: our site, and the identity provider.

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

/// Who vouches for people. A text and not a URL of ours: issuers are compared letter by letter and
/// some end with a slash.
pub static OIDC_ISSUER: Setting = Setting {
    name: "ROLLCALL_OIDC_ISSUER",
    description: "The issuer of the OpenID Connect provider, exactly as its tokens name it.",
    kind: SettingKind::Text,
};

/// Who we are there.
pub static OIDC_CLIENT_ID: Setting = Setting {
    name: "ROLLCALL_OIDC_CLIENT_ID",
    description: "Our client id at the provider.",
    kind: SettingKind::Text,
};

/// Where the provider sends browsers back to.
pub static OIDC_REDIRECT_URI: Setting = Setting {
    name: "ROLLCALL_OIDC_REDIRECT_URI",
    description: "The URL of auth-callback as registered at the provider.",
    kind: SettingKind::Url,
};

/// Whose deviations from the standards are expected.
pub static OIDC_PROFILE: Setting = Setting {
    name: "ROLLCALL_OIDC_PROFILE",
    description: "What the provider is: cognito, or generic for any that follows the standards.",
    kind: SettingKind::OneOf(&["cognito", "generic"]),
};

/// Whether we have a secret there.
pub static OIDC_CLIENT_AUTHENTICATION: Setting = Setting {
    name: "ROLLCALL_OIDC_CLIENT_AUTHENTICATION",
    description: "secret when our client has a secret (oidc-client-secret), none when it is public.",
    kind: SettingKind::OneOf(&["none", "secret"]),
};
