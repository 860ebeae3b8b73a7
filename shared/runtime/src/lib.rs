//! rollcall-runtime
