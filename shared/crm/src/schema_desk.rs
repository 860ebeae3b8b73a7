//! Reads what a portal has of definitions, and creates what it lacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::classifier::Failure;
use crate::limits::EVENT_PAGES_MAX;
use crate::port::{CallOutcome, Crm, PortError, Reply, SchemaPart};
use crate::schema::{EVENTS, SCHEMA};
use crate::schema_plan::{Declared, Plan, PortalProperty, PortalSchema, Step, plan};
use crate::turns::{Asked, Called, Turns};

/// A page of the custom events that a portal knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsPage {
    /// Their names, without what the portal puts before them.
    pub names: Vec<String>,
    /// Where the next page begins; none on the last page.
    pub next: Option<String>,
}

/// A CRM that shows its definitions. Every method is one call, for which the caller holds a turn.
#[async_trait]
pub trait Definitions: Crm {
    /// Names of the property groups of contacts.
    async fn groups(&self, trace_id: &str) -> Asked<BTreeSet<String>>;

    /// The properties of contacts.
    async fn properties(&self, trace_id: &str) -> Asked<Vec<PortalProperty>>;

    /// A page of the custom events; `None` when the portal has no such thing, by its tier or by the
    /// permissions of our key.
    async fn events(&self, after: Option<&str>, trace_id: &str) -> Asked<Option<EventsPage>>;
}

/// What came of looking, or of creating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The difference; after creating, what is left of it.
    Plan(Plan),
    /// The CRM refuses it.
    Refused(Failure),
    /// The CRM cannot be asked now.
    Later,
}

/// Compares and creates definitions.
#[derive(Clone)]
pub struct SchemaDesk {
    /// The CRM.
    pub crm: Arc<dyn Definitions>,
    /// Turns to call it.
    pub turns: Turns,
    /// Whether milestones are told as custom events, so that these have to be there.
    pub with_events: bool,
}

/// A call that ended what was to be done.
enum Stopped {
    Refused(Failure),
    Later,
    Port(PortError),
}

impl From<PortError> for Stopped {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl SchemaDesk {
    /// The difference between what is declared and what the portal has.
    pub async fn plan(&self, trace_id: &str) -> Result<Outcome, PortError> {
        outcome(self.look(trace_id).await)
    }

    /// Creates what is missing, unless something stands in the way, and looks again. What is there
    /// already counts as created, so that two of these at once do no harm.
    pub async fn apply(&self, plan: &Plan, trace_id: &str) -> Result<Outcome, PortError> {
        outcome(self.create(plan, trace_id).await)
    }

    async fn look(&self, trace_id: &str) -> Result<Plan, Stopped> {
        let crm = &*self.crm;
        let portal = PortalSchema {
            groups: self.call(|| crm.groups(trace_id)).await?,
            properties: self.call(|| crm.properties(trace_id)).await?,
            events: if self.with_events { self.events(trace_id).await? } else { None },
        };
        let events = if self.with_events { EVENTS } else { &[] };
        Ok(plan(Declared { schema: &SCHEMA, events, key: crm.capabilities().key_kind }, &portal))
    }

    async fn events(&self, trace_id: &str) -> Result<Option<BTreeSet<String>>, Stopped> {
        let crm = &*self.crm;
        let (mut names, mut after) = (BTreeSet::new(), None);
        for _page in 0..EVENT_PAGES_MAX {
            let page = self.call(|| crm.events(after.as_deref(), trace_id)).await?;
            let Some(EventsPage { names: more, next }) = page else { return Ok(None) };
            names.extend(more);
            after = next;
            if after.is_none() {
                break;
            }
        }
        Ok(Some(names))
    }

    async fn create(&self, plan: &Plan, trace_id: &str) -> Result<Plan, Stopped> {
        if plan.is_empty() || !plan.obstacles.is_empty() {
            return Ok(plan.clone());
        }
        let crm = &*self.crm;
        let has = |wanted: &str| plan.steps.iter().any(|step| step.kind() == wanted);
        for (kind, part) in [("group", SchemaPart::Group), ("property", SchemaPart::Properties)] {
            if has(kind) {
                self.call(|| Box::pin(done(crm.declare(&SCHEMA, part, trace_id)))).await?;
            }
        }
        for step in &plan.steps {
            if let Step::Event(event) = step {
                self.call(|| Box::pin(done(crm.declare_event(event, trace_id)))).await?;
            }
        }
        self.look(trace_id).await
    }

    async fn call<'call, T>(
        &'call self,
        ask: impl Fn() -> BoxFuture<'call, Asked<T>> + Send + Sync,
    ) -> Result<T, Stopped> {
        match self.turns.call(ask, || self.crm.renew_credentials()).await? {
            Called::Done(answer) => Ok(answer),
            Called::Refused(failure) => Err(Stopped::Refused(failure)),
            Called::Later => Err(Stopped::Later),
        }
    }
}

/// A declaration as a call that answers nothing.
async fn done(declaring: BoxFuture<'_, Reply>) -> Asked<()> {
    let reply = declaring.await;
    match reply.outcome {
        CallOutcome::Answered(_) => Ok(((), reply.quota)),
        CallOutcome::Refused(_) | CallOutcome::NotSent | CallOutcome::Unknown => Err(reply),
    }
}

fn outcome(ended: Result<Plan, Stopped>) -> Result<Outcome, PortError> {
    match ended {
        Ok(plan) => Ok(Outcome::Plan(plan)),
        Err(Stopped::Refused(failure)) => Ok(Outcome::Refused(failure)),
        Err(Stopped::Later) => Ok(Outcome::Later),
        Err(Stopped::Port(error)) => Err(error),
    }
}
