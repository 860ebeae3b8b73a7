//! Tokens under concurrency, at their end, refused, and while HubSpot is away.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use futures::future::join_all;
use rollcall_local_hubspot::{HubSpot, Installation, Options};
use rollcall_local_kit::{LocalClock, Server, Shutdown};

use super::*;

const LIFE_SECONDS: i64 = 1_800;

/// A clock that tests move.
struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// The app's secrets; the refresh token that is read anew is another one.
struct Known {
    cached: &'static str,
    anew: &'static str,
    reads: AtomicUsize,
}

#[async_trait]
impl AppSecrets for Known {
    async fn client_secret(&self) -> Result<Secret, PortError> {
        Ok(Secret::new("app-secret"))
    }

    async fn refresh_token(&self, anew: bool) -> Result<Secret, PortError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(Secret::new(if anew { self.anew } else { self.cached }))
    }
}

struct World {
    hubspot: HubSpot,
    clock: Arc<Moved>,
    tokens: OAuthTokens,
    base_url: String,
    shutdown: Shutdown,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

async fn world(cached: &'static str, anew: &'static str) -> World {
    let server = Server::bind(0).await.unwrap();
    let base_url = format!("http://localhost:{}", server.address().port());
    let hubspot = HubSpot::open(Options {
        folder: None,
        clock: LocalClock::new(),
        base_url: base_url.clone(),
        tokens: Vec::new(),
        settings: rollcall_local_hubspot::Settings::default(),
    })
    .unwrap();
    hubspot.install(Installation {
        client_id: "app".to_owned(),
        client_secret: "app-secret".to_owned(),
        refresh_token: "refresh-1".to_owned(),
        life_seconds: LIFE_SECONDS.unsigned_abs(),
    });
    let shutdown = Shutdown::new();
    server.serve(hubspot.router(), shutdown.clone());
    let settings = Settings::parse(&base_url, "2026-09", "rollcall_user_id").unwrap();
    let clock = Arc::new(Moved(AtomicI64::new(0)));
    let secrets = Known { cached, anew, reads: AtomicUsize::new(0) };
    let shared: Arc<dyn Clock> = Arc::<Moved>::clone(&clock);
    let tokens = OAuthTokens::new(&settings, "app", Arc::new(secrets), shared).unwrap();
    World { hubspot, clock, tokens, base_url, shutdown }
}

impl World {
    fn refreshes(&self) -> usize {
        self.hubspot.calls().iter().filter(|call| call.path.starts_with("/oauth/")).count()
    }
}

#[tokio::test]
async fn of_many_calls_at_once_one_refreshes_and_all_get_its_token() {
    let world = world("refresh-1", "refresh-1").await;
    let tokens = join_all((0..50).map(|_| world.tokens.token())).await;
    let first = tokens[0].as_ref().unwrap().expose().to_owned();
    assert!(tokens.iter().all(|token| token.as_ref().unwrap().matches(&first)));
    assert_eq!(world.refreshes(), 1);
    // A minute before its end it is replaced.
    for (second, refreshes) in
        [(LIFE_SECONDS - MARGIN_SECONDS - 1, 1), (LIFE_SECONDS - MARGIN_SECONDS, 2)]
    {
        world.clock.0.store(second, Ordering::SeqCst);
        let token = world.tokens.token().await.unwrap();
        assert_eq!((world.refreshes(), token.matches(&first)), (refreshes, refreshes == 1));
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_for_all_who_were_refused() {
    let world = world("refresh-1", "refresh-1").await;
    let first = world.tokens.token().await.unwrap();
    world.clock.0.store(60, Ordering::SeqCst);
    let renewed = join_all((0..10).map(|_| world.tokens.renew())).await;
    assert!(renewed.into_iter().all(|renewed| renewed));
    assert_eq!(world.refreshes(), 2);
    assert!(!world.tokens.token().await.unwrap().matches(first.expose()));
}

#[tokio::test]
async fn a_dead_refresh_token_is_a_refusal_until_somebody_replaces_it() {
    let world = world("dead", "refresh-1").await;
    for _ in 0..3 {
        let refused = world.tokens.token().await.unwrap_err();
        assert_eq!(refused.class, PortErrorClass::Rejected);
    }
    assert_eq!(world.refreshes(), 1, "nobody insists");
    assert!(world.tokens.renew().await);
    assert!(world.tokens.token().await.is_ok());
}

#[tokio::test]
async fn while_hubspot_is_away_the_token_at_hand_is_used_to_its_end() {
    let world = world("refresh-1", "refresh-1").await;
    let first = world.tokens.token().await.unwrap();
    let faults = format!("{}/_emulator/faults", world.base_url);
    let outage = serde_json::json!({ "kind": "outage" });
    world.tokens.client.post(faults).json(&outage).send().await.unwrap();
    for (second, lives) in [(LIFE_SECONDS - 1, true), (LIFE_SECONDS, false)] {
        world.clock.0.store(second, Ordering::SeqCst);
        let token = world.tokens.token().await;
        assert_eq!(token.is_ok_and(|token| token.matches(first.expose())), lives, "{second}");
    }
}
