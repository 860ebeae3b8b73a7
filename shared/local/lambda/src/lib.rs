//! The local cloud's compute: Lambda with its Runtime API, the HTTP API gateway in front of it, the
//! event source mappings that feed it from streams and queues, and schedules.
//!
//! Correctness tests of the product stand on these semantics, so where AWS documents a behaviour it
//! is followed, and where it does not the stricter reading is taken. Known differences:
//!
//! - Invocations beyond [`function::Options::concurrency_max`] wait in order instead of being
//!   throttled; only reserved concurrency throttles.
//! - Memory is declared to the function but not limited.
//! - Response streaming is not offered; HTTP APIs do not offer it either.
//! - A failed scheduled invocation is not retried.

pub mod function;
pub mod gateway;
pub mod logs;
pub mod mapping;
pub mod schedule;

mod body;
mod unguessable;

pub use function::{CrashPoint, FunctionSpec, Invocation, InvokeError, Lambda, Options, Outcome};
pub use gateway::{Cors, GatewayOptions, RouteSpec, Throttle, router};
pub use logs::{LogEvent, LogLine, LogSink, Report};
pub use mapping::{
    Backoff, FailureDestination, MappingHandle, MappingOptions, QueueMapping, QueueSource,
    StreamMapping, StreamSource, Trimmed, start_queue, start_stream,
};
pub use schedule::{Schedule, Schedules};

/// The account that everything local belongs to.
pub const ACCOUNT_ID: &str = "000000000000";
/// The region that everything local is in.
pub const REGION: &str = "us-east-1";

/// The name a function carries in AWS: `rollcall-dev-{name}`.
pub fn deployed_name(function: &str) -> String {
    format!("rollcall-dev-{function}")
}

/// The ARN of a function.
pub fn function_arn(function: &str) -> String {
    let name = deployed_name(function);
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}")
}
