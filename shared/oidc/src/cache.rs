//! Documents of the provider that are kept between requests, and when they are fetched again.

use std::sync::Arc;

use rollcall_domain::time::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::error::OidcError;

/// A document is used without asking for this long.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// A document is used for this long while the provider does not answer.
const STALE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// A document that we have is asked for again at most this often: an outage must not cost every
/// request a time-out, and made-up key ids must not make us a burden to the provider.
const REFETCH_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// What a caller needs of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Any copy that may still be used.
    Usable,
    /// A copy newer than the one that was just seen, since something is missing there.
    Newer,
}

/// One document. Callers that come while it is being fetched wait for that one fetch.
pub(crate) struct Cache<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    entry: Option<Entry<T>>,
    refetched_at: Option<Timestamp>,
}

struct Entry<T> {
    value: Arc<T>,
    fetched_at: Timestamp,
}

enum Plan<T> {
    Use(Arc<T>),
    /// Fetch, and use `fallback` if that fails.
    Fetch {
        fallback: Option<Arc<T>>,
    },
}

impl<T> Cache<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { entry: None, refetched_at: None }) }
    }

    /// The document, from memory or by `fetch`, which runs only when it must.
    pub(crate) async fn get(
        &self,
        demand: Demand,
        now: Timestamp,
        fetch: impl Future<Output = Result<T, OidcError>>,
    ) -> Result<Arc<T>, OidcError> {
        let mut state = self.state.lock().await;
        let fallback = match state.plan(demand, now) {
            Plan::Use(value) => return Ok(value),
            Plan::Fetch { fallback } => fallback,
        };
        match fetch.await {
            Ok(value) => {
                let value = Arc::new(value);
                state.entry = Some(Entry { value: Arc::clone(&value), fetched_at: now });
                Ok(value)
            }
            Err(error) => fallback.ok_or(error),
        }
    }
}

impl<T> State<T> {
    fn plan(&mut self, demand: Demand, now: Timestamp) -> Plan<T> {
        let Some(entry) = &self.entry else {
            return Plan::Fetch { fallback: None };
        };
        let age = now.duration_since(entry.fetched_at);
        if age >= STALE_MAX {
            return Plan::Fetch { fallback: None };
        }
        let value = Arc::clone(&entry.value);
        let recently =
            self.refetched_at.is_some_and(|at| now.duration_since(at) < REFETCH_INTERVAL);
        if recently || demand == Demand::Usable && age < FRESH {
            return Plan::Use(value);
        }
        self.refetched_at = Some(now);
        Plan::Fetch { fallback: (demand == Demand::Usable).then_some(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Endpoint;

    const HOUR: i64 = 3600;

    /// Plays `(second, demand, what the provider answers, what the caller gets)` in order; `None`
    /// as an answer is an outage, and a caller that gets an older answer than offered did not ask.
    async fn check(steps: &[(i64, Demand, Option<u8>, Option<u8>)]) {
        let cache = Cache::new();
        for (second, demand, answer, expected) in steps {
            let busy = OidcError::Busy { endpoint: Endpoint::Jwks, status: 503 };
            let fetch = async { answer.ok_or(busy) };
            let got = cache.get(*demand, Timestamp::from_second(*second).unwrap(), fetch).await;
            assert_eq!(got.ok().map(|value| *value), *expected, "at {second}");
        }
    }

    #[tokio::test]
    async fn a_document_is_fetched_once_an_hour() {
        use Demand::Usable;
        check(&[
            (0, Usable, Some(1), Some(1)),
            (HOUR - 1, Usable, Some(2), Some(1)),
            (HOUR, Usable, Some(3), Some(3)),
        ])
        .await;
    }

    #[tokio::test]
    async fn something_missing_is_looked_for_at_once_and_then_once_a_minute() {
        use Demand::{Newer, Usable};
        check(&[
            (0, Usable, Some(1), Some(1)),
            (1, Newer, Some(2), Some(2)),
            (60, Newer, Some(3), Some(2)),
            (61, Newer, Some(4), Some(4)),
        ])
        .await;
    }

    #[tokio::test]
    async fn an_outage_is_bridged_for_a_day_without_asking_at_every_request() {
        use Demand::{Newer, Usable};
        check(&[
            (0, Usable, None, None),
            (1, Usable, Some(1), Some(1)),
            (2 * HOUR, Usable, None, Some(1)),
            (2 * HOUR + 59, Usable, Some(2), Some(1)),
            (3 * HOUR, Newer, None, None),
            (24 * HOUR, Usable, None, Some(1)),
            (24 * HOUR + 1, Usable, None, None),
            (24 * HOUR + 2, Usable, Some(3), Some(3)),
        ])
        .await;
    }
}
