//! Taking a contact out of the CRM: find, remove, and look that it is gone.

use std::collections::BTreeSet;

use futures::StreamExt;
use futures::future::BoxFuture;
use rollcall_domain::time::after_seconds;

use super::{Engine, Report, calls};
use crate::limits::{CALL_SECONDS_MAX, REMOVAL_CALLS_MAX, REMOVALS_AT_ONCE};
use crate::pending::Reason;
use crate::port::{Address, CallOutcome, DeleteKind, KeyKind, Owners, PortError, Reply};
use crate::portal::{Health, Quota};
use crate::removal::Removal;
use crate::run::{Candidate, RemovalOutcome, RemovalStep, Run};

/// The CRM answered, and not as hoped for.
const IN_VAIN: RemovalOutcome = RemovalOutcome::Later { reason: Reason::Transient, outage: false };

/// The calls of one removal.
struct Removing<'a> {
    candidate: &'a Candidate,
    removal: &'a Removal,
    trace_id: &'a str,
    calls_left: usize,
    credentials_renewed: bool,
}

/// A call that a removal needs.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Owners(&'a [Address]),
    Remove(&'a str),
}

/// A removal ends early: with this outcome, or because a port failed.
enum Stopped {
    With(RemovalOutcome),
    Port(PortError),
}

impl From<PortError> for Stopped {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl Engine {
    /// Removes the contacts of users who have to leave the CRM, several at once.
    pub(super) async fn remove_all(
        &self,
        candidates: Vec<Candidate>,
        trace_id: &str,
        report: &mut Report,
    ) {
        let removing = candidates.into_iter().map(|candidate| -> BoxFuture<'_, Report> {
            Box::pin(async move {
                let mut report = Report::default();
                self.remove(candidate, trace_id, &mut report).await;
                report
            })
        });
        let mut removing = futures::stream::iter(removing).buffer_unordered(REMOVALS_AT_ONCE);
        while let Some(removed) = removing.next().await {
            report.add(removed);
        }
    }

    /// Removes the contact of a user who has to leave the CRM, and writes down how far that came.
    async fn remove(&self, candidate: Candidate, trace_id: &str, report: &mut Report) {
        let Some(removal) = candidate.ledger.removal.clone() else {
            return;
        };
        let outcome = if candidate.is_settled(&removal) {
            None
        } else {
            let mut removing = Removing {
                candidate: &candidate,
                removal: &removal,
                trace_id,
                calls_left: REMOVAL_CALLS_MAX,
                credentials_renewed: false,
            };
            match self.remove_contacts(&mut removing, report).await {
                Ok(()) => Some(RemovalOutcome::Done),
                Err(Stopped::With(outcome)) => Some(outcome),
                Err(Stopped::Port(error)) => {
                    report.error.get_or_insert(error);
                    Some(RemovalOutcome::Postponed(Reason::Paced))
                }
            }
        };
        // The wish has a row, which only the drain may remove.
        let rows = candidate.work.facets.values().filter(|want| want.row.is_some()).count();
        if rows == 0 {
            report.first_due = report.first_due.into_iter().chain([self.ports.clock.now()]).min();
        }
        let settlement = candidate.removed(&removal, outcome, self.settling());
        self.store_all(vec![settlement], report).await;
    }

    /// Succeeds only when a look after the last removal finds nothing, where one can look: an answer
    /// proves less.
    async fn remove_contacts(
        &self,
        removing: &mut Removing<'_>,
        report: &mut Report,
    ) -> Result<(), Stopped> {
        match self.ports.crm.capabilities().delete_kind {
            DeleteKind::Verified => {}
            DeleteKind::Told => {
                // Also who was never acknowledged: a message whose answer was lost may have arrived.
                let user = removing.candidate.work.user.clone();
                let told = self.call(Ask::Remove(user.as_str()), removing, report).await;
                return told.map(|_owners| ());
            }
        }
        self.make_schema_known(removing.trace_id, report).await?;
        for contact in self.contacts_of(removing, report).await? {
            self.call(Ask::Remove(&contact), removing, report).await?;
        }
        if self.contacts_of(removing, report).await?.is_empty() {
            return Ok(());
        }
        Err(Stopped::With(IN_VAIN))
    }

    /// A portal cannot look for a property that it was never told of.
    async fn make_schema_known(&self, trace_id: &str, report: &mut Report) -> Result<(), Stopped> {
        if calls::knows_schema(&self.ports.budget.load().await?.budget) {
            return Ok(());
        }
        let mut run = Run::declaring(self.ports.crm.capabilities().key_kind);
        while let Some(task) = run.next_task() {
            self.perform(task, &mut run, trace_id, report).await?;
        }
        if calls::knows_schema(&self.ports.budget.load().await?.budget) {
            return Ok(());
        }
        Err(Stopped::With(RemovalOutcome::Postponed(Reason::Portal)))
    }

    /// The contacts that are the user's: at our key, and at the id that the ledger knows, unless that
    /// one became another user's. A contact at the user's address that does not carry our key is a
    /// stranger's.
    async fn contacts_of(
        &self,
        removing: &mut Removing<'_>,
        report: &mut Report,
    ) -> Result<BTreeSet<String>, Stopped> {
        let user = removing.candidate.work.user.clone();
        let mut contacts = BTreeSet::new();
        let key = match self.ports.crm.capabilities().key_kind {
            KeyKind::UserId => Some(Address::UserId(user.clone())),
            KeyKind::Email => removing.removal.email.clone().map(Address::Email),
        };
        if let Some(address) = key {
            let owners = self.owners(address, removing, report).await?;
            let own = owners.found.into_iter();
            let own = own.filter(|(_, owner)| owner.as_deref() == Some(user.as_str()));
            contacts.extend(own.map(|(contact, _)| contact));
        }
        let known = removing.candidate.ledger.contact_id.clone();
        if let Some(contact) = known.filter(|contact| !contacts.contains(contact)) {
            let owners = self.owners(Address::ContactId(contact), removing, report).await?;
            let of_nobody_else = |owner: &Option<String>| {
                owner.as_deref().is_none_or(|owner| owner == user.as_str())
            };
            let own = owners.found.into_iter().filter(|(_, owner)| of_nobody_else(owner));
            contacts.extend(own.map(|(contact, _)| contact));
        }
        Ok(contacts)
    }

    async fn owners(
        &self,
        address: Address,
        removing: &mut Removing<'_>,
        report: &mut Report,
    ) -> Result<Owners, Stopped> {
        let owners = self.call(Ask::Owners(&[address]), removing, report).await?;
        if owners.is_complete {
            return Ok(owners);
        }
        Err(Stopped::With(IN_VAIN))
    }

    /// One call, when it is our turn and while the lease lasts, and once more with new credentials.
    async fn call(
        &self,
        ask: Ask<'_>,
        removing: &mut Removing<'_>,
        report: &mut Report,
    ) -> Result<Owners, Stopped> {
        loop {
            let paced = Stopped::With(RemovalOutcome::Postponed(Reason::Paced));
            if removing.calls_left == 0 {
                return Err(paced);
            }
            removing.calls_left -= 1;
            if self.turn().await?.is_none() {
                report.stopped = true;
                return Err(paced);
            }
            if removing.candidate.lease.until
                < after_seconds(self.ports.clock.now(), CALL_SECONDS_MAX)
            {
                return Err(paced);
            }
            report.calls += 1;
            let reply = match self.ask(ask, removing).await {
                Ok((owners, quota)) => {
                    self.note(Health::Well, quota).await?;
                    return Ok(owners);
                }
                Err(reply) => reply,
            };
            report.heard(&reply.outcome);
            match RemovalStep::after(&reply.outcome, removing.credentials_renewed) {
                RemovalStep::RenewCredentials => {
                    removing.credentials_renewed = true;
                    self.note(Health::Well, reply.quota).await?;
                    // The same credentials again lead to the same refusal, which then counts.
                    self.ports.crm.renew_credentials().await;
                }
                RemovalStep::Stop(outcome, health) => {
                    self.note(health, reply.quota).await?;
                    return Err(Stopped::With(outcome));
                }
            }
        }
    }

    async fn ask(&self, ask: Ask<'_>, removing: &Removing<'_>) -> Result<(Owners, Quota), Reply> {
        let (crm, trace_id) = (&self.ports.crm, removing.trace_id);
        match ask {
            Ask::Owners(addresses) => {
                let owners = crm.owners(addresses, trace_id).await?;
                Ok((owners, Quota::default()))
            }
            Ask::Remove(contact) => {
                let reply = crm.remove(contact, removing.removal.kind, trace_id).await;
                match reply.outcome {
                    CallOutcome::Answered(_) => Ok((Owners::default(), reply.quota)),
                    CallOutcome::Refused(_) | CallOutcome::NotSent | CallOutcome::Unknown => {
                        Err(reply)
                    }
                }
            }
        }
    }
}
