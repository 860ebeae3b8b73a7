//! rollcall-edge
