//! The cache in front of the catalogue: how much it spares the store, and that all instances go on
//! to a new version.

use std::collections::BTreeSet;

use futures::future::join_all;
use rollcall_cli::sample;
use rollcall_domain::time::Clock;
use rollcall_runtime::system::SystemClock;
use rollcall_store::catalog::CatalogPublisher;
use rollcall_store::{Capability, Tables};
use rollcall_tests::{Outcome, World, eventually};

use crate::catalogue::larger;
use crate::world;

/// Readings of the catalogue's table by a function: single items and queries.
fn readings(world: &World, function: &str) -> (u64, u64) {
    let count = |action| world.cloud.iam.count(function, action, "/rollcall-dev-catalog");
    (count("dynamodb:GetItem"), count("dynamodb:Query"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_reads_a_version_once_and_then_only_asks_which_one_is_current() {
    let world = world().await;
    let mut browser = world.browser();
    let edition = sample::edition().unwrap();
    let modules: Vec<String> =
        edition.catalog.modules().map(|module| format!("/modules/{}", module.slug)).collect();
    let rounds = 5;
    for _round in 0..rounds {
        for module in &modules {
            assert_eq!(browser.get(module).await.status, 200);
            assert_eq!(browser.get("/courses/no-such-course").await.status, 404);
        }
    }
    let (items, queries) = readings(&world, "catalog-get");
    let pages = u64::try_from(rounds * modules.len()).unwrap();
    let texts = u64::try_from(modules.len()).unwrap();
    // Without the cache a module is two readings beside the structure: which version is current, and
    // its text. With it the text is read once; which version is current is asked now and then.
    // One of the structure; the others ask now and then which routes are closed.
    assert!((2..=6).contains(&queries), "{queries} queries for {pages} pages");
    let asked = items - texts;
    assert!((1..=6).contains(&asked), "{asked} times which version is current, for {pages} pages");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creators_3_3_all_instances_go_on_to_a_new_version() {
    let world = world().await;
    let browser = world.browser();
    let versions = async |readers: usize| {
        let reading = (0..readers).map(|_| {
            let mut browser = browser.clone();
            async move { browser.get("/pathways").await.json()["version"].to_string() }
        });
        join_all(reading).await.into_iter().collect::<BTreeSet<String>>()
    };
    let before = versions(6).await;
    assert_eq!(before.len(), 1, "{before:?}");
    let publisher =
        CatalogPublisher::new(&Tables::new(&sample::operator(&world.cloud.addresses), "dev"));
    let edition = larger(&sample::edition().unwrap());
    publisher.publish(&edition, SystemClock.now()).await.unwrap();
    // Several at once, so that instances that know the old version are among those who answer.
    eventually("every instance answers from the new version", async || {
        let versions = versions(6).await;
        (versions.len() == 1 && versions.is_disjoint(&before)).then_some(())
    })
    .await;
    let mut browser = world.browser();
    assert_eq!(browser.get("/modules/extra").await.status, 200);
    world.finish(Outcome::Clean).await;
}
