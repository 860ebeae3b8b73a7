//! HTTP: everything that all routes do alike.
//!
//! A route's file holds its own input, output and rule. Who calls, whether a page of ours sent the
//! request, how failures look, which headers an answer carries, what is logged and measured: that
//! is here, once, driven by the function's declaration.
//!
//! Rate limits, idempotency keys, signed cursors and flags will stand beside `session` as modules
//! of their own and take effect in [`serve`], between access and handler.

pub mod problem;
pub mod request;
pub mod response;
pub mod serve;
pub mod session;

pub use problem::{FieldError, Problem};
pub use request::{Context, FromRequest, HttpRequest, NoInput};
pub use response::Response;
pub use serve::{HTTP, PUBLIC, SIGNED_IN, SIGNED_IN_READ, public, signed_in};
pub use session::Caller;
