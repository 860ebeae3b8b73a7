#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "this crate exists for measurements, where a broken expectation is a failed one"
)]
//! What the sync's figures are measured with: the real engine and the real HubSpot client over HTTP,
//! against a local HubSpot, with the other ports in memory.

mod lab;
mod memory;

use std::sync::Arc;

use async_trait::async_trait;
use rollcall_crm::engine::{Engine, Ports};
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::random::{Random, SeededRandom};
use rollcall_domain::secret::Secret;
use rollcall_domain::time::{Clock, SignedDuration, Timestamp, after};
use rollcall_hubspot::{HubSpotCrm, TokenSource};
use rollcall_local_hubspot::{HubSpot, Options, Scopes, Settings, Tier, Token};
use rollcall_local_kit::{LocalClock, Server, Shutdown};

pub use lab::Lab;
pub use memory::{Memory, Waiting};

const TOKEN: &str = "pat-bench";

/// A portal, and an engine that speaks to it.
pub struct Bench {
    /// The portal.
    pub hubspot: HubSpot,
    /// Everything but the CRM.
    pub memory: Arc<Memory>,
    /// The engine.
    pub engine: Engine,
    clock: LocalClock,
    crm: Arc<HubSpotCrm>,
    base_url: String,
    shutdown: Shutdown,
}

/// How a portal is spoken to.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Which paths: a version, or `v3`.
    pub api: &'static str,
    /// The property by which contacts are found.
    pub key: &'static str,
}

impl Bench {
    /// A portal of `tier`; `waiting` says what the engine does with its pauses.
    pub async fn start(tier: Tier, waiting: Waiting) -> Self {
        let setup = Setup { api: "2026-09", key: "rollcall_user_id" };
        Self::start_as(setup, tier, waiting).await
    }

    /// A portal of `tier` that is spoken to like this.
    pub async fn start_as(setup: Setup, tier: Tier, waiting: Waiting) -> Self {
        let clock = LocalClock::new();
        let server = Server::bind(0).await.expect("there is a free port");
        let base_url = format!("http://{}", server.address());
        let unique_keys_on_contacts = setup.key != "email";
        let settings = Settings { tier, unique_keys_on_contacts, ..Settings::default() };
        let hubspot = HubSpot::open(Options {
            folder: None,
            clock: clock.clone(),
            base_url: base_url.clone(),
            tokens: vec![Token { value: TOKEN.to_owned(), scopes: Scopes::All }],
            settings,
        })
        .expect("the local HubSpot opens");
        let shutdown = Shutdown::new();
        drop(server.serve(hubspot.router(), shutdown.clone()));
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
        let memory = Arc::new(Memory::new(clock.clone(), waiting));
        let settings = rollcall_hubspot::Settings::parse(&base_url, setup.api, setup.key);
        let crm = settings.and_then(|settings| HubSpotCrm::new(&settings, Arc::new(Fixed)));
        let crm = Arc::new(crm.expect("the client can be built"));
        let ports = Ports {
            crm: Arc::clone(&crm) as _,
            source: Arc::clone(&memory) as _,
            ledger: Arc::clone(&memory) as _,
            pending: Arc::clone(&memory) as _,
            milestones: Arc::clone(&memory) as _,
            budget: Arc::clone(&memory) as _,
            nudge: Arc::clone(&memory) as _,
            clock: Arc::clone(&memory) as _,
            sleep: Arc::clone(&memory) as _,
            random,
        };
        let engine = Engine::new(ports, "bench");
        Self { hubspot, memory, engine, clock, crm, base_url, shutdown }
    }

    /// The time here.
    pub fn now(&self) -> Timestamp {
        self.memory.now()
    }

    /// When an invocation that begins now would be killed.
    pub fn deadline(&self) -> Timestamp {
        after(self.now(), SignedDuration::from_secs(60))
    }

    /// Drains until nothing waits; returns the calls that took.
    pub async fn drain(&self) -> usize {
        let mut calls = 0;
        while self.memory.waits() {
            let report = self.engine.drain(self.deadline()).await;
            assert!(report.error.is_none(), "{:?}", report.error);
            calls += report.calls;
            self.clock.advance(std::time::Duration::from_millis(100));
        }
        calls
    }

    /// Every user has one contact, nobody else has one, and HubSpot was not misused.
    pub fn verify(&self, users: &[UserId]) {
        let contacts = self.hubspot.contacts();
        assert_eq!(contacts.len(), users.len(), "contacts and users");
        let mut owners: Vec<String> = contacts
            .into_iter()
            .filter_map(|contact| contact.properties.get("rollcall_user_id").cloned())
            .collect();
        owners.sort_unstable();
        let mut expected: Vec<String> = users.iter().map(ToString::to_string).collect();
        expected.sort_unstable();
        assert!(owners == expected, "each user has a contact of their own");
        let violations = self.hubspot.violations();
        assert!(violations.is_empty(), "HubSpot was misused: {violations:#?}");
    }

    /// Stops the portal.
    pub fn stop(&self) {
        self.shutdown.begin();
    }
}

struct Fixed;

#[async_trait]
impl TokenSource for Fixed {
    async fn token(&self) -> Result<Secret, PortError> {
        Ok(Secret::new(TOKEN.to_owned()))
    }

    async fn renew(&self) -> bool {
        false
    }
}
