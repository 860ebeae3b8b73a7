//! The adapter against the local HubSpot, over HTTP.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rollcall_crm::classifier::{Class, Failure, ITEM, Retry, classify, existing_id};
use rollcall_crm::milestone::MilestoneKind;
use rollcall_crm::port::ItemResult;
use rollcall_crm::portal::PauseReason;
use rollcall_crm::projection::Properties;
use rollcall_crm::reconcile::compare::ContactView;
use rollcall_crm::reconcile::work::ContactLister;
use rollcall_crm::schema::{self, EVENTS, Origin, SCHEMA};
use rollcall_crm::schema_desk::{Definitions, EventsPage};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::SignedDuration;
use rollcall_local_hubspot as local;
use rollcall_local_hubspot::openapi::Published;
use rollcall_local_kit::{LocalClock, Server, Shutdown};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::settings::ApiFamily;

const TOKEN: &str = "pat-na1-test";
const TRACE: &str = "trace-1";

/// A token and the one that replaces it.
struct Tokens(Mutex<Vec<&'static str>>);

#[async_trait]
impl TokenSource for Tokens {
    async fn token(&self) -> Result<Secret, PortError> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Secret::new(*tokens.last().unwrap()))
    }

    async fn renew(&self) -> bool {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.len() > 1 && tokens.pop().is_some()
    }
}

struct Portal {
    hubspot: local::HubSpot,
    address: SocketAddr,
    shutdown: Shutdown,
    crm: HubSpotCrm,
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

/// What differs between tests.
struct Setup {
    api: ApiFamily,
    key: KeyKind,
    settings: local::Settings,
    scopes: local::Scopes,
    /// Tokens that the client has, the first to be used last.
    tokens: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            api: ApiFamily::Dated("2026-09".to_owned()),
            key: KeyKind::UserId,
            settings: local::Settings::default(),
            scopes: local::Scopes::All,
            tokens: vec![TOKEN],
        }
    }
}

impl Setup {
    async fn start(self) -> Portal {
        let server = Server::bind(0).await.unwrap();
        let hubspot = local::HubSpot::open(local::Options {
            folder: None,
            clock: LocalClock::new(),
            base_url: server.base_url(),
            tokens: vec![local::Token { value: TOKEN.to_owned(), scopes: self.scopes }],
            settings: self.settings,
        })
        .unwrap();
        let settings = Settings { base_url: server.base_url(), api: self.api, key: self.key };
        let tokens = Arc::new(Tokens(Mutex::new(self.tokens)));
        let crm = HubSpotCrm::new(&settings, tokens).unwrap();
        let (address, shutdown) = (server.address(), Shutdown::new());
        server.serve(hubspot.router(), shutdown.clone());
        Portal { hubspot, address, shutdown, crm }
    }

    /// With the schema declared.
    async fn ready(self) -> Portal {
        let portal = self.start().await;
        portal.declare().await;
        portal
    }
}

impl Portal {
    async fn declare(&self) {
        for part in [SchemaPart::Group, SchemaPart::Properties] {
            let reply = self.crm.declare(&SCHEMA, part, TRACE).await;
            assert_eq!(reply.outcome, CallOutcome::Answered(BTreeMap::new()), "{part:?}");
        }
    }

    async fn write(&self, inputs: &[Input]) -> CallOutcome {
        self.crm.write(inputs, TRACE).await.outcome
    }

    /// Writes inputs that HubSpot takes; the contact of each, in their order.
    async fn written(&self, inputs: &[Input]) -> Vec<String> {
        let outcome = self.write(inputs).await;
        let CallOutcome::Answered(results) = &outcome else { panic!("{outcome:?}") };
        assert_eq!(results.len(), inputs.len());
        let contact = |input: &Input| match results.get(input.user.as_str()) {
            Some(ItemResult::Written { contact_id }) => contact_id.clone(),
            other => panic!("{other:?}"),
        };
        inputs.iter().map(contact).collect()
    }

    /// Whose the contacts at these addresses are; nothing is left open.
    async fn owners(&self, addresses: &[Address]) -> BTreeMap<String, Option<String>> {
        let owners = self.crm.owners(addresses, TRACE).await.unwrap();
        assert!(owners.is_complete, "{owners:?}");
        owners.found
    }

    /// Writes one input that HubSpot refuses.
    async fn refused(&self) -> (Failure, Quota) {
        let Reply { outcome, quota } = self.crm.write(&[input(1, "a@example.org")], TRACE).await;
        let CallOutcome::Refused(failure) = outcome else { panic!("{outcome:?}") };
        (failure, quota)
    }

    /// One value of every contact.
    fn values(&self, name: &str) -> Vec<Option<String>> {
        let contacts = self.hubspot.contacts();
        contacts.iter().map(|contact| contact.properties.get(name).cloned()).collect()
    }

    fn calls(&self) -> usize {
        self.hubspot.calls().len()
    }

    /// Sets a fault.
    async fn fault(&self, fault: Value) {
        self.control("faults", fault).await;
    }

    /// An order at the local HubSpot's controls.
    async fn control(&self, path: &str, order: Value) {
        let body = order.to_string();
        let request = format!(
            "POST /_emulator/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Holds every call to HubSpot's published documents, if they lie beside the checkout.
    fn check_published(&self) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/facts/hubspot-openapi");
        let Some(published) = Published::load(Path::new(folder)) else {
            println!("skipped: HubSpot's OpenAPI documents are not beside the checkout");
            return;
        };
        // What a portal says about itself is in none of the published documents.
        let calls = self.hubspot.calls().into_iter();
        for call in calls.filter(|call| !call.path.starts_with("/account-info/")) {
            published.validate_request(&call.method, &call.path, &call.body_json()).unwrap();
        }
    }
}

fn user(number: u32) -> UserId {
    format!("usr_{number:032x}").parse().unwrap()
}

/// The identity of a user, addressed by our key.
fn input(number: u32, email: &str) -> Input {
    let user = user(number);
    Input {
        facets: vec![Facet::Identity],
        address: Address::UserId(user.clone()),
        properties: Properties::from([
            (schema::USER_ID, user.to_string()),
            (schema::EMAIL, email.to_owned()),
            (schema::JOINED_AT, "2026-11-21T06:00:00.000Z".to_owned()),
            (schema::LAST_SEEN_ON, "2026-11-21".to_owned()),
            (schema::MODULES_COMPLETED, number.to_string()),
        ]),
        user,
    }
}

fn addressed(address: Address, input: Input) -> Input {
    Input { address, ..input }
}

fn families() -> [ApiFamily; 3] {
    ["v3", "2026-03", "2026-09"].map(|api| api.parse().unwrap())
}

#[tokio::test]
async fn both_path_families_declare_create_update_and_read_as_published() {
    for api in families() {
        for key in [KeyKind::UserId, KeyKind::Email] {
            let portal = Setup { api: api.clone(), key, ..Setup::default() }.start().await;
            assert_eq!(portal.crm.capabilities().key_kind, key);
            portal.declare().await;
            portal.declare().await;

            let by_key = |number: u32, email: &str| match key {
                KeyKind::UserId => input(number, email),
                KeyKind::Email => addressed(Address::Email(email.to_owned()), input(number, email)),
            };
            let first = [by_key(1, "Ada@Example.org"), by_key(2, "bob@example.org")];
            let contacts = portal.written(&first).await;
            let again = portal.written(&[by_key(2, "bob@example.org"), by_key(3, "c@d.e")]).await;
            assert_eq!(again[0], contacts[1]);
            let mut renamed = input(1, "ADA@new.example");
            renamed.address = Address::ContactId(contacts[0].clone());
            assert_eq!(portal.written(&[renamed]).await, contacts[..1]);

            let emails = ["ada@new.example", "bob@example.org", "c@d.e"];
            assert_eq!(portal.values("email"), emails.map(|email| Some(email.to_owned())));
            let users = [1, 2, 3].map(|number| Some(user(number).to_string()));
            assert_eq!(portal.values(schema::USER_ID), users);

            let known = Address::ContactId(contacts[0].clone());
            let asked = [known.clone(), Address::ContactId("1".to_owned())];
            let ada = (contacts[0].clone(), Some(user(1).to_string()));
            assert_eq!(portal.owners(&asked).await, BTreeMap::from([ada]));

            let bob = by_key(2, "bob@example.org").address;
            for (address, contact, kind) in [
                (bob, &contacts[1], RemovalKind::Erase),
                (known, &contacts[0], RemovalKind::Archive),
            ] {
                let found = portal.owners(std::slice::from_ref(&address)).await;
                assert_eq!(found.keys().collect::<Vec<_>>(), [contact]);
                for _twice in 0..2 {
                    let outcome = portal.crm.remove(contact, kind, TRACE).await.outcome;
                    assert_eq!(outcome, CallOutcome::Answered(BTreeMap::new()), "{kind:?}");
                    assert_eq!(
                        portal.owners(std::slice::from_ref(&address)).await,
                        BTreeMap::new()
                    );
                }
            }
            let left = portal.hubspot.contacts();
            let left = left.iter().map(|contact| (contact.id.as_str(), contact.archived));
            let archived = (contacts[0].as_str(), true);
            assert_eq!(left.collect::<Vec<_>>(), [archived, (again[1].as_str(), false)]);
            assert_eq!(portal.hubspot.violations(), []);
            portal.check_published();
        }
    }
}

#[tokio::test]
async fn one_bad_input_never_blocks_the_others_and_shuffled_results_find_their_users() {
    for shuffle_seed in 0..5 {
        let settings = local::Settings { shuffle_seed, ..local::Settings::default() };
        let portal = Setup { settings, ..Setup::default() }.ready().await;
        let message = "no name for y@z.example";
        portal
            .fault(json!({"kind": "partial_at", "indices": [42], "category": "CONFLICT",
                          "message": message}))
            .await;
        let inputs: Vec<Input> =
            (0..100).map(|number| input(number, &format!("{number}@example.org"))).collect();
        let outcome = portal.write(&inputs).await;
        let CallOutcome::Answered(mut results) = outcome else { panic!("{outcome:?}") };
        let failure = Failure {
            status: ITEM,
            category: "CONFLICT".to_owned(),
            message: "no name for …".to_owned(),
            ..Failure::default()
        };
        assert_eq!(results.remove(user(42).as_str()), Some(ItemResult::Failed(failure)));
        let written = results.into_iter().map(|(trace_id, result)| match result {
            ItemResult::Written { contact_id } => (contact_id, trace_id),
            ItemResult::Failed(failure) => panic!("{trace_id}: {failure:?}"),
        });
        let held =
            portal.hubspot.contacts().into_iter().map(|mut contact| {
                (contact.id, contact.properties.remove(schema::USER_ID).unwrap())
            });
        assert_eq!(written.collect::<BTreeMap<_, _>>(), held.collect());
    }
}

#[tokio::test]
async fn a_contact_that_was_there_before_us_can_be_adopted() {
    let portal = Setup::default().ready().await;
    let mut stranger = input(9, "ada@example.org");
    stranger.address = Address::Email("ada@example.org".to_owned());
    stranger.properties.remove(schema::USER_ID);
    let contacts = portal.written(&[stranger]).await;

    let outcome = portal.write(&[input(1, "ada@example.org"), input(2, "bob@example.org")]).await;
    let CallOutcome::Answered(results) = outcome else { panic!("{outcome:?}") };
    let Some(ItemResult::Failed(failure)) = results.get(user(1).as_str()) else {
        panic!("{results:?}")
    };
    assert_eq!(classify(failure), Class::AdoptExistingId);
    assert_eq!(existing_id(failure).as_ref(), contacts.first());
    assert!(matches!(results.get(user(2).as_str()), Some(ItemResult::Written { .. })));

    let address = Address::ContactId(contacts[0].clone());
    let free = portal.owners(std::slice::from_ref(&address)).await;
    assert_eq!(free, BTreeMap::from([(contacts[0].clone(), None)]));
    let adopting = addressed(address, input(1, "ada@example.org"));
    assert_eq!(portal.written(&[adopting]).await, contacts);
    assert_eq!(portal.written(&[input(1, "ada@example.org")]).await, contacts);
}

#[tokio::test]
async fn milestones_are_told_once_in_both_path_families_as_published() {
    for api in families() {
        let portal = Setup { api, ..Setup::default() }.ready().await;
        let contacts = portal.written(&[input(1, "ada@example.org")]).await;
        let (namespace, _) = portal.crm.events_namespace(TRACE).await.unwrap();
        let at = "2026-11-21T06:00:00Z".parse().unwrap();
        let told: Vec<(Milestone, String)> = MilestoneKind::ALL
            .map(|kind| {
                let subject = match kind.facet() {
                    Facet::Learning => "first-steps",
                    Facet::Identity => "",
                };
                (Milestone::about(&user(1), kind, subject, at), contacts[0].clone())
            })
            .to_vec();
        let unknown = portal.crm.tell(&namespace, &told, TRACE).await.outcome;
        let CallOutcome::Refused(failure) = unknown else { panic!("{unknown:?}") };
        assert!(failure.message.contains("does not exist"), "{failure:?}");
        for _twice in 0..2 {
            for event in EVENTS {
                let reply = portal.crm.declare_event(event, TRACE).await;
                assert_eq!(reply.outcome, CallOutcome::Answered(BTreeMap::new()), "{event:?}");
            }
            let reply = portal.crm.tell(&namespace, &told, TRACE).await;
            assert_eq!(reply.outcome, CallOutcome::Answered(BTreeMap::new()));
        }
        let events: Vec<_> = portal.hubspot.events();
        let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(
            names,
            EVENTS.iter().map(|e| format!("{namespace}{}", e.name)).collect::<Vec<_>>()
        );
        assert!(events.iter().all(|event| event.key == format!("id:{}", contacts[0])));
        let learned = events.iter().filter(|event| {
            event.properties.get("rollcall_subject").map(String::as_str) == Some("first-steps")
        });
        assert_eq!(learned.count(), MilestoneKind::ALL.len() - 3);
        assert_eq!(portal.hubspot.violations(), []);
        portal.check_published();
    }
}

#[tokio::test]
async fn a_portal_without_custom_events_says_so() {
    let settings = local::Settings { custom_events: false, ..local::Settings::default() };
    let portal = Setup { settings, ..Setup::default() }.ready().await;
    let outcome = portal.crm.declare_event(&EVENTS[0], TRACE).await.outcome;
    let CallOutcome::Refused(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.status, 403);
}

#[tokio::test]
async fn a_contact_that_is_gone_fails_alone() {
    let portal = Setup::default().ready().await;
    let gone = addressed(Address::ContactId("1".to_owned()), input(1, "ada@example.org"));
    let outcome = portal.write(&[gone]).await;
    let CallOutcome::Answered(results) = outcome else { panic!("{outcome:?}") };
    let Some(ItemResult::Failed(failure)) = results.get(user(1).as_str()) else {
        panic!("{results:?}")
    };
    assert_eq!(classify(failure), Class::RetryAfter(Retry::ByKey));
}

#[tokio::test]
async fn a_portal_that_refuses_unique_keys_is_served_by_email() {
    let settings =
        || local::Settings { unique_keys_on_contacts: false, ..local::Settings::default() };
    let portal = Setup { settings: settings(), ..Setup::default() }.start().await;
    portal.crm.declare(&SCHEMA, SchemaPart::Group, TRACE).await;
    let reply = portal.crm.declare(&SCHEMA, SchemaPart::Properties, TRACE).await;
    let CallOutcome::Refused(failure) = reply.outcome else { panic!("{reply:?}") };
    assert_eq!(failure.category, "VALIDATION_ERROR");
    let (failure, _) = portal.refused().await;
    assert_eq!(classify(&failure), Class::PausePortal(PauseReason::Unusable));

    let portal = Setup { settings: settings(), key: KeyKind::Email, ..Setup::default() };
    let portal = portal.ready().await;
    let by_email = addressed(Address::Email("Ada@Example.org".to_owned()), input(1, "a@b.c"));
    let mut by_email = vec![by_email];
    by_email[0].properties.insert(schema::EMAIL, "Ada@Example.org".to_owned());
    let contacts = portal.written(&by_email).await;
    assert_eq!(portal.written(&by_email).await, contacts);
    assert_eq!(portal.values("email"), [Some("ada@example.org".to_owned())]);
    portal.check_published();
}

#[tokio::test]
async fn a_call_that_is_refused_as_a_whole_says_why_without_addresses() {
    let portal = Setup::default().ready().await;
    let same = Address::Email("a@example.org".to_owned());
    let twice = [
        addressed(same.clone(), input(1, "a@example.org")),
        addressed(Address::Email("A@example.org".to_owned()), input(2, "a@example.org")),
    ];
    let CallOutcome::Refused(failure) = portal.write(&twice).await else { panic!() };
    assert_eq!(failure.status, 400);
    assert_eq!(failure.category, "VALIDATION_ERROR");
    assert!(failure.message.starts_with("Duplicate IDs found"), "{}", failure.message);
    assert!(!failure.message.contains("example"), "{}", failure.message);

    let portal = Setup::default().start().await;
    let by_email = [addressed(same, input(1, "a@example.org"))];
    let CallOutcome::Answered(results) = portal.write(&by_email).await else { panic!() };
    let Some(ItemResult::Failed(failure)) = results.get(user(1).as_str()) else { panic!() };
    assert_eq!(classify(failure), Class::FixSchema);
}

#[tokio::test]
async fn refusals_of_the_whole_portal_arrive_at_the_classifier() {
    use PauseReason::{DailyLimit, Lock, Migration, Outage, Permission, RateLimit, Unusable};
    let portal = Setup::default().ready().await;
    let retry = |reason| Class::RetryAfter(Retry::Portal(reason));
    let daily = json!({"policyName": "DAILY", "message": "You have reached your daily limit."});
    let rolling = json!({"policyName": "TEN_SECONDLY_ROLLING"});
    for (status, retry_after, body, class) in [
        (302, None, Value::Null, Class::PausePortal(Unusable)),
        (401, None, Value::Null, Class::RefreshCredentials),
        (403, None, Value::Null, Class::PausePortal(Permission)),
        (404, None, Value::Null, Class::PausePortal(Unusable)),
        (423, None, Value::Null, retry(Lock)),
        (429, None, daily, retry(DailyLimit)),
        (429, Some(7), rolling, retry(RateLimit)),
        (477, Some(3_600), Value::Null, retry(Migration)),
        (500, None, Value::Null, retry(Outage)),
        (503, Some(5), json!("<html>"), retry(Outage)),
        (522, None, Value::Null, Class::PausePortal(Unusable)),
    ] {
        let mut headers = json!({"location": "/crm/v3/objects/contacts/batch/upsert"});
        if let Some(seconds) = retry_after {
            headers["retry-after"] = json!(seconds.to_string());
        }
        let body = Some(body).filter(|body| !body.is_null());
        portal
            .fault(json!({"kind": "status", "status": status, "headers": headers, "body": body,
                          "count": 1}))
            .await;
        let before = portal.calls();
        let (failure, quota) = portal.refused().await;
        assert_eq!(failure.status, status);
        assert_eq!(classify(&failure), class, "{status}");
        assert_eq!(failure.retry_after, retry_after.map(SignedDuration::from_secs), "{status}");
        assert_eq!(quota.limit, Some((190, 10_000)), "{status}");
        assert_eq!(portal.calls(), before + 1, "{status}");
    }
    assert_eq!(portal.hubspot.contacts(), []);
}

#[tokio::test]
async fn both_generations_of_429_tell_the_limit_and_what_is_left_of_it() {
    for error_generation in [local::ErrorGeneration::Legacy, local::ErrorGeneration::Current] {
        let settings = local::Settings {
            error_generation,
            burst_limit: Some(3),
            daily_limit: Some(1_000),
            retry_after_on_429: true,
            ..local::Settings::default()
        };
        let portal = Setup { settings, ..Setup::default() }.ready().await;
        let reply = portal.crm.write(&[input(1, "a@example.org")], TRACE).await;
        let used_up =
            Quota { limit: Some((3, 10_000)), remaining: Some(0), daily: Some((1_000, 997)) };
        assert_eq!(reply.quota, used_up);
        let (failure, quota) = portal.refused().await;
        assert_eq!(quota, used_up);
        assert_eq!(failure.policy, "TEN_SECONDLY_ROLLING");
        assert!(["RATE_LIMIT", "RATE_LIMITS"].contains(&failure.category.as_str()));
        let seconds = failure.retry_after.unwrap().as_secs();
        assert!((1..=10).contains(&seconds), "{seconds}");
    }
}

/// A fault in which an upsert ends as unknown, and how many contacts there are afterwards.
async fn check_unknown(fault: Value, contacts: usize) {
    let portal = Setup::default().ready().await;
    let named: String = fault.to_string().chars().take(120).collect();
    portal.fault(fault).await;
    let before = portal.calls();
    let outcome = portal.write(&[input(1, "a@example.org")]).await;
    assert_eq!(outcome, CallOutcome::Unknown, "{named}");
    assert_eq!(portal.calls(), before + 1, "{named}");
    assert_eq!(portal.hubspot.contacts().len(), contacts, "{named}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_understood_leaves_the_call_unknown() {
    check_unknown(json!({"kind": "drop_after_commit"}), 1).await;
    check_unknown(json!({"kind": "drop_before"}), 0).await;
    check_unknown(json!({"kind": "empty_results"}), 0).await;
    check_unknown(json!({"kind": "empty_results", "status": 207}), 0).await;
    let status =
        |status: u16, body: Value| json!({"kind": "status", "status": status, "body": body});
    let result = json!({"id": "501", "objectWriteTraceId": user(1)});
    check_unknown(status(200, json!("<html>")), 0).await;
    check_unknown(status(200, json!({"results": [{"id": "501"}]})), 0).await;
    let long = "x".repeat(5 * 1024 * 1024);
    check_unknown(status(200, json!({"results": [result], "x": long})), 0).await;
    for gateway in [502, 504, 520, 524] {
        check_unknown(status(gateway, Value::Null), 0).await;
    }
}

#[tokio::test]
async fn reading_owners_removing_and_declaring_fail_in_the_same_ways() {
    let portal = Setup::default().ready().await;
    let contact = [Address::ContactId("501".to_owned())];
    for (fault, expected) in [
        (json!({"kind": "drop_before", "count": 5}), CallOutcome::Unknown),
        (json!({"kind": "status", "status": 200, "count": 5}), CallOutcome::Unknown),
    ] {
        portal.fault(fault).await;
        let owners = portal.crm.owners(&contact, TRACE).await;
        assert_eq!(owners.map_err(|reply| reply.outcome), Err(expected.clone()));
        for kind in RemovalKind::ALL {
            assert_eq!(portal.crm.remove("501", kind, TRACE).await.outcome, expected);
        }
        for part in [SchemaPart::Group, SchemaPart::Properties] {
            assert_eq!(portal.crm.declare(&SCHEMA, part, TRACE).await.outcome, expected);
        }
    }
    portal.fault(json!({"kind": "empty_results"})).await;
    let owners = portal.crm.owners(&contact, TRACE).await;
    assert_eq!(owners.map_err(|reply| reply.outcome), Err(CallOutcome::Unknown));
}

#[tokio::test]
async fn a_hubspot_that_does_not_listen_was_sent_nothing() {
    let portal = Setup::default().start().await;
    let unused = Server::bind(0).await.unwrap().base_url();
    let settings = Settings { base_url: unused, api: ApiFamily::Undated, key: KeyKind::UserId };
    let tokens = Arc::new(Tokens(Mutex::new(vec![TOKEN])));
    let crm = HubSpotCrm::new(&settings, tokens).unwrap();
    let inputs = [input(1, "a@example.org")];
    let nothing = Reply { outcome: CallOutcome::NotSent, quota: Quota::default() };
    assert_eq!(crm.write(&inputs, TRACE).await, nothing);
    assert_eq!(crm.declare(&SCHEMA, SchemaPart::Group, TRACE).await, nothing);
    let contact = Address::ContactId("1".to_owned());
    assert_eq!(crm.owners(&[contact], TRACE).await, Err(nothing));
    // Nor does a call without inputs go out.
    assert_eq!(portal.write(&[]).await, CallOutcome::Answered(BTreeMap::new()));
    assert_eq!(portal.calls(), 0);
}

#[tokio::test]
async fn a_token_that_was_replaced_is_renewed_and_a_missing_scope_is_told_apart() {
    let portal = Setup { tokens: vec![TOKEN, "pat-na1-old"], ..Setup::default() }.start().await;
    let reply = portal.crm.declare(&SCHEMA, SchemaPart::Group, TRACE).await;
    let CallOutcome::Refused(failure) = reply.outcome else { panic!("{reply:?}") };
    assert_eq!(classify(&failure), Class::RefreshCredentials);
    assert!(portal.crm.renew_credentials().await);
    portal.declare().await;
    assert!(!portal.crm.renew_credentials().await);

    let scopes = local::Scopes::List(["crm.objects.contacts.read".to_owned()].into());
    let portal = Setup { scopes, ..Setup::default() }.start().await;
    let (failure, _) = portal.refused().await;
    assert_eq!(failure.category, "MISSING_SCOPES");
    assert_eq!(classify(&failure), Class::PausePortal(PauseReason::Permission));
}

/// All pages of contacts.
async fn listed(portal: &Portal) -> Vec<ContactView> {
    let (mut contacts, mut after) = (Vec::new(), None::<String>);
    loop {
        let (page, _) = portal.crm.page(after.as_deref(), TRACE).await.unwrap();
        contacts.extend(page.contacts);
        after = page.next;
        if after.is_none() {
            return contacts;
        }
    }
}

#[tokio::test]
async fn contacts_are_listed_read_and_released_as_published() {
    for api in families() {
        let portal = Setup { api, ..Setup::default() }.ready().await;
        let inputs: Vec<Input> = (0..130).map(|n| input(n, &format!("p{n}@example.org"))).collect();
        let mut ids = portal.written(&inputs[..100]).await;
        ids.extend(portal.written(&inputs[100..]).await);
        let contacts = listed(&portal).await;
        let found: Vec<&String> = contacts.iter().map(|contact| &contact.id).collect();
        assert_eq!(found, ids.iter().collect::<Vec<_>>());
        assert_eq!(contacts[7].properties[schema::MODULES_COMPLETED], "7");
        assert_eq!(contacts[7].owner(), Some(user(7).as_str()));

        let merge = json!({"primary_id": ids[0], "merged_id": ids[1]});
        portal.control("merge", merge).await;
        for (addresses, count) in [
            (vec![Address::UserId(user(0)), Address::UserId(user(1))], 1),
            (vec![Address::ContactId(ids[0].clone()), Address::ContactId("1".to_owned())], 1),
            (vec![Address::Email("P2@example.org".to_owned())], 1),
        ] {
            let (read, _) = portal.crm.read(&addresses, TRACE).await.unwrap();
            assert_eq!((read.contacts.len(), read.is_complete), (count, true), "{addresses:?}");
        }
        let (read, _) =
            portal.crm.read(&[Address::ContactId(ids[0].clone())], TRACE).await.unwrap();
        assert!(ids[..2].iter().all(|id| read.contacts[0].merged.contains(id)), "{read:?}");

        let gone = vec![ids[2].clone(), "1".to_owned()];
        portal.crm.release(&gone, TRACE).await.unwrap();
        let (read, _) =
            portal.crm.read(&[Address::ContactId(ids[2].clone())], TRACE).await.unwrap();
        let left = &read.contacts[0].properties;
        assert!(left.contains_key(schema::EMAIL), "{left:?}");
        assert!(!left.keys().any(|name| name.starts_with("rollcall_")), "{left:?}");
        assert_eq!(portal.hubspot.violations(), []);
        portal.check_published();
    }
}

#[tokio::test]
async fn definitions_are_read_as_published() {
    for api in families() {
        let portal = Setup { api, ..Setup::default() }.ready().await;
        let (groups, _) = portal.crm.groups(TRACE).await.unwrap();
        assert!(groups.contains(SCHEMA.group), "{groups:?}");
        let (properties, _) = portal.crm.properties(TRACE).await.unwrap();
        for ours in SCHEMA.properties.iter().filter(|ours| ours.origin == Origin::Ours) {
            let found = properties.iter().find(|found| found.name == ours.name).unwrap();
            let expected = (ours.kind.stored_as(), ours.unique, SCHEMA.group, ours.label);
            let found = (
                found.stored_as.as_str(),
                found.unique,
                found.group.as_str(),
                found.label.as_str(),
            );
            assert_eq!(found, expected);
        }
        let (none, _) = portal.crm.events(None, TRACE).await.unwrap();
        assert_eq!(none, Some(EventsPage::default()));
        for event in EVENTS {
            portal.crm.declare_event(event, TRACE).await;
        }
        let (some, _) = portal.crm.events(None, TRACE).await.unwrap();
        let names: BTreeSet<String> = some.unwrap().names.into_iter().collect();
        assert_eq!(names, EVENTS.iter().map(|event| event.name.to_owned()).collect());
        assert_eq!(portal.hubspot.violations(), []);
        portal.check_published();
    }
    let settings = local::Settings { custom_events: false, ..local::Settings::default() };
    let portal = Setup { settings, ..Setup::default() }.start().await;
    assert_eq!(portal.crm.events(None, TRACE).await.unwrap().0, None);
}

#[tokio::test]
async fn an_answer_about_contacts_that_says_nothing_is_none() {
    let portal = Setup::default().ready().await;
    let contact = [Address::ContactId("501".to_owned())];
    for fault in
        [json!({"kind": "empty_results", "count": 2}), json!({"kind": "drop_before", "count": 3})]
    {
        portal.fault(fault).await;
        let read = portal.crm.read(&contact, TRACE).await;
        assert_eq!(read.map_err(|reply| reply.outcome), Err(CallOutcome::Unknown));
        let released = portal.crm.release(&["501".to_owned()], TRACE).await;
        assert_eq!(released.map_err(|reply| reply.outcome), Err(CallOutcome::Unknown));
    }
    let page = portal.crm.page(None, TRACE).await;
    assert_eq!(page.map_err(|reply| reply.outcome), Err(CallOutcome::Unknown));
}
