//! Credentials as VC-JWTs (Securing Verifiable Credentials using JOSE and COSE §3.1.1; Open Badges 3.0
//! §8.2): the credential is the payload, beside the registered claims that repeat parts of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::issuer::Issuer;
use crate::key::{PublicKey, SigningKey};
use crate::proof::{Refusal, check_issuer};

const ALGORITHM: &str = "EdDSA";
const TYPE: &str = "vc+jwt";

/// The credential, valid from `not_before` in seconds since the epoch, as a JWT.
pub fn sign(
    credential: &Value,
    issuer: &Issuer,
    key: &SigningKey,
    not_before: Option<i64>,
) -> String {
    let kid = issuer.key_url(key.public());
    let header = json!({ "alg": ALGORITHM, "typ": TYPE, "cty": "vc", "kid": kid });
    let mut payload = credential.clone();
    let subject = credential.pointer("/credentialSubject/id").cloned();
    if let Some(claims) = payload.as_object_mut() {
        claims.insert("iss".to_owned(), issuer.id().into());
        claims.extend(not_before.map(|seconds| ("nbf".to_owned(), seconds.into())));
        claims.extend(credential.get("id").map(|id| ("jti".to_owned(), id.clone())));
        claims.extend(subject.map(|subject| ("sub".to_owned(), subject)));
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// The credential that a JWT holds, if `issuer` signed it by one of `keys`.
pub fn verify(token: &str, issuer: &Issuer, keys: &[PublicKey]) -> Result<Value, Refusal> {
    let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Form)?;
    let (header, payload) = message.split_once('.').ok_or(Refusal::Form)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_malformed| Refusal::Form);
    let parse = |text: &str| -> Result<Value, Refusal> {
        serde_json::from_slice(&decode(text)?).map_err(|_malformed| Refusal::Form)
    };
    let header = parse(header)?;
    let says = |name: &str, value: &str| header.get(name).and_then(Value::as_str) == Some(value);
    if !says("alg", ALGORITHM) || !says("typ", TYPE) {
        return Err(Refusal::Form);
    }
    let key = keys.iter().find(|key| says("kid", &issuer.key_url(key))).ok_or(Refusal::Key)?;
    if !key.verifies(message.as_bytes(), &decode(signature)?) {
        return Err(Refusal::Signature);
    }
    let mut payload = parse(payload)?;
    let claims = payload.as_object_mut().ok_or(Refusal::Form)?;
    check_issuer(claims, issuer)?;
    for claim in ["iss", "nbf", "jti", "sub"] {
        claims.remove(claim);
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::badge::credential;
    use crate::badge::tests::{certificates, issuer};
    use crate::key::tests::key;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_jwt_says_what_the_credential_says_and_no_byte_can_be_changed(
            certificate in certificates(),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let (ours, other) = (key("ours"), key("other"));
            let keys = [ours.public().clone()];
            let credential = credential(&issuer(), &certificate);
            let token = sign(&credential, &issuer(), &ours, Some(7));
            prop_assert_eq!(verify(&token, &issuer(), &keys), Ok(credential));
            let stranger = [other.public().clone()];
            prop_assert_eq!(verify(&token, &issuer(), &stranger), Err(Refusal::Key));
            let mut bytes = token.into_bytes();
            let place = place.index(bytes.len());
            prop_assume!(bytes[place] != byte);
            bytes[place] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(verify(&text, &issuer(), &keys).is_err(), "{}", text);
            }
        }
    }
}
