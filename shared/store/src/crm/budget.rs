//! What all senders of the portal share, and when the drain is woken next.

use async_trait::async_trait;
use rollcall_crm::pacer::{Limit, Pacer};
use rollcall_crm::port::{BudgetStore, Versioned};
use rollcall_crm::portal::{Budget, EventsAccess, Pause, PauseReason};
use rollcall_domain::port::PortError;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use serde::Deserialize;

use super::{CrmTable, named};
use crate::item::{number, text};
use crate::update::ItemUpdate;

const PORTAL: &str = "portal";
const BUDGET: &str = "budget";
const WAKE: &str = "wake";

#[derive(Debug, Deserialize)]
struct BudgetItem {
    version: u64,
    call_due_us: i64,
    limit_calls: u32,
    limit_window_ms: u32,
    pause_until: Option<Timestamp>,
    pause_reason: Option<String>,
    failures: u32,
    probe_until: Option<Timestamp>,
    schema_version: Option<String>,
    events_namespace: Option<String>,
    events_version: Option<String>,
    events_missing_since: Option<Timestamp>,
}

impl TryFrom<BudgetItem> for Versioned {
    type Error = PortError;

    fn try_from(item: BudgetItem) -> Result<Self, PortError> {
        let pause = match (item.pause_until, item.pause_reason) {
            (Some(until), Some(reason)) => {
                let reason = named(&PauseReason::ALL, PauseReason::as_str, &reason)?;
                Some(Pause { until, reason })
            }
            _ => None,
        };
        let events = match (item.events_missing_since, item.events_namespace, item.events_version) {
            (Some(since), _, _) => EventsAccess::Missing { since },
            (None, Some(namespace), Some(version)) => EventsAccess::Declared { namespace, version },
            (None, _, _) => EventsAccess::Unknown,
        };
        let budget = Budget {
            pacer: Pacer { due_us: item.call_due_us },
            limit: Limit::new(item.limit_calls, item.limit_window_ms),
            pause,
            failures: item.failures,
            probe_until: item.probe_until,
            schema_version: item.schema_version,
            events,
        };
        Ok(Self { budget, version: item.version })
    }
}

#[async_trait]
impl BudgetStore for CrmTable {
    async fn load(&self) -> Result<Versioned, PortError> {
        let item: Option<BudgetItem> = self.tables.get(Table::Crm, PORTAL, BUDGET).await?;
        item.map_or_else(|| Ok(Versioned::default()), Versioned::try_from)
    }

    async fn store(&self, budget: &Budget, seen: u64) -> Result<bool, PortError> {
        let Budget { pacer, limit, pause, failures, probe_until, schema_version, events } = budget;
        let (namespace, version, missing_since) = match events {
            EventsAccess::Unknown => (None, None, None),
            EventsAccess::Declared { namespace, version } => (Some(namespace), Some(version), None),
            EventsAccess::Missing { since } => (None, None, Some(since)),
        };
        let update = ItemUpdate::of(PORTAL, BUDGET)
            .set("version", number(seen + 1))
            .set("call_due_us", number(pacer.due_us))
            .set("limit_calls", number(limit.calls()))
            .set("limit_window_ms", number(limit.window_ms()))
            .put("pause_until", pause.map(|pause| text(pause.until.to_string())))
            .put("pause_reason", pause.map(|pause| text(pause.reason.as_str())))
            .set("failures", number(*failures))
            .put("probe_until", probe_until.map(|until| text(until.to_string())))
            .put("schema_version", schema_version.as_deref().map(text))
            .put("events_namespace", namespace.map(text))
            .put("events_version", version.map(text))
            .put("events_missing_since", missing_since.map(|since| text(since.to_string())));
        let update = if seen == 0 {
            update.only_if("attribute_not_exists(#version)")
        } else {
            update.value("seen", number(seen)).only_if("#version = :seen")
        };
        Ok(self.tables.apply("store the budget", Table::Crm, update).await?.is_some())
    }

    async fn claim_wake(&self, at: Timestamp, now: Timestamp) -> Result<bool, PortError> {
        let update = ItemUpdate::of(PORTAL, WAKE)
            .set("wake_at", number(at.as_millisecond()))
            .value("now", number(now.as_millisecond()))
            .only_if("attribute_not_exists(#wake_at) OR #wake_at < :now OR #wake_at > :wake_at");
        let operation = "note when the drain is woken";
        Ok(self.tables.apply(operation, Table::Crm, update).await?.is_some())
    }
}
