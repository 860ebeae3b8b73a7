//! The operations context: is Rollcall well?

use rollcall_runtime::Function;

pub mod health;

/// Every function of this context.
pub static FUNCTIONS: &[&Function] = &[&health::FUNCTION];
