//! A function's program, from its first instruction to its last invocation.

use std::cell::Cell;
use std::process::ExitCode;

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use rollcall_aws::{Connection, Environment, Service};
use rollcall_domain::time::Clock;
use serde_json::Value;

use crate::declaration::Function;
use crate::invocation::{Failure, Handler, Invocation, chain};
use crate::log;
use crate::metrics::{self, Metric, emit};
use crate::settings::{STAGE, Settings};
use crate::startup::{Startup, StartupError};
use crate::system::SystemClock;

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.error_type.to_owned(), error_message: failure.message }
    }
}

/// Runs a function's program: start once, then one invocation after another on one thread.
pub fn run(function: &'static Function) -> ExitCode {
    log::start(function.name, &variable("AWS_LAMBDA_LOG_LEVEL").unwrap_or("info".to_owned()));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "failed to start the asynchronous runtime");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let handler = match start(function) {
            Ok(handler) => handler,
            Err(error) => {
                tracing::error!(error = %chain(&error), error_type = "StartupError", "failed to start");
                return ExitCode::FAILURE;
            }
        };
        match serve(&handler).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(%error, "the Lambda Runtime API went away");
                ExitCode::FAILURE
            }
        }
    })
}

fn start(function: &'static Function) -> Result<Handler, StartupError> {
    let settings =
        Settings::read(&function.all_settings(), variable).map_err(StartupError::Settings)?;
    if let Some(stage) = settings.get(&STAGE) {
        metrics::start(stage);
    }
    let environment = aws_environment().map_err(StartupError::Settings)?;
    let startup = Startup::new(function, settings, Connection::new(environment));
    (function.start)(&startup)
}

async fn serve(handler: &Handler) -> Result<(), lambda_runtime::Error> {
    let cold = Cell::new(true);
    let service = service_fn(|event: LambdaEvent<Value>| {
        let invocation = invocation(&event.context);
        let cold_start = cold.replace(false);
        log::begin(&invocation, cold_start);
        if cold_start {
            emit(SystemClock.now(), &[(Metric::ColdStarts, 1.0)]);
        }
        let answer = handler(event.payload, invocation);
        async move {
            let result = answer.await;
            if let Err(failure) = &result {
                let Failure { error_type, message } = failure;
                tracing::error!(error_type, error = message, "the invocation failed");
            }
            result
        }
    });
    lambda_runtime::Runtime::new(service).run().await
}

fn invocation(context: &lambda_runtime::Context) -> Invocation {
    let deadline = i64::try_from(context.deadline).unwrap_or(i64::MAX);
    let request_id = context.request_id.clone();
    Invocation {
        deadline: Timestamp::from_millisecond(deadline).unwrap_or(Timestamp::MAX),
        trace_id: context.xray_trace_id.clone().unwrap_or_else(|| request_id.clone()),
        request_id,
    }
}

/// How AWS is reached, from the variables that every AWS tool reads; otherwise all that are missing.
pub fn aws_environment() -> Result<Environment, Vec<String>> {
    let mut faults = Vec::new();
    let mut required = |name: &str| {
        variable(name).unwrap_or_else(|| {
            faults.push(format!("{name} is not set"));
            String::new()
        })
    };
    let environment = Environment {
        region: required("AWS_REGION"),
        access_key_id: required("AWS_ACCESS_KEY_ID"),
        secret_access_key: required("AWS_SECRET_ACCESS_KEY"),
        session_token: variable("AWS_SESSION_TOKEN"),
        endpoints: Service::ALL
            .into_iter()
            .filter_map(|service| Some((service, variable(service.endpoint_variable())?)))
            .collect(),
    };
    if faults.is_empty() { Ok(environment) } else { Err(faults) }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
