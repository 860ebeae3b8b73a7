//! Taking notices in, over the ports. It may be dropped at any await: the same delivery then comes
//! again and goes on, and everything that follows from a notice may be done twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::random::Random;
use rollcall_domain::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Drift, Effect, LOOKS_MAX, Notice, Owner, Policy, decide};
use crate::pending::{Dirty, Mark, Reason};
use crate::port::{BudgetStore, Nudge, PortError, wake_soon};

/// Notices of one request. They hold ids and names of properties, and nobody's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Names the delivery, however often its message is received. Random.
    pub id: String,
    /// One id from the request to the calls that follow.
    pub trace_id: String,
    /// How often its contacts were looked up in vain.
    pub looks: u32,
    /// What happened.
    pub notices: Vec<Notice>,
}

/// What is remembered of notices, and what follows from them.
#[async_trait]
pub trait NoticeStore: Send + Sync {
    /// Takes a notice for `delivery`. `false`: another delivery took it. The same one may take it
    /// again.
    async fn take(&self, notice: &str, delivery: &str, now: Timestamp) -> Result<bool, PortError>;

    /// Whose a contact is, or was before a merge. May be a moment behind.
    async fn owners(&self, contact: &str, now: Timestamp) -> Result<Vec<Owner>, PortError>;

    /// Gives a user's contact another id, keeps the old ones, and marks everything to be sent again;
    /// nothing, if the contact has got another id already.
    async fn repoint(
        &self,
        user: &UserId,
        ids: (&str, &str),
        aliases: &[String],
        marks: &[Mark],
        now: Timestamp,
    ) -> Result<(), PortError>;

    /// Forgets the id of a user's contact, if it is still this one, and marks everything to be sent
    /// again.
    async fn unlink(&self, user: &UserId, from: &str, marks: &[Mark]) -> Result<(), PortError>;

    /// Notes what somebody changed, and marks what is to be sent again. Of several changes of one
    /// property the last one stays, in whatever order they come.
    async fn note(&self, drift: &Drift, marks: &[Mark]) -> Result<(), PortError>;

    /// Closes the CRM to the user for good, and has the account erased.
    async fn erase(&self, user: &UserId, trace_id: &str) -> Result<(), PortError>;
}

/// What taking in works with.
#[derive(Clone)]
pub struct Intake {
    /// What is remembered.
    pub store: Arc<dyn NoticeStore>,
    /// Says whether the drain is woken anyway.
    pub budget: Arc<dyn BudgetStore>,
    /// Wakes the drain, which sends what was marked.
    pub nudge: Arc<dyn Nudge>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Names marks.
    pub random: Arc<dyn Random>,
    /// Who wins where somebody changed what is ours.
    pub policy: Policy,
}

/// What became of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Notices of which something followed or could have.
    pub taken: u32,
    /// Changes of what is ours.
    pub drifted: u32,
    /// Notices about nobody of ours.
    pub foreign: u32,
    /// What has to come again in [`super::LOOK_AGAIN_SECONDS`]: it may be about a contact so new that
    /// nobody knows yet whose it is.
    pub again: Option<Delivery>,
}

/// What became of one notice.
enum Outcome {
    Taken(Vec<Effect>),
    Repeated,
    Unknown,
}

impl Intake {
    /// Takes in every notice of a delivery.
    pub async fn take_in(&self, delivery: &Delivery) -> Result<TakenIn, PortError> {
        let mut became = TakenIn::default();
        let mut unknown = Vec::new();
        for notice in &delivery.notices {
            match self.take(notice, &delivery.id).await? {
                Outcome::Taken(effects) => {
                    became.taken += 1;
                    for effect in effects {
                        became.drifted += u32::from(matches!(effect, Effect::Drift(_)));
                        self.carry_out(effect, &delivery.trace_id).await?;
                    }
                }
                Outcome::Repeated => {}
                Outcome::Unknown if may_look_again(notice, delivery.looks) => {
                    unknown.push(notice.clone());
                }
                Outcome::Unknown => became.foreign += 1,
            }
        }
        became.again = (!unknown.is_empty()).then(|| Delivery {
            looks: delivery.looks + 1,
            notices: unknown,
            ..delivery.clone()
        });
        Ok(became)
    }

    async fn take(&self, notice: &Notice, delivery: &str) -> Result<Outcome, PortError> {
        let now = self.clock.now();
        if !self.store.take(&notice.id, delivery, now).await? {
            return Ok(Outcome::Repeated);
        }
        let mut owners: BTreeMap<String, Vec<Owner>> = BTreeMap::new();
        for contact in notice.happened.contacts() {
            let found = self.store.owners(contact, now).await?;
            owners.insert(contact.to_owned(), found);
        }
        if owners.values().all(Vec::is_empty) {
            return Ok(Outcome::Unknown);
        }
        Ok(Outcome::Taken(decide(notice, &owners, self.policy)))
    }

    async fn carry_out(&self, effect: Effect, trace_id: &str) -> Result<(), PortError> {
        let now = self.clock.now();
        let marks = |user: &UserId, facets: &[Facet]| -> Vec<Mark> {
            facets.iter().map(|facet| self.mark(user, *facet, trace_id, now)).collect()
        };
        match effect {
            Effect::Repoint { user, from, to, aliases } => {
                let marks = marks(&user, &Facet::ALL);
                self.store.repoint(&user, (&from, &to), &aliases, &marks, now).await?;
            }
            Effect::Unlink { user, from } => {
                self.store.unlink(&user, &from, &marks(&user, &Facet::ALL)).await?;
            }
            Effect::Erase { user } => self.store.erase(&user, trace_id).await?,
            Effect::Drift(drift) => {
                let marks = marks(&drift.user, &drift.again);
                self.store.note(&drift, &marks).await?;
                if marks.is_empty() {
                    return Ok(());
                }
            }
        }
        wake_soon(&*self.budget, &*self.nudge, self.clock.now()).await
    }

    fn mark(&self, user: &UserId, facet: Facet, trace_id: &str, now: Timestamp) -> Mark {
        let trace_id = Some(trace_id.to_owned());
        let dirty = Dirty { user: user.clone(), facet, trace_id };
        Mark::due(dirty, Reason::Drift, now, &*self.random)
    }
}

fn may_look_again(notice: &Notice, looks: u32) -> bool {
    notice.happened.is_worth_another_look() && looks + 1 < LOOKS_MAX
}
