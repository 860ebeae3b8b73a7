//! Queue mappings: what is deleted, what comes back, and how much runs at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rollcall_local_lambda::{QueueMapping, QueueSource, start_queue};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{Cloud, eventually, touch};

/// A queue whose visibility time-out passes when the test says so.
#[derive(Default)]
struct MemoryQueue {
    messages: Mutex<Messages>,
    changed: Notify,
}

#[derive(Default)]
struct Messages {
    visible: VecDeque<String>,
    in_flight: Vec<String>,
    most_in_flight: usize,
}

impl MemoryQueue {
    /// Adds messages whose body and id are equal.
    fn send(&self, bodies: &[&str]) {
        let mut messages = self.messages.lock().unwrap();
        messages.visible.extend(bodies.iter().map(|body| (*body).to_owned()));
        self.changed.notify_one();
    }

    fn time_out(&self) {
        let mut messages = self.messages.lock().unwrap();
        let back = std::mem::take(&mut messages.in_flight);
        messages.visible.extend(back);
        self.changed.notify_one();
    }

    fn in_flight(&self) -> Vec<String> {
        let mut in_flight = self.messages.lock().unwrap().in_flight.clone();
        in_flight.sort();
        in_flight
    }
}

#[async_trait]
impl QueueSource for MemoryQueue {
    fn arn(&self) -> String {
        "arn:aws:sqs:us-east-1:000000000000:rollcall-dev-crm".to_owned()
    }

    async fn receive(&self, max: usize) -> Vec<Value> {
        let mut messages = self.messages.lock().unwrap();
        let count = max.min(messages.visible.len());
        let received: Vec<String> = messages.visible.drain(..count).collect();
        messages.in_flight.extend(received.clone());
        messages.most_in_flight = messages.most_in_flight.max(messages.in_flight.len());
        received
            .into_iter()
            .map(|id| json!({ "messageId": id, "receiptHandle": format!("r-{id}"), "body": id }))
            .collect()
    }

    async fn delete(&self, receipt_handles: &[String]) {
        let mut messages = self.messages.lock().unwrap();
        messages.in_flight.retain(|id| !receipt_handles.contains(&format!("r-{id}")));
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn mapping(batch_size: usize, concurrency_max: usize) -> QueueMapping {
    QueueMapping {
        function: "sample".to_owned(),
        batch_size,
        batch_window: Duration::ZERO,
        concurrency_max: Some(concurrency_max),
        report_batch_item_failures: true,
    }
}

/// Sends messages, waits until `invocations` have ended, and looks at what was not deleted.
async fn check(bodies: &[&str], batch_size: usize, invocations: usize, kept: &[&str]) {
    let cloud = Cloud::new();
    let queue = Arc::new(MemoryQueue::default());
    queue.send(bodies);
    let handle =
        start_queue(cloud.mapping(), Arc::<MemoryQueue>::clone(&queue), mapping(batch_size, 1));
    eventually("the batches are processed", || {
        (cloud.logs.reports().len() >= invocations && queue.in_flight() == kept).then_some(())
    })
    .await;
    assert_eq!(cloud.logs.reports().len(), invocations, "{bodies:?}");
    handle.stop().await;
}

#[tokio::test]
async fn what_succeeded_is_deleted_and_what_failed_stays() {
    check(&["a", "b", "c"], 10, 1, &[]).await;
    check(&["a", "b", "c"], 2, 2, &[]).await;
    check(&["a", "fail", "c"], 10, 1, &["fail"]).await;
    check(&["a", "poison", "c"], 10, 1, &["a", "c", "poison"]).await;
    check(&["a", "exit", "c"], 1, 3, &["exit"]).await;
}

#[tokio::test]
async fn a_message_that_failed_comes_back_by_its_visibility_time_out() {
    let cloud = Cloud::new();
    let queue = Arc::new(MemoryQueue::default());
    touch(&cloud.path("outage"));
    queue.send(&["a"]);
    let handle = start_queue(cloud.mapping(), Arc::<MemoryQueue>::clone(&queue), mapping(10, 1));
    eventually("the first try", || (cloud.logs.reports().len() == 1).then_some(())).await;
    std::fs::remove_file(cloud.path("outage")).unwrap();
    queue.time_out();
    eventually("the second try", || queue.in_flight().is_empty().then_some(())).await;
    eventually("both tries are written down", || (cloud.journal() == ["a", "a"]).then_some(()))
        .await;
    handle.stop().await;
}

#[tokio::test]
async fn no_more_is_received_than_may_run_at_once() {
    let cloud = Cloud::new();
    let queue = Arc::new(MemoryQueue::default());
    queue.send(&["hold", "hold", "hold", "hold", "a"]);
    let handle = start_queue(cloud.mapping(), Arc::<MemoryQueue>::clone(&queue), mapping(1, 2));
    eventually("two run", || (cloud.journal().len() == 2).then_some(())).await;
    touch(&cloud.path("release"));
    eventually("all are processed", || (cloud.logs.reports().len() == 5).then_some(())).await;
    assert_eq!(queue.messages.lock().unwrap().most_in_flight, 2);
    handle.stop().await;
}

#[tokio::test]
async fn a_batch_window_gathers_a_full_batch() {
    let cloud = Cloud::new();
    let queue = Arc::new(MemoryQueue::default());
    let mut mapping = mapping(3, 1);
    mapping.batch_window = Duration::from_hours(1);
    let handle = start_queue(cloud.mapping(), Arc::<MemoryQueue>::clone(&queue), mapping);
    for body in ["a", "b", "c"] {
        queue.send(&[body]);
        eventually("it is received", || {
            queue.messages.lock().unwrap().visible.is_empty().then_some(())
        })
        .await;
    }
    eventually("the batch is processed", || (cloud.journal() == ["a b c"]).then_some(())).await;
    handle.stop().await;
}

#[tokio::test]
async fn a_throttled_message_is_not_deleted() {
    let cloud = Cloud::without_function(4);
    let mut spec = cloud.spec("sample");
    spec.reserved_concurrency = Some(0);
    cloud.lambda.add(spec);
    let queue = Arc::new(MemoryQueue::default());
    queue.send(&["a"]);
    let handle = start_queue(cloud.mapping(), Arc::<MemoryQueue>::clone(&queue), mapping(1, 1));
    eventually("it is received", || (queue.in_flight() == ["a"]).then_some(())).await;
    cloud.lambda.add(cloud.spec("sample"));
    eventually("it is processed once it is visible again", || {
        queue.time_out();
        cloud.journal().first().cloned()
    })
    .await;
    handle.stop().await;
}
