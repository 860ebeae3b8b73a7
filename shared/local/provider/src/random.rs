//! The one source of randomness of the provider.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::rand_core::{OsRng, RngCore};

fn bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0_u8; COUNT];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// 256 random bits as unpadded base64url: codes, sessions, refresh tokens.
pub(crate) fn opaque() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// A key id in the padded form that Cognito uses.
pub(crate) fn key_id() -> String {
    STANDARD.encode(bytes::<32>())
}

/// Six digits, as they stand in a confirmation e-mail.
pub(crate) fn confirmation_code() -> String {
    format!("{:06}", OsRng.next_u32() % 1_000_000)
}

/// A version 4 UUID.
pub(crate) fn uuid() -> String {
    uuid::Builder::from_random_bytes(bytes()).into_uuid().to_string()
}
