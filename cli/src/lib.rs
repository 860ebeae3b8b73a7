//! rollcall-cli
