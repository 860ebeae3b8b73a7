//! Signing keys: one for id tokens, one for access tokens, as Cognito has them.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::options::KeyError;
use crate::random;

const RSA_BITS: usize = 2048;
/// How long a replaced key stays published, so that tokens signed with it can still be verified.
const RETIRED_KEY_SECONDS: i64 = 3600;

/// A private key and its name.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pem: String,
}

impl SigningKey {
    fn generate() -> Result<Self, KeyError> {
        let key = RsaPrivateKey::new(&mut OsRng, RSA_BITS)?;
        Ok(Self { kid: random::key_id(), pem: key.to_pkcs1_pem(LineEnding::LF)?.to_string() })
    }

    fn encoding_key(&self) -> Result<EncodingKey, KeyError> {
        Ok(EncodingKey::from_rsa_pem(self.pem.as_bytes())?)
    }

    /// Signs with RS256.
    pub(crate) fn sign<T: Serialize>(
        &self,
        header: Header,
        claims: &T,
    ) -> Result<String, KeyError> {
        let header = Header { alg: Algorithm::RS256, ..header };
        Ok(jsonwebtoken::encode(&header, claims, &self.encoding_key()?)?)
    }

    /// Signs any header and claims with RS256 (RFC 7515 §5.1), however little sense they make.
    pub(crate) fn sign_anything(&self, header: &Value, claims: &Value) -> Result<String, KeyError> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let key = self.encoding_key()?;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::RS256)?;
        Ok(format!("{message}.{signature}"))
    }

    /// The public half as published (RFC 7517).
    pub(crate) fn jwk(&self) -> Result<Jwk, KeyError> {
        let mut jwk = Jwk::from_encoding_key(&self.encoding_key()?, Algorithm::RS256)?;
        jwk.common.key_id = Some(self.kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(jwk)
    }

    /// The public half as PEM, the secret of the classic HS256 confusion (RFC 8725 §2.1).
    pub(crate) fn public_pem(&self) -> Result<String, KeyError> {
        let private = RsaPrivateKey::from_pkcs1_pem(&self.pem)?;
        Ok(RsaPublicKey::from(&private).to_public_key_pem(LineEnding::LF)?)
    }
}

/// The keys of one provider.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) id: SigningKey,
    pub(crate) access: SigningKey,
    retired: Vec<Retired>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Retired {
    key: SigningKey,
    /// Seconds since the epoch.
    ends_at: i64,
}

impl Keys {
    pub(crate) fn generate() -> Result<Self, KeyError> {
        Ok(Self {
            id: SigningKey::generate()?,
            access: SigningKey::generate()?,
            retired: Vec::new(),
        })
    }

    /// The keys that all memory-only providers of this process start with.
    pub(crate) fn shared() -> Result<Self, KeyError> {
        static SHARED: Mutex<Option<Keys>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = shared.as_ref() {
            return Ok(keys.clone());
        }
        let keys = Self::generate()?;
        *shared = Some(keys.clone());
        Ok(keys)
    }

    /// Signs with `fresh` from now on and publishes the old keys for another hour.
    pub(crate) fn rotate(&mut self, fresh: Self, now: i64) {
        self.retired.retain(|retired| retired.ends_at > now);
        let ends_at = now.saturating_add(RETIRED_KEY_SECONDS);
        let old_id = std::mem::replace(&mut self.id, fresh.id);
        let old_access = std::mem::replace(&mut self.access, fresh.access);
        self.retired.extend([old_id, old_access].map(|key| Retired { key, ends_at }));
    }

    /// Every key that verifies a token which may still be in use.
    pub(crate) fn published(&self, now: i64) -> impl Iterator<Item = &SigningKey> {
        let retired = self.retired.iter().filter(move |retired| retired.ends_at > now);
        [&self.id, &self.access].into_iter().chain(retired.map(|retired| &retired.key))
    }
}
