//! Data Integrity proofs by the cryptosuite `eddsa-rdfc-2022` (Data Integrity EdDSA Cryptosuites 1.0
//! §3.2): the signature is over the hash of the proof's options and the hash of the document, both
//! canonicalised, and stands in the document.

use ring::digest::{SHA256, digest};
use rollcall_domain::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::date_time;
use crate::issuer::Issuer;
use crate::key::{PublicKey, SigningKey};
use crate::quads::{Uncanonical, canonical};

const TYPE: &str = "DataIntegrityProof";
const CRYPTOSUITE: &str = "eddsa-rdfc-2022";
const PURPOSE: &str = "assertionMethod";

/// Why a credential is not ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no object with a proof of our kind, or no JWT of our kind.
    #[error("it has no proof of the expected form")]
    Form,
    /// It says something that our credentials never say.
    #[error(transparent)]
    Uncanonical(#[from] Uncanonical),
    /// Somebody else says that they issued it.
    #[error("it is another issuer's")]
    Issuer,
    /// It was not signed by one of the keys.
    #[error("the key is not known")]
    Key,
    /// It was changed, or signed by another key.
    #[error("the signature is not good")]
    Signature,
}

/// The credential with a proof.
pub fn sign(
    mut credential: Value,
    issuer: &Issuer,
    key: &SigningKey,
    now: Timestamp,
) -> Result<Value, Uncanonical> {
    let mut proof = json!({
        "type": TYPE,
        "cryptosuite": CRYPTOSUITE,
        "created": date_time(now),
        "verificationMethod": issuer.method(key.public()),
        "proofPurpose": PURPOSE,
    });
    let signature = key.sign(&to_be_signed(&credential, &proof)?);
    let value = format!("z{}", bs58::encode(signature).into_string());
    if let (Some(proof), Some(credential)) = (proof.as_object_mut(), credential.as_object_mut()) {
        proof.insert("proofValue".to_owned(), value.into());
        // A list of one: the schema of Open Badges takes nothing else.
        let proofs = vec![Value::Object(std::mem::take(proof))];
        credential.insert("proof".to_owned(), Value::Array(proofs));
    }
    Ok(credential)
}

/// Checks that `issuer` signed the credential by one of `keys`. Whether it is revoked is another
/// question ([`crate::status_list`]).
pub fn verify(credential: &Value, issuer: &Issuer, keys: &[PublicKey]) -> Result<(), Refusal> {
    let mut unsigned = credential.as_object().cloned().ok_or(Refusal::Form)?;
    let proofs = unsigned.remove("proof");
    let Some([Value::Object(proof)]) = proofs.as_ref().and_then(Value::as_array).map(Vec::as_slice)
    else {
        return Err(Refusal::Form);
    };
    let mut proof = proof.clone();
    let value = proof.remove("proofValue").ok_or(Refusal::Form)?;
    let says = |name: &str, value: &str| proof.get(name).and_then(Value::as_str) == Some(value);
    if !says("type", TYPE) || !says("cryptosuite", CRYPTOSUITE) || !says("proofPurpose", PURPOSE) {
        return Err(Refusal::Form);
    }
    check_issuer(&unsigned, issuer)?;
    let key = keys.iter().find(|key| says("verificationMethod", &issuer.method(key)));
    let key = key.ok_or(Refusal::Key)?;
    let signature = value.as_str().and_then(|text| text.strip_prefix('z'));
    let signature = signature.and_then(|text| bs58::decode(text).into_vec().ok());
    let signature = signature.ok_or(Refusal::Form)?;
    let message = to_be_signed(&Value::Object(unsigned), &Value::Object(proof))?;
    if key.verifies(&message, &signature) { Ok(()) } else { Err(Refusal::Signature) }
}

/// Checks who a credential says has issued it.
pub(crate) fn check_issuer(
    credential: &Map<String, Value>,
    issuer: &Issuer,
) -> Result<(), Refusal> {
    let told = match credential.get("issuer") {
        Some(Value::Object(profile)) => profile.get("id"),
        told => told,
    };
    let is_ours = told.and_then(Value::as_str) == Some(&issuer.id());
    if is_ours { Ok(()) } else { Err(Refusal::Issuer) }
}

fn to_be_signed(credential: &Value, proof: &Value) -> Result<Vec<u8>, Uncanonical> {
    let mut options = proof.clone();
    if let (Some(options), Some(context)) = (options.as_object_mut(), credential.get("@context")) {
        options.insert("@context".to_owned(), context.clone());
    }
    let hash = |document: &Value| -> Result<_, Uncanonical> {
        Ok(digest(&SHA256, canonical(document)?.as_bytes()))
    };
    let (options, document) = (hash(&options)?, hash(credential)?);
    Ok([options.as_ref(), document.as_ref()].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::badge::credential;
    use crate::badge::tests::{certificates, issuer};
    use crate::key::tests::key;

    fn signed(certificate: &rollcall_domain::certificate::Certificate) -> Value {
        let credential = credential(&issuer(), certificate);
        sign(credential, &issuer(), &key("ours"), Timestamp::UNIX_EPOCH).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_we_sign_verifies_under_our_keys_alone(certificate in certificates()) {
            let (ours, other) = (key("ours").public().clone(), key("other").public().clone());
            let credential = signed(&certificate);
            prop_assert_eq!(verify(&credential, &issuer(), &[other.clone(), ours]), Ok(()));
            prop_assert_eq!(verify(&credential, &issuer(), std::slice::from_ref(&other)), Err(Refusal::Key));
            let mut renamed = credential.clone();
            renamed["proof"][0]["verificationMethod"] = issuer().method(&other).into();
            prop_assert_eq!(verify(&renamed, &issuer(), &[other]), Err(Refusal::Signature));
        }

        /// Whichever byte is changed to whatever: it is no credential of ours any more.
        #[test]
        fn no_byte_can_be_changed(
            certificate in certificates(),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let keys = [key("ours").public().clone()];
            let whole = signed(&certificate);
            let mut bytes = serde_json::to_vec(&whole).unwrap();
            let place = place.index(bytes.len());
            prop_assume!(bytes[place] != byte);
            bytes[place] = byte;
            // An escape may be written in capitals: that changes a byte, and not what is said.
            if let Ok(changed) = serde_json::from_slice::<Value>(&bytes) {
                let refused = verify(&changed, &issuer(), &keys).is_err();
                prop_assert!(refused || changed == whole, "{}", changed);
            }
        }

        /// A proof vouches for its own document alone.
        #[test]
        fn a_proof_cannot_be_moved(one in certificates(), other in certificates()) {
            prop_assume!(one != other);
            let keys = [key("ours").public().clone()];
            let mut moved = signed(&one);
            moved["proof"] = signed(&other)["proof"].clone();
            prop_assert_eq!(verify(&moved, &issuer(), &keys), Err(Refusal::Signature));
        }
    }
}
