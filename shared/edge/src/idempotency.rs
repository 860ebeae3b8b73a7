//! Idempotency keys: a request that is sent again has its effect once and gets its first answer,
//! byte for byte (draft-ietf-httpapi-idempotency-key-header). The rule is in
//! `rollcall_domain::idempotency`; here is who waits for whom and what is kept.
//!
//! Kept are answers that another try would not change. Failures of ours, lost races and refusals of
//! a rate limit are not, so a request may be sent again with its key until it has gone through.
//!
//! The smallest example is `functions/learning/src/event_track.rs`:
//!
//! ```text
//! idempotency: Idempotency::Optional,
//! ```

use std::sync::Arc;
use std::time::Duration;

use rollcall_domain::idempotency::{IdempotencyKey, KeptAnswer, Payload, Turn, turn};
use rollcall_domain::time::{Clock, SignedDuration, Timestamp, after, after_seconds};
use rollcall_runtime::declaration::Idempotency;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::idempotency::{Hold, IdempotencyKeys};

use crate::problem::{CONFLICT, IN_PROGRESS, KEY_REQUIRED, KEY_REUSED, Problem};
use crate::request::{Context, HttpRequest};
use crate::response::Response;

/// The header that carries the key.
const HEADER: &str = "idempotency-key";
/// How long a request waits for the answer of the one that holds its key.
const WAIT: SignedDuration = SignedDuration::from_secs(10);
/// What a waiting request leaves of its own time, to answer in.
const RESERVE: SignedDuration = SignedDuration::from_secs(2);
/// Between two looks, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));
/// Behind the deadline of an invocation, its hold counts this much longer: clocks differ.
const HOLD_MARGIN_SECONDS: i64 = 1;

/// Makes repeated requests one.
pub(crate) struct Once {
    keys: IdempotencyKeys,
    is_required: bool,
    clock: Arc<dyn Clock>,
}

/// One request with a key.
struct Attempt<'attempt> {
    hold: Hold<'attempt>,
    payload: Payload,
    /// Until when to wait.
    patience: Timestamp,
}

impl Once {
    /// For the function that starts; `None` if its routes take no keys.
    pub(crate) fn new(startup: &Startup) -> Result<Option<Self>, StartupError> {
        let is_required = match startup.function().idempotency {
            Idempotency::None => return Ok(None),
            Idempotency::Optional => false,
            Idempotency::Required => true,
        };
        let (keys, clock) = (startup.capability()?, startup.clock());
        Ok(Some(Self { keys, is_required, clock }))
    }

    /// Does `work`, or gives the answer that it had before.
    pub(crate) async fn run(
        &self,
        request: &HttpRequest,
        caller: &str,
        context: &Context,
        work: impl Future<Output = Result<Response, Problem>>,
    ) -> Result<Response, Problem> {
        let Some(text) = request.header(HEADER) else {
            return if self.is_required { Err(Problem::new(&KEY_REQUIRED)) } else { work.await };
        };
        let key = IdempotencyKey::new(caller, request.route(), text)
            .map_err(|error| Problem::invalid("header:Idempotency-Key", "invalid-key", &error))?;
        let until = after_seconds(context.deadline, HOLD_MARGIN_SECONDS);
        let attempt = Attempt {
            hold: Hold { key: &key, holder: &context.request_id, until },
            payload: Payload::of(request.method(), &request.target(), request.body()),
            patience: after(context.now, WAIT).min(after(context.deadline, -RESERVE)),
        };
        match self.answered_before(&attempt).await? {
            Some(answer) => {
                tracing::info!("a repeated request gets its first answer");
                Ok(Response::from_kept(answer))
            }
            None => self.settle(&attempt.hold, work.await, context).await,
        }
    }

    /// The answer of an earlier request; `None` when this request holds the key.
    async fn answered_before(&self, attempt: &Attempt<'_>) -> Result<Option<KeptAnswer>, Problem> {
        let Attempt { hold, payload, patience } = attempt;
        let (mut pause, pause_max) = LOOK_AGAIN;
        let mut next = Turn::Begin;
        loop {
            let now = self.clock.now();
            match next {
                Turn::Begin => {
                    let begun = self.keys.begin(hold, payload, now).await;
                    if begun.map_err(|error| Problem::port(&error))? {
                        return Ok(None);
                    }
                }
                Turn::Wait(until) if now >= *patience => {
                    let seconds = until.duration_since(now).as_secs().saturating_add(1);
                    let seconds = u32::try_from(seconds).unwrap_or(1).max(1);
                    return Err(Problem::new(&IN_PROGRESS).with_retry_after(seconds));
                }
                Turn::Wait(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(pause_max);
                }
                Turn::Repeat(answer) => return Ok(Some(answer)),
                Turn::Refuse => return Err(Problem::new(&KEY_REUSED)),
            }
            let record = self.keys.find(hold.key).await.map_err(|error| Problem::port(&error))?;
            next = turn(record, payload, self.clock.now());
        }
    }

    /// Keeps the answer before it is given. One that cannot be kept is not given either: the caller
    /// is to ask again and find the effect made, and not to hold one of two different answers.
    async fn settle(
        &self,
        hold: &Hold<'_>,
        outcome: Result<Response, Problem>,
        context: &Context,
    ) -> Result<Response, Problem> {
        let Some(answer) = kept(&outcome, &context.request_id) else {
            if let Err(error) = self.keys.release(hold).await {
                tracing::warn!(error = chain(&error), "an idempotency key stays held for a while");
            }
            return outcome;
        };
        match self.keys.keep(hold, &answer).await {
            Ok(true) => outcome,
            Ok(false) => Err(Problem::new(&IN_PROGRESS).with_retry_after(1)),
            Err(error) => Err(Problem::port(&error)),
        }
    }
}

/// The answer, if it is one that another try would not change.
fn kept(outcome: &Result<Response, Problem>, request_id: &str) -> Option<KeptAnswer> {
    let response = match outcome {
        Ok(response) => response.clone(),
        Err(problem) if problem.kind == &CONFLICT || problem.retry_after_seconds.is_some() => {
            return None;
        }
        Err(problem) => Response::problem(problem, request_id),
    };
    if response.status() >= 500 { None } else { response.to_kept(request_id) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{INTERNAL, INVALID, UNAVAILABLE};

    #[test]
    fn kept_are_answers_that_another_try_would_not_change() {
        let problem = |kind| Err(Problem::new(kind));
        for (outcome, expected) in [
            (Ok(Response::json(200, &"x")), true),
            (Ok(Response::no_content()), true),
            (problem(&INVALID), true),
            (problem(&CONFLICT), false),
            (problem(&INTERNAL), false),
            (problem(&UNAVAILABLE), false),
            (Ok(Response::no_content().with_cookie("__Host-s", "secret", 60)), false),
            (Ok(Response::json(200, &"x".repeat(70_000))), false),
        ] {
            assert_eq!(kept(&outcome, "r").is_some(), expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_kept_answer_is_given_again_as_it_was() {
        let first = Response::json(202, &"x").with_header("etag", "\"1\"");
        let again = Response::from_kept(first.to_kept("first").unwrap());
        let (first, again) = (first.into_gateway("first"), again.into_gateway("second"));
        assert_eq!(serde_json::to_value(first).unwrap(), serde_json::to_value(again).unwrap());
    }
}
