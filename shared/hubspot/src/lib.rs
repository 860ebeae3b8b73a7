//! rollcall-hubspot
