//! Shows an operator where the CRM sync stands. The numbers come from indexes that may be a moment
//! behind, and are counted up to a bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_crm::limits::STATUS_ROWS_MAX;
use rollcall_crm::port::{Overseer, Overview};
use rollcall_crm::portal::EventsAccess;
use rollcall_domain::facet::Facet;
use rollcall_domain::time::{Timestamp, to_milliseconds};
use rollcall_edge::{Context, NoInput, Operator, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, SyncOverseer};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::settings;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-status",
    purpose: "Shows where the CRM sync stands.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/crm/status" })],
    grants: &[SyncOverseer::GRANTS],
    settings: &[&settings::HUBSPOT_MILESTONES],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

struct Ports {
    table: Arc<CrmTable>,
    with_events: bool,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<SyncOverseer>()?.table();
        Ok(Self { table, with_events: settings::with_events(startup)? })
    }
}

/// Where the CRM sync stands.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Changes that wait.
    pending: PendingView,
    /// The CRM's account.
    portal: PortalView,
    /// What happened for the first time and is told as an event.
    milestones: MilestonesView,
    /// Changes that need a person.
    dead_letters: DeadLettersView,
    /// Tables whose changes were partly lost and which have to be compared with the CRM as a whole.
    tables_to_reconcile: Vec<String>,
}

/// Changes that wait.
#[derive(Debug, Serialize, JsonSchema)]
struct PendingView {
    /// How many: one per user and facet, and one per milestone.
    total: usize,
    /// Whether there are more than were counted.
    has_more: bool,
    /// How many of each facet.
    by_facet: BTreeMap<&'static str, usize>,
    /// Since when the oldest of those counted waits (RFC 3339, UTC).
    since: Option<String>,
}

/// The CRM's account.
#[derive(Debug, Serialize, JsonSchema)]
struct PortalView {
    /// Until when it is not called, if so (RFC 3339, UTC).
    paused_until: Option<String>,
    /// Why: `outage`, `rate_limit`, `daily_limit`, `lock`, `migration`, `credentials`,
    /// `permission` or `unusable`.
    paused_for: Option<&'static str>,
    /// How often it failed as a whole since it last answered well.
    failures: u32,
    /// Calls that it allows in a window.
    limit_calls: u32,
    /// The window, in milliseconds.
    limit_window_ms: u32,
}

/// Milestones.
#[derive(Debug, Serialize, JsonSchema)]
struct MilestonesView {
    /// How many wait.
    pending: usize,
    /// How the CRM hears of them: `events`; `properties` when the stage wants it so, its account has no
    /// custom events or the key no permission for them; `unknown` before the first one.
    told_as: &'static str,
    /// Since when we know that there are no events (RFC 3339, UTC).
    events_missing_since: Option<String>,
}

/// Changes that need a person.
#[derive(Debug, Serialize, JsonSchema)]
struct DeadLettersView {
    /// How many are open.
    open: usize,
    /// How many are being sent again.
    replaying: usize,
    /// Whether there may be more than were counted.
    has_more: bool,
}

async fn handle(
    ports: &Ports,
    _operator: &Operator,
    context: &Context,
    _input: NoInput,
) -> Result<Response, CrmStatusError> {
    let overview = ports.table.overview().await?;
    Ok(Response::json(200, &view(overview, ports.with_events, context.now)))
}

fn view(overview: Overview, with_events: bool, now: Timestamp) -> Output {
    let Overview { pending, budget, dead_letters_open, dead_letters_replaying, .. } = overview;
    let paused_until = budget.paused_until(now);
    let (told_as, missing_since) = match &budget.events {
        EventsAccess::Unknown | EventsAccess::Declared { .. } | EventsAccess::Missing { .. }
            if !with_events =>
        {
            ("properties", None)
        }
        EventsAccess::Unknown => ("unknown", None),
        EventsAccess::Declared { .. } => ("events", None),
        EventsAccess::Missing { since } => {
            ("properties", Some(to_milliseconds(*since).to_string()))
        }
    };
    let count = |facet| pending.get(&facet).copied().unwrap_or_default();
    Output {
        pending: PendingView {
            total: pending.values().sum::<usize>() + overview.milestones_pending,
            has_more: overview.pending_has_more,
            by_facet: Facet::ALL.map(|facet| (facet.as_str(), count(facet))).into(),
            since: overview.pending_since.map(|since| since.to_string()),
        },
        portal: PortalView {
            paused_until: paused_until.map(|until| to_milliseconds(until).to_string()),
            paused_for: paused_until.and(budget.pause).map(|pause| pause.reason.as_str()),
            failures: budget.failures,
            limit_calls: budget.limit.calls(),
            limit_window_ms: budget.limit.window_ms(),
        },
        milestones: MilestonesView {
            pending: overview.milestones_pending,
            told_as,
            events_missing_since: missing_since,
        },
        dead_letters: DeadLettersView {
            open: dead_letters_open,
            replaying: dead_letters_replaying,
            has_more: dead_letters_open.max(dead_letters_replaying) >= STATUS_ROWS_MAX,
        },
        tables_to_reconcile: overview.tables_to_reconcile,
    }
}

#[derive(Debug, thiserror::Error)]
enum CrmStatusError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CrmStatusError> for Problem {
    fn from(error: CrmStatusError) -> Self {
        match error {
            CrmStatusError::Port(error) => Self::port(&error),
        }
    }
}
