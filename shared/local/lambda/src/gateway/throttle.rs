//! The token bucket API Gateway limits a stage with.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// How many requests the API admits. Beyond it they are answered with 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Requests per second in the long run.
    pub rate_per_second: u32,
    /// Requests at once after a quiet time.
    pub burst: u32,
}

pub(super) struct Bucket {
    throttle: Throttle,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    pub(super) fn new(throttle: Throttle) -> Self {
        let level = (f64::from(throttle.burst), Instant::now());
        Self { throttle, level: Mutex::new(level) }
    }

    /// Takes one token, if there is one.
    pub(super) fn admits(&self) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, filled_at) = *level;
        let now = Instant::now();
        let gained = (now - filled_at).as_secs_f64() * f64::from(self.throttle.rate_per_second);
        let tokens = (tokens + gained).min(f64::from(self.throttle.burst));
        let admitted = tokens >= 1.0;
        *level = (if admitted { tokens - 1.0 } else { tokens }, now);
        admitted
    }
}
