//! A certificate as an Open Badges 3.0 credential (1EdTech Open Badges 3.0 §B.1), unsigned.
//!
//! Every node but the holder's name has an id of its own, so that hardly anything has to be renamed
//! when the credential is canonicalised ([`crate::quads`]). Without the holder's consent the subject is
//! a pseudonym that the certificate's URL makes: it names one certificate's holder and nobody else.

use rollcall_domain::certificate::{Certificate, CertificateKind};
use serde_json::{Value, json};

use crate::date_time;
use crate::issuer::Issuer;

/// The context of Verifiable Credentials 2.0.
pub const CREDENTIALS: &str = "https://www.w3.org/ns/credentials/v2";
/// The context of Open Badges 3.0.
pub const OPEN_BADGES: &str = "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json";

/// The credential that says what the certificate says.
pub fn credential(issuer: &Issuer, certificate: &Certificate) -> Value {
    let page = issuer.certificate_url(&certificate.id);
    let list = issuer.status_list_url(certificate.place.list);
    let index = certificate.place.index.to_string();
    json!({
        "@context": [CREDENTIALS, OPEN_BADGES],
        "id": format!("{page}/credential"),
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "name": certificate.title,
        "issuer": {
            "id": issuer.id(),
            "type": ["Profile"],
            "name": issuer.name,
            "url": issuer.base_url,
        },
        "validFrom": date_time(certificate.earned.earned_at),
        "credentialSubject": subject(issuer, certificate, &page),
        "evidence": evidence(issuer, certificate),
        "credentialStatus": {
            "id": format!("{list}#{index}"),
            "type": "BitstringStatusListEntry",
            "statusPurpose": "revocation",
            "statusListIndex": index,
            "statusListCredential": list,
        },
    })
}

fn subject(issuer: &Issuer, certificate: &Certificate, page: &str) -> Value {
    let mut subject = json!({
        "id": format!("{page}#holder"),
        "type": ["AchievementSubject"],
        "achievement": achievement(issuer, certificate),
    });
    if let (Some(name), Some(subject)) = (certificate.shown_name(), subject.as_object_mut()) {
        let identifier = json!([{
            "type": "IdentityObject",
            "identityHash": name,
            "identityType": "name",
            "hashed": false,
        }]);
        subject.insert("identifier".to_owned(), identifier);
    }
    subject
}

fn achievement(issuer: &Issuer, certificate: &Certificate) -> Value {
    let name = &certificate.earned.name;
    let (folder, achievement_type, narrative) = match name.kind {
        CertificateKind::Module => {
            ("modules", "CertificateOfCompletion", "Every required task of the module is done.")
        }
        CertificateKind::Course => {
            ("courses", "Course", "Every module of the course that counts is complete.")
        }
        CertificateKind::Pathway => {
            ("pathways", "LearningProgram", "Every course of the pathway that counts is complete.")
        }
    };
    let url = format!("{}/{folder}/{}", issuer.base_url, name.slug);
    let catalog = certificate.earned.catalog.as_str();
    json!({
        "id": format!("{url}#{catalog}"),
        "type": ["Achievement"],
        "achievementType": achievement_type,
        "name": certificate.title,
        "description": certificate.summary,
        "humanCode": name.slug.to_string(),
        "version": catalog,
        "criteria": { "id": url, "narrative": narrative },
    })
}

fn evidence(issuer: &Issuer, certificate: &Certificate) -> Vec<Value> {
    let earned = &certificate.earned;
    let url = |slug: &str| match earned.name.kind {
        CertificateKind::Module => {
            format!("{}/modules/{}#{slug}", issuer.base_url, earned.name.slug)
        }
        CertificateKind::Course | CertificateKind::Pathway => {
            format!("{}/modules/{slug}", issuer.base_url)
        }
    };
    let item = |slug: &str| json!({ "id": url(slug), "type": ["Evidence"], "name": slug });
    earned.evidence.iter().map(|slug| item(&slug.to_string())).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use rollcall_domain::catalog::CatalogVersion;
    use rollcall_domain::certificate::{CertificateName, Earned, HolderName, StatusPlace};
    use rollcall_domain::id::CertificateId;
    use rollcall_domain::random::SeededRandom;
    use rollcall_domain::time::Timestamp;

    use super::*;

    pub(crate) fn issuer() -> Issuer {
        Issuer {
            base_url: "https://learn.example".to_owned(),
            name: "The \"Example\" Guild".to_owned(),
        }
    }

    prop_compose! {
        /// Any certificate.
        pub(crate) fn certificates()(
            seed in any::<u64>(),
            kind in 0..3_usize,
            title in "\\PC{1,40}",
            summary in any::<String>(),
            name in prop::option::of("\\PC{1,40}"),
            evidence in prop::collection::vec("[a-z]{1,8}", 0..4),
            seconds in 0..4_000_000_000_i64,
            index in 0..StatusPlace::BITS,
            list in 1..1_000_u32,
        ) -> Certificate {
            let random = SeededRandom::new(seed);
            let at = Timestamp::from_second(seconds).unwrap();
            let slug = |text: &String| text.parse().unwrap();
            Certificate {
                id: CertificateId::new(at, &random),
                earned: Earned {
                    name: CertificateName {
                        kind: CertificateKind::ALL[kind],
                        slug: "first-steps".parse().unwrap(),
                    },
                    catalog: CatalogVersion::default(),
                    evidence: evidence.iter().map(slug).collect(),
                    earned_at: at,
                },
                title,
                summary,
                awarded_at: at,
                place: StatusPlace { list, index },
                holder: name.map(|text| HolderName { text, is_shown: true }),
                revocation: None,
                version: 1,
            }
        }
    }

    proptest! {
        #[test]
        fn c_04_nobody_is_named_without_consent(certificate in certificates()) {
            let shown = credential(&issuer(), &certificate);
            let has_name = shown["credentialSubject"].get("identifier").is_some();
            prop_assert_eq!(has_name, certificate.holder.is_some());
            let mut hidden = certificate.clone();
            if let Some(holder) = &mut hidden.holder {
                holder.is_shown = false;
            }
            let subject = &credential(&issuer(), &hidden)["credentialSubject"];
            prop_assert!(subject.get("identifier").is_none());
        }
    }
}
