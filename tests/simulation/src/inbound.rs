//! What is remembered of what the CRM told, and what follows from it: each method one atomic effect.

use async_trait::async_trait;
use rollcall_crm::inbound::work::NoticeStore;
use rollcall_crm::inbound::{Drift, Owner};
use rollcall_crm::pending::{Mark, token};
use rollcall_crm::port::PortError;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::id::UserId;
use rollcall_domain::time::{Clock, Timestamp};

use crate::world::{State, World};

#[async_trait]
impl NoticeStore for World {
    async fn take(&self, notice: &str, delivery: &str, _: Timestamp) -> Result<bool, PortError> {
        self.store("take", |state| {
            let taken = state.taken.entry(notice.to_owned());
            taken.or_insert_with(|| delivery.to_owned()) == delivery
        })
        .await
    }

    async fn owners(&self, contact: &str, _: Timestamp) -> Result<Vec<Owner>, PortError> {
        self.store("owners", |state| state.owners(contact)).await
    }

    async fn repoint(
        &self,
        user: &UserId,
        (from, to): (&str, &str),
        aliases: &[String],
        marks: &[Mark],
        _: Timestamp,
    ) -> Result<(), PortError> {
        self.store("repoint", |state| {
            if state.relink(user, from, Some(to), marks) {
                let aliases = aliases.iter().map(|alias| (alias.clone(), user.clone()));
                state.aliases.extend(aliases);
            }
        })
        .await
    }

    async fn unlink(&self, user: &UserId, from: &str, marks: &[Mark]) -> Result<(), PortError> {
        self.store("unlink", |state| {
            state.relink(user, from, None, marks);
        })
        .await
    }

    async fn note(&self, _: &Drift, marks: &[Mark]) -> Result<(), PortError> {
        for mark in marks {
            self.store("mark a drift", |state| state.mark(mark, true)).await?;
        }
        self.store("note", |_state| ()).await
    }

    /// The grace time of the account is over at once.
    async fn erase(&self, user: &UserId, _: &str) -> Result<(), PortError> {
        let (id, now) = (token(&*self.random), self.now());
        self.store("erase", |state| {
            let email = state.users.remove(user).and_then(|state| state.user.email);
            state.remove(user, Removal::new(id, RemovalKind::Erase, email, now));
        })
        .await
    }
}

impl State {
    fn owners(&self, contact: &str) -> Vec<Owner> {
        let current = self
            .ledger
            .iter()
            .filter(|(_, (ledger, _))| ledger.contact_id.as_deref() == Some(contact));
        let current = current.map(|(user, _)| (user, true));
        let old = self.aliases.iter().filter(|(alias, _)| alias == contact);
        let owners = current.chain(old.map(|(_, user)| (user, false)));
        let removal =
            |user: &UserId| self.ledger.get(user).and_then(|(ledger, _)| ledger.removal.clone());
        let owner = |(user, is_current): (&UserId, bool)| Owner {
            user: user.clone(),
            is_current,
            removal: removal(user).map(|removal| removal.kind),
        };
        owners.map(owner).collect()
    }

    /// One transaction; `false`: the user's contact is another one by now.
    fn relink(&mut self, user: &UserId, from: &str, to: Option<&str>, marks: &[Mark]) -> bool {
        let (ledger, _) = self.ledger.entry(user.clone()).or_default();
        let is_same = ledger.contact_id.as_deref() == Some(from);
        if is_same {
            ledger.contact_id = to.map(str::to_owned);
            for mark in marks {
                self.mark(mark, true);
            }
        }
        is_same
    }
}
