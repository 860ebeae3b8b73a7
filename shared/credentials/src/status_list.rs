//! Status lists (W3C Bitstring Status List 1.0): one bit for each credential, set when it is revoked.
//! Whoever verifies a credential fetches the list of many, so nobody learns which one they look at.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use rollcall_domain::certificate::StatusPlace;
use rollcall_domain::time::Timestamp;
use serde_json::{Value, json};

use crate::badge::CREDENTIALS;
use crate::date_time;
use crate::issuer::Issuer;

/// How long others may rely on a list they have, in milliseconds (§2.2, `ttl`).
pub const TTL_MILLISECONDS: u32 = 60_000;
/// Bytes of a list.
const BYTES: usize = StatusPlace::BITS as usize / 8;

/// The list as a credential, unsigned: those of `revoked` are set. `since` is when it last changed, if
/// it ever did.
///
/// # Errors
///
/// When compressing fails, which it does not in memory.
pub fn credential(
    issuer: &Issuer,
    list: u32,
    revoked: &BTreeSet<u32>,
    since: Option<Timestamp>,
) -> std::io::Result<Value> {
    let url = issuer.status_list_url(list);
    let mut credential = json!({
        "@context": [CREDENTIALS],
        "id": url,
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": issuer.id(),
        "credentialSubject": {
            "id": format!("{url}#list"),
            "type": "BitstringStatusList",
            "statusPurpose": "revocation",
            "encodedList": encode(revoked)?,
            "ttl": TTL_MILLISECONDS,
        },
    });
    if let (Some(since), Some(credential)) = (since, credential.as_object_mut()) {
        credential.insert("validFrom".to_owned(), date_time(since).into());
    }
    Ok(credential)
}

/// The list's bits, the first one leftmost, compressed and as base64url behind `u` (§3.3).
fn encode(revoked: &BTreeSet<u32>) -> std::io::Result<String> {
    let mut bits = vec![0_u8; BYTES];
    for index in revoked {
        let place = usize::try_from(index / 8).unwrap_or(usize::MAX);
        if let Some(byte) = bits.get_mut(place) {
            *byte |= 0x80 >> (index % 8);
        }
    }
    // Without the time, so that one list has one form.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    gzip.write_all(&bits)?;
    Ok(format!("u{}", URL_SAFE_NO_PAD.encode(gzip.finish()?)))
}

/// Whether a list says that the credential at `index` is revoked; `None` when it is no list, or has no
/// such place.
pub fn is_revoked(list: &Value, index: u32) -> Option<bool> {
    let encoded = list.pointer("/credentialSubject/encodedList")?.as_str()?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded.strip_prefix('u')?).ok()?;
    let mut bits = Vec::new();
    // Ours are never longer: nothing is unpacked beyond that.
    let bytes_max = u64::from(StatusPlace::BITS / 8);
    GzDecoder::new(bytes.as_slice()).take(bytes_max).read_to_end(&mut bits).ok()?;
    let byte = bits.get(usize::try_from(index / 8).ok()?)?;
    Some(byte & (0x80 >> (index % 8)) != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::badge::tests::issuer;
    use crate::key::tests::key;
    use crate::proof::{sign, verify};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_list_says_of_each_place_whether_it_is_revoked(
            revoked in prop::collection::btree_set(0..StatusPlace::BITS, 0..50),
            asked in prop::collection::vec(0..StatusPlace::BITS, 0..50),
        ) {
            let list = credential(&issuer(), 3, &revoked, Some(Timestamp::UNIX_EPOCH)).unwrap();
            for index in revoked.iter().copied().chain(asked) {
                prop_assert_eq!(is_revoked(&list, index), Some(revoked.contains(&index)));
            }
            prop_assert_eq!(is_revoked(&list, StatusPlace::BITS), None);
            let signed = sign(list, &issuer(), &key("ours"), Timestamp::UNIX_EPOCH).unwrap();
            prop_assert_eq!(verify(&signed, &issuer(), &[key("ours").public().clone()]), Ok(()));
        }
    }

    #[test]
    fn what_is_no_list_says_nothing() {
        for list in [json!({}), json!({ "credentialSubject": { "encodedList": "uAAAA" } })] {
            assert_eq!(is_revoked(&list, 0), None, "{list}");
        }
    }
}
