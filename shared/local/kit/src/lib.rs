//! What every emulator of the local cloud needs: a clock that tests can move, IAM as AWS evaluates
//! it, a server that stops when told, and state that survives a restart.
//!
//! The kit knows AWS in general and no emulator in particular; the emulators beside it depend on
//! the kit and never on one another.

pub mod clock;
pub mod iam;
pub mod server;
pub mod snapshot;

pub use clock::LocalClock;
pub use iam::{Denied, Iam, Principal, Statement};
pub use server::{Server, Shutdown};
pub use snapshot::Snapshot;
