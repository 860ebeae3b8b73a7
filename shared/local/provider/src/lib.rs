//! rollcall-local-provider
