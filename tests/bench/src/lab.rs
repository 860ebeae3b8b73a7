//! A portal in which others act as well, and its reconciliation.

use std::sync::Arc;
use std::time::Duration;

use rollcall_crm::reconcile::work::{Reconciler, Stopped};
use rollcall_crm::reconcile::{Policy, Reconciliation};
use rollcall_crm::turns::{Share, Turns};
use rollcall_domain::id::ReconciliationId;
use rollcall_domain::random::SeededRandom;
use rollcall_local_hubspot::Tier;
use serde_json::Value;

use crate::{Bench, Setup, TOKEN, Waiting};

/// Invocations until something must be through.
const INVOCATIONS_MAX: usize = 100_000;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(100);

/// A portal, and a reconciler that compares it with our users. Time jumps to the end of each pause.
pub struct Lab {
    /// The portal and the engine.
    pub bench: Bench,
    reconciler: Reconciler,
    random: Arc<SeededRandom>,
    http: reqwest::Client,
}

impl Lab {
    /// An empty portal.
    pub async fn start(setup: Setup) -> Self {
        let bench = Bench::start_as(setup, Tier::Professional, Waiting::Jumps).await;
        let (memory, random) = (&bench.memory, Arc::new(SeededRandom::new(3)));
        let turns = Turns {
            budget: Arc::clone(memory) as _,
            clock: Arc::clone(memory) as _,
            sleep: Arc::clone(memory) as _,
            random: Arc::clone(&random) as _,
            share: Share::Leftover,
        };
        let reconciler = Reconciler {
            crm: Arc::clone(&bench.crm) as _,
            turns,
            users: Arc::clone(memory) as _,
            source: Arc::clone(memory) as _,
            store: Arc::clone(memory) as _,
            pending: Arc::clone(memory) as _,
            nudge: Arc::clone(memory) as _,
        };
        Self { bench, reconciler, random, http: client() }
    }

    /// Compares all users with the portal, and lets repairs be made.
    pub async fn reconcile(&self, policy: Policy) -> Reconciliation {
        let (memory, now) = (&self.bench.memory, self.bench.now());
        let id = ReconciliationId::new(now, &*self.random);
        memory.begin(Reconciliation::begin(id, policy, false, "bench".to_owned(), now));
        for _invocation in 0..INVOCATIONS_MAX {
            let Ok(report) = self.reconciler.work(self.bench.deadline()).await else {
                assert!(memory.has_failed(), "nothing else fails");
                continue;
            };
            match report.stopped {
                Stopped::Idle => break,
                Stopped::Backlog => {
                    self.bench.drain().await;
                }
                Stopped::Time | Stopped::Crm | Stopped::Overtaken => {
                    self.bench.clock.advance(PAUSE);
                }
            }
        }
        self.bench.drain().await;
        let last = memory.last().filter(|run| run.finished_at.is_some());
        last.expect("the reconciliation is through")
    }

    /// A call as whoever else uses the portal; long after the one before, so that it costs nobody a turn.
    pub async fn ask(&self, path: &str, body: &Value) -> Value {
        self.bench.clock.advance(PAUSE);
        let url = format!("{}{path}", self.bench.base_url);
        let sent = self.http.post(url).bearer_auth(TOKEN).json(body).send().await;
        let answer = sent.expect("the portal answers");
        let status = answer.status();
        let text = answer.text().await.expect("the answer is whole");
        assert!(status.is_success(), "{path} {body}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement has no product's room")]
fn client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the default protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls);
    client.build().expect("a client can be made")
}
