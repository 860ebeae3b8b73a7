//! Keys are rotated under load, and nobody notices.

use std::time::Duration;

use futures::future::join_all;
use rollcall_domain::rotation::{GRACE_SECONDS, OVERLAP_SECONDS};
use rollcall_resources::SecretName;
use rollcall_tests::{Browser, Outcome};

use crate::idempotency::world_with_dead_letters;
use crate::world;

const LIST: &str = "/admin/dead-letters?limit=1";
/// More at once than before the rotation, so that old and new instances meet.
const READERS: usize = 12;
const READERS_BEFORE: usize = 3;

/// Walks a list page by page, from a cursor that anybody made to the next that somebody else opens.
async fn walk(browser: &Browser, cursor: Option<&str>) -> String {
    let mut browser = browser.clone();
    let first = match cursor {
        Some(cursor) => cursor.to_owned(),
        None => next(&mut browser, LIST).await,
    };
    next(&mut browser, &format!("{LIST}&cursor={first}")).await;
    first
}

async fn next(browser: &mut Browser, path: &str) -> String {
    let answer = browser.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()["cursor"].as_str().unwrap().to_owned()
}

async fn walks(browser: &Browser, readers: usize, cursors: &[String]) -> Vec<String> {
    let walks = (0..readers).map(|reader| {
        let cursor = reader.checked_rem(cursors.len()).map(|place| cursors[place].as_str());
        walk(browser, cursor)
    });
    join_all(walks).await
}

/// `age` is how long ago the new key was made, as far as Secrets Manager says.
async fn check(age: Duration) {
    let (world, grace, _letters) = world_with_dead_letters().await;
    let before = walks(&grace, READERS_BEFORE, &[]).await;
    let name = SecretName::CursorKey.full_name("dev");
    assert!(world.cloud.messages.rotate_secret(&name, "another-cursor-key-for-local-use", age));
    // Instances that know the old key only, and new ones that know both, serve each other's cursors.
    for _round in 0..3 {
        let after = walks(&grace, READERS, &[]).await;
        walks(&grace, READERS, &after).await;
        walks(&grace, READERS, &before).await;
    }
    world.finish(Outcome::Troubled).await;
}

/// The page of a browser that fetched its token before the rotation goes on working, as does one that
/// fetches it afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_refuses_no_page_of_ours() {
    let world = world().await;
    let mut before = world.signed_in("ada").await;
    let name = SecretName::CsrfKey.full_name("dev");
    let overlap = Duration::from_secs(OVERLAP_SECONDS.unsigned_abs());
    assert!(world.cloud.messages.rotate_secret(&name, "another-csrf-key-for-local-use", overlap));
    let mut after = world.signed_in("lin").await;
    for _round in 0..3 {
        for browser in [&mut before, &mut after] {
            let enrolled = browser.put("/enrollments/course/first-steps", None).await;
            assert_eq!(enrolled.status, 200, "{enrolled:?}");
        }
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_refuses_no_cursor() {
    check(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_slept_through_a_rotation_asks_before_it_refuses() {
    let overlap = Duration::from_secs(OVERLAP_SECONDS.unsigned_abs());
    assert!(overlap.as_secs() < GRACE_SECONDS.unsigned_abs());
    check(overlap).await;
}
