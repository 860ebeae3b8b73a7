//! HTTP: everything that all routes do alike.
//!
//! A route's file holds its own input, output and rule. Who calls, whether a page of ours sent the
//! request, how failures look, which headers an answer carries, what is logged and measured: that
//! is here, once, driven by the function's declaration.
//!
//! Each of these is a module of its own and takes effect in [`serve`].

pub mod bearer;
pub mod caller;
pub mod condition;
pub mod cursor;
mod doors;
pub mod flags;
mod gate;
mod idempotency;
mod limits;
pub mod problem;
pub mod request;
pub mod response;
pub mod serve;
pub mod session;

pub use caller::{Caller, Credential, Operator, Principal};
pub use cursor::{Cursors, Page};
pub use flags::Flags;
pub use problem::{FieldError, Problem};
pub use request::{Context, FromRequest, HttpRequest, NoInput};
pub use response::{Form, Response};
pub use serve::{
    HTTP, IN_SESSION, IN_SESSION_READ, OPERATED, OPERATED_READ, OPTIONAL, PUBLIC, SIGNED_IN,
    SIGNED_IN_READ, in_session, operated, optional, public, signed_in,
};
