//! What an operator sets for this context.

use rollcall_runtime::settings::{Setting, SettingKind};

/// Who is asked whether a lab was done.
pub static LAB_VALIDATOR: Setting = Setting {
    name: "ROLLCALL_LAB_VALIDATOR",
    description: "The https URL of who is asked, by signed messages, whether labs were done of which the catalogue says that they are validated; none where nobody is.",
    kind: SettingKind::Text,
};

/// Where credentials are published.
pub static CREDENTIALS_URL: Setting = Setting {
    name: "ROLLCALL_CREDENTIALS_URL",
    description: "The URL of this API as everybody reaches it. It stands in every credential and names their issuer, so it must never change.",
    kind: SettingKind::Url,
};

/// Who issues credentials.
pub static ISSUER_NAME: Setting = Setting {
    name: "ROLLCALL_ISSUER_NAME",
    description: "The organisation's name, as it stands on certificates.",
    kind: SettingKind::Text,
};
