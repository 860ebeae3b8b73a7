//! Badges: each once, from what was learned, whatever happens on the way.

use std::collections::BTreeSet;

use rollcall_local::lambda::{CrashPoint, Outcome as Invoked};
use rollcall_resources::Table;
use rollcall_tests::{Browser, Outcome, eventually};
use serde_json::{Value, json};

use crate::erasure::items;
use crate::world;

const MODULES: [&str; 3] = ["start-the-local-cloud", "sign-in-as-a-member", "follow-a-change"];

async fn badges(browser: &mut Browser) -> BTreeSet<String> {
    let answer = browser.get("/badges").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let badges = answer.json()["badges"].as_array().unwrap().clone();
    let name = |badge: &Value| {
        format!("{} {}", badge["kind"].as_str().unwrap(), badge["slug"].as_str().unwrap())
    };
    let named: BTreeSet<String> = badges.iter().map(name).collect();
    assert_eq!(named.len(), badges.len(), "each is there once");
    named
}

async fn has(browser: &Browser, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    eventually(&format!("the badges are {expected:?}"), async || {
        (badges(&mut browser.clone()).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn badges_follow_what_was_learned_and_are_nobody_elses() {
    let world = world().await;
    let (mut ada, lin) = (world.signed_in("ada").await, world.signed_in("lin").await);
    has(&ada, &[]).await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    ada.complete_module(MODULES[0]).await;
    has(&ada, &["first_module start-the-local-cloud"]).await;
    for module in &MODULES[1..] {
        ada.complete_module(module).await;
    }
    let all =
        ["first_module start-the-local-cloud", "course first-steps", "quick_course first-steps"];
    has(&ada, &all).await;
    let first = ada.get("/badges").await.json();
    ada.complete_module(MODULES[0]).await;
    has(&ada, &all).await;
    assert_eq!(ada.get("/badges").await.json(), first, "a badge never changes");
    has(&lin, &[]).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_comes_although_its_award_keeps_dying() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    world.cloud.lambda.crash_next("badge-award", 4, CrashPoint::BeforeDelivery).unwrap();
    ada.complete_module(MODULES[0]).await;
    has(&ada, &["first_module start-the-local-cloud"]).await;
    assert_eq!(items(&world, Table::Badges).await.len(), 1);
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lambda_gave_up_is_read_again_where_the_queue_says() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    ada.complete_module(MODULES[0]).await;
    let first = ["first_module start-the-local-cloud"];
    has(&ada, &first).await;
    // As if it had never been awarded.
    let (badges, progress) = (Table::Badges.full_name("dev"), Table::Progress.full_name("dev"));
    for item in items(&world, Table::Badges).await {
        let item: Value = serde_json::from_str(&item).unwrap();
        let key = json!({ "pk": item["pk"], "sk": item["sk"] });
        world.dynamodb("DeleteItem", &json!({ "TableName": badges, "Key": key })).await;
    }
    has(&ada, &[]).await;
    let described = world.dynamodb("DescribeTable", &json!({ "TableName": progress })).await;
    let sequence = |record: &Value| record["dynamodb"]["SequenceNumber"].clone();
    for shard in world.cloud.dynamodb.shards(&progress) {
        let records = world.cloud.dynamodb.read_stream(&progress, &shard, None, 100).unwrap();
        let (Some(oldest), Some(newest)) = (records.first(), records.last()) else { continue };
        let report = json!({ "DDBStreamBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": sequence(oldest),
            "endSequenceNumber": sequence(newest),
            "streamArn": described["Table"]["LatestStreamArn"],
        } });
        let message = json!({ "messageId": "given-up", "body": report.to_string() });
        let event = json!({ "Records": [message] }).to_string();
        let invoked = world.cloud.lambda.invoke("badge-award", event.into(), None).await.unwrap();
        let Invoked::Response(body) = invoked.outcome else { panic!("no answer") };
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["batchItemFailures"], json!([]));
    }
    has(&ada, &first).await;
    world.finish(Outcome::Clean).await;
}
