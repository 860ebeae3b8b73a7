//! rollcall-secrets
