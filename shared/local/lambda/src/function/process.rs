//! One operating-system process of a function, with its own Runtime API, environment and
//! credentials. It serves one event at a time and is reused until it ends.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rollcall_local_kit::{Iam, LocalClock, Server, Shutdown};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::Function;
use super::runtime_api::{Assignment, Reply, RuntimeApi};
use crate::logs::{LogEvent, LogLine, LogSink};
use crate::{REGION, deployed_name, function_arn, unguessable};

/// How long AWS lets a process initialise before it restarts the clock with the function's own
/// time-out ("Lambda execution environment lifecycle", init phase).
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// The search path of Lambda's own runtimes.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/bin";
/// Longer lines are cut into several; the size of a CloudWatch Logs event.
const LOG_LINE_BYTES_MAX: u64 = 256 * 1024;

/// What all processes of one service share.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) clock: LocalClock,
    pub(super) iam: Iam,
    pub(super) logs: LogSink,
    /// The local cloud's signal.
    pub(super) shutdown: Shutdown,
    /// This service's own signal.
    pub(super) stopping: Shutdown,
    /// How many processes and invocations have not ended.
    pub(super) live: watch::Sender<usize>,
}

impl Host {
    /// Counts as live until dropped.
    pub(super) fn alive(&self) -> Alive {
        self.live.send_modify(|live| *live += 1);
        Alive(self.live.clone())
    }
}

/// Something that [`super::Lambda::stop`] waits for.
pub(super) struct Alive(watch::Sender<usize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|live| *live -= 1);
    }
}

/// An event for a process.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) request_id: String,
    pub(super) payload: bytes::Bytes,
    pub(super) trace: String,
}

/// How a process dealt with an event.
pub(super) enum Served {
    Replied {
        reply: Reply,
        took: Duration,
    },
    TimedOut,
    InitTimedOut,
    /// It ended; `taken` says whether it had fetched the event.
    Exited {
        taken: bool,
        reason: String,
    },
}

pub(super) struct Process {
    pub(super) function: Arc<Function>,
    api: Arc<RuntimeApi>,
    assignments: mpsc::Sender<Assignment>,
    kill: Arc<Notify>,
    exited: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts the program of `function`. It is watched in the background until it ends.
    pub(super) async fn start(function: &Arc<Function>, host: &Host) -> std::io::Result<Self> {
        let name = &function.spec.name;
        let (assignments, receiver) = mpsc::channel(1);
        let api = Arc::new(RuntimeApi::new(function_arn(name), host.clock.clone(), receiver));
        let server = Server::bind(0).await?;
        let access_key_id = format!("ASIA{}", unguessable::token().to_uppercase());
        let mut child = command(function, server.address().port(), &access_key_id).spawn()?;
        let alive = host.alive();
        host.iam.add_key(&access_key_id, name);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(follow(stdout, name.clone(), host.logs.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(follow(stderr, name.clone(), host.logs.clone()));
        }
        let serving = server.serve(Arc::clone(&api).router(), host.shutdown.clone());
        let kill = Arc::new(Notify::new());
        let (exit, exited) = watch::channel(None);
        tokio::spawn({
            let (host, kill) = (host.clone(), Arc::clone(&kill));
            async move {
                let reason = wait(child, &kill, &host).await;
                serving.abort();
                host.iam.remove_key(&access_key_id);
                exit.send_replace(Some(reason));
                drop(alive);
            }
        });
        Ok(Self { function: Arc::clone(function), api, assignments, kill, exited })
    }

    pub(super) fn has_exited(&self) -> bool {
        self.exited.borrow().is_some()
    }

    pub(super) fn is_handling(&self) -> bool {
        self.api.is_handling()
    }

    /// The error the program reported instead of fetching its first event.
    pub(super) fn init_error(&self) -> Option<super::runtime_api::Diagnostic> {
        self.api.init_error()
    }

    /// Sends SIGKILL, soon.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }

    /// Sends SIGKILL and waits for the end; why it ended.
    pub(super) async fn end(&self) -> String {
        self.kill();
        self.exit().await
    }

    /// Gives the process an event and waits for the answer, its end, or the time-out.
    pub(super) async fn serve(&self, event: Event) -> Served {
        let timeout = self.function.spec.timeout;
        let (taken, mut was_taken) = oneshot::channel();
        let (reply, mut replied) = oneshot::channel();
        let assignment = Assignment {
            request_id: event.request_id,
            payload: event.payload,
            timeout,
            trace: event.trace,
            taken,
            reply,
        };
        if self.assignments.send(assignment).await.is_err() {
            let (taken, reason) = (false, self.end().await);
            return Served::Exited { taken, reason };
        }
        tokio::select! {
            biased;
            Ok(()) = &mut was_taken => {}
            reason = self.exit() => {
                return Served::Exited { taken: was_taken.try_recv().is_ok(), reason };
            }
            () = tokio::time::sleep(INIT_TIMEOUT + timeout) => return Served::InitTimedOut,
        }
        let started = Instant::now();
        let replied_after = |reply| Served::Replied { reply, took: started.elapsed() };
        tokio::select! {
            biased;
            Ok(reply) = &mut replied => replied_after(reply),
            reason = self.exit() => match replied.try_recv() {
                Ok(reply) => replied_after(reply),
                Err(_) => Served::Exited { taken: true, reason },
            },
            () = tokio::time::sleep(timeout) => Served::TimedOut,
        }
    }

    async fn exit(&self) -> String {
        let mut exited = self.exited.clone();
        match exited.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the service has stopped".to_owned(),
        }
    }
}

fn command(function: &Function, port: u16, access_key_id: &str) -> Command {
    let spec = &function.spec;
    let name = deployed_name(&spec.name);
    let stream = format!("[$LATEST]{}", unguessable::token());
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .env_clear()
        .envs(&spec.environment)
        .env("PATH", PATH)
        .env("LANG", "en_US.UTF-8")
        .env("TZ", ":UTC")
        .env("_HANDLER", "bootstrap")
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", spec.memory_mb.to_string())
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", stream)
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{port}"))
        .env("AWS_ACCESS_KEY_ID", access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", unguessable::token())
        .env("AWS_SESSION_TOKEN", unguessable::token())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn wait(mut child: Child, kill: &Notify, host: &Host) -> String {
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        () = kill.notified() => None,
        () = host.stopping.wait() => None,
        () = host.shutdown.wait() => None,
    };
    let status = match ended {
        Some(status) => status,
        None => match child.start_kill() {
            Ok(()) => child.wait().await,
            Err(error) => Err(error),
        },
    };
    status.map_or_else(|error| error.to_string(), describe)
}

/// As Lambda words it: `exit status 3`, or the signal.
fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

async fn follow(output: impl AsyncRead + Unpin, function: String, logs: LogSink) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut output).take(LOG_LINE_BYTES_MAX);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                logs.add(LogEvent::Line(LogLine {
                    function: function.clone(),
                    line: text.trim_end_matches(['\n', '\r']).to_owned(),
                }));
            }
        }
    }
}
