//! rollcall-oidc
