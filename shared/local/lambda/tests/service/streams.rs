//! Stream mappings: order, partial failure, retries, giving up, and restarts.
//!
//! The sample function writes down every batch it gets as a line of sequence numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rollcall_local_kit::Snapshot;
use rollcall_local_lambda::{
    CrashPoint, FailureDestination, MappingHandle, StreamMapping, StreamSource, Trimmed,
    start_stream,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Cloud, eventually, touch};

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/rollcall-dev-users/stream/2026-11-21T00:00:00.000";

struct MemoryStream {
    shards: Mutex<BTreeMap<String, Vec<Value>>>,
    changes: watch::Sender<u64>,
    created: Timestamp,
}

impl MemoryStream {
    fn new(cloud: &Cloud) -> Arc<Self> {
        Arc::new(Self {
            shards: Mutex::default(),
            changes: watch::Sender::new(0),
            created: cloud.clock.now(),
        })
    }

    /// Appends records to the first shard; sequence numbers count over the whole stream from 1.
    fn put(&self, texts: &[&str]) {
        for text in texts {
            self.put_item("shard-0", "key", text);
        }
    }

    fn put_item(&self, shard: &str, key: &str, text: &str) {
        self.put_old(shard, key, text, self.created);
    }

    fn put_old(&self, shard: &str, key: &str, text: &str, created: Timestamp) {
        let mut shards = self.shards.lock().unwrap();
        let sequence = shards.values().map(Vec::len).sum::<usize>() + 1;
        shards.entry(shard.to_owned()).or_default().push(json!({
            "eventID": sequence.to_string(),
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "Keys": { "pk": { "S": key }, "sk": { "S": "profile" } },
                "NewImage": { "text": { "S": text } },
                "SequenceNumber": sequence.to_string(),
                "ApproximateCreationDateTime": created.as_second(),
            },
        }));
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Forgets the records up to `sequence`.
    fn trim(&self, sequence: u64) {
        for records in self.shards.lock().unwrap().values_mut() {
            records.retain(|record| number(record) > sequence);
        }
    }
}

fn number(record: &Value) -> u64 {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap().parse().unwrap()
}

#[async_trait]
impl StreamSource for MemoryStream {
    fn arn(&self) -> String {
        ARN.to_owned()
    }

    fn shards(&self) -> Vec<String> {
        self.shards.lock().unwrap().keys().cloned().collect()
    }

    async fn read(
        &self,
        shard: &str,
        after_sequence: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Value>, Trimmed> {
        let shards = self.shards.lock().unwrap();
        let records = &shards[shard];
        let after: u64 = after_sequence.map_or(0, |after| after.parse().unwrap());
        let oldest = records.first().map_or(0, number);
        if after > 0 && shard == "trimmed" && after + 1 < oldest {
            return Err(Trimmed);
        }
        let newer = records.iter().filter(|record| number(record) > after);
        Ok(newer.take(limit).cloned().collect())
    }

    async fn changed(&self, seen: u64) -> u64 {
        let mut changes = self.changes.subscribe();
        *changes.wait_for(|changes| *changes > seen).await.unwrap()
    }
}

#[derive(Default)]
struct Letters(Mutex<Vec<Value>>);

#[async_trait]
impl FailureDestination for Letters {
    async fn send(&self, body: String) {
        self.0.lock().unwrap().push(serde_json::from_str(&body).unwrap());
    }
}

impl Letters {
    fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }

    /// `condition first..last xsize after invocations` of every letter.
    fn summaries(&self) -> Vec<String> {
        let summary = |letter: &Value| {
            let (request, batch) = (&letter["requestContext"], &letter["DDBStreamBatchInfo"]);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            format!(
                "{} {}..{} x{} after {}",
                text(&request["condition"]),
                text(&batch["startSequenceNumber"]),
                text(&batch["endSequenceNumber"]),
                batch["batchSize"],
                request["approximateInvokeCount"]
            )
        };
        self.all().iter().map(summary).collect()
    }
}

fn mapping() -> StreamMapping {
    StreamMapping {
        function: "sample".to_owned(),
        batch_size: 100,
        batch_window: Duration::ZERO,
        parallelization_factor: 1,
        retry_attempts_max: Some(1),
        record_age_max: None,
        bisect_on_error: false,
        report_batch_item_failures: true,
    }
}

fn start(
    cloud: &Cloud,
    stream: &Arc<MemoryStream>,
    mapping: StreamMapping,
) -> (MappingHandle, Arc<Letters>) {
    let letters = Arc::new(Letters::default());
    let handle = start_stream(
        cloud.mapping(),
        Arc::<MemoryStream>::clone(stream),
        mapping,
        Some(Arc::<Letters>::clone(&letters)),
        Snapshot::new(Some(cloud.folder.path()), "mapping-sample"),
    )
    .unwrap();
    (handle, letters)
}

async fn journal_is(cloud: &Cloud, lines: &[&str]) {
    let found = eventually("as many batches as expected", || {
        Some(cloud.journal()).filter(|journal| journal.len() >= lines.len())
    })
    .await;
    assert_eq!(found, lines);
}

/// Puts records with `texts` into one shard, and compares the batches the function gets, up to and
/// including one for a last good record, and what is told to the failure destination.
async fn check(
    mapping: StreamMapping,
    texts: &[&str],
    batches: &[&str],
    letters_expected: &[&str],
) {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    stream.put(texts);
    let (handle, letters) = start(&cloud, &stream, mapping);
    eventually("all batches", || (cloud.journal().len() >= batches.len()).then_some(())).await;
    stream.put(&["last"]);
    let last = (texts.len() + 1).to_string();
    eventually("the last record", || cloud.journal().contains(&last).then_some(())).await;
    let mut expected = batches.to_vec();
    expected.push(&last);
    assert_eq!(cloud.journal(), expected, "{texts:?}");
    assert_eq!(letters.summaries(), letters_expected, "{texts:?}");
    handle.stop().await;
}

#[tokio::test]
async fn a_partial_failure_resumes_at_the_lowest_failed_record() {
    check(
        mapping(),
        &["a", "b", "fail", "d", "fail"],
        &["1 2 3 4 5", "3 4 5"],
        &["RetryAttemptsExhausted 3..5 x3 after 2"],
    )
    .await;
}

#[tokio::test]
async fn a_failed_batch_is_tried_again_as_a_whole() {
    check(
        StreamMapping { retry_attempts_max: Some(2), ..mapping() },
        &["a", "poison", "c"],
        &["1 2 3", "1 2 3", "1 2 3"],
        &["RetryAttemptsExhausted 1..3 x3 after 3"],
    )
    .await;
    check(
        StreamMapping { report_batch_item_failures: false, ..mapping() },
        &["a", "fail", "c"],
        &["1 2 3"],
        &[],
    )
    .await;
}

#[tokio::test]
async fn bisecting_isolates_the_record_that_fails() {
    let bisecting = StreamMapping { bisect_on_error: true, ..mapping() };
    check(
        bisecting.clone(),
        &["a", "b", "poison", "d", "e"],
        &["1 2 3 4 5", "1 2 3", "1 2", "3", "3", "4 5"],
        &["RetryAttemptsExhausted 3..3 x1 after 4"],
    )
    .await;
    check(
        bisecting.clone(),
        &["a", "exit", "c", "d"],
        &["1 2 3 4", "1 2", "1", "2", "2", "3 4"],
        &["RetryAttemptsExhausted 2..2 x1 after 4"],
    )
    .await;
    check(
        bisecting,
        &["a", "fail", "c"],
        &["1 2 3", "2 3", "2", "2", "3"],
        &["RetryAttemptsExhausted 2..2 x1 after 4"],
    )
    .await;
}

#[tokio::test]
async fn batches_keep_to_their_size_in_records_and_bytes() {
    check(
        StreamMapping { batch_size: 2, ..mapping() },
        &["a", "b", "c", "d", "e"],
        &["1 2", "3 4", "5"],
        &[],
    )
    .await;
    let large = "x".repeat(2_500_000);
    check(mapping(), &[large.as_str(); 5], &["1 2", "3 4", "5"], &[]).await;
}

#[tokio::test]
async fn a_failure_destination_gets_exactly_the_metadata() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    stream.put(&["poison", "fail"]);
    let one_by_one = StreamMapping { batch_size: 1, retry_attempts_max: Some(0), ..mapping() };
    let (handle, letters) = start(&cloud, &stream, one_by_one);
    let mut found =
        eventually("two letters", || Some(letters.all()).filter(|letters| letters.len() == 2))
            .await;
    let reports = cloud.logs.reports();
    let arrival = stream.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for (index, response) in [
        json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" }),
        json!({ "statusCode": 200, "executedVersion": "$LATEST" }),
    ]
    .into_iter()
    .enumerate()
    {
        let timestamp = found[index]["timestamp"].take();
        let timestamp = timestamp.as_str().unwrap();
        assert!(timestamp.parse::<Timestamp>().is_ok() && timestamp.len() == 24, "{timestamp}");
        let sequence = (index + 1).to_string();
        assert_eq!(
            found[index],
            json!({
                "requestContext": {
                    "requestId": reports[index].request_id,
                    "functionArn":
                        "arn:aws:lambda:us-east-1:000000000000:function:rollcall-dev-sample",
                    "condition": "RetryAttemptsExhausted",
                    "approximateInvokeCount": 1,
                },
                "responseContext": response,
                "version": "1.0",
                "timestamp": null,
                "DDBStreamBatchInfo": {
                    "shardId": "shard-0",
                    "startSequenceNumber": sequence,
                    "endSequenceNumber": sequence,
                    "approximateArrivalOfFirstRecord": arrival,
                    "approximateArrivalOfLastRecord": arrival,
                    "batchSize": 1,
                    "streamArn": ARN,
                },
            })
        );
    }
    handle.stop().await;
}

#[tokio::test]
async fn records_that_are_too_old_are_given_up_and_younger_ones_are_not() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    let two_hours_ago = cloud.clock.now() - jiff::Span::new().hours(2);
    stream.put_old("shard-0", "key", "a", two_hours_ago);
    stream.put_old("shard-0", "key", "b", two_hours_ago);
    stream.put(&["c"]);
    let (handle, letters) = start(
        &cloud,
        &stream,
        StreamMapping { record_age_max: Some(Duration::from_hours(1)), ..mapping() },
    );
    journal_is(&cloud, &["3"]).await;
    assert_eq!(letters.summaries(), ["RecordAgeExceeded 1..2 x2 after 0"]);
    assert_eq!(letters.all()[0].get("responseContext"), None);
    handle.stop().await;
}

#[tokio::test]
async fn what_fails_for_longer_than_a_day_is_lost_as_in_aws() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    touch(&cloud.path("outage"));
    stream.put(&["a"]);
    let forever = StreamMapping { retry_attempts_max: None, ..mapping() };
    let (handle, letters) = start(&cloud, &stream, forever);
    eventually("several tries", || (cloud.journal().len() > 3).then_some(())).await;
    cloud.clock.advance(Duration::from_hours(25));
    stream.put_old("shard-0", "key", "b", cloud.clock.now());
    eventually("the next record", || cloud.journal().contains(&"2".to_owned()).then_some(())).await;
    let retried = cloud.journal().iter().filter(|line| *line == "1").count();
    std::fs::remove_file(cloud.path("outage")).unwrap();
    eventually("a success", || {
        cloud.logs.reports().iter().any(|report| report.outcome == "success").then_some(())
    })
    .await;
    assert_eq!(cloud.journal().iter().filter(|line| *line == "1").count(), retried);
    assert!(letters.all().is_empty());
    handle.stop().await;
}

#[tokio::test]
async fn order_per_key_holds_under_parallel_lanes_and_crashes_lose_nothing() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for sequence in 1..=120 {
        let key = format!("key-{}", sequence % 6);
        let shard = format!("shard-{}", sequence % 2);
        stream.put_item(&shard, &key, "good");
        expected.entry(key).or_default().push(sequence.to_string());
    }
    for point in [CrashPoint::AfterResponse, CrashPoint::BeforeDelivery] {
        cloud.lambda.crash_next("sample", 5, point).unwrap();
    }
    let (handle, letters) = start(
        &cloud,
        &stream,
        StreamMapping {
            parallelization_factor: 4,
            batch_size: 3,
            retry_attempts_max: None,
            ..mapping()
        },
    );
    let handled = eventually("every record is handled", || {
        let handled: Vec<String> = cloud
            .journal()
            .iter()
            .flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let complete = expected.values().flatten().all(|sequence| handled.contains(sequence));
        complete.then_some(handled)
    })
    .await;
    for (key, sequences) in &expected {
        let mut first_seen: Vec<&String> = Vec::new();
        for sequence in handled.iter().filter(|sequence| sequences.contains(sequence)) {
            if !first_seen.contains(&sequence) {
                first_seen.push(sequence);
            }
        }
        assert_eq!(first_seen, sequences.iter().collect::<Vec<_>>(), "{key}");
    }
    assert!(letters.all().is_empty());
    handle.stop().await;
}

#[tokio::test]
async fn a_slow_shard_or_lane_does_not_delay_others() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    stream.put_item("shard-0", "slow", "hold");
    let (handle, _) =
        start(&cloud, &stream, StreamMapping { parallelization_factor: 10, ..mapping() });
    journal_is(&cloud, &["1"]).await;
    stream.put_item("shard-1", "other", "a");
    for key in 0..20 {
        stream.put_item("shard-0", &key.to_string(), "a");
    }
    eventually("other shard and most lanes move on", || {
        let handled: Vec<String> = cloud.journal();
        (handled.contains(&"2".to_owned()) && handled.len() > 5).then_some(())
    })
    .await;
    assert!(cloud.lambda.kill_running("sample") > 0, "the slow one still runs");
    handle.stop().await;
}

#[tokio::test]
async fn a_throttled_function_is_waited_for_without_counting_tries() {
    let cloud = Cloud::without_function(4);
    let mut spec = cloud.spec("sample");
    spec.reserved_concurrency = Some(0);
    cloud.lambda.add(spec);
    let stream = MemoryStream::new(&cloud);
    stream.put(&["a"]);
    let never_again = StreamMapping { retry_attempts_max: Some(0), ..mapping() };
    let (handle, letters) = start(&cloud, &stream, never_again);
    tokio::time::sleep(Duration::from_millis(100)).await;
    cloud.lambda.add(cloud.spec("sample"));
    journal_is(&cloud, &["1"]).await;
    assert!(letters.all().is_empty());
    handle.stop().await;
}

/// Waits until the first lane of a shard has its checkpoint at `sequence`.
async fn checkpoint_is(cloud: &Cloud, shard: &str, sequence: &str) {
    eventually("the checkpoint", || {
        let saved = std::fs::read(cloud.path("mapping-sample.json")).ok()?;
        let saved: Value = serde_json::from_slice(&saved).ok()?;
        (saved[shard][0] == sequence).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_restart_resumes_at_the_checkpoint_and_loses_nothing() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    stream.put(&["a", "b"]);
    let patient = StreamMapping { retry_attempts_max: None, ..mapping() };
    let (handle, _) = start(&cloud, &stream, patient.clone());
    journal_is(&cloud, &["1 2"]).await;
    checkpoint_is(&cloud, "shard-0", "2").await;
    touch(&cloud.path("outage"));
    stream.put(&["c"]);
    eventually("several tries", || (cloud.journal().len() > 3).then_some(())).await;
    handle.stop().await;
    let cloud = cloud.restart().await;
    std::fs::remove_file(cloud.path("outage")).unwrap();
    std::fs::remove_file(cloud.path("journal")).unwrap();
    stream.put(&["d"]);
    let (handle, _) = start(&cloud, &stream, patient.clone());
    journal_is(&cloud, &["3 4"]).await;
    checkpoint_is(&cloud, "shard-0", "4").await;
    handle.stop().await;
    stream.put(&["e"]);
    let more_lanes = StreamMapping { parallelization_factor: 3, ..patient };
    let (handle, _) = start(&cloud, &stream, more_lanes);
    journal_is(&cloud, &["3 4", "5"]).await;
    handle.stop().await;
}

#[tokio::test]
async fn trimmed_records_are_skipped_to_the_oldest_that_is_left() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    stream.put_item("trimmed", "key", "a");
    let (handle, _) = start(&cloud, &stream, mapping());
    checkpoint_is(&cloud, "trimmed", "1").await;
    handle.stop().await;
    for text in ["b", "c", "d"] {
        stream.put_item("trimmed", "key", text);
    }
    stream.trim(2);
    let (handle, _) = start(&cloud, &stream, mapping());
    journal_is(&cloud, &["1", "3 4"]).await;
    handle.stop().await;
}

#[tokio::test]
async fn a_batch_window_gathers_a_full_batch() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    stream.put(&["a"]);
    let (handle, _) = start(
        &cloud,
        &stream,
        StreamMapping { batch_size: 3, batch_window: Duration::from_hours(1), ..mapping() },
    );
    for text in ["b", "c"] {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(cloud.journal().is_empty());
        stream.put(&[text]);
    }
    journal_is(&cloud, &["1 2 3"]).await;
    handle.stop().await;
}

#[tokio::test]
async fn stopping_the_cloud_gives_nothing_up() {
    let cloud = Cloud::new();
    let stream = MemoryStream::new(&cloud);
    stream.put(&["hold"]);
    let never_again = StreamMapping { retry_attempts_max: Some(0), ..mapping() };
    let (handle, letters) = start(&cloud, &stream, never_again);
    journal_is(&cloud, &["1"]).await;
    cloud.lambda.stop().await;
    handle.stop().await;
    assert!(letters.all().is_empty());
    assert!(!cloud.path("mapping-sample.json").exists(), "no checkpoint was made");
}
