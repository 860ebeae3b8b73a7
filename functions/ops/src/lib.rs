//! The operations context: is Rollcall well, and who did what to it?

use rollcall_runtime::Function;

pub mod audit_list;
pub mod health;

/// Every function of this context.
pub static FUNCTIONS: &[&Function] = &[&audit_list::FUNCTION, &health::FUNCTION];
