//! The clock of one local cloud: the machine's time plus an offset that tests can grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The time that all emulators of one local cloud agree on.
///
/// Cloning shares the offset, so moving one handle moves every emulator.
#[derive(Clone, Debug, Default)]
pub struct LocalClock {
    offset_ms: Arc<AtomicI64>,
}

impl LocalClock {
    /// The machine's time, not moved yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The current time of this local cloud.
    #[expect(clippy::disallowed_methods, reason = "the one place the local cloud reads the time")]
    pub fn now(&self) -> Timestamp {
        let milliseconds =
            Timestamp::now().as_millisecond().saturating_add(self.offset_ms.load(Ordering::SeqCst));
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
    }

    /// Milliseconds since the Unix epoch, as AWS wire formats want them.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(milliseconds, Ordering::SeqCst);
    }
}
