//! How a port fails. Adapters decide the class once, from the service's typed error; nothing
//! downstream reads an error's text.

use std::error::Error;
use std::fmt;

/// What kind of failure it was, which is all that callers decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortErrorClass {
    /// Somebody else changed the state in between; read again and decide again.
    Conflict,
    /// Too fast; the same call may succeed later.
    Throttled,
    /// The service did not answer, or answered that it cannot; the same call may succeed later.
    Unavailable,
    /// The service refused the call; it will refuse it again.
    Rejected,
    /// What is stored is not what we store.
    Corrupt,
}

/// A failed call of a port: what was attempted, its class, and the cause for the log.
#[derive(Debug)]
pub struct PortError {
    /// The class.
    pub class: PortErrorClass,
    operation: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl PortError {
    /// A failure of `operation`, named as it reads after "failed to".
    pub fn new(
        operation: &'static str,
        class: PortErrorClass,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { class, operation, source: source.into() }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "failed to {} ({:?})", self.operation, self.class)
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
