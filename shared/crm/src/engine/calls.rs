//! The engine's calls to the CRM: each waits its turn, and what it says about the portal is shared.

use rollcall_domain::time::{SignedDuration, Timestamp, after};

use super::{Engine, LeftOver, Mistake, Report};
use crate::limits::{BUDGET_RETRY_MS_MAX, BUDGET_TRIES_MAX, PACER_WAIT_MS_MAX};
use crate::pending::Reason;
use crate::port::{Address, Capabilities, LimitSignal, PortError, SchemaPart};
use crate::portal::{Admission, Budget, Health, Quota};
use crate::run::{Run, Slot, Task};
use crate::schema::SCHEMA;

/// Whether the portal was told the schema of this program.
pub(super) fn knows_schema(budget: &Budget) -> bool {
    budget.schema_version.as_deref() == Some(SCHEMA.version)
}

impl Engine {
    /// Does one task of a run. On an error nothing was sent, or what came of it is in the run.
    pub(super) async fn perform(
        &self,
        task: Task,
        run: &mut Run,
        trace_id: &str,
        report: &mut Report,
    ) -> Result<(), PortError> {
        match task {
            Task::Write(slots) => self.write(slots, run, trace_id, report).await,
            Task::DeclareSchema => self.declare_schema(run, trace_id, report).await,
            Task::FindOwners(slots) => self.find_owners(slots, run, trace_id, report).await,
            Task::RenewCredentials => {
                if self.ports.crm.renew_credentials().await {
                    return Ok(());
                }
                let health = run.no_credentials();
                self.note(health, Quota::default()).await
            }
        }
    }

    async fn write(
        &self,
        slots: Vec<Slot>,
        run: &mut Run,
        trace_id: &str,
        report: &mut Report,
    ) -> Result<(), PortError> {
        let Some(inputs_max) = self.turn().await? else {
            report.stopped = true;
            run.stop(Reason::Paced);
            return Ok(());
        };
        let inputs = run.ready(slots, self.ports.clock.now(), inputs_max);
        if inputs.is_empty() {
            return Ok(());
        }
        report.calls += 1;
        let reply = self.ports.crm.write(&inputs, trace_id).await;
        report.heard(&reply.outcome);
        let outcome = self.mistaken(reply.outcome, &inputs);
        let health = run.absorb(inputs, outcome, self.ports.clock.now());
        self.note(health, reply.quota).await
    }

    async fn declare_schema(
        &self,
        run: &mut Run,
        trace_id: &str,
        report: &mut Report,
    ) -> Result<(), PortError> {
        for part in [SchemaPart::Group, SchemaPart::Properties] {
            if self.turn().await?.is_none() {
                report.stopped = true;
                run.stop(Reason::Paced);
                return Ok(());
            }
            report.calls += 1;
            let reply = self.ports.crm.declare(&SCHEMA, part, trace_id).await;
            report.heard(&reply.outcome);
            if let Some(health) = run.absorb_declared(&reply.outcome) {
                return self.note(health, reply.quota).await;
            }
            self.note(Health::Well, reply.quota).await?;
        }
        self.change_budget(|budget| {
            let known = knows_schema(budget);
            let schema_version = Some(SCHEMA.version.to_owned());
            (!known).then(|| Budget { schema_version, ..budget.clone() })
        })
        .await
        .map(|_changed| ())
    }

    async fn find_owners(
        &self,
        slots: Vec<Slot>,
        run: &mut Run,
        trace_id: &str,
        report: &mut Report,
    ) -> Result<(), PortError> {
        if self.turn().await?.is_none() {
            report.stopped = true;
            run.stop(Reason::Paced);
            return Ok(());
        }
        let contacts = slots.iter().filter_map(|slot| slot.adopt.clone());
        let mut contacts: Vec<Address> = contacts.map(Address::ContactId).collect();
        contacts.sort_unstable();
        contacts.dedup();
        report.calls += 1;
        match self.ports.crm.owners(&contacts, trace_id).await {
            Ok(owners) => {
                run.absorb_owners(slots, &owners.found, self.ports.clock.now());
                Ok(())
            }
            Err(reply) => {
                report.heard(&reply.outcome);
                match run.absorb_declared(&reply.outcome) {
                    Some(health) => self.note(health, reply.quota).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Waits for our turn to call and says how many inputs the call may carry. `None`: not soon.
    pub(super) async fn turn(&self) -> Result<Option<usize>, PortError> {
        let Capabilities { batch_max, limit_signal, .. } = self.ports.crm.capabilities();
        if self.makes(Mistake::Rush) {
            return Ok(Some(batch_max));
        }
        if limit_signal == LimitSignal::None {
            let budget = self.ports.budget.load().await?.budget;
            let open = budget.paused_until(self.ports.clock.now()).is_none();
            return Ok(open.then_some(batch_max));
        }
        for _ in 0..BUDGET_TRIES_MAX {
            let versioned = self.ports.budget.load().await?;
            match versioned.budget.admit(self.ports.clock.now()) {
                Admission::Denied { .. } => return Ok(None),
                Admission::Granted { next, start, inputs_max } => {
                    if self.ports.budget.store(&next, versioned.version).await? {
                        self.sleep_until(start).await;
                        return Ok(Some(inputs_max.min(batch_max)));
                    }
                }
            }
            self.stand_back().await;
        }
        Ok(None)
    }

    /// Waits until a turn is free that nobody else wants, if that is soon.
    pub(super) async fn left_over(&self) -> Result<LeftOver, PortError> {
        let now = self.ports.clock.now();
        let soon = after(now, SignedDuration::from_millis(PACER_WAIT_MS_MAX));
        match self.ports.budget.load().await?.budget.admit_leftover(now) {
            Admission::Granted { .. } => Ok(LeftOver::Now),
            Admission::Denied { until } if until <= soon => {
                self.sleep_until(until).await;
                Ok(LeftOver::Waited)
            }
            Admission::Denied { .. } => Ok(LeftOver::NotSoon),
        }
    }

    pub(super) async fn note(&self, health: Health, quota: Quota) -> Result<(), PortError> {
        let (now, fraction) = (self.ports.clock.now(), self.fraction());
        self.change_budget(|budget| {
            let next = budget.after_call(health, quota, now, fraction);
            (next != *budget).then_some(next)
        })
        .await
        .map(|_changed| ())
    }

    /// Changes the budget, unless `change` finds nothing to change; whether it did. Gives up, without an error, when
    /// others are always faster: they know as much about the portal as we do.
    pub(super) async fn change_budget(
        &self,
        change: impl Fn(&Budget) -> Option<Budget> + Send + Sync,
    ) -> Result<bool, PortError> {
        for _ in 0..BUDGET_TRIES_MAX {
            let versioned = self.ports.budget.load().await?;
            let Some(next) = change(&versioned.budget) else {
                return Ok(false);
            };
            if self.ports.budget.store(&next, versioned.version).await? {
                return Ok(true);
            }
            self.stand_back().await;
        }
        Ok(false)
    }

    async fn stand_back(&self) {
        let wait = SignedDuration::from_millis(BUDGET_RETRY_MS_MAX).mul_f64(self.fraction());
        self.sleep_until(after(self.ports.clock.now(), wait)).await;
    }

    async fn sleep_until(&self, at: Timestamp) {
        if at > self.ports.clock.now() {
            self.ports.sleep.until(at).await;
        }
    }
}
