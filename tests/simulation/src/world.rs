//! The simulated world: our tables, the stream, the CRM's contacts and the clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use rollcall_crm::dead_letter::{DeadLetter, Status};
use rollcall_crm::inbound::work::Delivery;
use rollcall_crm::ledger::{Lease, Ledger};
use rollcall_crm::milestone::{Milestone, MilestoneKind, MilestoneRow};
use rollcall_crm::pending::{Dirty, Mark, PendingRow, Reason, token};
use rollcall_crm::port::{Input, ItemResult, KeyKind, PortError, PortErrorClass, Versioned};
use rollcall_crm::projection::{UserState, project};
use rollcall_crm::reconcile::{Finding, Reconciliation};
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_crm::schema;
use rollcall_domain::catalog::Catalog;
use rollcall_domain::enrollment::{Enrollment, Target};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::learning::Learner;
use rollcall_domain::profile::Profile;
use rollcall_domain::random::{Random, SeededRandom, fraction};
use rollcall_domain::standing::Standing;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_domain::user::{OwnNames, Plan, User};

use crate::Scenario;

/// How often things go wrong, in parts of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Chances {
    /// A function crashes at an await.
    pub crash: u32,
    /// A function stands still for a while at an await.
    pub stall: u32,
    /// A store call fails, before or after its effect.
    pub store: u32,
    /// A CRM call meets some fault.
    pub call: u32,
    /// An input of a CRM call meets some fault.
    pub item: u32,
    /// A written value is one that the CRM refuses.
    pub bad: u32,
    /// The CRM refuses a call as a whole when one input is bad.
    pub whole_calls: bool,
    /// People change, merge, archive and erase contacts in the CRM, at a turn of the world; what it
    /// does not tell of is found by reconciling.
    pub people: u32,
}

impl Chances {
    /// Something is always wrong.
    pub const STORMY: Self = Self {
        crash: 4,
        stall: 4,
        store: 4,
        call: 350,
        item: 40,
        bad: 150,
        whole_calls: false,
        people: 0,
    };
    /// Nothing is ever wrong.
    pub const CALM: Self = Self {
        crash: 0,
        stall: 0,
        store: 0,
        call: 0,
        item: 0,
        bad: 0,
        whole_calls: false,
        people: 0,
    };
}

/// A value that the CRM refuses for good.
pub(crate) const BAD: &str = "bad";
pub(crate) const SHARDS: usize = 3;

pub(crate) struct Commit {
    pub(crate) id: usize,
    pub(crate) at: i64,
    pub(crate) order: Order,
}

/// What the CRM was asked to do.
pub(crate) enum Order {
    Write(Vec<Input>),
    Remove(String, RemovalKind),
    Tell(Vec<(Milestone, String)>),
}

pub(crate) struct State {
    pub(crate) now: i64,
    /// When a task that waits can go on; the executor resets it before each poll.
    pub(crate) wait: Option<i64>,
    pub(crate) faults: bool,
    pub(crate) outage_until: i64,
    pub(crate) users: BTreeMap<UserId, UserState>,
    pub(crate) stream: [VecDeque<(Dirty, Vec<Milestone>)>; SHARDS],
    pub(crate) ledger: BTreeMap<UserId, (Ledger, Option<Lease>)>,
    pub(crate) pending: BTreeMap<(UserId, Facet), PendingRow>,
    /// The index of due rows, which lags behind.
    pub(crate) index: BTreeMap<(UserId, Facet), PendingRow>,
    pub(crate) budget: Versioned,
    pub(crate) wake_at: Option<Timestamp>,
    pub(crate) nudges: Vec<i64>,
    pub(crate) letters: BTreeMap<DeadLetterId, DeadLetter>,
    pub(crate) contacts: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) last_contact: usize,
    /// Ids from before a merge, and what they lead to in the CRM.
    pub(crate) merged: BTreeMap<String, String>,
    /// What the CRM tells us, and when it arrives.
    pub(crate) deliveries: Vec<(i64, Delivery)>,
    /// Notices that were taken, and by which delivery.
    pub(crate) taken: BTreeMap<String, String>,
    /// Ids from before a merge, and whose they were.
    pub(crate) aliases: BTreeSet<(String, UserId)>,
    /// The last reconciliation, and what it found on each page.
    pub(crate) reconciliation: Option<Reconciliation>,
    pub(crate) findings: BTreeMap<u32, Vec<Finding>>,
    /// Contacts that left the CRM: whose they were, and how.
    pub(crate) removed: Vec<(Option<String>, RemovalKind)>,
    /// Users whose contact has to leave the CRM.
    pub(crate) leavers: BTreeMap<UserId, RemovalKind>,
    /// Users who left the CRM and came back.
    pub(crate) returned: BTreeSet<UserId>,
    /// Milestones of theirs from before they came back.
    pub(crate) passed_over: BTreeSet<String>,
    pub(crate) joined: usize,
    /// Everything that happened, and whether the CRM refuses to hear it.
    pub(crate) milestones: BTreeMap<String, (UserId, bool)>,
    pub(crate) waiting: BTreeMap<String, MilestoneRow>,
    /// What the CRM was told, and about whom.
    pub(crate) told: BTreeMap<String, UserId>,
    pub(crate) events_declared: usize,
    pub(crate) declared: (bool, bool),
    pub(crate) commits: Vec<Commit>,
    pub(crate) committed: BTreeMap<usize, Result<BTreeMap<String, ItemResult>, String>>,
    pub(crate) calls: Vec<i64>,
    /// Until when something sent about a user may still take effect.
    pub(crate) in_flight: BTreeMap<UserId, i64>,
}

/// Shared by all ports.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) key: KeyKind,
    pub(crate) chances: Chances,
    pub(crate) random: Arc<SeededRandom>,
    state: Arc<Mutex<State>>,
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let Scenario { seed, key, chances, users, .. } = scenario;
        let joined = users;
        let random = SeededRandom::new(seed);
        let now = 1_700_000_000_000;
        let users: BTreeMap<UserId, UserState> =
            (0..users).map(|index| user(index, now, &random)).collect();
        // The first user's address is on a contact that was there before us.
        let old = BTreeMap::from([(schema::EMAIL.to_owned(), email("0", 0))]);
        let state = State {
            now,
            wait: None,
            faults: true,
            outage_until: 0,
            stream: [(); SHARDS].map(|()| VecDeque::new()),
            ledger: BTreeMap::new(),
            pending: BTreeMap::new(),
            index: BTreeMap::new(),
            budget: Versioned::default(),
            wake_at: None,
            nudges: Vec::new(),
            letters: BTreeMap::new(),
            contacts: BTreeMap::from([("1".to_owned(), old)]),
            last_contact: 1,
            merged: BTreeMap::new(),
            deliveries: Vec::new(),
            taken: BTreeMap::new(),
            aliases: BTreeSet::new(),
            reconciliation: None,
            findings: BTreeMap::new(),
            removed: Vec::new(),
            leavers: BTreeMap::new(),
            returned: BTreeSet::new(),
            passed_over: BTreeSet::new(),
            joined,
            milestones: BTreeMap::new(),
            waiting: BTreeMap::new(),
            told: BTreeMap::new(),
            events_declared: 0,
            declared: (false, false),
            commits: Vec::new(),
            committed: BTreeMap::new(),
            calls: Vec::new(),
            in_flight: BTreeMap::new(),
            users,
        };
        let world = Self {
            seed,
            key,
            chances,
            random: Arc::new(random),
            state: Arc::new(Mutex::new(state)),
        };
        let ids: Vec<UserId> = world.state().users.keys().cloned().collect();
        for user in ids {
            for facet in Facet::ALL {
                world.publish(&user, facet);
            }
        }
        world
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // One thread: a lock that is held already is a mistake in the simulation, not a wait.
        self.state.try_lock().unwrap()
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        let mut bytes = [0_u8; 4];
        self.random.fill(&mut bytes);
        usize::try_from(u32::from_le_bytes(bytes)).unwrap() % bound.max(1)
    }

    pub(crate) fn chance(&self, per_thousand: u32) -> bool {
        per_thousand > 0 && fraction(&*self.random) * 1000.0 < f64::from(per_thousand)
    }

    /// The same, but only while things go wrong at all.
    pub(crate) fn fault(&self, per_thousand: u32) -> bool {
        self.chance(per_thousand) && self.state().faults
    }

    /// Lets others go first: each port call does it before and after its effect.
    pub(crate) async fn step(&self) {
        let at = self.state().now;
        Until { world: self.clone(), at, polled: false }.await;
    }

    pub(crate) async fn until(&self, at: i64) {
        Until { world: self.clone(), at, polled: false }.await;
    }

    /// A store call: `effect` happens at once or not at all, and its answer may be lost.
    pub(crate) async fn store<T>(
        &self,
        step: &'static str,
        effect: impl FnOnce(&mut State) -> T,
    ) -> Result<T, PortError> {
        let error = || PortError::new(step, PortErrorClass::Unavailable, "simulated");
        self.step().await;
        if self.fault(self.chances.store / 2) {
            return Err(error());
        }
        let result = effect(&mut self.state());
        self.step().await;
        if self.fault(self.chances.store / 2) { Err(error()) } else { Ok(result) }
    }

    /// A record in a random shard; every third tells a milestone.
    fn publish(&self, user: &UserId, facet: Facet) {
        let shard = self.below(SHARDS);
        let trace_id = Some("trace".to_owned());
        let mut milestones = Vec::new();
        if self.below(3) == 0 {
            let kind = MilestoneKind::ALL[self.below(MilestoneKind::ALL.len())];
            let bad = self.chance(self.chances.bad / 4);
            let mut state = self.state();
            let now = Timestamp::from_millisecond(state.now).unwrap();
            let occasion = state.milestones.len().to_string();
            let milestone = Milestone::new(user, kind, &occasion, now);
            state.milestones.insert(milestone.id.clone(), (user.clone(), bad));
            milestones.push(milestone);
        }
        let dirty = Dirty { user: user.clone(), facet, trace_id };
        self.state().stream[shard].push_back((dirty, milestones));
    }

    /// A random write of a random user, published to a random shard.
    pub(crate) fn write(&self) {
        if self.state().users.is_empty() {
            self.join();
        }
        let place = self.below(self.state().users.len());
        let (kind, value) = (self.below(4), self.below(6));
        let bad = self.chance(self.chances.bad);
        let user = self.state().users.keys().nth(place).unwrap().clone();
        let facet = {
            let mut state = self.state();
            let now = Timestamp::from_millisecond(state.now).unwrap();
            let entry = state.users.get_mut(&user).unwrap();
            match kind {
                0 | 1 => {
                    entry.user.given_name =
                        if bad { BAD.to_owned() } else { format!("name {value}") };
                    // The address of the first user stays, since it is on a contact to adopt; found
                    // by address, a contact cannot be followed through a change that was not heard of.
                    let name = entry.user.family_name.clone();
                    if kind == 1 && name != "0" && self.key == KeyKind::UserId {
                        entry.user.email = Some(email(&name, value));
                    }
                    entry.user.last_seen_at = now;
                    entry.user.version += 1;
                    Facet::Identity
                }
                _ => {
                    let slug = if bad { BAD.to_owned() } else { format!("course-{value}") };
                    let target = Target::course(slug.parse().unwrap());
                    if entry.learner.enrollments.remove(&target).is_none() {
                        entry.learner.enrollments.insert(target.clone(), enrollment(target, now));
                    }
                    entry.learner.version += 1;
                    Facet::Learning
                }
            }
        };
        self.publish(&user, facet);
    }

    /// A random user leaves the CRM, and another joins. Who is erased is gone from our tables too, and
    /// records of what they did before still come; who is archived goes on, and may come back.
    pub(crate) fn leave(&self) {
        if self.state().users.is_empty() {
            return;
        }
        let place = self.below(self.state().users.len());
        let kind = RemovalKind::ALL[self.below(2)];
        let id = token(&*self.random);
        let leaver = {
            let mut state = self.state();
            let now = Timestamp::from_millisecond(state.now).unwrap();
            let leaver = state.users.keys().nth(place).unwrap().clone();
            let email = state.users[&leaver].user.email.clone();
            let wished = state.leavers.contains_key(&leaver);
            match kind {
                RemovalKind::Erase => {
                    state.users.remove(&leaver);
                }
                RemovalKind::Archive if wished => {
                    state.come_back(&leaver, &id, now);
                    drop(state);
                    return self.publish(&leaver, Facet::Identity);
                }
                RemovalKind::Archive => {}
            }
            state.remove(&leaver, Removal::new(id, kind, email, now));
            leaver
        };
        // Whoever asks changes the user's item, which the stream tells, unless that record is lost.
        let lost = self.fault(300);
        for _ in 0..self.below(3) + usize::from(!lost) {
            self.publish(&leaver, Facet::ALL[self.below(2)]);
        }
        self.join();
    }

    fn join(&self) {
        let (now, index) = {
            let mut state = self.state();
            state.joined += 1;
            (state.now, state.joined)
        };
        let (id, joined) = user(index, now, &*self.random);
        self.state().users.insert(id.clone(), joined);
        for facet in Facet::ALL {
            self.publish(&id, facet);
        }
    }

    /// Nothing is left of who left, and nobody else is gone.
    fn verify_leavers(&self) {
        let (state, seed) = (self.state(), self.seed);
        for (id, kind) in &state.leavers {
            let (ledger, _) = &state.ledger[id];
            let removal = ledger.removal.clone().unwrap();
            assert_eq!(removal.kind, *kind, "seed {seed}");
            assert!(removal.done_at.is_some(), "seed {seed}: {id} {removal:?}");
            let tombstone = Ledger { removal: Some(removal.clone()), ..Ledger::default() };
            assert_eq!((ledger, removal.email), (&tombstone, None), "seed {seed}");
            let held =
                state.contacts.values().filter(|c| c.get(schema::USER_ID) == Some(&id.to_string()));
            assert_eq!(held.count(), 0, "seed {seed}: {id} is still in the CRM");
            for letter in state.letters.values().filter(|letter| letter.user == *id) {
                let shown = !letter.cause.request.is_empty() || !letter.cause.message.is_empty();
                match letter.status {
                    Status::Open | Status::Replaying | Status::Returned | Status::Discarded => {
                        panic!("seed {seed}: {letter:?}")
                    }
                    Status::Withdrawn => assert!(!shown, "seed {seed}: {letter:?}"),
                    Status::Superseded | Status::Resolved => {}
                }
            }
        }
        let leavers = state.leavers.keys().chain(&state.returned);
        let leavers: BTreeSet<String> = leavers.map(ToString::to_string).collect();
        for (owner, kind) in &state.removed {
            // Somebody may have taken the key off.
            assert!(
                owner.as_ref().map_or(self.chances.people > 0, |owner| leavers.contains(owner)),
                "seed {seed}: {owner:?} lost their contact, {kind:?}"
            );
        }
    }

    /// The CRM is away from now on; until when is returned.
    pub(crate) fn begin_outage(&self, outage_ms: i64) -> i64 {
        let mut state = self.state();
        state.outage_until = state.now + outage_ms;
        state.outage_until
    }

    /// Notes a call.
    pub(crate) fn call(&self) {
        let mut state = self.state();
        let now = state.now;
        state.calls.push(now);
    }

    /// How many calls reached the CRM.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls.len()
    }

    /// How many milestones the CRM was told so far.
    pub(crate) fn told(&self) -> usize {
        self.state().told.len()
    }

    /// Every milestone of who stayed was told, or is at the desk, or waits for a contact.
    fn verify_milestones(&self) {
        let (state, seed) = (self.state(), self.seed);
        for id in state.told.keys() {
            assert!(state.milestones.contains_key(id), "seed {seed}: {id} never happened");
        }
        for (id, (user, bad)) in &state.milestones {
            if state.leavers.contains_key(user) || state.passed_over.contains(id) {
                continue;
            }
            let letters = state.letters.values().filter(|letter| {
                let is_open = matches!(letter.status, Status::Open | Status::Replaying);
                is_open && letter.milestone.as_ref().is_some_and(|milestone| milestone.id == *id)
            });
            let (letters, told) = (letters.count(), state.told.get(id) == Some(user));
            let waits = state.waiting.contains_key(id);
            assert!(
                !waits || !state.has_contact(user) || letters == 0 && *bad,
                "seed {seed}: {id} still waits"
            );
            assert_eq!(letters, usize::from(*bad && !waits), "seed {seed}: {id} at the desk");
            // It may have been told without our hearing of it before people took the contact away.
            let untold = *bad || waits && !(told && self.chances.people > 0);
            assert_eq!(told, !untold, "seed {seed}: {id} was told");
        }
    }

    /// What has to hold once everything is quiet.
    pub(crate) fn verify(&self) {
        self.verify_leavers();
        self.verify_milestones();
        let state = self.state();
        let seed = self.seed;
        let mut ours = 0;
        for (id, entry) in state.users.iter().filter(|(id, _)| !state.leavers.contains_key(*id)) {
            let contacts: Vec<_> = state
                .contacts
                .values()
                .filter(|contact| contact.get(schema::USER_ID).is_some_and(|v| v == id.as_str()))
                .collect();
            assert!(contacts.len() <= 1, "seed {seed}: {id} has {} contacts", contacts.len());
            ours += contacts.len();
            let identity_open = state.open_letter(id, Facet::Identity);
            for facet in Facet::ALL {
                let projected = project(entry, facet);
                let bad = is_bad(projected.properties.values());
                let open = state.open_letter(id, facet);
                let held = contacts.first().is_some_and(|contact| {
                    projected
                        .properties
                        .iter()
                        .all(|(name, value)| contact.get(*name).is_some_and(|held| held == value))
                });
                // Until an identity was accepted there is no contact of ours; the desk says so.
                let known = state.ledger.get(id).is_some_and(|(l, _)| l.contact_id.is_some());
                let blocked = !known && identity_open;
                // Whose address people merged into another contact cannot have it: the desk says so.
                let taken = facet == Facet::Identity && state.is_taken(entry, known);
                // What cannot be sent yet may leave an older refusal on the desk.
                assert!(
                    open == (bad || taken) || blocked && facet == Facet::Learning,
                    "seed {seed}: {id} {facet} is on the desk: {open}, is bad: {bad}"
                );
                assert!(
                    held || bad || blocked || taken,
                    "seed {seed}: {id} {facet} is not in the CRM: {:?} {contacts:?}",
                    projected.properties
                );
            }
        }
        // A milestone whose user has no contact waits for one, also when it is told again.
        let waits = |letter: &DeadLetter| {
            let row = letter.milestone.as_ref().and_then(|told| state.waiting.get(&told.id));
            row.is_some_and(|row| state.is_stuck(row))
        };
        let replaying = state.letters.values().filter(|l| l.status == Status::Replaying);
        let replaying = replaying.filter(|letter| !waits(letter));
        let replaying: Vec<_> = replaying.map(|l| (l, state.ledger.get(&l.user))).collect();
        assert_eq!(replaying, [], "seed {seed}: a replay had no effect");
        let strangers = state.contacts.values().filter(|c| !c.contains_key(schema::USER_ID));
        assert_eq!(ours + strangers.count(), state.contacts.len(), "seed {seed}");
        let limit = 100;
        // A window that holds more than the limit begins at some call and holds the one `limit` later.
        for window in state.calls.windows(limit + 1) {
            assert!(window[limit] - window[0] > 10_000, "seed {seed}: too many calls");
        }
    }
}

impl State {
    /// Whether we know a contact of the user.
    pub(crate) fn has_contact(&self, user: &UserId) -> bool {
        self.ledger.get(user).is_some_and(|(ledger, _)| ledger.contact_id.is_some())
    }

    /// Whether the user's address is on a contact that cannot be theirs: another user's, or nobody's
    /// when they have one.
    fn is_taken(&self, entry: &UserState, has_contact: bool) -> bool {
        let email = entry.user.email.as_deref().unwrap_or_default();
        let contact = self.by_address(email).and_then(|id| self.contacts.get(&id));
        contact.is_some_and(|contact| match contact.get(schema::USER_ID) {
            Some(owner) => owner != entry.user.id.as_str(),
            None => has_contact,
        })
    }

    /// Whether a milestone cannot be told, since its user has no contact.
    pub(crate) fn is_stuck(&self, row: &MilestoneRow) -> bool {
        let user = &row.milestone.user;
        !self.has_contact(user) && !self.leavers.contains_key(user)
    }

    pub(crate) fn open_letter(&self, user: &UserId, facet: Facet) -> bool {
        let mut letters = self.letters.values();
        letters.any(|letter| {
            letter.user == *user
                && letter.facet == facet
                && letter.milestone.is_none()
                && matches!(letter.status, Status::Open | Status::Replaying)
        })
    }
}

/// Whether the CRM refuses these values.
pub(crate) fn is_bad<'a>(values: impl IntoIterator<Item = &'a String>) -> bool {
    values.into_iter().any(|value| value.split(';').any(|part| part == BAD))
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.state().now).unwrap()
    }
}

struct Until {
    world: World,
    at: i64,
    polled: bool,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let first = !std::mem::replace(&mut self.polled, true);
        let mut state = self.world.state();
        if !first && state.now >= at {
            return Poll::Ready(());
        }
        state.wait = Some(state.wait.map_or(at, |wait| wait.min(at)));
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn email(user: &str, variant: usize) -> String {
    format!("user-{user}-{variant}@example.org")
}

fn user(index: usize, now: i64, random: &dyn Random) -> (UserId, UserState) {
    let at = Timestamp::from_millisecond(now).unwrap();
    let id = UserId::new(at, random);
    let user = User {
        id: id.clone(),
        issuer: String::new(),
        subject: String::new(),
        identities: 1,
        email: Some(email(&index.to_string(), 0)),
        given_name: "name".to_owned(),
        family_name: index.to_string(),
        provider_roles: Vec::new(),
        granted_roles: Vec::new(),
        standing: Standing::Active,
        plan: Plan::Free,
        verified: false,
        crm_sync: true,
        joined_at: at,
        last_seen_at: at,
        own_names: OwnNames::default(),
        username: None,
        renamed_at: None,
        profile: Profile::default(),
        version: 1,
        profile_version: 1,
        desk_version: 1,
    };
    let catalog = Arc::new(Catalog::default());
    (
        id,
        UserState {
            user,
            learner: Learner::default(),
            badges: Vec::new(),
            certificates: Vec::new(),
            catalog,
        },
    )
}

fn enrollment(target: Target, now: Timestamp) -> Enrollment {
    Enrollment {
        target,
        source: None,
        enrolled_at: now,
        withdrawn_at: None,
        holds_place: false,
        version: 1,
        updated_at: now,
    }
}

impl State {
    /// The user's contact has to leave the CRM.
    pub(crate) fn remove(&mut self, user: &UserId, removal: Removal) {
        self.leavers.insert(user.clone(), removal.kind);
        let dirty = Dirty { user: user.clone(), facet: Facet::Identity, trace_id: None };
        let (now, mark) = (removal.asked_at, removal.id.clone());
        let reason = Reason::Removal;
        self.ledger.entry(user.clone()).or_default().0.removal = Some(removal);
        self.mark(&Mark { dirty, mark, reason, attempts: 0, now, due_at: now }, false);
    }

    /// Who was archived is sent again.
    fn come_back(&mut self, user: &UserId, mark: &str, now: Timestamp) {
        self.leavers.remove(user);
        self.returned.insert(user.clone());
        let ledger = &mut self.ledger.entry(user.clone()).or_default().0;
        ledger.removal = None;
        ledger.contact_id = None;
        // What happened meanwhile is told to nobody.
        let before = self.milestones.iter().filter(|(_, (whose, _))| whose == user);
        self.passed_over.extend(before.map(|(id, _)| id.clone()));
        for facet in Facet::ALL {
            let dirty = Dirty { user: user.clone(), facet, trace_id: None };
            let mark = format!("{mark}-{facet}");
            let reason = Reason::Drift;
            let mark = Mark { dirty, mark, reason, attempts: 0, now, due_at: now };
            self.mark(&mark, true);
        }
    }
}
