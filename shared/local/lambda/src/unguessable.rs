//! Identifiers that nobody can guess, and the one place of this crate that draws randomness.

use uuid::Uuid;

#[expect(
    clippy::disallowed_methods,
    reason = "an emulator of AWS mints ids as AWS does; no decision of the product depends on them"
)]
fn random() -> Uuid {
    Uuid::new_v4()
}

/// A request id, as Lambda and EventBridge write them: `8a6f…-…`, with hyphens.
pub(crate) fn request_id() -> String {
    random().to_string()
}

/// 32 hexadecimal digits.
pub(crate) fn token() -> String {
    random().simple().to_string()
}

/// 16 random bytes.
pub(crate) fn bytes() -> [u8; 16] {
    random().into_bytes()
}

/// An X-Ray trace header for a request that brought none: `Root=1-{time}-{id};Parent=…;Sampled=0`.
pub(crate) fn trace_header(now_ms: i64) -> String {
    let (root, parent) = (token(), token());
    let (root, parent) = (root.get(..24).unwrap_or_default(), parent.get(..16).unwrap_or_default());
    let seconds = now_ms / 1000;
    format!("Root=1-{seconds:08x}-{root};Parent={parent};Sampled=0")
}
