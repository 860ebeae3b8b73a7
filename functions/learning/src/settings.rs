//! What an operator sets for this context.

use rollcall_runtime::settings::{Setting, SettingKind};

/// Who is asked whether a lab was done.
pub static LAB_VALIDATOR: Setting = Setting {
    name: "ROLLCALL_LAB_VALIDATOR",
    description: "The https URL of who is asked, by signed messages, whether labs were done of which the catalogue says that they are validated; none where nobody is.",
    kind: SettingKind::Text,
};
