//! rollcall-functions-ops
