//! What functions print, and one report per invocation: kept for tests, sent out for live printing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// Events that a slow subscriber may be behind before it misses some.
const SUBSCRIBER_EVENTS_MAX: usize = 4096;

/// One line that a process wrote to its standard output or standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Function name.
    pub function: String,
    /// The line without its end.
    pub line: String,
}

/// What Lambda's `REPORT` line says about one invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Function name.
    pub function: String,
    /// The invocation.
    pub request_id: String,
    /// Milliseconds from the delivery of the event to the answer; without initialisation.
    pub duration_ms: u64,
    /// Whether a process was started for this invocation.
    pub cold_start: bool,
    /// `success`, or the error type.
    pub outcome: String,
}

/// Something that happened in a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogEvent {
    /// It printed a line.
    Line(LogLine),
    /// An invocation ended.
    Report(Report),
}

#[derive(Debug)]
struct Shared {
    recent: Mutex<VecDeque<LogEvent>>,
    events_max: usize,
    live: broadcast::Sender<LogEvent>,
}

/// Where the logs of all functions go. Cloning shares it.
#[derive(Clone, Debug)]
pub struct LogSink {
    shared: Arc<Shared>,
}

impl LogSink {
    /// Keeps the last `events_max` events.
    pub fn new(events_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                recent: Mutex::new(VecDeque::new()),
                events_max,
                live: broadcast::Sender::new(SUBSCRIBER_EVENTS_MAX),
            }),
        }
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<LogEvent> {
        self.shared.live.subscribe()
    }

    /// The kept lines, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.kept(|event| match event {
            LogEvent::Line(line) => Some(line.clone()),
            LogEvent::Report(_) => None,
        })
    }

    /// The kept reports, oldest first.
    pub fn reports(&self) -> Vec<Report> {
        self.kept(|event| match event {
            LogEvent::Report(report) => Some(report.clone()),
            LogEvent::Line(_) => None,
        })
    }

    pub(crate) fn add(&self, event: LogEvent) {
        {
            let mut recent = self.lock();
            if recent.len() >= self.shared.events_max {
                recent.pop_front();
            }
            recent.push_back(event.clone());
        }
        // An error only says that nobody is listening.
        drop(self.shared.live.send(event));
    }

    fn kept<T>(&self, pick: impl FnMut(&LogEvent) -> Option<T>) -> Vec<T> {
        self.lock().iter().filter_map(pick).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<LogEvent>> {
        self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
