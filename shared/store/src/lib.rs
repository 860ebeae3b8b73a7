//! rollcall-store
