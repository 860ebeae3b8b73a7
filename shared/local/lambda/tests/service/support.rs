//! A small local cloud with one sample function, and what tests need to look at it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall_local_kit::{Iam, LocalClock, Shutdown};
use rollcall_local_lambda::{
    Backoff, FunctionSpec, InvokeError, Lambda, LogSink, MappingOptions, Options, Outcome,
};
use serde_json::Value;
use tempfile::TempDir;

/// Far more than anything takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct Cloud {
    pub(crate) lambda: Lambda,
    pub(crate) clock: LocalClock,
    pub(crate) iam: Iam,
    pub(crate) logs: LogSink,
    pub(crate) shutdown: Shutdown,
    pub(crate) folder: TempDir,
}

impl Cloud {
    /// A cloud with one function, `sample`.
    pub(crate) fn new() -> Self {
        let cloud = Self::without_function(64);
        cloud.lambda.add(cloud.spec("sample"));
        cloud
    }

    pub(crate) fn without_function(concurrency_max: usize) -> Self {
        Self::in_folder(TempDir::new().unwrap(), concurrency_max)
    }

    /// Ends everything and starts anew with the same files.
    pub(crate) async fn restart(self) -> Self {
        self.lambda.stop().await;
        let cloud = Self::in_folder(self.folder, 64);
        cloud.lambda.add(cloud.spec("sample"));
        cloud
    }

    fn in_folder(folder: TempDir, concurrency_max: usize) -> Self {
        let (clock, iam, logs, shutdown) =
            (LocalClock::new(), Iam::new(), LogSink::new(10_000), Shutdown::new());
        let lambda = Lambda::new(Options {
            clock: clock.clone(),
            iam: iam.clone(),
            shutdown: shutdown.clone(),
            logs: logs.clone(),
            concurrency_max,
            warm_per_function_max: 8,
        });
        Self { lambda, clock, iam, logs, shutdown, folder }
    }

    pub(crate) fn spec(&self, name: &str) -> FunctionSpec {
        let file = |name| self.path(name).display().to_string();
        FunctionSpec {
            name: name.to_owned(),
            program: env!("CARGO_BIN_EXE_rollcall-sample-function").into(),
            arguments: Vec::new(),
            environment: [
                ("JOURNAL", file("journal")),
                ("OUTAGE", file("outage")),
                ("RELEASE", file("release")),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            timeout: Duration::from_mins(1),
            memory_mb: 256,
            reserved_concurrency: None,
        }
    }

    pub(crate) fn mapping(&self) -> MappingOptions {
        MappingOptions {
            lambda: self.lambda.clone(),
            clock: self.clock.clone(),
            shutdown: self.shutdown.clone(),
            backoff: Backoff { first: Duration::from_millis(1), max: Duration::from_millis(20) },
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the function's processes wrote down, in order.
    pub(crate) fn journal(&self) -> Vec<String> {
        let journal = std::fs::read_to_string(self.path("journal")).unwrap_or_default();
        journal.lines().map(str::to_owned).collect()
    }

    pub(crate) async fn invoke(&self, event: Value) -> Result<Outcome, InvokeError> {
        self.invoke_function("sample", event).await
    }

    pub(crate) async fn invoke_function(
        &self,
        function: &str,
        event: Value,
    ) -> Result<Outcome, InvokeError> {
        let payload = event.to_string().into();
        let invocation = self.lambda.invoke(function, payload, None).await?;
        Ok(invocation.outcome)
    }

    /// The JSON a function answered.
    pub(crate) async fn answer(&self, event: Value) -> Value {
        json_of(self.invoke(event).await.unwrap())
    }
}

pub(crate) fn json_of(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Response(payload) => serde_json::from_slice(&payload).unwrap(),
        error @ Outcome::FunctionError { .. } => panic!("{error:?}"),
    }
}

pub(crate) fn touch(path: &Path) {
    std::fs::write(path, "").unwrap();
}

/// Waits until `found` finds something.
pub(crate) async fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(value) = found() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("{what} did not happen"))
}
