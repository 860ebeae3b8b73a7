//! Signatures of Standard Webhooks, symmetric (`v1`): HMAC-SHA256 over id, time and body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rollcall_domain::secret::Secret;
use sha2::Sha256;

/// What stands before a key, to tell it from other secrets.
const KEY_PREFIX: &str = "whsec_";

/// The value of `webhook-signature`: one signature for each key, so that the other side may know any
/// of them. `None` when no key can sign.
pub(crate) fn signatures(keys: &[Secret], id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let signatures: Vec<String> =
        keys.iter().filter_map(|key| signature(key, id, seconds, body)).collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

fn signature(key: &Secret, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let key = bytes(key.expose());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// A key as the specification writes it; any other text is its own bytes.
fn bytes(key: &str) -> Vec<u8> {
    let key = key.trim();
    let encoded = key.strip_prefix(KEY_PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
    encoded.unwrap_or_else(|| key.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let (id, seconds) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let body = br#"{"test": 2432232314}"#;
        let signed = signatures(&[key.clone(), key], id, seconds, body).unwrap();
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed, format!("{one} {one}"));
    }
}
