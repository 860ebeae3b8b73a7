//! Lambda: what a function declares, how its program starts, runs, logs and measures.
//!
//! A function is a [`Function`] constant beside its handler; its program is one expression,
//! `run(&FUNCTION)`. Routes, permissions, infrastructure and documents are generated from the
//! constants, so nothing about a function is typed twice.

pub mod declaration;
pub mod invocation;
pub mod log;
pub mod metrics;
pub mod openapi;
mod run;
pub mod settings;
pub mod startup;
pub mod system;

pub use declaration::{Access, Function, Method, Route, Trigger};
pub use invocation::{Failure, Handler, Invocation, event};
pub use run::{aws_environment, run};
pub use settings::Setting;
pub use startup::{Startup, StartupError};
