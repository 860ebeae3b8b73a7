//! Lambda: runs function programs, one process per concurrent invocation, over the real Runtime API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use rollcall_local_kit::{Iam, LocalClock, Shutdown};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::logs::{LogEvent, LogSink, Report};
use crate::unguessable;
use pool::Pool;
use process::{Event, Host, Process, Served};
use runtime_api::Reply;

mod pool;
mod process;
mod runtime_api;

/// The most bytes a synchronous invocation may take or answer: Lambda's documented 6 MB, as its
/// error messages state it.
pub const PAYLOAD_BYTES_MAX: usize = 6_291_556;

/// A function to run.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// Its name without prefix, as declared.
    pub name: String,
    /// The program: what would be `bootstrap` in AWS.
    pub program: PathBuf,
    /// Arguments of the program.
    pub arguments: Vec<String>,
    /// The environment it declares. Lambda's own variables and the credentials are added; nothing is
    /// inherited.
    pub environment: BTreeMap<String, String>,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Told to the function; not enforced.
    pub memory_mb: u32,
    /// The most invocations at a time; more are throttled. `None`: no limit of its own.
    pub reserved_concurrency: Option<usize>,
}

/// What the service needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clock deadlines are told by.
    pub clock: LocalClock,
    /// Where the credentials of each process are registered.
    pub iam: Iam,
    /// Ends every process when it begins.
    pub shutdown: Shutdown,
    /// Where output and reports go.
    pub logs: LogSink,
    /// The most processes in all. Invocations beyond it wait, first come first served.
    pub concurrency_max: usize,
    /// The most free processes kept per function.
    pub warm_per_function_max: usize,
}

/// A finished invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its id.
    pub request_id: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a function answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response payload.
    Response(Bytes),
    /// The function reported an error, ended, or took too long.
    FunctionError {
        /// The function's own type, or `Sandbox.Timedout`, `Runtime.ExitError`, ….
        error_type: String,
        /// The function's own message, or Lambda's.
        message: String,
    },
}

impl Outcome {
    fn error(error_type: &str, message: String) -> Self {
        Self::FunctionError { error_type: error_type.to_owned(), message }
    }
}

/// Why an invocation did not reach a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The function's reserved concurrency is used up (Lambda's `TooManyRequestsException`).
    #[error("the reserved concurrency of {0} is used up")]
    Throttled(String),
    /// No such function.
    #[error("there is no function {0}")]
    UnknownFunction(String),
    /// The payload is larger than [`PAYLOAD_BYTES_MAX`].
    #[error("{0} bytes are more than an invocation may carry")]
    PayloadTooLarge(usize),
    /// The service has stopped.
    #[error("the service has stopped")]
    Stopped,
}

/// Where [`Lambda::crash_next`] kills a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Before the process gets the event: nothing was done.
    BeforeDelivery,
    /// After the process has answered, before the caller learns of it: everything was done.
    AfterResponse,
}

#[derive(Debug, Default)]
struct Crashes {
    before_delivery: usize,
    after_response: usize,
}

struct Function {
    spec: FunctionSpec,
    reserved: Option<Arc<Semaphore>>,
    crashes: Mutex<Crashes>,
}

impl Function {
    /// Counts down the crashes asked for at `point`; whether one is due.
    fn crashes_now(&self, point: CrashPoint) -> bool {
        let mut crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        let left = match point {
            CrashPoint::BeforeDelivery => &mut crashes.before_delivery,
            CrashPoint::AfterResponse => &mut crashes.after_response,
        };
        let due = *left > 0;
        *left = left.saturating_sub(1);
        due
    }
}

struct Service {
    host: Host,
    functions: RwLock<BTreeMap<String, Arc<Function>>>,
    slots: Arc<Semaphore>,
    warm_per_function_max: usize,
    pool: Pool,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.host.stopping.begin();
    }
}

/// The Lambda service of one local cloud. Cloning shares it; processes end with the last clone.
#[derive(Clone)]
pub struct Lambda {
    service: Arc<Service>,
}

impl Lambda {
    /// A service without functions.
    pub fn new(options: Options) -> Self {
        let host = Host {
            clock: options.clock,
            iam: options.iam,
            logs: options.logs,
            shutdown: options.shutdown,
            stopping: Shutdown::new(),
            live: watch::Sender::new(0),
        };
        Self {
            service: Arc::new(Service {
                host,
                functions: RwLock::default(),
                slots: Arc::new(Semaphore::new(options.concurrency_max)),
                warm_per_function_max: options.warm_per_function_max,
                pool: Pool::default(),
            }),
        }
    }

    /// Adds a function, or replaces the one of that name: its free processes end, busy ones finish
    /// what they do.
    pub fn add(&self, spec: FunctionSpec) {
        let name = spec.name.clone();
        let function = Arc::new(Function {
            reserved: spec.reserved_concurrency.map(|most| Arc::new(Semaphore::new(most))),
            spec,
            crashes: Mutex::default(),
        });
        let replaced = self
            .service
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, function);
        for process in replaced.iter().flat_map(|old| self.service.pool.retire(old)) {
            process.kill();
        }
    }

    /// Invokes a function and waits for its answer. Dropping the future does not end the
    /// invocation, as with a caller of AWS that hangs up.
    ///
    /// `trace` is the X-Ray header to carry on; a new one is made when there is none.
    pub async fn invoke(
        &self,
        function: &str,
        payload: Bytes,
        trace: Option<String>,
    ) -> Result<Invocation, InvokeError> {
        let service = Arc::clone(&self.service);
        let function = service.function(function)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(InvokeError::PayloadTooLarge(payload.len()));
        }
        let reserved = function.reserve()?;
        let event = Event {
            request_id: unguessable::request_id(),
            payload,
            trace: trace.unwrap_or_else(|| unguessable::trace_header(service.host.clock.now_ms())),
        };
        let running = tokio::spawn(async move {
            let Ok(slot) = Arc::clone(&service.slots).acquire_owned().await else {
                return Err(InvokeError::Stopped);
            };
            let alive = service.host.alive();
            let invocation = service.run(&function, event).await;
            drop((alive, slot, reserved));
            invocation
        });
        running.await.unwrap_or(Err(InvokeError::Stopped))
    }

    /// Test fault: kills every process that is handling an invocation of `function` now, as a lost
    /// host would. How many there were.
    pub fn kill_running(&self, function: &str) -> usize {
        let running = self.service.pool.handling(function);
        for process in &running {
            process.kill();
        }
        running.len()
    }

    /// Test fault: ends the free processes of `function`, so that its next invocation starts cold, as
    /// AWS may decide at any time.
    pub fn end_free(&self, function: &str) -> Result<(), InvokeError> {
        let function = self.service.function(function)?;
        for process in self.service.pool.retire(&function) {
            process.kill();
        }
        Ok(())
    }

    /// Test fault: kills the processes of the next `count` invocations of `function` at `point`.
    pub fn crash_next(
        &self,
        function: &str,
        count: usize,
        point: CrashPoint,
    ) -> Result<(), InvokeError> {
        let function = self.service.function(function)?;
        let mut crashes = function.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        match point {
            CrashPoint::BeforeDelivery => crashes.before_delivery += count,
            CrashPoint::AfterResponse => crashes.after_response += count,
        }
        drop(crashes);
        Ok(())
    }

    /// Ends every process and waits until none is left. Running and later invocations end with
    /// [`InvokeError::Stopped`].
    pub async fn stop(&self) {
        let service = &self.service;
        service.slots.close();
        service.host.stopping.begin();
        let mut live = service.host.live.subscribe();
        // An error would mean that the service itself is gone.
        drop(live.wait_for(|live| *live == 0).await);
    }
}

impl Function {
    fn reserve(&self) -> Result<Option<OwnedSemaphorePermit>, InvokeError> {
        let Some(reserved) = &self.reserved else {
            return Ok(None);
        };
        match Arc::clone(reserved).try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) => Err(InvokeError::Throttled(self.spec.name.clone())),
        }
    }
}

impl Service {
    fn function(&self, name: &str) -> Result<Arc<Function>, InvokeError> {
        self.functions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
            .ok_or_else(|| InvokeError::UnknownFunction(name.to_owned()))
    }

    fn has_stopped(&self) -> bool {
        self.host.stopping.has_begun() || self.host.shutdown.has_begun()
    }

    async fn run(&self, function: &Arc<Function>, event: Event) -> Result<Invocation, InvokeError> {
        loop {
            if self.has_stopped() {
                return Err(InvokeError::Stopped);
            }
            let warm = self.pool.take(function);
            let cold_start = warm.is_none();
            let process = match warm {
                Some(process) => process,
                None => match self.start(function).await {
                    Ok(process) => process,
                    Err(error) => {
                        let message = format!("{}: {error}", function.spec.program.display());
                        let outcome = Outcome::error("Runtime.InvalidEntrypoint", message);
                        return Ok(self.report(function, event, outcome, (true, Duration::ZERO)));
                    }
                },
            };
            let Some((outcome, took)) = self.serve(process, &event, cold_start).await else {
                // A warm process had ended by itself before it saw the event: not this
                // invocation's failure.
                continue;
            };
            if self.has_stopped() && matches!(outcome, Outcome::FunctionError { .. }) {
                return Err(InvokeError::Stopped);
            }
            return Ok(self.report(function, event, outcome, (cold_start, took)));
        }
    }

    async fn start(&self, function: &Arc<Function>) -> std::io::Result<Arc<Process>> {
        let idle_max = self.slots.available_permits();
        for surplus in self.pool.evict(idle_max) {
            surplus.end().await;
        }
        let process = Arc::new(Process::start(function, &self.host).await?);
        self.pool.add(&process);
        Ok(process)
    }

    /// `None` when a warm process had ended before it fetched the event.
    async fn serve(
        &self,
        process: Arc<Process>,
        event: &Event,
        cold_start: bool,
    ) -> Option<(Outcome, Duration)> {
        let function = Arc::clone(&process.function);
        let served = if function.crashes_now(CrashPoint::BeforeDelivery) {
            let (taken, reason) = (true, process.end().await);
            Served::Exited { taken, reason }
        } else {
            process.serve(event.clone()).await
        };
        let (outcome, took) = match served {
            Served::Replied { reply, took } => {
                if function.crashes_now(CrashPoint::AfterResponse) {
                    (exit_error(event, &process.end().await), took)
                } else {
                    self.release(process);
                    return Some((answered(reply), took));
                }
            }
            Served::Exited { taken: false, .. } if !cold_start => {
                self.pool.forget(&process);
                return None;
            }
            Served::Exited { reason, .. } => {
                let outcome = match process.init_error() {
                    Some(error) => Outcome::error(&error.error_type, error.error_message),
                    None => exit_error(event, &reason),
                };
                (outcome, Duration::ZERO)
            }
            Served::TimedOut | Served::InitTimedOut => {
                process.end().await;
                let timeout = function.spec.timeout;
                (timed_out(event, timeout), timeout)
            }
        };
        self.pool.forget(&process);
        Some((outcome, took))
    }

    fn release(&self, process: Arc<Process>) {
        let current = self.function(&process.function.spec.name);
        let is_current = current.is_ok_and(|current| Arc::ptr_eq(&current, &process.function));
        let warm_max = if is_current { self.warm_per_function_max } else { 0 };
        if let Err(surplus) = self.pool.release(process, warm_max) {
            surplus.kill();
        }
    }

    fn report(
        &self,
        function: &Function,
        event: Event,
        outcome: Outcome,
        (cold_start, took): (bool, Duration),
    ) -> Invocation {
        self.host.logs.add(LogEvent::Report(Report {
            function: function.spec.name.clone(),
            request_id: event.request_id.clone(),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            cold_start,
            outcome: match &outcome {
                Outcome::Response(_) => "success".to_owned(),
                Outcome::FunctionError { error_type, .. } => error_type.clone(),
            },
        }));
        Invocation { request_id: event.request_id, outcome }
    }
}

fn answered(reply: Reply) -> Outcome {
    match reply {
        Reply::Response(payload) => Outcome::Response(payload),
        Reply::Error(error) => Outcome::error(&error.error_type, error.error_message),
    }
}

fn exit_error(event: &Event, reason: &str) -> Outcome {
    let request_id = &event.request_id;
    let message = format!("RequestId: {request_id} Error: Runtime exited with error: {reason}");
    Outcome::error("Runtime.ExitError", message)
}

fn timed_out(event: &Event, timeout: Duration) -> Outcome {
    let (request_id, seconds) = (&event.request_id, timeout.as_secs_f64());
    let message =
        format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds");
    Outcome::error("Sandbox.Timedout", message)
}
