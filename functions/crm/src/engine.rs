//! The sync engine over the real ports.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rollcall_crm::engine::{Engine, Ports};
use rollcall_crm::finder::Finder;
use rollcall_crm::port::{Crm, KeyKind, Sleep};
use rollcall_crm::turns::{Share, Turns};
use rollcall_domain::port::PortError;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_feed::{Feed, KeySource, Lines, Webhook};
use rollcall_hubspot::{HubSpotCrm, OAuthTokens, Settings, SettingsError, TokenSource};
use rollcall_resources::{Grant, Queue, SecretName};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Startup, StartupError};
use rollcall_secrets::SecretReader;
use rollcall_store::Capability;
use rollcall_store::badges::BadgeLister;
use rollcall_store::catalog::CatalogReader;
use rollcall_store::certificates::CertificateLister;
use rollcall_store::crm::{CrmTable, UserStates};
use rollcall_store::learner::LearnerReader;
use rollcall_store::users::UserReader;

use crate::settings::{
    self, CRM, FEED, HUBSPOT_API, HUBSPOT_CLIENT_ID, HUBSPOT_CREDENTIAL, HUBSPOT_KEY, HUBSPOT_URL,
    LINES, WEBHOOK,
};
use crate::token::{StoredApp, StoredToken};
use crate::waiting::DrainQueue;

/// What the engine may do besides what it may do with the table `crm`.
pub(crate) const STATES: [&[Grant]; 5] = [
    UserReader::GRANTS,
    LearnerReader::GRANTS,
    CatalogReader::GRANTS,
    BadgeLister::GRANTS,
    CertificateLister::GRANTS,
];
/// To wake the drain, and to call the CRM.
pub(crate) const CALLS: &[Grant] = &[Grant::send(Queue::CrmDrain), CREDENTIALS[0], CREDENTIALS[1]];
/// To prove to HubSpot who calls.
pub(crate) const CREDENTIALS: [Grant; 2] =
    [Grant::secret(SecretName::HubSpotToken), Grant::secret(SecretName::HubSpotClientSecret)];

/// To sign what goes to another system than HubSpot.
pub(crate) const FEED_KEY: &[Grant] = &[Grant::secret(SecretName::FeedKey)];

/// The engine over `table` and the CRM.
pub(crate) fn new(startup: &Startup, table: &Arc<CrmTable>) -> Result<Engine, StartupError> {
    let clock = startup.clock();
    let source = states(startup)?;
    let ports = Ports {
        crm: crm(startup)?,
        source: Arc::new(source),
        ledger: Arc::<CrmTable>::clone(table),
        pending: Arc::<CrmTable>::clone(table),
        milestones: Arc::<CrmTable>::clone(table),
        budget: Arc::<CrmTable>::clone(table),
        nudge: Arc::new(DrainQueue::new(startup)?),
        sleep: Arc::new(TokioSleep { clock: Arc::clone(&clock) }),
        clock,
        random: startup.random(),
    };
    Ok(Engine::new(ports, env!("CARGO_PKG_VERSION")))
}

/// The system that the sync speaks to.
fn crm(startup: &Startup) -> Result<Arc<dyn Crm>, StartupError> {
    let feed = startup.setting(&FEED)?;
    match startup.setting(&CRM)? {
        WEBHOOK => {
            let (reader, clock) = (startup.secret(SecretName::FeedKey)?, startup.clock());
            let webhook = Webhook::new(feed, Arc::new(FeedKeys { reader, clock }));
            let webhook = webhook.map_err(|error| unusable("the webhook endpoint", error))?;
            Ok(Arc::new(Feed::new(webhook, startup.clock())))
        }
        LINES => {
            let lines = Lines::open(Path::new(feed));
            let lines = lines.map_err(|error| unusable("the file of changes", error))?;
            Ok(Arc::new(Feed::new(lines, startup.clock())))
        }
        _ => {
            let hubspot = hubspot(startup)?;
            let with_events = settings::with_events(startup)?;
            Ok(Arc::new(if with_events { hubspot } else { hubspot.by_properties_alone() }))
        }
    }
}

fn unusable(what: &'static str, error: impl Error + Send + Sync + 'static) -> StartupError {
    StartupError::Part { what, source: Box::new(error) }
}

struct FeedKeys {
    reader: SecretReader,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl KeySource for FeedKeys {
    async fn keys(&self) -> Result<Vec<Secret>, PortError> {
        let now = self.clock.now();
        let keys = self.reader.keys(now).await.inspect_err(|error| {
            tracing::error!(error = chain(error), "the key of the feed cannot be read");
        })?;
        Ok(keys.accepted(now).cloned().collect())
    }
}

/// The state of users.
pub(crate) fn states(startup: &Startup) -> Result<UserStates, StartupError> {
    Ok(UserStates {
        users: startup.capability()?,
        learners: startup.capability()?,
        badges: startup.capability()?,
        certificates: startup.capability()?,
        catalog: startup.capability()?,
        clock: startup.clock(),
    })
}

/// Looking people up in HubSpot, on the budget in `table`.
pub(crate) fn finder(startup: &Startup, table: Arc<CrmTable>) -> Result<Finder, StartupError> {
    Ok(Finder { crm: Arc::new(hubspot(startup)?), turns: turns(startup, table, Share::Any) })
}

/// Turns to call HubSpot, on the budget in `table`.
pub(crate) fn turns(startup: &Startup, table: Arc<CrmTable>, share: Share) -> Turns {
    let clock = startup.clock();
    Turns {
        budget: table,
        sleep: Arc::new(TokioSleep { clock: Arc::clone(&clock) }),
        clock,
        random: startup.random(),
        share,
    }
}

/// By what contacts are found.
pub(crate) fn key(startup: &Startup) -> Result<KeyKind, StartupError> {
    Ok(portal(startup)?.key)
}

fn portal(startup: &Startup) -> Result<Settings, StartupError> {
    Settings::parse(
        startup.setting(&HUBSPOT_URL)?,
        startup.setting(&HUBSPOT_API)?,
        startup.setting(&HUBSPOT_KEY)?,
    )
    .map_err(refused)
}

/// The HubSpot client.
pub(crate) fn hubspot(startup: &Startup) -> Result<HubSpotCrm, StartupError> {
    let settings = portal(startup)?;
    HubSpotCrm::new(&settings, tokens(startup, &settings)?).map_err(refused)
}

fn tokens(startup: &Startup, settings: &Settings) -> Result<Arc<dyn TokenSource>, StartupError> {
    let (stored, clock) = (startup.secret(SecretName::HubSpotToken)?, startup.clock());
    if startup.setting(&HUBSPOT_CREDENTIAL)? != "oauth" {
        return Ok(Arc::new(StoredToken::new(stored, clock)));
    }
    let client_secret = startup.secret(SecretName::HubSpotClientSecret)?;
    let secrets = StoredApp::new(client_secret, stored, Arc::clone(&clock));
    let client_id = startup.setting(&HUBSPOT_CLIENT_ID)?;
    let tokens = OAuthTokens::new(settings, client_id, Arc::new(secrets), clock);
    Ok(Arc::new(tokens.map_err(refused)?))
}

fn refused(error: SettingsError) -> StartupError {
    StartupError::Part { what: "the HubSpot client", source: Box::new(error) }
}

struct TokioSleep {
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Sleep for TokioSleep {
    async fn until(&self, at: Timestamp) {
        let wait = at.duration_since(self.clock.now());
        tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
    }
}
