//! Who issues: the organisation, named by a URL of ours, and the keys that it publishes there.

use rollcall_domain::id::CertificateId;
use serde_json::{Value, json};

use crate::key::PublicKey;

/// The contexts of the issuer's document: those that verifiers have built in, which the younger one of
/// controlled identifiers is not.
const CONTEXTS: [&str; 4] = [
    "https://www.w3.org/ns/did/v1",
    "https://w3id.org/security/multikey/v1",
    "https://w3id.org/security/jwk/v1",
    crate::badge::OPEN_BADGES,
];

/// The organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The URL under which everything of credentials is published, without a slash at the end.
    pub base_url: String,
    /// The organisation's name.
    pub name: String,
}

impl Issuer {
    /// The issuer's id, a URL that answers [`Issuer::document`].
    pub fn id(&self) -> String {
        format!("{}/credentials/issuer", self.base_url)
    }

    /// The page of a certificate.
    pub fn certificate_url(&self, certificate: &CertificateId) -> String {
        format!("{}/certificates/{certificate}", self.base_url)
    }

    /// A status list.
    pub fn status_list_url(&self, list: u32) -> String {
        format!("{}/credentials/status/{list}", self.base_url)
    }

    /// The name of a key in proofs.
    pub fn method(&self, key: &PublicKey) -> String {
        format!("{}#{}", self.id(), key.id())
    }

    /// The name of a key in JWTs: a URL that answers the JWK, as Open Badges 3.0 asks for (§8.2.4.1).
    pub fn key_url(&self, key: &PublicKey) -> String {
        format!("{}/credentials/keys/{}", self.base_url, key.id())
    }

    /// The issuer's profile with its keys, a controlled identifier document: those of proofs as
    /// Multikeys and the same ones of JWTs as JWKs.
    pub fn document(&self, published: &[PublicKey]) -> Value {
        let id = self.id();
        let multikeys = published.iter().map(|key| {
            let (method, multibase) = (self.method(key), key.multibase());
            json!({
                "id": method, "type": "Multikey", "controller": id,
                "publicKeyMultibase": multibase,
            })
        });
        let jwks = published.iter().map(|key| {
            let url = self.key_url(key);
            json!({
                "id": url, "type": "JsonWebKey", "controller": id, "publicKeyJwk": key.jwk(&url),
            })
        });
        let methods: Vec<Value> = multikeys.chain(jwks).collect();
        let ids: Vec<&Value> = methods.iter().filter_map(|method| method.get("id")).collect();
        json!({
            "@context": CONTEXTS,
            "id": id,
            "type": ["Profile"],
            "name": self.name,
            "url": self.base_url,
            "assertionMethod": ids,
            "verificationMethod": methods,
        })
    }
}
