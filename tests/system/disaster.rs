//! The drill: data are damaged, the routes are closed, the tables restored and opened again. It tells
//! how much was lost (RPO) and how long nobody was served (RTO); `make drill` shows the figures.

use std::time::{Duration, Instant};

use rollcall_resources::Table;
use rollcall_resources::table::{PARTITION_KEY, SORT_KEY};
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::bearer::machine_token;
use crate::operating::rollcall;
use crate::world;

const RPO_MAX: Duration = Duration::from_mins(5);
const RTO_MAX: Duration = Duration::from_mins(15);
/// Items that one page of a table may hold.
const ITEMS_MAX: usize = 1_000;

#[expect(clippy::disallowed_methods, reason = "the drill measures the machine's time")]
fn now() -> Instant {
    Instant::now()
}

fn full(table: Table) -> String {
    format!("rollcall-dev-{}", table.name())
}

/// Every item of a table.
async fn items(world: &World, table: Table) -> Vec<Value> {
    let page = world.dynamodb("Scan", &json!({ "TableName": full(table) })).await;
    assert!(page["LastEvaluatedKey"].is_null(), "a table of the drill has one page");
    let items = page["Items"].as_array().cloned().unwrap_or_default();
    assert!(items.len() < ITEMS_MAX);
    items
}

/// The tables that a restore brings back: all but the CRM's ledger, which says what the CRM has.
fn restored() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(|table| *table != Table::Crm)
}

async fn backup(world: &World) -> Vec<(Table, Vec<Value>)> {
    let mut copies = Vec::new();
    for table in restored() {
        copies.push((table, items(world, table).await));
    }
    copies
}

async fn remove_all(world: &World, table: Table) {
    for item in items(world, table).await {
        let key = json!({ PARTITION_KEY: item[PARTITION_KEY], SORT_KEY: item[SORT_KEY] });
        world.dynamodb("DeleteItem", &json!({ "TableName": full(table), "Key": key })).await;
    }
}

async fn courses(browser: &mut Browser) -> usize {
    let answer = browser.get("/enrollments").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["enrollments"].as_array().map_or(0, Vec::len)
}

async fn answers(browser: &Browser, status: u16) {
    eventually(&format!("the routes answer {status}"), async || {
        let answer = browser.clone().get("/enrollments").await;
        (answer.status == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_tables_are_restored_within_what_was_promised() {
    let world = world().await;
    let token = machine_token(&world).await;
    let mut ada = world.signed_in("ada").await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let (backup_at, copies) = (now(), backup(&world).await);
    assert_eq!(ada.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    let lost = backup_at.elapsed();

    remove_all(&world, Table::Enrollments).await;
    assert_eq!(courses(&mut ada).await, 0, "the data are damaged");
    let noticed = now();
    assert!(rollcall(&world, &token, &["close", "all"]).await.success);
    answers(&ada, 503).await;
    for (table, copy) in &copies {
        // Flags and sessions of now stay: closing is itself an item of the catalogue's table.
        if *table == Table::Enrollments {
            for item in copy {
                let order = json!({ "TableName": full(*table), "Item": item });
                world.dynamodb("PutItem", &order).await;
            }
        }
    }
    assert!(rollcall(&world, &token, &["open", "all"]).await.success);
    answers(&ada, 200).await;
    let away = noticed.elapsed();
    assert_eq!(courses(&mut ada).await, 1, "what was there at the time of the backup");
    println!("RPO {} ms, RTO {} ms", lost.as_millis(), away.as_millis());
    assert!(lost < RPO_MAX && away < RTO_MAX);

    // The CRM comes to the restored state by itself: a restored item is a change like any other.
    let ada_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&ada_id, &[("rollcall_enrolled_courses", "first-steps")]).await;
    world.finish(Outcome::Clean).await;
}
