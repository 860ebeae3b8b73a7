//! Telling milestones: kept first, told by the drain in batches once their contacts exist, and put
//! away only after the CRM took them.
//!
//! The lease of each user is held meanwhile, as for everything that is sent, so that nothing is told
//! about somebody whose contact is being removed. A milestone that is told twice is rejected by its id.

use std::collections::{BTreeMap, VecDeque};

use futures::StreamExt;
use futures::future::BoxFuture;
use rollcall_domain::id::UserId;
use rollcall_domain::time::{SignedDuration, after, after_seconds};

use super::{Engine, Report};
use crate::ledger::{Lease, LeaseAttempt};
use crate::limits::{
    BATCH_INPUTS_MAX, BUSY_RETRY_MS, CALL_SECONDS_MAX, EVENTS_ASKED_AGAIN_SECONDS, LEASE_SECONDS,
    STORE_CALLS_AT_ONCE,
};
use crate::milestone::{Milestone, MilestoneRow};
use crate::pending::delay;
use crate::port::{CallOutcome, Confirmation, EventsKind, PortError, Reply};
use crate::portal::{Budget, EventsAccess, Health, PauseReason, Quota};
use crate::run::telling::{Fate, Teller, Verdict};
use crate::schema::{EVENTS, EVENTS_VERSION};

/// How milestones are told now.
enum Way {
    /// As events of this namespace.
    Events(String),
    /// By the properties alone.
    Properties,
    /// Not now.
    Closed,
}

/// How many of the events of [`EVENTS_VERSION`] the portal was told when it has `declared` of them:
/// the version itself when that is all.
fn version_with(declared: usize) -> String {
    if declared == EVENTS.len() {
        return EVENTS_VERSION.to_owned();
    }
    format!("{EVENTS_VERSION}+{declared}")
}

/// How many events of [`EVENTS_VERSION`] a portal has that was told some of them.
fn declared_so_far(version: &str) -> Option<usize> {
    let declared: usize = version.strip_prefix(EVENTS_VERSION)?.strip_prefix('+')?.parse().ok()?;
    (declared < EVENTS.len()).then_some(declared)
}

impl Engine {
    /// Stores milestones, so that they are told whatever happens next.
    pub(super) async fn keep(&self, milestones: Vec<Milestone>, report: &mut Report) {
        let now = self.ports.clock.now();
        let keeping = milestones.into_iter().map(|milestone| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let row = MilestoneRow::new(milestone, now);
                let kept = self.ports.milestones.keep(&row).await;
                (row.milestone.user, kept)
            })
        });
        let kept: Vec<_> =
            futures::stream::iter(keeping).buffer_unordered(STORE_CALLS_AT_ONCE).collect().await;
        for (user, kept) in kept {
            match kept {
                Ok(()) => report.first_due = report.first_due.into_iter().chain([now]).min(),
                Err(error) => report.give_back(user, error),
            }
        }
    }

    /// Tells one batch of what waits and is due. `false`: there is nothing more to do now.
    pub(super) async fn tell(&self, report: &mut Report) -> bool {
        match self.tell_due(report).await {
            Ok(more) => more,
            Err(error) => {
                report.error.get_or_insert(error);
                false
            }
        }
    }

    async fn tell_due(&self, report: &mut Report) -> Result<bool, PortError> {
        let now = self.ports.clock.now();
        let rows = self.ports.milestones.milestones_due(now, BATCH_INPUTS_MAX).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let trace_id = self.token();
        match self.way(&trace_id, report).await? {
            Way::Closed => Ok(false),
            Way::Properties => {
                // What is left of the milestones is in the properties already.
                for row in rows {
                    self.ports.milestones.settle(&row).await?;
                }
                Ok(true)
            }
            Way::Events(namespace) => {
                let mut tellers = self.open_tellers(rows, report).await?;
                let told = self.tell_batch(&mut tellers, &namespace, &trace_id, report).await;
                // What was heard counts, whatever failed afterwards.
                for teller in tellers.into_values() {
                    self.close_teller(teller, report).await?;
                }
                told
            }
        }
    }

    async fn way(&self, trace_id: &str, report: &mut Report) -> Result<Way, PortError> {
        match self.ports.crm.capabilities().events_kind {
            EventsKind::Declared => {}
            EventsKind::Direct => return Ok(Way::Events(String::new())),
            EventsKind::None => return Ok(Way::Properties),
        }
        let now = self.ports.clock.now();
        let (namespace, declared) = match self.ports.budget.load().await?.budget.events {
            EventsAccess::Declared { namespace, version } if version == EVENTS_VERSION => {
                return Ok(Way::Events(namespace));
            }
            EventsAccess::Missing { since }
                if after_seconds(since, EVENTS_ASKED_AGAIN_SECONDS) > now =>
            {
                return Ok(Way::Properties);
            }
            EventsAccess::Declared { namespace, version } => match declared_so_far(&version) {
                Some(declared) => (Some(namespace), declared),
                None => (None, 0),
            },
            EventsAccess::Unknown | EventsAccess::Missing { .. } => (None, 0),
        };
        let namespace = if let Some(namespace) = namespace {
            namespace
        } else {
            let Some(()) = self.turn_or_stop(report).await? else { return Ok(Way::Closed) };
            match self.ports.crm.events_namespace(trace_id).await {
                Ok((namespace, quota)) => {
                    self.note(Health::Well, quota).await?;
                    namespace
                }
                Err(reply) => return self.no_events(reply, report).await,
            }
        };
        self.declare_events(namespace, declared, trace_id, report).await
    }

    /// Declares the events behind the first `declared`, and remembers each, so that a portal that fails
    /// now and then is told all of them in the end.
    async fn declare_events(
        &self,
        namespace: String,
        declared: usize,
        trace_id: &str,
        report: &mut Report,
    ) -> Result<Way, PortError> {
        for (index, event) in EVENTS.iter().enumerate().skip(declared) {
            let Some(()) = self.turn_or_stop(report).await? else { return Ok(Way::Closed) };
            let reply = self.ports.crm.declare_event(event, trace_id).await;
            let CallOutcome::Answered(_) = reply.outcome else {
                return self.no_events(reply, report).await;
            };
            self.note(Health::Well, reply.quota).await?;
            let version = version_with(index + 1);
            let access = EventsAccess::Declared { namespace: namespace.clone(), version };
            self.set_events(&access).await?;
        }
        Ok(Way::Events(namespace))
    }

    async fn turn_or_stop(&self, report: &mut Report) -> Result<Option<()>, PortError> {
        let turn = self.turn().await?;
        report.stopped |= turn.is_none();
        report.calls += usize::from(turn.is_some());
        Ok(turn.map(|_inputs| ()))
    }

    /// A call about events was not answered well: either there are none, or the portal is ill.
    async fn no_events(&self, reply: Reply, report: &mut Report) -> Result<Way, PortError> {
        report.heard(&reply.outcome);
        match Fate::after(&reply.outcome) {
            Fate::NoEvents => {
                self.note(Health::Well, reply.quota).await?;
                self.miss_events(report).await?;
                return Ok(Way::Properties);
            }
            Fate::Renew => self.renew_or_pause(reply.quota).await?,
            Fate::Ill { health, .. } => self.note(health, reply.quota).await?,
            Fate::Told | Fate::Undeclared | Fate::Again | Fate::Bad(_) => {
                let health = Health::Ill { reason: PauseReason::Unusable, retry_after: None };
                self.note(health, reply.quota).await?;
            }
        }
        Ok(Way::Closed)
    }

    async fn renew_or_pause(&self, quota: Quota) -> Result<(), PortError> {
        let health = if self.ports.crm.renew_credentials().await {
            Health::Well
        } else {
            Health::Ill { reason: PauseReason::Credentials, retry_after: None }
        };
        self.note(health, quota).await
    }

    async fn miss_events(&self, report: &mut Report) -> Result<(), PortError> {
        let now = self.ports.clock.now();
        // Of those who find it out at the same moment one says so.
        report.events_missing |= self
            .change_budget(|budget| match budget.events {
                EventsAccess::Missing { since }
                    if after_seconds(since, EVENTS_ASKED_AGAIN_SECONDS) > now =>
                {
                    None
                }
                EventsAccess::Unknown
                | EventsAccess::Declared { .. }
                | EventsAccess::Missing { .. } => {
                    Some(Budget { events: EventsAccess::Missing { since: now }, ..budget.clone() })
                }
            })
            .await?;
        Ok(())
    }

    async fn set_events(&self, events: &EventsAccess) -> Result<(), PortError> {
        self.change_budget(|budget| {
            (budget.events != *events).then(|| Budget { events: events.clone(), ..budget.clone() })
        })
        .await
        .map(|_changed| ())
    }

    /// Takes the leases of everybody who has something to tell. Whose lease is taken comes later.
    async fn open_tellers(
        &self,
        rows: Vec<MilestoneRow>,
        report: &mut Report,
    ) -> Result<BTreeMap<UserId, Teller>, PortError> {
        let mut of_users: BTreeMap<UserId, Vec<MilestoneRow>> = BTreeMap::new();
        for row in rows {
            of_users.entry(row.milestone.user.clone()).or_default().push(row);
        }
        let opening = of_users.into_iter().map(|(user, rows)| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let now = self.ports.clock.now();
                let lease = Lease { token: self.token(), until: after_seconds(now, LEASE_SECONDS) };
                let attempt = self.ports.ledger.take_lease(&user, &lease, now).await;
                (user, rows, lease, attempt)
            })
        });
        let opened: Vec<_> =
            futures::stream::iter(opening).buffer_unordered(STORE_CALLS_AT_ONCE).collect().await;
        let mut tellers = BTreeMap::new();
        for (user, rows, lease, attempt) in opened {
            match attempt {
                Ok(LeaseAttempt::Taken { ledger, abandoned }) => {
                    let teller = Teller::new(user.clone(), lease, ledger, abandoned, rows);
                    tellers.insert(user, teller);
                }
                Ok(LeaseAttempt::Busy) => {
                    let wait = SignedDuration::from_millis(BUSY_RETRY_MS);
                    let due_at = after(self.ports.clock.now(), wait);
                    for row in rows {
                        self.put_off_row(&MilestoneRow { due_at, ..row }, report).await?;
                    }
                }
                Err(error) => {
                    report.error.get_or_insert(error);
                }
            }
        }
        Ok(tellers)
    }

    /// Tells what may be told; a batch that is refused is halved until it is known what is refused.
    async fn tell_batch(
        &self,
        tellers: &mut BTreeMap<UserId, Teller>,
        namespace: &str,
        trace_id: &str,
        report: &mut Report,
    ) -> Result<bool, PortError> {
        let sendable: Vec<(Milestone, String)> =
            tellers.values().flat_map(Teller::sendable).collect();
        // A turn that is taken for no call would be the one that finds out whether a portal is back.
        if sendable.is_empty() {
            return Ok(true);
        }
        let mut batches = VecDeque::from([sendable]);
        while let Some(mut batch) = batches.pop_front() {
            let Some(inputs_max) = self.turn().await? else {
                report.stopped = true;
                return Ok(false);
            };
            let latest = after_seconds(self.ports.clock.now(), CALL_SECONDS_MAX);
            batch.retain(|(milestone, _)| {
                tellers.get(&milestone.user).is_some_and(|teller| teller.may_send_until(latest))
            });
            if batch.len() > inputs_max {
                batches.push_front(batch.split_off(inputs_max));
            }
            if batch.is_empty() {
                continue;
            }
            report.calls += 1;
            let reply = self.ports.crm.tell(namespace, &self.repeated(&batch), trace_id).await;
            report.heard(&reply.outcome);
            let mut decide = |verdict: &Verdict| {
                for (milestone, _) in &batch {
                    if let Some(teller) = tellers.get_mut(&milestone.user) {
                        teller.decide(&milestone.id, verdict.clone());
                    }
                }
            };
            let fate = Fate::after(&reply.outcome);
            if !matches!(fate, Fate::Renew | Fate::Ill { .. }) {
                self.note(Health::Well, reply.quota).await?;
            }
            match fate {
                Fate::Told => decide(&Verdict::Told),
                Fate::Renew => {
                    self.renew_or_pause(reply.quota).await?;
                    return Ok(true);
                }
                Fate::NoEvents => {
                    self.miss_events(report).await?;
                    return Ok(true);
                }
                Fate::Ill { health, doubt } => {
                    if doubt {
                        decide(&Verdict::Unknown);
                    }
                    self.note(health, reply.quota).await?;
                    return Ok(false);
                }
                // To halve the batch would cost a call for each of them, and all their leases meanwhile.
                Fate::Undeclared => {
                    decide(&Verdict::Later);
                    self.set_events(&EventsAccess::Unknown).await?;
                    return Ok(true);
                }
                Fate::Again | Fate::Bad(_) if batch.len() > 1 => {
                    let second = batch.split_off(batch.len() / 2);
                    batches.push_front(second);
                    batches.push_front(batch);
                }
                Fate::Again => decide(&Verdict::Later),
                Fate::Bad(failure) => decide(&Verdict::Refused(failure)),
            }
        }
        Ok(true)
    }

    /// Writes down what became of a user's milestones: first what waits, then the ledger with its
    /// dead letters, and only then may rows go away.
    async fn close_teller(&self, teller: Teller, report: &mut Report) -> Result<(), PortError> {
        let closing = teller.close(self.settling(), |attempts, outage| {
            delay(attempts, outage, &*self.ports.random)
        });
        for row in &closing.later {
            self.put_off_row(row, report).await?;
        }
        if let Some(token) = &closing.confirm {
            let (ledger, letters) = (&closing.ledger, &closing.dead_letters);
            let confirmed =
                self.ports.ledger.confirm(&closing.user, token, ledger, letters).await?;
            if confirmed == Confirmation::LeaseLost {
                return Ok(());
            }
        }
        report.tally.dead += closing.refused;
        report.tally.told += closing.told;
        for row in &closing.settled {
            self.ports.milestones.settle(row).await?;
        }
        Ok(())
    }

    async fn put_off_row(&self, row: &MilestoneRow, report: &mut Report) -> Result<(), PortError> {
        report.first_due = report.first_due.into_iter().chain([row.due_at]).min();
        self.ports.milestones.put_off(row).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_that_was_told_some_of_the_events_is_told_the_rest() {
        for declared in 1..EVENTS.len() {
            assert_eq!(declared_so_far(&version_with(declared)), Some(declared));
        }
        assert_eq!(version_with(EVENTS.len()), EVENTS_VERSION);
        // All of them, those of another version, and what is none.
        let all = format!("{EVENTS_VERSION}+{}", EVENTS.len());
        for other in [EVENTS_VERSION, &all, "1", "1+2", "", "+"] {
            assert_eq!(declared_so_far(other), None, "{other}");
        }
    }
}
