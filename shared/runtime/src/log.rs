//! Logs: one JSON object per line, with the field names of Powertools for AWS Lambda.
//!
//! A line never holds a body, a header set, a token or an e-mail address: events name ids and
//! outcomes, and secrets have a type that cannot be printed.

use std::fmt;
use std::sync::{OnceLock, PoisonError, RwLock};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::invocation::Invocation;
use crate::system::SystemClock;
use rollcall_domain::time::Clock;

static SERVICE: OnceLock<&'static str> = OnceLock::new();
static INVOCATION: RwLock<Option<Current>> = RwLock::new(None);

#[derive(Clone, Debug)]
struct Current {
    invocation: Invocation,
    cold_start: bool,
}

/// Starts logging for the function `service` at `level`; later calls change nothing.
pub fn start(service: &'static str, level: &str) {
    if SERVICE.set(service).is_err() {
        return;
    }
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    let subscriber =
        tracing_subscriber::fmt().with_max_level(level).event_format(JsonLine).finish();
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::warn!("another subscriber logs already");
    }
}

/// Names the invocation that the next lines belong to.
pub fn begin(invocation: &Invocation, cold_start: bool) {
    let current = Current { invocation: invocation.clone(), cold_start };
    *INVOCATION.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
}

/// The name of the function that logs; empty before [`start`].
pub(crate) fn service() -> &'static str {
    SERVICE.get().copied().unwrap_or_default()
}

struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("timestamp".to_owned(), SystemClock.now().to_string().into());
        line.insert("service".to_owned(), service().into());
        let current = INVOCATION.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(Current { invocation, cold_start }) = current {
            line.insert("cold_start".to_owned(), cold_start.into());
            line.insert("function_request_id".to_owned(), invocation.request_id.into());
            line.insert("correlation_id".to_owned(), invocation.trace_id.clone().into());
            line.insert("xray_trace_id".to_owned(), invocation.trace_id.into());
        }
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'line>(&'line mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}
