//! Messages as lines of a file: for tests, and for a lake that others read.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use rollcall_crm::port::LimitSignal;
use rollcall_domain::time::Timestamp;

use crate::feed::{Delivery, Transport};

/// A file of lines, each one JSON document (<https://jsonlines.org>).
#[derive(Debug)]
pub struct Lines {
    file: Mutex<File>,
}

impl Lines {
    /// Opens the file, making it if there is none; lines are added at its end.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Mutex::new(file) })
    }
}

#[async_trait]
impl Transport for Lines {
    const LIMIT_SIGNAL: LimitSignal = LimitSignal::None;

    async fn deliver(&self, mut body: Vec<u8>, _at: Timestamp, _trace_id: &str) -> Delivery {
        // The line break comes first too, so that a line which broke off spoils no other; readers pass
        // over empty lines.
        body.insert(0, b'\n');
        body.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.write_all(&body).and_then(|()| file.sync_data()) {
            Ok(()) => Delivery::Taken,
            Err(_broken) => Delivery::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_message_is_one_line_at_the_end_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changes.jsonl");
        std::fs::write(&path, "{\"broken").unwrap();
        for text in ["{\"a\":1}", "{\"b\":2}"] {
            let lines = Lines::open(&path).unwrap();
            let delivery = lines.deliver(text.as_bytes().to_vec(), Timestamp::UNIX_EPOCH, "t");
            assert_eq!(delivery.await, Delivery::Taken);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, ["{\"broken", "{\"a\":1}", "{\"b\":2}"]);
    }
}
