//! rollcall-local-messages
