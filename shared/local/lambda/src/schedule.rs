//! EventBridge schedules of the form `rate(…)`, driven by the local cloud's clock.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rollcall_local_kit::{LocalClock, Shutdown};
use serde_json::json;

use crate::function::{Invocation, InvokeError, Lambda};
use crate::{ACCOUNT_ID, REGION, deployed_name, unguessable};

/// How often the clock is looked at: a clock that was moved shows within this time.
const TICK: Duration = Duration::from_millis(50);

/// A function that is invoked again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Function name.
    pub function: String,
    /// Time between two invocations, on the local cloud's clock.
    pub every: Duration,
}

/// The running schedules of one local cloud. Cloning shares them.
#[derive(Clone)]
pub struct Schedules {
    lambda: Lambda,
    clock: LocalClock,
    running: Arc<Vec<Schedule>>,
}

impl Schedules {
    /// Starts all schedules; the first invocation of each comes after its interval. Must be called
    /// within a tokio runtime; ends with `shutdown`.
    pub fn start(
        lambda: Lambda,
        clock: LocalClock,
        shutdown: Shutdown,
        schedules: Vec<Schedule>,
    ) -> Self {
        let started = Self { lambda, clock, running: Arc::new(schedules) };
        let ticking = started.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = ticking.tick() => {}
                () = shutdown.wait() => {}
            }
        });
        started
    }

    /// Invokes a function with a scheduled event now, whatever the clock says, and waits for it.
    pub async fn fire(&self, function: &str) -> Result<Invocation, InvokeError> {
        let event = scheduled_event(function, &self.clock);
        self.lambda.invoke(function, event, None).await
    }

    async fn tick(&self) {
        let started = self.clock.now_ms();
        let mut due: Vec<i64> = self
            .running
            .iter()
            .map(|schedule| started.saturating_add(interval_ms(schedule)))
            .collect();
        loop {
            tokio::time::sleep(TICK).await;
            let now = self.clock.now_ms();
            for (schedule, due) in self.running.iter().zip(&mut due) {
                if now < *due {
                    continue;
                }
                // However far the clock has jumped, what was missed is not made up for.
                *due = now.saturating_add(interval_ms(schedule));
                let (schedules, function) = (self.clone(), schedule.function.clone());
                tokio::spawn(async move {
                    if let Err(error) = schedules.fire(&function).await {
                        tracing::warn!(%error, function, "a schedule did not fire");
                    }
                });
            }
        }
    }
}

fn interval_ms(schedule: &Schedule) -> i64 {
    i64::try_from(schedule.every.as_millis()).unwrap_or(i64::MAX)
}

/// "Scheduled events" of the EventBridge user guide.
fn scheduled_event(function: &str, clock: &LocalClock) -> Bytes {
    let rule = deployed_name(function);
    let event = json!({
        "version": "0",
        "id": unguessable::request_id(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{rule}")],
        "detail": {},
    });
    event.to_string().into()
}
