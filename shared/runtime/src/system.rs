//! The real clock and the real randomness, which handlers receive as parameters.

use jiff::Timestamp;
use rollcall_domain::random::Random;
use rollcall_domain::time::{Clock, to_milliseconds};

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the time is read")]
    fn now(&self) -> Timestamp {
        to_milliseconds(Timestamp::now())
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without the system's generator no secret could be made; ending the process is the only
        // safe answer, and Lambda starts another.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}
