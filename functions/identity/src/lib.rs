//! rollcall-functions-identity
