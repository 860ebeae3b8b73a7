//! The operations context: is Rollcall well, and who did what to it, and what is open?

use rollcall_runtime::Function;

pub mod audit_list;
pub mod canary;
pub mod flag_list;
pub mod flag_set;
mod flag_view;
pub mod health;
pub mod route_group_set;
pub mod status;

/// Every function of this context.
pub static FUNCTIONS: &[&Function] = &[
    &audit_list::FUNCTION,
    &canary::FUNCTION,
    &flag_list::FUNCTION,
    &flag_set::FUNCTION,
    &health::FUNCTION,
    &route_group_set::FUNCTION,
    &status::FUNCTION,
];
