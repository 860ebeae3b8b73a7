//! The adapter against the local HubSpot, over a socket, in both path families.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rollcall_crm::classifier::{Class, Retry, classify, existing_id};
use rollcall_crm::port::{
    Address, CallOutcome, Crm, Input, ItemResult, KeyKind, PortError, Reply, SchemaPart,
};
use rollcall_crm::projection::Properties;
use rollcall_crm::schema::{self, SCHEMA};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::random::SeededRandom;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::Timestamp;
use rollcall_local_hubspot as local;
use rollcall_local_kit::{LocalClock, Server, Shutdown};
use serde_json::{Value, json};

use crate::{Api, HubSpot, Settings, TokenSource};

struct Token(&'static str);

#[async_trait]
impl TokenSource for Token {
    async fn token(&self) -> Result<Secret, PortError> {
        Ok(Secret::new(self.0))
    }
}

struct Bench {
    portal: local::HubSpot,
    crm: HubSpot,
    base_url: String,
    shutdown: Shutdown,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

const TOKEN: &str = "pat-na1-test";

async fn bench(api: Api, key: KeyKind, token: &'static str) -> Bench {
    let server = Server::bind(0).await.unwrap();
    let base_url = server.base_url();
    let accepted = local::Token {
        value: TOKEN.to_owned(),
        scopes: local::Scopes::All,
    };
    let portal = local::HubSpot::open(local::Options {
        folder: None,
        clock: LocalClock::new(),
        base_url: base_url.clone(),
        tokens: vec![accepted],
        settings: local::Settings::default(),
    })
    .unwrap();
    let shutdown = Shutdown::new();
    server.serve(portal.router(), shutdown.clone());
    let settings = Settings::new(&base_url, api, key).unwrap();
    let crm = HubSpot::new(settings, Box::new(Token(token))).unwrap();
    Bench {
        portal,
        crm,
        base_url,
        shutdown,
    }
}

impl Bench {
    async fn ready(api: Api, key: KeyKind) -> Self {
        let bench = bench(api, key, TOKEN).await;
        for part in [SchemaPart::Group, SchemaPart::Properties] {
            let reply = bench.crm.declare(&SCHEMA, part, "trace").await;
            assert_eq!(
                reply.outcome,
                CallOutcome::Answered(BTreeMap::new()),
                "{part:?}"
            );
        }
        bench
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the controls of the local HubSpot"
    )]
    async fn control(&self, name: &str, body: Value) {
        let url = format!("{}/_emulator/{name}", self.base_url);
        let answer = reqwest::Client::builder()
            .tls_backend_preconfigured(plain())
            .build();
        let answer = answer.unwrap().post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{name} {body}");
    }

    async fn write(&self, inputs: &[Input]) -> Reply {
        self.crm.write(inputs, "trace").await
    }

    fn value(&self, user: &UserId, name: &str) -> Option<String> {
        let contacts = self.portal.contacts();
        let contact = contacts.iter().find(|contact| {
            contact
                .properties
                .get(schema::USER_ID)
                .is_some_and(|v| v == user.as_str())
        });
        contact.and_then(|contact| contact.properties.get(name).cloned())
    }
}

/// A TLS set-up that a client on loopback never uses, but cannot be built without.
fn plain() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

fn user(seed: u64) -> UserId {
    UserId::new(Timestamp::from_second(1).unwrap(), &SeededRandom::new(seed))
}

fn input(seed: u64, properties: &[(&'static str, &str)]) -> Input {
    let user = user(seed);
    let mut all = Properties::from([(schema::USER_ID, user.to_string())]);
    all.extend(
        properties
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    Input {
        address: Address::UserId(user.clone()),
        user,
        facets: vec![Facet::Identity],
        properties: all,
    }
}

fn results(reply: &Reply) -> &BTreeMap<String, ItemResult> {
    match &reply.outcome {
        CallOutcome::Answered(results) => results,
        other => panic!("{other:?}"),
    }
}

fn class(result: &ItemResult) -> Class {
    match result {
        ItemResult::Written { .. } => Class::Sent,
        ItemResult::Failed(failure) => classify(failure),
    }
}

#[tokio::test]
async fn good_inputs_are_written_beside_bad_ones_in_both_path_families() {
    for api in [Api::Dated, Api::Undated] {
        let bench = Bench::ready(api, KeyKind::UserId).await;
        let bad = input(2, &[(schema::MODULES_COMPLETED, "many")]);
        let inputs = [
            input(1, &[(schema::EMAIL, "a@example.org")]),
            bad,
            input(3, &[]),
        ];
        let reply = bench.write(&inputs).await;
        let classes: Vec<Class> = inputs
            .iter()
            .map(|i| class(&results(&reply)[i.user.as_str()]))
            .collect();
        assert_eq!(
            classes,
            [Class::Sent, Class::SplitAndRetry, Class::Sent],
            "{api:?}"
        );
        assert_eq!(
            bench.value(&user(1), schema::EMAIL).as_deref(),
            Some("a@example.org")
        );
        assert_eq!(bench.value(&user(2), schema::USER_ID), None);
        assert_eq!(reply.quota.limit, Some((190, 10_000)));
        assert!(reply.quota.daily.is_some() && reply.quota.remaining.is_some());
        assert_eq!(bench.portal.violations(), []);
    }
}

#[tokio::test]
async fn the_schema_can_be_declared_twice_and_unknown_properties_are_recognised() {
    let bench = bench(Api::Dated, KeyKind::UserId, TOKEN).await;
    let early = Input {
        address: Address::Email("a@example.org".to_owned()),
        ..input(1, &[])
    };
    let reply = bench.write(&[early]).await;
    assert_eq!(class(&results(&reply)[user(1).as_str()]), Class::FixSchema);
    for part in [SchemaPart::Group, SchemaPart::Properties].repeat(2) {
        let reply = bench.crm.declare(&SCHEMA, part, "trace").await;
        assert_eq!(
            reply.outcome,
            CallOutcome::Answered(BTreeMap::new()),
            "{part:?}"
        );
    }
    assert_eq!(
        class(&results(&bench.write(&[input(1, &[])]).await)[user(1).as_str()]),
        Class::Sent
    );
}

#[tokio::test]
async fn a_contact_that_was_there_before_us_can_be_adopted() {
    for api in [Api::Dated, Api::Undated] {
        let bench = Bench::ready(api, KeyKind::UserId).await;
        let first = Input {
            address: Address::Email("a@example.org".to_owned()),
            properties: Properties::from([(schema::EMAIL, "a@example.org".to_owned())]),
            ..input(9, &[])
        };
        bench.write(&[first]).await;
        let ours = input(1, &[(schema::EMAIL, "a@example.org")]);
        let reply = bench.write(std::slice::from_ref(&ours)).await;
        let ItemResult::Failed(failure) = &results(&reply)[ours.user.as_str()] else {
            panic!("the address is taken");
        };
        assert_eq!(classify(failure), Class::AdoptExistingId);
        let contact = existing_id(failure).unwrap();
        let owners = bench
            .crm
            .owners(std::slice::from_ref(&contact), "trace")
            .await
            .unwrap();
        assert_eq!(owners, BTreeMap::from([(contact.clone(), None)]));
        let adopted = Input {
            address: Address::ContactId(contact.clone()),
            ..ours
        };
        bench.write(&[adopted]).await;
        let owners = bench
            .crm
            .owners(std::slice::from_ref(&contact), "trace")
            .await
            .unwrap();
        assert_eq!(
            owners,
            BTreeMap::from([(contact, Some(user(1).to_string()))])
        );
        let gone = Input {
            address: Address::ContactId("404404".to_owned()),
            ..input(2, &[])
        };
        let reply = bench.write(&[gone]).await;
        let failed = class(&results(&reply)[user(2).as_str()]);
        assert_eq!(failed, Class::RetryAfter(Retry::ByKey), "{api:?}");
    }
}

#[tokio::test]
async fn every_fault_is_told_apart() {
    let bench = Bench::ready(Api::Dated, KeyKind::UserId).await;
    let huge = "x".repeat(6 * 1024 * 1024);
    for (seed, fault, expected) in [
        (1, json!({"kind": "status", "status": 503}), "refused 503"),
        (
            2,
            json!({"kind": "status", "status": 477, "headers": {"Retry-After": "60"}}),
            "refused 477 after 60",
        ),
        (
            3,
            json!({"kind": "status", "status": 302, "headers": {"Location": "http://localhost/"}}),
            "refused 302",
        ),
        (4, json!({"kind": "drop_before"}), "unknown"),
        (5, json!({"kind": "drop_after_commit"}), "unknown"),
        (6, json!({"kind": "empty_results"}), "answered 0"),
        (
            7,
            json!({"kind": "status", "status": 200, "body": huge}),
            "unknown",
        ),
        (
            8,
            json!({"kind": "status", "status": 200, "body": "hello"}),
            "unknown",
        ),
    ] {
        let mut one = fault.clone();
        one["count"] = json!(1);
        bench.control("faults", one).await;
        let reply = bench.write(&[input(seed, &[])]).await;
        let found = match &reply.outcome {
            CallOutcome::Answered(results) => format!("answered {}", results.len()),
            CallOutcome::Refused(failure) => {
                let after = failure
                    .retry_after
                    .map(|after| format!(" after {}", after.as_secs()));
                format!("refused {}{}", failure.status, after.unwrap_or_default())
            }
            CallOutcome::NotSent => "not sent".to_owned(),
            CallOutcome::Unknown => "unknown".to_owned(),
        };
        assert_eq!(found, expected, "fault {seed}");
        assert_eq!(
            bench.value(&user(seed), schema::USER_ID).is_some(),
            seed == 5,
            "fault {seed}"
        );
    }
}

#[tokio::test]
async fn a_portal_that_cannot_be_reached_was_sent_nothing() {
    let settings = Settings::new("http://127.0.0.1:9", Api::Dated, KeyKind::UserId).unwrap();
    let crm = HubSpot::new(settings, Box::new(Token(TOKEN))).unwrap();
    assert_eq!(
        crm.write(&[input(1, &[])], "trace").await.outcome,
        CallOutcome::NotSent
    );
}

#[tokio::test]
async fn limits_and_refused_tokens_are_classified() {
    let stranger = bench(Api::Dated, KeyKind::UserId, "pat-na1-other").await;
    let reply = stranger.write(&[input(1, &[])]).await;
    assert!(
        matches!(&reply.outcome, CallOutcome::Refused(f) if classify(f) == Class::RefreshCredentials)
    );
    assert!(!stranger.crm.renew_credentials().await);
    let bench = Bench::ready(Api::Dated, KeyKind::UserId).await;
    bench.control("tier", json!({"burst_limit": 3})).await;
    let mut last = None;
    for seed in 0..4 {
        last = Some(bench.write(&[input(seed, &[])]).await);
    }
    let CallOutcome::Refused(failure) = last.unwrap().outcome else {
        panic!("over the limit")
    };
    assert_eq!(
        (failure.status, failure.policy.as_str()),
        (429, "TEN_SECONDLY_ROLLING")
    );
}

#[tokio::test]
async fn a_portal_without_unique_keys_is_served_by_e_mail() {
    let bench = bench(Api::Dated, KeyKind::Email, TOKEN).await;
    bench
        .control("portal", json!({"unique_keys_on_contacts": false}))
        .await;
    for part in [SchemaPart::Group, SchemaPart::Properties] {
        let reply = bench.crm.declare(&SCHEMA, part, "trace").await;
        assert_eq!(
            reply.outcome,
            CallOutcome::Answered(BTreeMap::new()),
            "{part:?}"
        );
    }
    let by_email = Input {
        address: Address::Email("a@example.org".to_owned()),
        ..input(1, &[(schema::EMAIL, "a@example.org")])
    };
    let reply = bench.write(&[by_email]).await;
    let ItemResult::Written { contact_id } = &results(&reply)[user(1).as_str()] else {
        panic!("not written");
    };
    let by_id = Input {
        address: Address::ContactId(contact_id.clone()),
        ..input(1, &[(schema::FIRST_NAME, "Ada")])
    };
    bench.write(&[by_id]).await;
    assert_eq!(
        bench.value(&user(1), schema::FIRST_NAME).as_deref(),
        Some("Ada")
    );
}
