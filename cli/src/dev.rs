//! `rollcall dev`: the whole product on this machine, until Ctrl-C.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rollcall_local::lambda::{LogEvent, LogSink};
use rollcall_local::{Addresses, Cloud, PortChoice};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::settings::RATE_LIMIT_FACTOR;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

use crate::{complain, sample, say};

/// How long all parts together may take to answer for the first time.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The file by which one local cloud keeps others off its data.
const LOCK: &str = "lock";
/// Between two looks whether all parts answer.
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// How long stopping may take before the program ends all the same; every child ends with it.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// Why the local cloud does not run.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error(transparent)]
    Start(#[from] rollcall_local::StartError),
    #[error(transparent)]
    Sample(#[from] sample::SampleError),
    #[error(
        "{path} cannot be used as a data folder; check its permissions or choose another with --folder"
    )]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is used by another rollcall; stop that one or choose another with --folder")]
    InUse { path: PathBuf },
    #[error("the system does not let this program start")]
    System(#[source] std::io::Error),
    #[error("not every part answered within {} s; the lines above say why", READY_TIMEOUT.as_secs())]
    NotReady,
}

/// Runs the local cloud on the ports from `port` on, with its data in `folder`.
pub fn run(port: u16, reset: bool, folder: &Path) -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .init();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(DevError::System)
        .and_then(|runtime| runtime.block_on(serve(port, reset, folder)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&chain(&error)),
    }
}

async fn serve(port: u16, reset: bool, folder: &Path) -> Result<(), DevError> {
    let lock = prepare(folder, reset)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(DevError::System)?;
    let program = std::env::current_exe().map_err(DevError::System)?;
    let ports = PortChoice::From(port);
    let mut options = sample::options(Some(folder.to_owned()), ports, program, sample::users()?);
    // Everybody on this machine shares one address, and a tour signs in more often than a person.
    sample::set(&mut options, &RATE_LIMIT_FACTOR, "10");
    let cloud = Cloud::start(options).await?;
    let printing = tokio::spawn(print_logs(cloud.logs.clone()));
    let stopped = tokio::select! {
        result = run_until_ready(&cloud) => {
            if result.is_ok() {
                welcome(&cloud);
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
            }
            result
        }
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if tokio::time::timeout(STOP_TIMEOUT, cloud.stop()).await.is_err() {
        tracing::warn!("stopping took too long; the last changes may not be saved");
    }
    printing.abort();
    drop(lock);
    say("rollcall has stopped");
    stopped
}

/// Makes the folder ready and keeps every other local cloud off it for as long as the file is open.
fn prepare(folder: &Path, reset: bool) -> Result<File, DevError> {
    let unusable = |source| DevError::Folder { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let lock = File::create(folder.join(LOCK)).map_err(unusable)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => DevError::InUse { path: folder.to_owned() },
        TryLockError::Error(source) => unusable(source),
    })?;
    if reset {
        forget(folder).map_err(unusable)?;
    }
    Ok(lock)
}

/// Removes everything from the folder but the lock.
fn forget(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != LOCK {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

async fn run_until_ready(cloud: &Cloud) -> Result<(), DevError> {
    sample::publish_catalog(cloud).await?;
    let answering = async {
        while !cloud.answers("/health").await {
            tokio::time::sleep(READY_INTERVAL).await;
        }
    };
    tokio::time::timeout(READY_TIMEOUT, answering).await.map_err(|_elapsed| DevError::NotReady)
}

fn welcome(cloud: &Cloud) {
    say("rollcall is ready");
    for (port, name) in cloud.places() {
        say(&format!("  {:<24} {name}", Addresses::url(port)));
    }
    say(&format!("sign in at {}/auth/login", Addresses::url(cloud.addresses.api)));
}

/// Prints what the functions write, a short line each; measurements are left out.
async fn print_logs(logs: LogSink) {
    let mut events = logs.subscribe();
    loop {
        match events.recv().await {
            Ok(LogEvent::Line(line)) => {
                if let Some(text) = readable(&line.function, &line.line) {
                    say(&text);
                }
            }
            Ok(LogEvent::Report(_)) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn readable(function: &str, line: &str) -> Option<String> {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return Some(format!("{function}: {line}"));
    };
    if fields.contains_key("_aws") {
        return None;
    }
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let (time, level, message) = (take("timestamp"), take("level"), take("message"));
    for name in ["service", "cold_start", "function_request_id", "correlation_id", "xray_trace_id"]
    {
        take(name);
    }
    let time = time.split('T').nth(1).unwrap_or(&time).trim_end_matches('Z');
    let details: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Some(format!("{time:<12} {level:<5} {function:<18} {message}  {}", details.join(" ")))
}
