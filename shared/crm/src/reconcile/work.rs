//! The work of a reconciliation, step by step over the ports. It may be dropped at any await.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::time::{Timestamp, after_seconds};

use super::compare::{self, Compared, ContactView, Known};
use super::{Finding, Phase, Policy, Reconciliation, Repair};
use crate::limits::{
    RECONCILE_BACKLOG_MAX, RECONCILE_PAGE_MAX, RECONCILE_STEP_SECONDS, RECONCILE_STEPS_MAX,
    STORE_CALLS_AT_ONCE,
};
use crate::pending::{Dirty, Mark, Reason, token};
use crate::port::{Address, FacetSource, KeyKind, Nudge, PendingStore, PortError, wake_soon};
use crate::projection::{Projected, project_all};
use crate::removal::{Removal, RemovalKind};
use crate::schema::EMAIL;
use crate::turns::{Asked, Called, Turns};

/// A page of contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactPage {
    /// The contacts.
    pub contacts: Vec<ContactView>,
    /// Where the next page begins; none on the last page.
    pub next: Option<String>,
}

/// Contacts that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactsRead {
    /// Those that are there.
    pub contacts: Vec<ContactView>,
    /// Whether there is certainly nothing at the other addresses.
    pub is_complete: bool,
}

/// A CRM that shows its contacts. Every method but the first two is one call, for which the caller
/// holds a turn.
#[async_trait]
pub trait ContactLister: Send + Sync {
    /// By what contacts are found.
    fn key_kind(&self) -> KeyKind;

    /// Fetches the credentials anew. `false`: they are the ones we had.
    async fn renew(&self) -> bool;

    /// A page of all contacts, at most [`RECONCILE_PAGE_MAX`].
    async fn page(&self, after: Option<&str>, trace_id: &str) -> Asked<ContactPage>;

    /// The contacts at these addresses, which are of one kind. A contact that was merged into another
    /// is found by its old id.
    async fn read(&self, addresses: &[Address], trace_id: &str) -> Asked<ContactsRead>;

    /// Takes our properties off contacts; those that are gone are passed over.
    async fn release(&self, contacts: &[String], trace_id: &str) -> Asked<()>;
}

/// A page of users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserIds {
    /// The users.
    pub users: Vec<UserId>,
    /// Where the next page begins; none on the last page.
    pub next: Option<String>,
}

/// Lists all users.
#[async_trait]
pub trait UserWalk: Send + Sync {
    /// Users behind `position`. Whoever joined after the walk began may be left out.
    async fn users(&self, position: Option<&str>, users_max: usize) -> Result<UserIds, PortError>;
}

/// What reconciliations remember, and what they may order.
#[async_trait]
pub trait ReconcileStore: Send + Sync {
    /// The reconciliation that is under way.
    async fn current(&self) -> Result<Option<Reconciliation>, PortError>;

    /// Stores how far it came together with the findings of its last page. `false`: somebody else
    /// came further.
    async fn commit(&self, next: &Reconciliation, findings: &[Finding]) -> Result<bool, PortError>;

    /// Stores that it is through, so that another can begin. `false`: somebody else did.
    async fn finish(&self, last: &Reconciliation) -> Result<bool, PortError>;

    /// The findings of a page.
    async fn findings(
        &self,
        reconciliation: &Reconciliation,
        page: u32,
    ) -> Result<Vec<Finding>, PortError>;

    /// What is known about a user in the CRM, strongly consistent.
    async fn known(&self, user: &UserId, now: Timestamp) -> Result<Known, PortError>;

    /// Marks a facet as pending and forced: it is sent whatever the CRM acknowledged.
    async fn force(&self, mark: &Mark) -> Result<(), PortError>;

    /// Wishes that the contact of an erased user is erased once more.
    async fn erase_again(&self, user: &UserId, removal: &Removal) -> Result<(), PortError>;

    /// Forgets that changes of tables were lost, as far as they were before `began_at`.
    async fn compared_since(&self, began_at: Timestamp) -> Result<(), PortError>;
}

/// What reconciling works with.
#[derive(Clone)]
pub struct Reconciler {
    /// The CRM.
    pub crm: Arc<dyn ContactLister>,
    /// Turns to call it: those that are left over.
    pub turns: Turns,
    /// All users.
    pub users: Arc<dyn UserWalk>,
    /// Their state.
    pub source: Arc<dyn FacetSource>,
    /// What is remembered.
    pub store: Arc<dyn ReconcileStore>,
    /// The rows that wait.
    pub pending: Arc<dyn PendingStore>,
    /// Wakes the drain, which makes the repairs.
    pub nudge: Arc<dyn Nudge>,
}

/// Why an invocation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// There is nothing to do.
    Idle,
    /// Its time is over.
    Time,
    /// The CRM cannot be asked now, or others need every turn.
    Crm,
    /// Repairs wait to be sent.
    Backlog,
    /// Another invocation is at work.
    Overtaken,
}

/// What an invocation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkReport {
    /// Pages that were compared.
    pub pages: usize,
    /// The reconciliation that was at work, as it was last stored.
    pub last: Option<Reconciliation>,
    /// Why it stopped.
    pub stopped: Stopped,
}

/// A page that was compared.
#[derive(Default)]
struct Page {
    findings: Vec<Finding>,
    in_flight: u64,
    at_desk: u64,
    looked_at: u64,
    next: Option<String>,
}

impl Page {
    fn add(&mut self, compared: Compared) {
        match compared {
            Compared::Right => {}
            Compared::InFlight => self.in_flight += 1,
            Compared::AtDesk => self.at_desk += 1,
            Compared::Differs(findings) => self.findings.extend(findings),
        }
    }
}

impl Reconciler {
    /// Goes on with the reconciliation that is under way, until it is through, nothing can be done
    /// now, or `deadline` is near.
    pub async fn work(&self, deadline: Timestamp) -> Result<WorkReport, PortError> {
        let mut report = WorkReport { pages: 0, last: None, stopped: Stopped::Time };
        for _step in 0..RECONCILE_STEPS_MAX {
            if after_seconds(self.now(), RECONCILE_STEP_SECONDS) > deadline {
                break;
            }
            let Some(run) = self.store.current().await? else {
                report.stopped = Stopped::Idle;
                break;
            };
            match self.step(run).await? {
                Ok(run) => {
                    report.pages += 1;
                    report.last = Some(run);
                }
                Err(stopped) => {
                    report.stopped = stopped;
                    break;
                }
            }
        }
        Ok(report)
    }

    fn now(&self) -> Timestamp {
        self.turns.clock.now()
    }

    /// Makes the repairs of the page before, compares one page, and commits it.
    async fn step(
        &self,
        run: Reconciliation,
    ) -> Result<Result<Reconciliation, Stopped>, PortError> {
        let trace_id = token(&*self.turns.random);
        if run.repairs() {
            let due = self.pending.due(self.now(), RECONCILE_BACKLOG_MAX).await?;
            if due.len() >= RECONCILE_BACKLOG_MAX {
                wake_soon(&*self.turns.budget, &*self.nudge, self.now()).await?;
                return Ok(Err(Stopped::Backlog));
            }
        }
        if let Some(owing) = run.owing
            && !self.repair(&run, owing, &trace_id).await?
        {
            return Ok(Err(Stopped::Crm));
        }
        let page = match run.phase {
            Phase::Users => self.users_page(&run, &trace_id).await?,
            Phase::Contacts => self.contacts_page(&run, &trace_id).await?,
            Phase::Closing => return self.close(run).await,
        };
        let Some(page) = page else { return Ok(Err(Stopped::Crm)) };
        let (next, findings) = advance(run, page, self.now());
        if self.store.commit(&next, &findings).await? {
            Ok(Ok(next))
        } else {
            Ok(Err(Stopped::Overtaken))
        }
    }

    async fn close(
        &self,
        run: Reconciliation,
    ) -> Result<Result<Reconciliation, Stopped>, PortError> {
        // A report brings nothing to the CRM, and a backfill does not hear of what went missing there.
        if run.repairs() && run.policy != Policy::Backfill {
            self.store.compared_since(run.started_at).await?;
        }
        let now = self.now();
        let last = Reconciliation {
            owing: None,
            finished_at: Some(now),
            updated_at: now,
            version: run.version + 1,
            ..run
        };
        if self.store.finish(&last).await? { Ok(Ok(last)) } else { Ok(Err(Stopped::Overtaken)) }
    }

    /// Compares users, each with their contact.
    async fn users_page(
        &self,
        run: &Reconciliation,
        trace_id: &str,
    ) -> Result<Option<Page>, PortError> {
        let UserIds { users, next } =
            self.users.users(run.cursor.as_deref(), RECONCILE_PAGE_MAX).await?;
        let looked_at = u64::try_from(users.len()).unwrap_or(u64::MAX);
        let mut page = Page { looked_at, next, ..Page::default() };
        // The order matters: what is read of the CRM is older than our state, and what was known
        // before is compared with what is known after, so that no change in between is a finding.
        let before = self.known_of(users.clone()).await?;
        let contacts = match run.policy {
            Policy::Backfill => BTreeMap::new(),
            Policy::Report | Policy::Repair | Policy::RepairOwnedOnly => {
                let Some(contacts) = self.contacts_of(&users, &before, trace_id).await? else {
                    return Ok(None);
                };
                contacts
            }
        };
        let states = self.states_of(users.clone(), &before).await?;
        let key = self.crm.key_kind();
        let (none, unknown) = (BTreeMap::new(), Known::default());
        let mut suspects = Vec::new();
        for user in users {
            let state = states.get(&user).unwrap_or(&none);
            let known = before.get(&user).unwrap_or(&unknown);
            let compared = match run.policy {
                Policy::Backfill => compare::of_ledger(&user, state, known, key),
                Policy::Report | Policy::Repair | Policy::RepairOwnedOnly => {
                    compare::of_user(&user, state, known, contacts.get(&user), key)
                }
            };
            match compared {
                Compared::Differs(findings) => suspects.push((user, findings)),
                other => page.add(other),
            }
        }
        let after = self.known_of(suspects.iter().map(|(user, _)| user.clone()).collect()).await?;
        for (user, findings) in suspects {
            let same = before.get(&user) == after.get(&user);
            page.add(if same { Compared::Differs(findings) } else { Compared::InFlight });
        }
        Ok(Some(page))
    }

    /// The contacts of users, by our key and then, of those who had one, by the CRM's own id: somebody
    /// may have taken the key off.
    async fn contacts_of(
        &self,
        users: &[UserId],
        known: &BTreeMap<UserId, Known>,
        trace_id: &str,
    ) -> Result<Option<BTreeMap<UserId, ContactView>>, PortError> {
        let mut found = BTreeMap::new();
        let by_key: Vec<(UserId, Address)> = match self.crm.key_kind() {
            KeyKind::UserId => {
                users.iter().map(|user| (user.clone(), Address::UserId(user.clone()))).collect()
            }
            KeyKind::Email => Vec::new(),
        };
        if !self.read_into(&mut found, by_key, trace_id).await? {
            return Ok(None);
        }
        let by_id: Vec<(UserId, Address)> = users
            .iter()
            .filter(|user| !found.contains_key(*user))
            .filter_map(|user| {
                let contact = known.get(user)?.ledger.contact_id.clone()?;
                Some((user.clone(), Address::ContactId(contact)))
            })
            .collect();
        if !self.read_into(&mut found, by_id, trace_id).await? {
            return Ok(None);
        }
        if self.crm.key_kind() == KeyKind::Email {
            let rest: Vec<UserId> =
                users.iter().filter(|user| !found.contains_key(*user)).cloned().collect();
            let states = self.states_of(rest, known).await?;
            let address = |(user, state): (UserId, BTreeMap<Facet, Projected>)| {
                let email = state.get(&Facet::Identity)?.properties.get(EMAIL)?.clone();
                Some((user, Address::Email(email)))
            };
            let by_email = states.into_iter().filter_map(address).collect();
            if !self.read_into(&mut found, by_email, trace_id).await? {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// `false`: the CRM cannot be asked now.
    async fn read_into(
        &self,
        found: &mut BTreeMap<UserId, ContactView>,
        wanted: Vec<(UserId, Address)>,
        trace_id: &str,
    ) -> Result<bool, PortError> {
        if wanted.is_empty() {
            return Ok(true);
        }
        let mut addresses: Vec<Address> =
            wanted.iter().map(|(_, address)| address.clone()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let (crm, addresses) = (&*self.crm, &addresses[..]);
        let called = self.turns.call(|| crm.read(addresses, trace_id), || crm.renew()).await?;
        let read = match called {
            Called::Done(read) if read.is_complete => read,
            Called::Done(_) | Called::Refused(_) | Called::Later => return Ok(false),
        };
        for (user, address) in wanted {
            let contact = read.contacts.iter().find(|contact| is_at(contact, &address));
            found.extend(contact.map(|contact| (user, contact.clone())));
        }
        Ok(true)
    }

    /// Compares contacts, each with the user whose id it carries.
    async fn contacts_page(
        &self,
        run: &Reconciliation,
        trace_id: &str,
    ) -> Result<Option<Page>, PortError> {
        let (crm, cursor) = (&*self.crm, run.cursor.as_deref());
        let called = self.turns.call(|| crm.page(cursor, trace_id), || crm.renew()).await?;
        let ContactPage { contacts, next } = match called {
            Called::Done(page) => page,
            Called::Refused(_) | Called::Later => return Ok(None),
        };
        let looked_at = u64::try_from(contacts.len()).unwrap_or(u64::MAX);
        let mut page = Page { looked_at, next, ..Page::default() };
        let mut owned = Vec::new();
        for contact in contacts {
            match contact.owner().map(str::parse::<UserId>) {
                None => {}
                Some(Err(_)) => page.findings.push(compare::of_nobody(&contact)),
                Some(Ok(user)) => owned.push((user, contact)),
            }
        }
        let known = self.known_of(owned.iter().map(|(user, _)| user.clone()).collect()).await?;
        let unknown = Known::default();
        let of = |user: &UserId| known.get(user).unwrap_or(&unknown);
        // Whoever has a contact in the ledger was a user, and leaves only with a tombstone.
        let doubtful = owned.iter().filter(|(user, _)| of(user).ledger.contact_id.is_none());
        let doubtful: Vec<UserId> = doubtful.map(|(user, _)| user.clone()).collect();
        let strangers: BTreeSet<UserId> = {
            let states = self.states_of(doubtful.clone(), &known).await?;
            doubtful.into_iter().filter(|user| !states.contains_key(user)).collect()
        };
        for (user, contact) in owned {
            let exists = !strangers.contains(&user);
            page.add(compare::of_contact(&contact, &user, of(&user), exists, crm.key_kind()));
        }
        Ok(Some(page))
    }

    async fn known_of(&self, users: Vec<UserId>) -> Result<BTreeMap<UserId, Known>, PortError> {
        let now = self.now();
        let reading = users.into_iter().map(|user| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let known = self.store.known(&user, now).await?;
                Ok((user, known))
            })
        });
        futures::stream::iter(reading).buffer_unordered(STORE_CALLS_AT_ONCE).try_collect().await
    }

    /// The facets of users as the CRM should see them, with what an operator replaced in them; who does
    /// not exist is left out.
    async fn states_of(
        &self,
        users: Vec<UserId>,
        known: &BTreeMap<UserId, Known>,
    ) -> Result<BTreeMap<UserId, BTreeMap<Facet, Projected>>, PortError> {
        let reading = users.into_iter().map(|user| -> BoxFuture<'_, Result<_, PortError>> {
            let edits =
                known.get(&user).map(|known| known.ledger.edits.clone()).unwrap_or_default();
            Box::pin(async move {
                let state = self.source.load(&user).await?;
                Ok(state.map(|state| (user, project_all(&state, &edits))))
            })
        });
        let read: Vec<Option<_>> = futures::stream::iter(reading)
            .buffer_unordered(STORE_CALLS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Makes the repairs of a page. Each can be made again. `false`: the CRM cannot be asked now.
    async fn repair(
        &self,
        run: &Reconciliation,
        page: u32,
        trace_id: &str,
    ) -> Result<bool, PortError> {
        let findings = self.store.findings(run, page).await?;
        let (mut marks, mut erased, mut released) = (Vec::new(), Vec::new(), Vec::new());
        for Finding { user, contact_id, repair, .. } in findings {
            match (repair, user, contact_id) {
                (Repair::Send(facets), Some(user), _) => {
                    marks.extend(facets.into_iter().map(|facet| self.mark(&user, facet, trace_id)));
                }
                (Repair::Remove, Some(user), Some(contact)) => erased.push((user, contact)),
                (Repair::Release, _, Some(contact)) => released.push(contact),
                (Repair::None | Repair::Send(_) | Repair::Remove | Repair::Release, _, _) => {}
            }
        }
        if !self.erase_again(&erased, trace_id).await? || !self.release(&released, trace_id).await?
        {
            return Ok(false);
        }
        let wakes = !marks.is_empty() || !erased.is_empty();
        let marking = marks.into_iter().map(|mark| -> BoxFuture<'_, Result<(), PortError>> {
            Box::pin(async move { self.store.force(&mark).await })
        });
        futures::stream::iter(marking)
            .buffer_unordered(STORE_CALLS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        if wakes {
            wake_soon(&*self.turns.budget, &*self.nudge, self.now()).await?;
        }
        Ok(true)
    }

    fn mark(&self, user: &UserId, facet: Facet, trace_id: &str) -> Mark {
        let trace_id = Some(trace_id.to_owned());
        let dirty = Dirty { user: user.clone(), facet, trace_id };
        Mark::due(dirty, Reason::Drift, self.now(), &*self.turns.random)
    }

    async fn erase_again(
        &self,
        erased: &[(UserId, String)],
        trace_id: &str,
    ) -> Result<bool, PortError> {
        if erased.is_empty() {
            return Ok(true);
        }
        let mut found = BTreeMap::new();
        // Found by address, a contact can only be erased by an address.
        if self.crm.key_kind() == KeyKind::Email {
            let by_id = erased.iter().cloned();
            let by_id = by_id.map(|(user, contact)| (user, Address::ContactId(contact))).collect();
            if !self.read_into(&mut found, by_id, trace_id).await? {
                return Ok(false);
            }
        }
        for (user, _) in erased {
            let email = found.get(user).and_then(|contact| contact.properties.get(EMAIL)).cloned();
            let id = token(&*self.turns.random);
            let removal = Removal::new(id, RemovalKind::Erase, email, self.now());
            self.store.erase_again(user, &removal).await?;
        }
        Ok(true)
    }

    async fn release(&self, contacts: &[String], trace_id: &str) -> Result<bool, PortError> {
        if contacts.is_empty() {
            return Ok(true);
        }
        let crm = &*self.crm;
        let called = self.turns.call(|| crm.release(contacts, trace_id), || crm.renew()).await?;
        Ok(match called {
            // What the CRM refuses is found again by the next reconciliation.
            Called::Done(()) | Called::Refused(_) => true,
            Called::Later => false,
        })
    }
}

fn is_at(contact: &ContactView, address: &Address) -> bool {
    match address {
        Address::UserId(user) => contact.owner() == Some(user.as_str()),
        Address::ContactId(id) => contact.id == *id || contact.merged.contains(id),
        Address::Email(email) => {
            contact.properties.get(EMAIL).is_some_and(|held| held.eq_ignore_ascii_case(email))
        }
    }
}

/// The reconciliation after a page, and the page's findings with what is done about them.
fn advance(run: Reconciliation, page: Page, now: Timestamp) -> (Reconciliation, Vec<Finding>) {
    let Page { mut findings, in_flight, at_desk, looked_at, next } = page;
    let mut counts = run.counts.clone();
    counts.in_flight += in_flight;
    counts.at_desk += at_desk;
    match run.phase {
        Phase::Users => counts.users += looked_at,
        Phase::Contacts => counts.contacts += looked_at,
        Phase::Closing => {}
    }
    for finding in &mut findings {
        finding.repair = run.policy.repair(finding);
        *counts.found.entry(finding.class).or_default() += 1;
        counts.repaired += u64::from(finding.repair != Repair::None);
    }
    let phase = match (run.phase, &next) {
        (phase, Some(_)) => phase,
        (Phase::Users, None) if run.policy != Policy::Backfill => Phase::Contacts,
        (Phase::Users | Phase::Contacts | Phase::Closing, None) => Phase::Closing,
    };
    let pages = run.pages + 1;
    let owes = run.repairs() && findings.iter().any(|finding| finding.repair != Repair::None);
    let next = Reconciliation {
        phase,
        cursor: next,
        pages,
        owing: owes.then_some(pages),
        counts,
        updated_at: now,
        version: run.version + 1,
        ..run
    };
    (next, findings)
}
