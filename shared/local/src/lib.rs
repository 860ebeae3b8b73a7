//! rollcall-local
