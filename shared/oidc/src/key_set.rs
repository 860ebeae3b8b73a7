//! The provider's public keys (RFC 7517), reduced to those that may verify a token.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse, RSAKeyParameters,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys of one set that are looked at.
const KEYS_MAX: usize = 50;
/// Base64url characters of a 2048-bit modulus, the least that RFC 7518 §3.3 allows for RS256.
const RSA_MODULUS_CHARACTERS_MIN: usize = 342;

/// A key set as it is sent. Keys of kinds that we do not know must not make it unreadable
/// (RFC 7517 §5).
#[derive(Deserialize)]
pub struct Document {
    keys: Vec<Value>,
}

/// Keys that verify RS256 or ES256 signatures.
pub struct KeySet {
    keys: Vec<Key>,
}

pub(crate) struct Key {
    kid: String,
    /// The one algorithm this key may be used with (RFC 8725 §3.1).
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

impl KeySet {
    /// The usable keys of a document; empty when there is none.
    pub fn of(document: Document) -> Self {
        let keys = document
            .keys
            .into_iter()
            .take(KEYS_MAX)
            .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
            .filter_map(|jwk| Key::of(&jwk))
            .collect();
        Self { keys }
    }

    /// Whether nothing can be verified with this set.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys of this name. Names should be unique, but a provider that rotates may be sloppy.
    pub(crate) fn named(&self, kid: &str) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.kid == kid)
    }
}

impl Key {
    /// `None` for a key that is for encryption, symmetric, too short, nameless or of another kind.
    fn of(jwk: &Jwk) -> Option<Self> {
        let (algorithm, declared) = match &jwk.algorithm {
            AlgorithmParameters::RSA(RSAKeyParameters { n, .. })
                if n.len() >= RSA_MODULUS_CHARACTERS_MIN =>
            {
                (Algorithm::RS256, KeyAlgorithm::RS256)
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            _ => return None,
        };
        let common = &jwk.common;
        let signs =
            common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        if !signs || common.key_algorithm.is_some_and(|named| named != declared) {
            return None;
        }
        Some(Self {
            kid: common.key_id.clone()?,
            algorithm,
            decoding: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}
