//! Our Ed25519 keys (RFC 8032).
//!
//! The secret holds texts of any form, the newest first, separated by spaces. A key's seed derives from
//! its text, so that Secrets Manager can make one up. The newest signs; all of them are published, so
//! that what an older one has signed stays verifiable: a rotation puts a new text in front.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rollcall_domain::secret::Secret;
use serde_json::{Value, json};

/// Characters of a key's text at least, so that nobody configures a password.
const TEXT_CHARACTERS_MIN: usize = 32;
/// Keys that one secret holds at most.
const KEYS_MAX: usize = 100;
/// Bytes of a public key.
const PUBLIC_BYTES: usize = 32;
/// What stands before an Ed25519 key in a Multikey (Controlled Identifiers §2.2.2).
const MULTICODEC: [u8; 2] = [0xed, 0x01];

/// The secret holds no keys that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret must hold between one and {KEYS_MAX} texts of {TEXT_CHARACTERS_MIN} characters or more"
)]
pub struct UnusableKeys;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// The key's name: its JWK thumbprint (RFC 7638, RFC 8037 §2).
    pub fn id(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(&self.0);
        let members = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}");
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }

    /// The key as a Multikey says it: base58btc behind `z`.
    pub fn multibase(&self) -> String {
        let bytes: Vec<u8> = MULTICODEC.into_iter().chain(self.0.iter().copied()).collect();
        format!("z{}", bs58::encode(bytes).into_string())
    }

    /// The key that a Multikey says; `None` when it is not one for Ed25519.
    pub fn from_multibase(text: &str) -> Option<Self> {
        let bytes = bs58::decode(text.strip_prefix('z')?).into_vec().ok()?;
        let key = bytes.strip_prefix(&MULTICODEC)?;
        (key.len() == PUBLIC_BYTES).then(|| Self(key.to_vec()))
    }

    /// The key as a JWK (RFC 8037 §2), with `kid` as its name.
    pub fn jwk(&self, kid: &str) -> Value {
        let x = URL_SAFE_NO_PAD.encode(&self.0);
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "use": "sig", "kid": kid })
    }

    /// Whether `signature` is the key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

/// A key to sign with.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The keys that a secret holds, the newest first.
    pub fn parse(secret: &Secret) -> Result<Vec<Self>, UnusableKeys> {
        let texts = secret.expose().split_ascii_whitespace();
        let keys: Vec<Self> = texts.map(Self::of).collect::<Result<_, _>>()?;
        if keys.is_empty() || keys.len() > KEYS_MAX { Err(UnusableKeys) } else { Ok(keys) }
    }

    fn of(text: &str) -> Result<Self, UnusableKeys> {
        if text.len() < TEXT_CHARACTERS_MIN {
            return Err(UnusableKeys);
        }
        // HKDF-Expand of RFC 5869 §2.3 for one block; the text is random already.
        let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        let seed = hmac::sign(&key, b"rollcall certificate key\x01");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref());
        let pair = pair.map_err(|_rejected| UnusableKeys)?;
        let public = PublicKey(pair.public_key().as_ref().to_vec());
        Ok(Self { pair, public })
    }

    /// What others check signatures with.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature over `message`, always the same.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.public.id())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The key that this text makes.
    pub(crate) fn key(text: &str) -> SigningKey {
        SigningKey::of(&format!("{text:-<32}")).unwrap()
    }

    #[test]
    fn a_key_is_named_and_told_as_the_rfcs_say() {
        // RFC 8037 appendix A.2 and A.3.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let public = PublicKey(URL_SAFE_NO_PAD.decode(x).unwrap());
        assert_eq!(public.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(public.jwk("k")["x"], x);
        assert!(public.multibase().starts_with("z6Mk"), "{}", public.multibase());
        assert_eq!(PublicKey::from_multibase(&public.multibase()), Some(public));
        assert_eq!(PublicKey::from_multibase("z6Mk"), None);
    }

    #[test]
    fn the_newest_key_comes_first_and_a_password_is_none() {
        let texts = ["a".repeat(32), "b".repeat(40)];
        let keys = SigningKey::parse(&Secret::new(texts.join(" \n"))).unwrap();
        let alone = SigningKey::parse(&Secret::new(texts[0].clone())).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].public(), alone[0].public());
        assert_ne!(keys[0].public(), keys[1].public());
        for unusable in [String::new(), "a".repeat(31), vec!["a".repeat(32); 101].join(" ")] {
            assert_eq!(SigningKey::parse(&Secret::new(unusable)).unwrap_err(), UnusableKeys);
        }
    }

    #[test]
    fn a_signature_is_good_for_its_message_and_key_alone() {
        let (one, other) = (key("one"), key("other"));
        let signature = one.sign(b"message");
        assert_eq!(signature, one.sign(b"message"));
        assert!(one.public().verifies(b"message", &signature));
        assert!(!one.public().verifies(b"massage", &signature));
        assert!(!other.public().verifies(b"message", &signature));
    }
}
