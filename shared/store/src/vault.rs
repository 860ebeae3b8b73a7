//! Tokens of third parties as they may stand in a table: encrypted, under keys that can be replaced.
//!
//! Envelope encryption with AES-256-GCM (NIST SP 800-38D): every token has a data key of its own,
//! and the data key is encrypted under a key of the secret `token-key`. The secret holds one or more
//! keys separated by spaces; the first encrypts, all decrypt, and what is stored names its key. To
//! replace a key, append the new one, wait until every process has read it (five minutes), move it
//! to the front, and drop the old one when no token under it can be of use any more (thirty days).

use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::random::Random;
use rollcall_domain::secret::Secret;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The form of what is stored; another one gets another name.
const VERSION: &str = "v1";
/// Characters of a key, at least: 256 bits in base64url. Shorter ones may be guessed.
const KEY_CHARACTERS_MIN: usize = 43;
/// Keys of one secret.
const KEYS_MAX: usize = 8;
/// Characters of a key's name.
const KEY_ID_CHARACTERS: usize = 8;
const DATA_KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = DATA_KEY_BYTES + TAG_BYTES;

/// An encrypted token. Without the key it says nothing, and it opens only for the place that it was
/// sealed for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sealed(…)")
    }
}

/// Why a token cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The secret holds no key, too many, or one that is too short.
    #[error(
        "the secret token-key must hold 1 to {KEYS_MAX} keys of {KEY_CHARACTERS_MIN} or more characters"
    )]
    UnusableKeys,
    /// Sealed under a key that the secret does not hold, or does not hold yet.
    #[error("the token is sealed under a key that is not known")]
    UnknownKey,
    /// Not what was sealed, or not in its place.
    #[error("the token was changed or moved")]
    Forged,
    /// The cipher refused the input; it is too long.
    #[error("the token cannot be sealed")]
    Refused,
}

impl From<VaultError> for PortError {
    fn from(error: VaultError) -> Self {
        let class = match error {
            VaultError::UnusableKeys | VaultError::Refused => PortErrorClass::Rejected,
            // Another process has read a new key already; this one will within five minutes.
            VaultError::UnknownKey => PortErrorClass::Unavailable,
            VaultError::Forged => PortErrorClass::Corrupt,
        };
        Self::new("use a stored token", class, error)
    }
}

struct Key {
    id: String,
    cipher: Aes256Gcm,
}

/// The keys of the secret `token-key`.
pub struct Keyring {
    newest: Key,
    older: Vec<Key>,
}

impl Keyring {
    /// The keys that a secret holds.
    pub fn parse(secret: &Secret) -> Result<Self, VaultError> {
        let mut keys = secret.expose().split_ascii_whitespace().map(Key::of);
        let newest = keys.next().ok_or(VaultError::UnusableKeys)??;
        let older: Vec<Key> = keys.collect::<Result<_, _>>()?;
        if older.len() >= KEYS_MAX {
            return Err(VaultError::UnusableKeys);
        }
        Ok(Self { newest, older })
    }

    /// Encrypts a token for one place, such as the session it belongs to; it opens nowhere else.
    pub fn seal(
        &self,
        token: &Secret,
        place: &str,
        random: &dyn Random,
    ) -> Result<Sealed, VaultError> {
        let key = &self.newest;
        let bound = bound_to(&key.id, place);
        let mut data_key = Zeroizing::new([0_u8; DATA_KEY_BYTES]);
        random.fill(data_key.as_mut());
        let mut bytes = encrypt(&key.cipher, data_key.as_ref(), &bound, random)?;
        let token = token.expose().as_bytes();
        bytes.extend(encrypt(&cipher(data_key.as_ref())?, token, &bound, random)?);
        Ok(Sealed(format!("{VERSION}.{}.{}", key.id, URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Decrypts a token that was sealed for `place`.
    pub fn open(&self, sealed: &Sealed, place: &str) -> Result<Secret, VaultError> {
        let rest = sealed.0.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('.'));
        let (key_id, text) =
            rest.and_then(|rest| rest.split_once('.')).ok_or(VaultError::Forged)?;
        let mut keys = std::iter::once(&self.newest).chain(&self.older);
        let key = keys.find(|key| key.id == key_id).ok_or(VaultError::UnknownKey)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_malformed| VaultError::Forged)?;
        let (wrapped, body) =
            bytes.split_at_checked(NONCE_BYTES + WRAPPED_BYTES).ok_or(VaultError::Forged)?;
        let bound = bound_to(key_id, place);
        let data_key = Zeroizing::new(decrypt(&key.cipher, wrapped, &bound)?);
        let token = decrypt(&cipher(&data_key)?, body, &bound)?;
        String::from_utf8(token).map(Secret::new).map_err(|_malformed| VaultError::Forged)
    }
}

impl Key {
    fn of(text: &str) -> Result<Self, VaultError> {
        if text.len() < KEY_CHARACTERS_MIN {
            return Err(VaultError::UnusableKeys);
        }
        let id = URL_SAFE_NO_PAD.encode(derive(text, "rollcall token key id")?.as_ref());
        let id = id.chars().take(KEY_ID_CHARACTERS).collect();
        Ok(Self { id, cipher: cipher(derive(text, "rollcall token key")?.as_ref())? })
    }
}

/// 256 bits for one purpose from a key's text (HKDF-Expand of RFC 5869 §2.3 for one block; the text
/// is random already, so nothing is to be extracted).
fn derive(text: &str, purpose: &str) -> Result<Zeroizing<[u8; DATA_KEY_BYTES]>, VaultError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(text.as_bytes())
        .map_err(|_invalid| VaultError::UnusableKeys)?;
    mac.update(purpose.as_bytes());
    mac.update(&[1]);
    Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
}

fn cipher(key: &[u8]) -> Result<Aes256Gcm, VaultError> {
    Aes256Gcm::new_from_slice(key).map_err(|_length| VaultError::Forged)
}

/// What is authenticated beside the token: the form, the key and the place.
fn bound_to(key_id: &str, place: &str) -> String {
    format!("{VERSION}.{key_id}.{place}")
}

/// A fresh nonce, the encrypted text and its tag.
fn encrypt(
    cipher: &Aes256Gcm,
    text: &[u8],
    bound: &str,
    random: &dyn Random,
) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0_u8; NONCE_BYTES];
    random.fill(&mut nonce);
    let payload = Payload { msg: text, aad: bound.as_bytes() };
    let encrypted =
        cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_too_long| VaultError::Refused)?;
    Ok([nonce.as_slice(), &encrypted].concat())
}

fn decrypt(cipher: &Aes256Gcm, bytes: &[u8], bound: &str) -> Result<Vec<u8>, VaultError> {
    let (nonce, encrypted) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::Forged)?;
    let payload = Payload { msg: encrypted, aad: bound.as_bytes() };
    cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_forged| VaultError::Forged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_domain::random::SeededRandom;

    const OLD: &str = "old-key-old-key-old-key-old-key-old-key-old";
    const NEW: &str = "new-key-new-key-new-key-new-key-new-key-new";
    const TOKEN: &str = "a-refresh-token";
    const PLACE: &str = "usr_1 ses_1";

    fn keyring(keys: &str) -> Keyring {
        Keyring::parse(&Secret::new(keys)).ok().unwrap()
    }

    fn sealed(keys: &str) -> Sealed {
        keyring(keys).seal(&Secret::new(TOKEN), PLACE, &SeededRandom::new(1)).unwrap()
    }

    fn check(sealed: &Sealed, keys: &str, place: &str, expected: Result<&str, VaultError>) {
        let opened = keyring(keys).open(sealed, place);
        let opened = opened.as_ref().map(Secret::expose).map_err(|error| *error);
        assert_eq!(opened, expected, "{keys} {place}");
    }

    #[test]
    fn a_sealed_token_opens_in_its_place_under_its_key_and_nowhere_else() {
        let under_old = sealed(OLD);
        check(&under_old, OLD, PLACE, Ok(TOKEN));
        check(&under_old, &format!("{NEW} {OLD}"), PLACE, Ok(TOKEN));
        check(&under_old, NEW, PLACE, Err(VaultError::UnknownKey));
        check(&under_old, OLD, "usr_1 ses_2", Err(VaultError::Forged));
        let rotated = sealed(&format!("{NEW} {OLD}"));
        check(&rotated, NEW, PLACE, Ok(TOKEN));
        check(&rotated, OLD, PLACE, Err(VaultError::UnknownKey));
    }

    #[test]
    fn no_character_of_a_sealed_token_can_be_changed() {
        let honest = sealed(OLD);
        for position in 0..honest.0.len() {
            let mut bytes = honest.0.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = Sealed(String::from_utf8(bytes).unwrap());
            // The last character of base64 may carry bits that must be zero.
            assert!(keyring(OLD).open(&changed, PLACE).is_err(), "at {position}");
        }
        for cut in ["", "v1", "v1.", &honest.0[..20], &honest.0[..honest.0.len() - 1]] {
            assert!(keyring(OLD).open(&Sealed(cut.to_owned()), PLACE).is_err(), "{cut}");
        }
    }

    #[test]
    fn nothing_sealed_shows_its_token_or_repeats() {
        let random = SeededRandom::new(1);
        let seal = || keyring(OLD).seal(&Secret::new(TOKEN), PLACE, &random).unwrap();
        let (one, other) = (seal(), seal());
        assert_ne!(one, other);
        assert!(!one.0.contains(TOKEN) && format!("{one:?}") == "Sealed(…)");
    }

    #[test]
    fn a_secret_without_good_keys_is_refused() {
        let many = [OLD; KEYS_MAX + 1].join(" ");
        for keys in ["", " ", "short", &format!("{OLD} short"), &many] {
            let refused = Keyring::parse(&Secret::new(keys)).err();
            assert_eq!(refused, Some(VaultError::UnusableKeys), "{keys}");
        }
    }
}
