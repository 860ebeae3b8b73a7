//! Certificates in the hands of strangers: pages, credentials, status lists, and verifiers that others
//! wrote.

use std::process::Stdio;
use std::time::Duration;

use rollcall_cli::sample;
use rollcall_credentials::{Issuer, PublicKey, badge, proof, quads, status_list};
use rollcall_domain::catalog::CatalogVersion;
use rollcall_domain::certificate::{
    Certificate, CertificateKind, CertificateName, Earned, HolderName, StatusPlace,
};
use rollcall_domain::id::CertificateId;
use rollcall_domain::random::{Random, SeededRandom};
use rollcall_domain::rotation::OVERLAP_SECONDS;
use rollcall_domain::time::Timestamp;
use rollcall_local::Addresses;
use rollcall_resources::SecretName;
use rollcall_tests::{Answer, Browser, Outcome, PATIENCE, World};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::certificates::certificate;
use crate::desk::administer;
use crate::linking::user_id;
use crate::profile::edit;
use crate::tidy::root;
use crate::{PROGRAM, world};

const MODULE: &str = "start-the-local-cloud";
/// Random credentials that two processors have to agree on.
const RANDOM_CREDENTIALS: u64 = 300;

/// What a script of `tests/peer` says, given lines and variables.
async fn peer(script: &str, variables: &[(&str, &str)], lines: &str) -> String {
    let folder = root().join("tests/peer");
    assert!(
        folder.join("node_modules").is_dir(),
        "the verifiers are not installed: run `npm ci` in tests/peer, or `make test`"
    );
    let mut child = Command::new("node")
        .arg(script)
        .current_dir(folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writing = async {
        input.write_all(lines.as_bytes()).await.unwrap();
        drop(input);
    };
    let running = async { tokio::join!(writing, child.wait_with_output()).1.unwrap() };
    let output = tokio::time::timeout(PATIENCE, running).await.expect("the script ends");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// Somebody with a certificate, and its id.
async fn holder(world: &World) -> (Browser, String) {
    let mut ada = world.signed_in("ada").await;
    ada.complete_module(MODULE).await;
    let id = certificate(&mut ada, MODULE).await;
    (ada, id)
}

async fn show_name(browser: &mut Browser, id: &str, shown: bool) -> Answer {
    browser.put(&format!("/certificates/{id}/name"), Some(json!({ "shown": shown }))).await
}

async fn accepting(browser: &mut Browser, path: &str, accept: &str) -> Answer {
    let url = format!("{}{path}", browser.api);
    browser.send("GET", &url, None, &[("accept", accept)]).await
}

async fn credential(browser: &mut Browser, id: &str) -> Value {
    let answer = browser.get(&format!("/certificates/{id}/credential")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/vc");
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn c_05_verifiers_of_others_accept_our_credentials_and_no_forgery() {
    let world = World::start_with(PROGRAM, Vec::new(), sample::widen_rate_limits).await;
    let (mut ada, id) = holder(&world).await;
    assert_eq!(show_name(&mut ada, &id, true).await.status, 200);
    let url = format!("{}/certificates/{id}/credential", Addresses::url(world.cloud.addresses.api));
    let verify = async || {
        let told = peer("credentials.js", &[("CREDENTIAL_URL", &url)], "").await;
        serde_json::from_str::<Value>(&told).unwrap_or_else(|_| panic!("{told}"))
    };
    let found = verify().await;
    assert_eq!(found["accepted"], true, "{found}");
    assert_eq!((found["tried"].as_u64(), &found["taken"]), (Some(19), &json!([])), "{found}");
    assert_eq!((&found["list"], &found["jwtForged"]), (&json!(true), &json!(false)), "{found}");
    assert_eq!(found["status"], json!([{ "status": false, "verified": true }]), "{found}");
    let subject = &found["jwt"]["credentialSubject"];
    assert_eq!(subject["identifier"][0]["identityHash"], "Ada Okafor", "{found}");
    assert_eq!(found["jwt"]["sub"], subject["id"]);

    let mut grace = world.signed_in("grace").await;
    let reason = json!({ "reason": "Somebody else took the quiz." });
    let path = format!("/admin/certificates/{id}/revoke");
    assert_eq!(grace.post(&path, Some(reason)).await.status, 200);
    let found = verify().await;
    assert_eq!(found["accepted"], true, "what was signed stays signed: {found}");
    assert_eq!(found["status"], json!([{ "status": true, "verified": true }]), "{found}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_04_a_certificate_names_its_holder_when_they_want_it_and_never_the_viewer() {
    let world = world().await;
    let (mut ada, id) = holder(&world).await;
    let mut lin = world.signed_in("lin").await;
    let path = format!("/certificates/{id}");
    let seen = lin.get(&path).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert!(seen.text.contains("This certificate is valid"), "{seen:?}");
    assert!(!seen.text.contains("Okafor") && !seen.text.contains("Moreau"), "{seen:?}");
    assert_eq!(credential(&mut lin, &id).await["credentialSubject"]["identifier"], Value::Null);

    assert_eq!(show_name(&mut lin, &id, true).await.status, 404, "it is not hers");
    let shown = show_name(&mut ada, &id, true).await;
    assert_eq!((shown.status, &shown.json()["holder_name"]), (200, &json!("Ada Okafor")));
    assert!(lin.get(&path).await.text.contains("Ada Okafor"));
    // Another name in the profile is no other holder.
    let renamed = edit(&mut ada, json!({ "given_name": "Eve", "family_name": "Stranger" })).await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    assert_eq!(show_name(&mut ada, &id, false).await.json()["holder_name"], Value::Null);
    assert!(!lin.get(&path).await.text.contains("Okafor"));
    assert_eq!(credential(&mut lin, &id).await["credentialSubject"]["identifier"], Value::Null);
    assert_eq!(show_name(&mut ada, &id, true).await.json()["holder_name"], "Ada Okafor");
    for body in [json!({}), json!({ "shown": 1 }), json!({ "shown": true, "name": "Eve" })] {
        let answer = ada.put(&format!("{path}/name"), Some(body)).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    assert_eq!(ada.put(&format!("{path}/name"), None).await.status, 422);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_leaving_or_suspended_is_named_on_no_certificate() {
    let world = world().await;
    let (mut ada, id) = holder(&world).await;
    let ada_id = user_id(&mut ada).await;
    assert_eq!(show_name(&mut ada, &id, true).await.status, 200);
    let (mut grace, mut stranger) = (world.signed_in("grace").await, world.browser());
    let named = async |stranger: &mut Browser| {
        let page = stranger.get(&format!("/certificates/{id}")).await;
        assert!(page.text.contains("This certificate is valid"), "{page:?}");
        let image = stranger.get(&format!("/certificates/{id}/image.png")).await;
        let credential = credential(stranger, &id).await.to_string();
        let found = [&page.text, &image.text, &credential].map(|text| text.contains("Okafor"));
        assert!(found.iter().all(|has| *has == found[0]), "all say the same: {found:?}");
        found[0]
    };
    assert!(named(&mut stranger).await);
    for (suspended, is_named) in [(true, false), (false, true)] {
        let answer = administer(&mut grace, &ada_id, json!({ "suspended": suspended })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(named(&mut stranger).await, is_named, "suspended: {suspended}");
    }
    let mut ada = world.signed_in("ada").await;
    let leaving = ada.delete("/users/me").await;
    assert!(leaving.status < 300, "{leaving:?}");
    assert!(!named(&mut stranger).await);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_06_a_page_says_valid_revoked_or_unknown_as_it_is_now() {
    let world = world().await;
    let (mut ada, id) = holder(&world).await;
    let ada_id = user_id(&mut ada).await;
    let told = format!("module {MODULE}");
    world.contact_with(&ada_id, &[("rollcall_certificates", &told)]).await;
    let (mut grace, mut stranger) = (world.signed_in("grace").await, world.browser());
    let path = format!("/certificates/{id}");
    let page = stranger.get(&path).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.text.contains("<svg") && !page.text.contains("<script"), "{page:?}");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{page:?}");
    let told = accepting(&mut stranger, &path, "application/json").await;
    assert_eq!(told.json()["status"], "valid", "{told:?}");
    assert!(!told.text.contains("usr_"), "whose account it is stays private: {told:?}");

    let revoke = format!("/admin/certificates/{id}/revoke");
    let reason = || Some(json!({ "reason": "Somebody else took the quiz." }));
    assert_eq!(grace.post(&revoke, Some(json!({ "reason": " " }))).await.status, 422);
    let first = grace.post(&revoke, reason()).await;
    assert_eq!((first.status, &first.json()["status"]), (200, &json!("revoked")), "{first:?}");
    assert_eq!(grace.post(&revoke, reason()).await.json(), first.json(), "once");
    let page = stranger.get(&path).await;
    assert!(page.text.contains("was revoked on"), "{page:?}");
    assert!(!page.text.contains("Somebody else"), "why is nobody else's business: {page:?}");
    let told = grace.get(&format!("/admin/audit?subject={id}")).await.json();
    assert_eq!(told["entries"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["entries"][0]["action"], "certificate-revoked");
    world.contact_with(&ada_id, &[("rollcall_certificates", "")]).await;

    let nobodys = "crt_00000000000000000000000000000000";
    for unknown in [nobodys, "crt_x", "usr_00000000000000000000000000000000"] {
        let page = stranger.get(&format!("/certificates/{unknown}")).await;
        assert_eq!(page.status, 404, "{page:?}");
        assert!(page.text.contains("Unknown certificate"), "{page:?}");
        let path = format!("/certificates/{unknown}/credential");
        assert_eq!(stranger.get(&path).await.status, 404);
    }
    let path = format!("/certificates/{nobodys}");
    let problem = accepting(&mut stranger, &path, "application/json").await;
    assert_eq!(problem.json()["code"], "not-found", "{problem:?}");
    let missing = format!("/admin/certificates/{nobodys}/revoke");
    assert_eq!(grace.post(&missing, reason()).await.status, 404);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_list_tells_what_is_revoked_and_nothing_about_anybody() {
    let world = world().await;
    let (mut ada, id) = holder(&world).await;
    let user = user_id(&mut ada).await;
    let mut stranger = world.browser();
    let place = credential(&mut stranger, &id).await["credentialStatus"].clone();
    let index: u32 = place["statusListIndex"].as_str().unwrap().parse().unwrap();
    let before = stranger.get("/credentials/status/1").await;
    assert_eq!(before.status, 200, "{before:?}");
    assert_eq!(status_list::is_revoked(&before.json(), index), Some(false));
    assert_eq!(before.json()["validFrom"], Value::Null, "nothing was ever revoked");
    let mut grace = world.signed_in("grace").await;
    let reason = Some(json!({ "reason": "A test" }));
    assert_eq!(grace.post(&format!("/admin/certificates/{id}/revoke"), reason).await.status, 200);
    let after = stranger.get("/credentials/status/1").await;
    assert_eq!(status_list::is_revoked(&after.json(), index), Some(true), "at the next request");
    assert!(!after.text.contains(&user) && !after.text.contains(&id), "{after:?}");
    for list in ["0", "2", "01", "x", "4294967296"] {
        let answer = stranger.get(&format!("/credentials/status/{list}")).await;
        assert_eq!(answer.status, 404, "{list}: {answer:?}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_issues_is_published_with_every_key() {
    let world = world().await;
    let mut stranger = world.browser();
    let issuer = stranger.get("/credentials/issuer").await;
    assert_eq!(issuer.status, 200, "{issuer:?}");
    let issuer = issuer.json();
    let methods = issuer["verificationMethod"].as_array().unwrap();
    assert_eq!(methods.len(), 2, "one key in two forms: {issuer}");
    let api = Addresses::url(world.cloud.addresses.api);
    assert_eq!(issuer["id"], format!("{api}/credentials/issuer"));
    let jwk = &methods[1];
    let key = stranger.get(jwk["id"].as_str().unwrap().strip_prefix(&api).unwrap()).await;
    assert_eq!(key.json(), jwk["publicKeyJwk"]);
    assert_eq!(stranger.get("/credentials/keys/other").await.status, 404);
    world.finish(Outcome::Clean).await;
}

/// Who issues, and the keys that they publish.
async fn published(world: &World) -> (Issuer, Vec<PublicKey>) {
    let base_url = Addresses::url(world.cloud.addresses.api);
    let document = world.browser().get("/credentials/issuer").await.json();
    let methods = document["verificationMethod"].as_array().unwrap();
    let multikeys = methods.iter().filter_map(|method| method["publicKeyMultibase"].as_str());
    let keys = multikeys.map(|key| PublicKey::from_multibase(key).unwrap()).collect();
    (Issuer { base_url, name: String::new() }, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_drawn_to_print_and_to_share_with_its_credential_in_it() {
    let world = world().await;
    let (mut ada, id) = holder(&world).await;
    assert_eq!(show_name(&mut ada, &id, true).await.status, 200);
    let mut stranger = world.browser();
    let pdf = stranger.get(&format!("/certificates/{id}/certificate.pdf")).await;
    assert_eq!((pdf.status, pdf.header("content-type")), (200, "application/pdf"));
    assert!(pdf.text.starts_with("%PDF-"), "it is a PDF");
    let image = stranger.get(&format!("/certificates/{id}/image.png")).await;
    assert_eq!((image.status, image.header("content-type")), (200, "image/png"));
    let (_, baked) = image.text.split_once("openbadgecredential\0\0\0\0\0").unwrap();
    let mut values = serde_json::Deserializer::from_str(baked).into_iter::<Value>();
    let credential = values.next().unwrap().unwrap();
    let (issuer, keys) = published(&world).await;
    assert_eq!(proof::verify(&credential, &issuer, &keys), Ok(()));
    let identifier = &credential["credentialSubject"]["identifier"][0];
    assert_eq!(identifier["identityHash"], "Ada Okafor");
    let nobodys = "/certificates/crt_00000000000000000000000000000000";
    for file in ["certificate.pdf", "image.png"] {
        assert_eq!(stranger.get(&format!("{nobodys}/{file}")).await.status, 404);
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_key_has_signed_stays_verifiable() {
    let world = world().await;
    let (_ada, id) = holder(&world).await;
    let mut stranger = world.browser();
    let old = credential(&mut stranger, &id).await;
    let name = SecretName::CertificateKey.full_name("dev");
    let keys = format!("a-newer-certificate-key-for-local-use {}", sample::CERTIFICATE_KEY);
    let age = Duration::from_secs(OVERLAP_SECONDS.unsigned_abs());
    assert!(world.cloud.messages.rotate_secret(&name, &keys, age));

    let (issuer, keys) = published(&world).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(proof::verify(&old, &issuer, &keys), Ok(()));
    let list = stranger.get("/credentials/status/1").await.json();
    assert_eq!(list["proof"][0]["verificationMethod"], issuer.method(&keys[0]), "the newest signs");
    assert_eq!(proof::verify(&list, &issuer, &keys), Ok(()));
    world.finish(Outcome::Clean).await;
}

/// Any certificate, with texts of all kinds.
fn any_certificate(random: &dyn Random) -> Certificate {
    let mut bytes = [0_u8; 64];
    random.fill(&mut bytes);
    let characters =
        ['a', 'Ł', '"', '\\', '\n', '\t', '\u{7f}', '\u{1}', 'é', '中', '\u{1f393}', ' '];
    let text = |from: usize| -> String {
        let chosen = bytes[from..from + 10].iter().map(|byte| usize::from(*byte));
        chosen.map(|byte| characters[byte % characters.len()]).collect()
    };
    let at = Timestamp::from_second(i64::from(u32::from_le_bytes([0, bytes[1], bytes[2], 0])));
    let at = at.unwrap();
    let evidence = (0..bytes[3] % 4).map(|number| format!("part-{number}").parse().unwrap());
    let holder = HolderName { text: text(10), is_shown: bytes[4] % 2 == 0 };
    Certificate {
        id: CertificateId::new(at, random),
        earned: Earned {
            name: CertificateName {
                kind: CertificateKind::ALL[usize::from(bytes[5] % 3)],
                slug: "first-steps".parse().unwrap(),
            },
            catalog: CatalogVersion::default(),
            evidence: evidence.collect(),
            earned_at: at,
        },
        title: text(20),
        summary: text(30),
        awarded_at: at,
        place: StatusPlace::draw(1 + u32::from(bytes[6]), random),
        holder: Some(holder),
        revocation: None,
        version: 1,
    }
}

/// What the published schema of Open Badges has against each document.
async fn against_the_schema(documents: &[Value]) -> Vec<Vec<String>> {
    let schema = root().join(".tools/open-badges/ob_v3p0_achievementcredential_schema.json");
    assert!(schema.is_file(), "the schema of Open Badges is not there: run `make test`");
    let lines: Vec<String> = documents.iter().map(|document| format!("{document}\n")).collect();
    let variables = [("OPEN_BADGES_SCHEMA", schema.to_str().unwrap())];
    let told = peer("schema.js", &variables, &lines.concat()).await;
    let faults: Vec<_> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(faults.len(), documents.len());
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_schema_of_open_badges_takes_our_credentials_and_no_broken_one() {
    let world = world().await;
    let (mut ada, id) = holder(&world).await;
    let nameless = credential(&mut ada, &id).await;
    assert_eq!(show_name(&mut ada, &id, true).await.status, 200);
    let named = credential(&mut ada, &id).await;
    let mut good = vec![nameless, named.clone()];
    let issuer =
        Issuer { base_url: "https://learn.example".to_owned(), name: "A Guild".to_owned() };
    for seed in 0..RANDOM_CREDENTIALS {
        good.push(badge::credential(&issuer, &any_certificate(&SeededRandom::new(seed))));
    }
    for (document, faults) in good.iter().zip(against_the_schema(&good).await) {
        assert_eq!(faults, [""; 0], "{document}");
    }

    let breaks: [(&str, Value); 12] = [
        ("/@context", json!([])),
        ("/@context/0", json!("https://www.w3.org/2018/credentials/v1")),
        ("/id", Value::Null),
        ("/type", json!(["VerifiableCredential"])),
        ("/issuer", Value::Null),
        ("/validFrom", json!("yesterday")),
        ("/credentialSubject/type", json!(7)),
        ("/credentialSubject/achievement/name", Value::Null),
        ("/credentialSubject/achievement/criteria", json!("pass")),
        ("/credentialSubject/achievement/type", json!([])),
        ("/credentialStatus/type", Value::Null),
        ("/proof", json!("none")),
    ];
    let broken = breaks.map(|(place, value)| {
        let mut broken = named.clone();
        *broken.pointer_mut(place).unwrap() = value;
        broken
    });
    for (document, faults) in broken.iter().zip(against_the_schema(&broken).await) {
        assert_ne!(faults, [""; 0], "{document}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test]
async fn canonical_quads_are_those_of_a_full_processor() {
    let issuer =
        Issuer { base_url: "https://learn.example".to_owned(), name: "A \"Guild\"".to_owned() };
    let mut documents = Vec::new();
    for seed in 0..RANDOM_CREDENTIALS {
        let certificate = any_certificate(&SeededRandom::new(seed));
        documents.push(badge::credential(&issuer, &certificate));
        let revoked = [certificate.place.index].into();
        let since = Some(certificate.awarded_at);
        documents.push(status_list::credential(&issuer, 1, &revoked, since).unwrap());
    }
    let method = "https://learn.example/credentials/issuer#key";
    for contexts in [json!([badge::CREDENTIALS, badge::OPEN_BADGES]), json!([badge::CREDENTIALS])] {
        documents.push(json!({
            "@context": contexts, "type": "DataIntegrityProof", "cryptosuite": "eddsa-rdfc-2022",
            "created": "2026-11-21T08:00:00Z", "verificationMethod": method,
            "proofPurpose": "assertionMethod",
        }));
    }
    let lines: Vec<String> = documents.iter().map(|document| format!("{document}\n")).collect();
    let lines = lines.concat();
    let told = peer("quads.js", &[], &lines).await;
    let theirs: Vec<String> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(theirs.len(), documents.len());
    for (document, theirs) in documents.iter().zip(theirs) {
        assert_eq!(quads::canonical(document).unwrap(), theirs, "{document}");
    }
}
