//! The sync engine over the real ports.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rollcall_crm::engine::{Engine, Ports};
use rollcall_crm::finder::Finder;
use rollcall_crm::port::{KeyKind, Sleep};
use rollcall_crm::turns::{Share, Turns};
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_hubspot::{HubSpotCrm, OAuthTokens, Settings, SettingsError, TokenSource};
use rollcall_resources::{Grant, Queue, SecretName};
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::Capability;
use rollcall_store::catalog::CatalogReader;
use rollcall_store::crm::{CrmTable, UserStates};
use rollcall_store::learner::LearnerReader;
use rollcall_store::users::UserReader;

use crate::settings::{
    self, HUBSPOT_API, HUBSPOT_CLIENT_ID, HUBSPOT_CREDENTIAL, HUBSPOT_KEY, HUBSPOT_URL,
};
use crate::token::{StoredApp, StoredToken};
use crate::waiting::DrainQueue;

/// What the engine may do besides what it may do with the table `crm`.
pub(crate) const STATES: [&[Grant]; 3] =
    [UserReader::GRANTS, LearnerReader::GRANTS, CatalogReader::GRANTS];
/// To wake the drain, and to call the CRM.
pub(crate) const CALLS: &[Grant] = &[Grant::send(Queue::CrmDrain), CREDENTIALS[0], CREDENTIALS[1]];
/// To prove to HubSpot who calls.
pub(crate) const CREDENTIALS: [Grant; 2] =
    [Grant::secret(SecretName::HubSpotToken), Grant::secret(SecretName::HubSpotClientSecret)];

/// The engine over `table` and HubSpot.
pub(crate) fn new(startup: &Startup, table: &Arc<CrmTable>) -> Result<Engine, StartupError> {
    let clock = startup.clock();
    let crm = hubspot(startup)?;
    let source = states(startup)?;
    let ports = Ports {
        crm: Arc::new(crm),
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
    let engine = Engine::new(ports, env!("CARGO_PKG_VERSION"));
    Ok(if settings::with_events(startup)? { engine } else { engine.by_properties_alone() })
}

/// The state of users.
pub(crate) fn states(startup: &Startup) -> Result<UserStates, StartupError> {
    Ok(UserStates {
        users: startup.capability()?,
        learners: startup.capability()?,
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
