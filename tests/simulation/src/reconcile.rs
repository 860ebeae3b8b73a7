//! The CRM as reconciliations read it, and what they remember.

use async_trait::async_trait;
use rollcall_crm::ledger::Ledger;
use rollcall_crm::limits::RECONCILE_PAGE_MAX;
use rollcall_crm::pending::{Mark, token};
use rollcall_crm::port::{Address, KeyKind, PortError};
use rollcall_crm::reconcile::compare::{ContactView, Known};
use rollcall_crm::reconcile::work::{
    ContactLister, ContactPage, ContactsRead, ReconcileStore, UserIds, UserWalk,
};
use rollcall_crm::reconcile::{Finding, Policy, Reconciliation};
use rollcall_crm::removal::Removal;
use rollcall_crm::schema::{EMAIL, SCHEMA, USER_ID};
use rollcall_crm::turns::Asked;
use rollcall_domain::id::{ReconciliationId, UserId};
use rollcall_domain::time::{Clock, Timestamp};

use crate::world::{State, World};

impl World {
    /// Begins a reconciliation, unless one is under way.
    pub(crate) fn begin_reconciliation(&self, policy: Policy) {
        let id = ReconciliationId::new(self.now(), &*self.random);
        let by = format!("client:{}", token(&*self.random));
        let run = Reconciliation::begin(id, policy, false, by, self.now());
        let mut state = self.state();
        if state.reconciliation.as_ref().is_none_or(|last| last.finished_at.is_some()) {
            state.reconciliation = Some(run);
            state.findings.clear();
        }
    }
}

impl State {
    /// Whether a reconciliation is under way.
    pub(crate) fn reconciles(&self) -> bool {
        self.reconciliation.as_ref().is_some_and(|run| run.finished_at.is_none())
    }

    fn view(&self, id: &str) -> Option<ContactView> {
        let id = self.resolved(id);
        let properties = self.contacts.get(&id)?.clone();
        let merged = self.merged.keys().filter(|old| self.resolved(old) == id).cloned().collect();
        Some(ContactView { id, properties, merged })
    }
}

#[async_trait]
impl ContactLister for World {
    fn key_kind(&self) -> KeyKind {
        self.key
    }

    async fn renew(&self) -> bool {
        self.step().await;
        self.below(2) == 0
    }

    async fn page(&self, after: Option<&str>, _: &str) -> Asked<ContactPage> {
        self.ask(|state| {
            let after: usize = after.map_or(0, |after| after.parse().unwrap());
            let mut ids: Vec<usize> = state.contacts.keys().map(|id| id.parse().unwrap()).collect();
            ids.retain(|id| *id > after);
            ids.sort_unstable();
            let more = ids.len() > RECONCILE_PAGE_MAX;
            ids.truncate(RECONCILE_PAGE_MAX);
            let next = ids.last().filter(|_| more).map(ToString::to_string);
            let contacts = ids.iter().filter_map(|id| state.view(&id.to_string())).collect();
            ContactPage { contacts, next }
        })
        .await
    }

    async fn read(&self, addresses: &[Address], _: &str) -> Asked<ContactsRead> {
        let is_complete = !self.fault(self.chances.item);
        self.ask(|state| {
            let found = addresses.iter().filter_map(|address| {
                let id = match address {
                    Address::UserId(user) => state.by(USER_ID, user.as_str())?,
                    Address::Email(email) => state.by_address(email)?,
                    Address::ContactId(id) => id.clone(),
                };
                state.view(&id)
            });
            ContactsRead { contacts: found.collect(), is_complete }
        })
        .await
    }

    async fn release(&self, contacts: &[String], _: &str) -> Asked<()> {
        self.ask(|state| {
            for contact in contacts {
                if let Some(held) = state.contacts.get_mut(contact) {
                    held.retain(|name, _| {
                        name == EMAIL || SCHEMA.properties.iter().all(|ours| ours.name != name)
                    });
                }
            }
        })
        .await
    }
}

#[async_trait]
impl UserWalk for World {
    async fn users(&self, position: Option<&str>, users_max: usize) -> Result<UserIds, PortError> {
        self.store("walk over the users", |state| {
            let ids = state.users.keys().filter(|id| position.is_none_or(|at| id.as_str() > at));
            let users: Vec<UserId> = ids.take(users_max).cloned().collect();
            let next = users.last().filter(|_| users.len() == users_max).map(ToString::to_string);
            UserIds { users, next }
        })
        .await
    }
}

#[async_trait]
impl ReconcileStore for World {
    async fn current(&self) -> Result<Option<Reconciliation>, PortError> {
        let current = |state: &mut State| {
            let run = state.reconciliation.clone();
            run.filter(|run| run.finished_at.is_none())
        };
        self.store("current", current).await
    }

    async fn commit(&self, next: &Reconciliation, findings: &[Finding]) -> Result<bool, PortError> {
        self.store("commit", |state| {
            let is_next = state.follows(next);
            if is_next {
                state.reconciliation = Some(next.clone());
                state.findings.insert(next.pages, findings.to_vec());
            }
            is_next
        })
        .await
    }

    async fn finish(&self, last: &Reconciliation) -> Result<bool, PortError> {
        self.store("finish", |state| {
            let is_next = state.follows(last);
            if is_next {
                state.reconciliation = Some(last.clone());
            }
            is_next
        })
        .await
    }

    async fn findings(&self, _: &Reconciliation, page: u32) -> Result<Vec<Finding>, PortError> {
        let findings = |state: &mut State| state.findings.get(&page).cloned().unwrap_or_default();
        self.store("findings", findings).await
    }

    async fn known(&self, user: &UserId, now: Timestamp) -> Result<Known, PortError> {
        self.store("known", |state| {
            let (ledger, holder) = state.ledger.get(user).cloned().unwrap_or_default();
            let waits = state.pending.keys().any(|(whose, _)| whose == user);
            let sends = holder.as_ref().is_some_and(|holder| holder.until >= now);
            let ledger: Ledger = if holder.is_some() { ledger.doubted() } else { ledger };
            Known { ledger, busy: waits || sends }
        })
        .await
    }

    async fn force(&self, mark: &Mark) -> Result<(), PortError> {
        self.store("force", |state| state.mark(mark, true)).await
    }

    async fn erase_again(&self, user: &UserId, removal: &Removal) -> Result<(), PortError> {
        self.store("erase again", |state| state.remove(user, removal.clone())).await
    }

    async fn compared_since(&self, _: Timestamp) -> Result<(), PortError> {
        self.store("compared", |_state| ()).await
    }
}

impl State {
    fn follows(&self, next: &Reconciliation) -> bool {
        let current = self.reconciliation.as_ref();
        current.is_some_and(|run| run.id == next.id && run.version + 1 == next.version)
    }
}
