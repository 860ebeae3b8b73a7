//! `rollcall dev` as a developer runs it: a process of its own, ended by a signal.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rollcall_local::Addresses;
use rollcall_tests::Browser;

use crate::PROGRAM;

/// Within this the program must have ended after a signal.
const STOP_WITHIN: Duration = Duration::from_secs(5);

struct Dev {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Dev {
    fn start(port: u16, folder: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["dev", "--port", &port.to_string(), "--folder"])
            .arg(folder)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn wait_for(&mut self, expected: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "it ended: {lines:#?}");
            lines.push(line.trim_end().to_owned());
            if line.trim_end() == expected {
                return lines;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    async fn end(&mut self) -> bool {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.success();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(STOP_WITHIN, waiting).await.expect("it ends within 5 s")
    }
}

/// A base port from which five ports are free now; never the same for two tests.
fn free_ports() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 300).unwrap();
    std::iter::repeat_with(|| 21_000 + 100 * process + 10 * TAKEN.fetch_add(1, Ordering::SeqCst))
        .find(|base| (0..6).all(|offset| TcpListener::bind(("127.0.0.1", base + offset)).is_ok()))
        .unwrap()
}

fn addresses(port: u16) -> Addresses {
    Addresses {
        api: port,
        provider: port + 1,
        hubspot: port + 2,
        dynamodb: port + 3,
        messages: port + 4,
        mail: port + 5,
    }
}

/// Processes that were started from `program` by the process `parent`.
fn children(parent: u32) -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_child = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    entries.filter(|entry| is_child(&entry.path())).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_runs_everything_and_one_signal_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports();
    let mut users = Vec::new();
    for (signal, more) in [("-TERM", None), ("-INT", None), ("-INT", Some("--reset"))] {
        let mut dev = Dev::start(port, folder.path(), more.as_slice());
        let lines = dev.wait_for("rollcall is ready");
        assert_eq!(lines.iter().filter(|line| line.contains("ready")).count(), 1, "{lines:#?}");
        let mut ada = Browser::new(&addresses(port));
        ada.sign_in("ada").await;
        users.push(ada.get("/auth/me").await.json()["user_id"].to_string());
        assert!(children(dev.child.id()) > 0);
        let arguments = ["crm", "status", "--local", &port.to_string()];
        let shown = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert!(shown.status.success(), "an operator needs no token here: {shown:?}");
        let arguments = ["verify", "--json", "--local", &port.to_string()];
        let verified = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert!(verified.status.success(), "the sample user goes the whole way: {verified:?}");
        let output = String::from_utf8(verified.stdout).unwrap();
        assert_eq!(output.matches("\"state\":\"ok\"").count(), 10, "{output}");
        dev.signal(signal);
        assert!(dev.end().await);
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
    assert_eq!(users[0], users[1], "a restart forgot a user");
    assert_ne!(users[1], users[2], "a reset remembered a user");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_local_clouds_never_share_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mut dev = Dev::start(free_ports(), folder.path(), &[]);
    dev.wait_for("rollcall is ready");
    for more in [None, Some("--reset")] {
        let port = free_ports().to_string();
        let mut arguments = vec!["dev", "--port", &port, "--folder", path];
        arguments.extend(more);
        let text = refused(&arguments);
        assert!(text.contains("another rollcall"), "{text}");
    }
    dev.signal("-TERM");
    assert!(dev.end().await);
}

fn refused(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let text = refused(&["dev", "--port", &port, "--folder", folder.path().to_str().unwrap()]);
    assert!(text.contains(&port) && text.contains("make dev PORT="), "{text}");
}

#[test]
fn a_broken_data_folder_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports().to_string();
    std::fs::write(folder.path().join("dynamodb.sqlite"), "this is not a database").unwrap();
    let text = refused(&["dev", "--port", &port, "--folder", folder.path().to_str().unwrap()]);
    assert!(text.contains("RESET=1"), "{text}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text = refused(&["dev", "--port", &port, "--folder", file.to_str().unwrap()]);
    assert!(text.contains("--folder"), "{text}");
}
