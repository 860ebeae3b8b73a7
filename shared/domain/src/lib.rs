//! rollcall-domain
