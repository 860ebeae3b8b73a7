#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this crate exists for tests, where a broken expectation is a failed test"
)]
//! What whole-system tests are written with: a private local cloud, browsers that sign in to it, and
//! patience that ends.

mod browser;
mod canaries;
mod learn;
mod output;
mod world;

pub use browser::{Answer, Browser};
pub use canaries::Canaries;
pub use learn::answers;
pub use world::{Outcome, World, member};

use std::time::Duration;

/// How long a test waits for something that must happen. Far longer than it ever takes: a test
/// fails by this only when the thing does not happen at all.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at something that must happen.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// `text` with every byte percent-encoded (RFC 3986 §2.1), as a value in a query.
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"))
}

/// Looks again and again until `look` finds something.
///
/// # Panics
///
/// When nothing was found within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_elapsed| panic!("this never happened: {what}"))
}
