//! Badges: each once, from what was learned, whatever happens on the way.

use std::collections::BTreeSet;

use rollcall_local::lambda::{CrashPoint, Outcome as Invoked};
use rollcall_resources::Table;
use rollcall_tests::{Browser, Outcome, eventually};
use serde_json::{Value, json};

use crate::desk::user_id;
use crate::erasure::items;
use crate::grading::instructor;
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
async fn c_11_badges_follow_what_was_learned_and_are_nobody_elses() {
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
    world.cloud.lambda.crash_next("award", 4, CrashPoint::BeforeDelivery).unwrap();
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
        let invoked = world.cloud.lambda.invoke("award", event.into(), None).await.unwrap();
        let Invoked::Response(body) = invoked.outcome else { panic!("no answer") };
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["batchItemFailures"], json!([]));
    }
    has(&ada, &first).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instructor_gives_a_badge_once_and_takes_it_back() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    let mut lin = instructor(&world).await;
    let lin_id = user_id(&mut lin).await;
    let badge = format!("/admin/users/{ada_id}/badges/helping-hand");
    let giving = (0..12).map(|_| {
        let (mut lin, badge) = (lin.clone(), badge.clone());
        async move { lin.post(&badge, None).await }
    });
    let given = futures::future::join_all(giving).await;
    for answer in &given {
        assert_eq!((answer.status, &answer.text), (200, &given[0].text), "{answer:?}");
    }
    assert_eq!(given[0].json()["title"], "Helping hand");
    has(&ada, &["by_hand helping-hand"]).await;
    let contact = world.contact_with(&ada_id, &[("rollcall_badges", "by_hand helping-hand")]).await;
    for (path, status, code) in [
        (format!("/admin/users/{ada_id}/badges/week-of-learning"), 404, "not-found"),
        (format!("/admin/users/{ada_id}/badges/first-steps"), 404, "not-found"),
        (
            "/admin/users/usr_019a9c5be40070008000000000000001/badges/helping-hand".to_owned(),
            404,
            "not-found",
        ),
        (format!("/admin/users/{lin_id}/badges/helping-hand"), 409, "own-work"),
    ] {
        let refused = lin.post(&path, None).await;
        assert_eq!(
            (refused.status, refused.json()["code"].clone()),
            (status, json!(code)),
            "{path}"
        );
    }
    // What people earned by what they did stays theirs.
    ada.complete_module(MODULES[0]).await;
    has(&ada, &["by_hand helping-hand", "first_module start-the-local-cloud"]).await;
    let earned = format!("/admin/users/{ada_id}/badges/{}", MODULES[0]);
    assert_eq!(lin.delete(&earned).await.status, 404);
    assert_eq!(lin.delete(&badge).await.status, 204);
    assert_eq!(lin.delete(&badge).await.status, 404);
    has(&ada, &["first_module start-the-local-cloud"]).await;
    let left = [("rollcall_badges", "first_module start-the-local-cloud")];
    assert_eq!(world.contact_with(&ada_id, &left).await.id, contact.id);

    let mut grace = world.signed_in("grace").await;
    let log = grace.get(&format!("/admin/audit?subject={ada_id}")).await.json();
    let told = log["entries"].as_array().unwrap().iter();
    let told: Vec<&str> = told.map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["badge-taken-back", "badge-granted"], "{log}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streak_of_days_earns_its_badge() {
    let world = world().await;
    let mut edition = rollcall_cli::sample::edition().unwrap();
    let rule = rollcall_domain::catalog::BadgeRule::Streak { days: 2 };
    let badges = edition
        .catalog
        .badges()
        .cloned()
        .map(|badge| rollcall_domain::catalog::BadgeTerms { rule, ..badge });
    let badges = badges.collect();
    edition.catalog = edition.catalog.with_badges(badges).unwrap();
    rollcall_cli::sample::publish(&world.cloud, &edition).await.unwrap();
    let mut ada = world.signed_in("ada").await;
    ada.attest_lab("start-the-local-cloud", "start-it").await;
    // As if that had been yesterday.
    let (table, key) = (Table::Progress.full_name("dev"), user_id(&mut ada).await);
    let key = json!({
        "pk": { "S": format!("user#{key}") }, "sk": { "S": "module#start-the-local-cloud" },
    });
    let now = world.cloud.clock.now();
    let yesterday =
        rollcall_domain::time::after(now, rollcall_domain::time::SignedDuration::from_hours(-24));
    world
        .dynamodb(
            "UpdateItem",
            &json!({
                "TableName": table,
                "Key": key,
                "UpdateExpression": "SET tasks.#lab.done_at = :yesterday",
                "ExpressionAttributeNames": { "#lab": "start-it" },
                "ExpressionAttributeValues": { ":yesterday": { "S": yesterday.to_string() } },
            }),
        )
        .await;
    has(&ada, &[]).await;
    ada.attest_lab("follow-a-change", "watch-a-contact").await;
    has(&ada, &["streak helping-hand", "streak week-of-learning"]).await;
    world.finish(Outcome::Clean).await;
}
