//! Cursors: where a list goes on, handed to a caller in a form that only we can make.
//!
//! A cursor works for the caller and the list it was made for and for nobody and nothing else, so
//! what it holds needs no further checks.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// Bytes of the signature that opens a cursor.
const SIGNATURE_BYTES: usize = 32;

/// A text that is not a cursor of this caller and this list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of this list")]
pub struct InvalidCursor;

/// The list and the caller that a cursor is for.
#[derive(Clone, Copy, Debug)]
pub struct CursorScope<'scope> {
    /// The list's name.
    pub list: &'scope str,
    /// The caller: a user's id or a client's name.
    pub caller: &'scope str,
}

impl CursorScope<'_> {
    /// The cursor for `position`, characters of unpadded base64url (RFC 4648 §5).
    pub fn seal(&self, key: &Secret, position: &str) -> Result<String, InvalidCursor> {
        let signature = self.mac(key, position)?.finalize().into_bytes();
        Ok(URL_SAFE_NO_PAD.encode([signature.as_ref(), position.as_bytes()].concat()))
    }

    /// The position that a cursor holds.
    pub fn open(&self, key: &Secret, cursor: &str) -> Result<String, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_error| InvalidCursor)?;
        let (signature, position) = bytes.split_at_checked(SIGNATURE_BYTES).ok_or(InvalidCursor)?;
        let position = std::str::from_utf8(position).map_err(|_error| InvalidCursor)?;
        // The comparison takes constant time.
        let verified = self.mac(key, position)?.verify_slice(signature);
        verified.map_err(|_error| InvalidCursor)?;
        Ok(position.to_owned())
    }

    /// HMAC-SHA-256 (RFC 2104) over list, caller and position, each behind its length.
    fn mac(&self, key: &Secret, position: &str) -> Result<Hmac<Sha256>, InvalidCursor> {
        let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes());
        let mut mac = mac.map_err(|_error| InvalidCursor)?;
        mac.update(b"rollcall cursor\0");
        for part in [self.list, self.caller, position] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_for_its_caller_list_and_key_only() {
        let (ada, lin, key) = ("usr_1", "usr_2", Secret::new("key"));
        let own = CursorScope { list: "a", caller: ada };
        let cursor = own.seal(&key, "12.dlt_1").unwrap();
        assert_eq!(own.open(&key, &cursor).unwrap(), "12.dlt_1");
        assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        for (scope, key) in [
            (CursorScope { list: "a", caller: lin }, &key),
            (CursorScope { list: "b", caller: ada }, &key),
            (own, &Secret::new("other")),
        ] {
            assert_eq!(scope.open(key, &cursor), Err(InvalidCursor), "{scope:?}");
        }
    }

    #[test]
    fn a_cursor_with_one_changed_character_opens_nothing() {
        let (ada, key) = ("usr_1", Secret::new("key"));
        let own = CursorScope { list: "a", caller: ada };
        let cursor = own.seal(&key, "12.dlt_1").unwrap();
        for place in 0..cursor.len() {
            let (before, after) = cursor.split_at(place);
            let other = if after.starts_with('A') { 'B' } else { 'A' };
            let changed = format!("{before}{other}{}", &after[1..]);
            assert_eq!(own.open(&key, &changed), Err(InvalidCursor), "{changed}");
        }
        for text in ["", "x", "12.dlt_1", &cursor[..cursor.len() - 2]] {
            assert_eq!(own.open(&key, text), Err(InvalidCursor), "{text}");
        }
    }
}
