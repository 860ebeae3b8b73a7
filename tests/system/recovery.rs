//! Functions die, records come twice: the CRM ends at the newest state all the same.

use std::time::Duration;

use rollcall_local::lambda::CrashPoint;
use rollcall_resources::Queue;
use rollcall_tests::{Outcome, World, eventually};
use serde_json::{Value, json};

use crate::dead_letters::list;
use crate::world;

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_killed_in_the_middle_of_a_batch_loses_nothing() {
    let world = world().await;
    // The call to HubSpot hangs, so the function dies between sending and knowing.
    let slow = json!({ "kind": "drop_after_commit", "delay_ms": 3_000, "count": 1 });
    let answer = world.hubspot("POST", "/_emulator/faults", Some(slow)).await;
    assert!(answer.status < 300, "{answer:?}");
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    let lambda = &world.cloud.lambda;
    eventually("the sync calls HubSpot", async || {
        let called = !world.cloud.hubspot.calls().is_empty();
        (called && lambda.kill_running("crm-sync") > 0).then_some(())
    })
    .await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    world
        .contact_with(
            &user_id,
            &[("firstname", "Ada"), ("rollcall_enrolled_courses", "first-steps")],
        )
        .await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_dies_after_its_work_but_before_its_answer_repeats_harmlessly() {
    let world = world().await;
    world.cloud.lambda.crash_next("crm-sync", 2, CrashPoint::AfterResponse).unwrap();
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    world
        .contact_with(
            &user_id,
            &[("firstname", "Ada"), ("rollcall_enrolled_courses", "first-steps")],
        )
        .await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_record_that_comes_twice_causes_no_second_call() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    world.contact_with(&user_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    quiet(&world).await;
    // The milestone in it is told again, and rejected by its id.
    let calls = || {
        let calls = world.cloud.hubspot.calls().into_iter();
        calls.filter(|call| !call.path.contains("/events/")).count()
    };
    let before = calls();

    let dynamodb = &world.cloud.dynamodb;
    let table = "rollcall-dev-enrollments";
    let records: Vec<Value> = dynamodb
        .shards(table)
        .iter()
        .flat_map(|shard| dynamodb.read_stream(table, shard, None, 100).unwrap())
        .collect();
    assert_eq!(records.len(), 1);
    let twice = json!({ "Records": [records[0], records[0]] }).to_string();
    let answer = world.cloud.lambda.invoke("crm-sync", twice.into(), None).await.unwrap();
    let rollcall_local::lambda::Outcome::Response(body) = answer.outcome else {
        panic!("{answer:?}");
    };
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["batchItemFailures"], json!([]));
    assert_eq!(calls(), before);
    world.finish(Outcome::Clean).await;
}

/// Waits until no sync runs and nothing is pending.
pub(crate) async fn quiet(world: &World) {
    let grace = world.signed_in("grace").await;
    let grace_id =
        grace.clone().get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&grace_id, &[("firstname", "Grace")]).await;
    eventually("nothing is pending", async || {
        let status = grace.clone().get("/admin/crm/status").await.json();
        (status["pending"]["total"] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_keeps_crashing_is_recovered_from_its_failure_queue() {
    let world = world().await;
    // After the first try and three more, Lambda gives a batch up and reports only where it was.
    world.cloud.lambda.crash_next("crm-sync", 200, CrashPoint::BeforeDelivery).unwrap();
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    assert_eq!(ada.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    let event = json!({
        "event_name": "learning_module_started",
        "module_slug": "follow-a-change",
        "course_slug": "first-steps",
    });
    let tracked = ada.post("/events/track", Some(json!({ "events": [event] }))).await;
    assert_eq!(tracked.status, 200, "{tracked:?}");
    world
        .contact_with(
            &user_id,
            &[
                ("firstname", "Ada"),
                ("rollcall_enrolled_courses", "first-steps;hubspot-basics"),
                ("rollcall_progress_summary", "first-steps: 0/3; hubspot-basics: 0/3"),
            ],
        )
        .await;
    let recovered = |table: &str| {
        let lines = world.cloud.logs.lines();
        lines.iter().any(|l| l.function == "crm-recover" && l.line.contains(table))
    };
    for table in ["users", "enrollments", "progress"] {
        eventually(table, async || recovered(table).then_some(())).await;
    }
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_the_stream_no_longer_has_marks_its_table_for_reconciliation() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&user_id, &[("firstname", "Ada")]).await;
    let table = "rollcall-dev-users";
    let dynamodb = &world.cloud.dynamodb;
    let (shard, record) = dynamodb
        .shards(table)
        .into_iter()
        .find_map(|shard| {
            let mut records = dynamodb.read_stream(table, &shard, None, 1).unwrap();
            records.pop().map(|record| (shard, record))
        })
        .unwrap();
    let sequence = record["dynamodb"]["SequenceNumber"].as_str().unwrap();
    let after = sequence.parse::<u128>().unwrap() + 1;
    dynamodb.faults().trim_stream(table, &after.to_string()).unwrap();
    let report = given_up(&world, table, &shard, sequence);
    world.cloud.messages.send("rollcall-dev-crm-stream-failures", report.to_string());
    let grace = world.signed_in("grace").await;
    eventually("the table is marked", async || {
        let status = grace.clone().get("/admin/crm/status").await.json();
        status.to_string().contains("\"users\"").then_some(())
    })
    .await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_stream_that_expired_while_it_was_read_is_found_anew() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&user_id, &[("firstname", "Ada")]).await;
    let table = "rollcall-dev-users";
    let dynamodb = &world.cloud.dynamodb;
    let (shard, sequence) = dynamodb
        .shards(table)
        .into_iter()
        .find_map(|shard| {
            let record = dynamodb.read_stream(table, &shard, None, 1).unwrap().pop()?;
            Some((shard, record["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned()))
        })
        .unwrap();
    let mut held = dynamodb.faults().hold_next("GetRecords", "ShardIterator");
    let report = given_up(&world, table, &shard, &sequence);
    world.cloud.messages.send("rollcall-dev-crm-stream-failures", report.to_string());
    assert!(held.arrived().await);
    // The reader is held up for longer than its place is good for.
    world.cloud.clock.advance(Duration::from_mins(16));
    drop(held);
    eventually("the range is recovered", async || {
        let lines = world.cloud.logs.lines();
        lines.iter().any(|l| l.line.contains("changes were recovered")).then_some(())
    })
    .await;
    let lines = world.cloud.logs.lines();
    let failed = lines.iter().filter(|l| l.line.contains("changes could not be recovered"));
    assert_eq!(failed.count(), 0);
    world.finish(Outcome::Troubled).await;
}

/// What Lambda reports of one record that it gave up.
fn given_up(world: &World, table: &str, shard: &str, sequence: &str) -> Value {
    json!({
        "requestContext": {
            "requestId": "0", "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:rollcall-dev-crm-sync",
            "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 4,
        },
        "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
        "version": "1.0",
        "timestamp": "2026-11-21T09:00:00.000Z",
        "DDBStreamBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": sequence,
            "endSequenceNumber": sequence,
            "approximateArrivalOfFirstRecord": "2026-11-21T09:00:00Z",
            "approximateArrivalOfLastRecord": "2026-11-21T09:00:00Z",
            "batchSize": 1,
            "streamArn": world.cloud.dynamodb.stream_arn(table).unwrap(),
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_record_holds_nobody_up_and_ends_at_the_desk() {
    let world = world().await;
    let grace = world.signed_in("grace").await;
    let poison = json!({
        "TableName": "rollcall-dev-users",
        "Item": {
            "pk": { "S": "user#usr_00000000000070008000000000000001" },
            "sk": { "S": "profile" },
            "joined_at": { "N": "1" },
        },
    });
    world.dynamodb("PutItem", &poison).await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&user_id, &[("firstname", "Ada")]).await;
    let failed = || {
        let lines = world.cloud.logs.lines();
        lines.iter().filter(|l| l.line.contains("changes could not be recovered")).count()
    };
    let redrive = Queue::CrmStreamFailures.redrive().unwrap();
    let visible = Duration::from_secs(Queue::CrmStreamFailures.visibility_timeout_seconds().into());
    for receive in 1..=redrive.receives_max {
        let receive = usize::try_from(receive).unwrap();
        eventually("the report failed", async || (failed() >= receive).then_some(())).await;
        world.cloud.clock.advance(visible);
    }
    let letter =
        eventually("the report is a letter", async || list(&grace, "kind=message").await.pop())
            .await;
    assert_eq!(letter["queue_message"]["queue"], "crm-stream-failures");
    assert_eq!(letter["category"], "RetryAttemptsExhausted");
    assert!(letter["queue_message"]["body"].as_str().unwrap().contains("shardId"), "{letter}");
    world.finish(Outcome::Troubled).await;
}
