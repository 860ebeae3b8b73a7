//! Calls the API every minute as its callers do, over the public address, and measures whether it
//! answers. What no request reaches writes no metric, so only somebody who calls can tell.

use std::sync::Arc;
use std::time::Duration;

use rollcall_domain::time::Clock;
use rollcall_http::Probe;
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::settings::{Setting, SettingKind};
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use serde::de::IgnoredAny;

/// The longest that an answer is waited for: well within what the API takes at its slowest.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What is called.
pub static CANARY_URL: Setting = Setting {
    name: "ROLLCALL_CANARY_URL",
    description: "What the canary calls: the public URL of GET /health; none where nobody is to be told.",
    kind: SettingKind::Text,
};

/// The value of the setting where nothing is called.
const NONE: &str = "none";

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "canary",
    purpose: "Calls the API as its callers do and measures whether it answers.",
    triggers: &[Trigger::Schedule { every_minutes: 1 }],
    settings: &[&CANARY_URL],
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

struct Ports {
    probe: Probe,
    url: Option<String>,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let url = startup.setting(&CANARY_URL)?;
        let probe = Probe::new()
            .map_err(|error| StartupError::Part { what: "canary", source: Box::new(error) })?;
        let url = (url != NONE).then(|| url.to_owned());
        Ok(Self { probe, url, clock: startup.clock() })
    }
}

async fn handle(
    ports: &Ports,
    _event: IgnoredAny,
    _invocation: &Invocation,
) -> Result<(), CanaryError> {
    let Some(url) = &ports.url else { return Ok(()) };
    let answered = ports.probe.is_answered(url, ANSWER_WITHIN).await;
    if !answered {
        tracing::warn!("the API does not answer the canary");
    }
    emit(ports.clock.now(), &[(Metric::CanaryAnswered, if answered { 1.0 } else { 0.0 })]);
    Ok(())
}

/// Nothing: an API that does not answer is what the canary is there to measure.
#[derive(Debug, thiserror::Error)]
enum CanaryError {}
