//! rollcall-local-hubspot
