//! One run: users whose lease is held, from their state to what is sent and what is written down
//! about it. Pure: the engine asks for the next [`Task`], does it, hands back the answer, and stores
//! the [`Settlement`]s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::time::{Timestamp, after_seconds};

use crate::classifier::{Class, Failure, Retry, classify, existing_id};
use crate::dead_letter::Cause;
use crate::ledger::{Lease, Ledger};
use crate::limits::{BATCH_INPUTS_MAX, CALL_SECONDS_MAX, ROW_AGE_SECONDS_MAX, RUN_TASKS_MAX};
use crate::pending::{PendingRow, Reason};
use crate::port::{Address, CallOutcome, Input, ItemResult, KeyKind};
use crate::portal::{Health, PauseReason};
use crate::projection::Projected;
use crate::schema;

mod removal;
mod settle;
pub(crate) mod telling;
#[cfg(test)]
mod tests;

pub(crate) use removal::{RemovalOutcome, RemovalStep};
pub use settle::{Settlement, Tally};
pub(crate) use settle::{Settling, busy};

/// Why a facet is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Trace id of the write that made it dirty.
    pub trace_id: Option<String>,
    /// Its pending row, as seen before the state was read.
    pub row: Option<PendingRow>,
}

/// What is wanted for one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Whose.
    pub user: UserId,
    /// The dirty facets.
    pub facets: BTreeMap<Facet, Want>,
}

/// A user whose lease is held and whose state was read after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What is wanted.
    pub work: Work,
    /// The lease.
    pub lease: Lease,
    /// What is known about the CRM.
    pub ledger: Ledger,
    /// The holder before never released its lease.
    pub abandoned: bool,
    /// Every facet as the CRM should see it; empty when the user does not exist.
    pub state: BTreeMap<Facet, Projected>,
}

/// Some facets of one user, to be sent as one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Whose.
    pub user: UserId,
    /// Which facets.
    pub facets: Vec<Facet>,
    /// A contact that was there before us and shall be this user's.
    pub adopt: Option<String>,
}

/// What the engine has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Send these, at most one slot per user.
    Write(Vec<Slot>),
    /// Declare the schema.
    DeclareSchema,
    /// Fetch the credentials anew.
    RenewCredentials,
    /// Find out to whom the contacts belong that these slots would adopt.
    FindOwners(Vec<Slot>),
}

/// What became of a facet in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Unchanged,
    Acknowledged,
    Refused(Box<Cause>),
    /// Not sent because of an open dead letter or for want of an address.
    Blocked,
    /// Sent in vain; a later try may succeed.
    Later {
        reason: Reason,
        outage: bool,
        doubt: bool,
    },
    /// Not sent.
    Postponed(Reason),
}

#[derive(Debug)]
struct Member {
    candidate: Candidate,
    considered: BTreeSet<Facet>,
    verdicts: BTreeMap<Facet, Verdict>,
    /// A call about this user may still be at work in the CRM: the lease must run out by itself.
    keep_lease: bool,
}

/// One run over some users.
#[derive(Debug)]
pub struct Run {
    key: KeyKind,
    members: BTreeMap<UserId, Member>,
    tasks: VecDeque<Task>,
    tasks_left: usize,
    schema_declared: bool,
    credentials_renewed: bool,
}

impl Run {
    /// A run over users whose leases are held. Unless the portal knows the schema, it is told first.
    pub fn new(candidates: Vec<Candidate>, key: KeyKind, schema_known: bool) -> Self {
        let members: BTreeMap<UserId, Member> = candidates
            .into_iter()
            .map(|candidate| (candidate.work.user.clone(), Member::plan(candidate, key)))
            .collect();
        let slots: Vec<Slot> = members
            .values()
            .filter_map(|member| {
                let facets = member.undecided();
                let user = member.candidate.work.user.clone();
                (!facets.is_empty()).then_some(Slot { user, facets, adopt: None })
            })
            .collect();
        let mut tasks = VecDeque::new();
        if !schema_known && !slots.is_empty() {
            tasks.push_back(Task::DeclareSchema);
        }
        tasks.extend(slots.chunks(BATCH_INPUTS_MAX).map(|chunk| Task::Write(chunk.to_vec())));
        Self {
            key,
            members,
            tasks,
            tasks_left: RUN_TASKS_MAX,
            schema_declared: !schema_known,
            credentials_renewed: false,
        }
    }

    /// A run that only tells the portal the schema.
    pub(crate) fn declaring(key: KeyKind) -> Self {
        let mut run = Self::new(Vec::new(), key, false);
        run.tasks.push_back(Task::DeclareSchema);
        run
    }

    /// What to do next; `None` when everything is decided.
    pub fn next_task(&mut self) -> Option<Task> {
        if self.tasks_left == 0 {
            self.stop(Reason::Paced);
        }
        self.tasks_left = self.tasks_left.saturating_sub(1);
        self.tasks.pop_front()
    }

    /// Nothing more is sent in this run.
    pub fn stop(&mut self, reason: Reason) {
        self.tasks.clear();
        for member in self.members.values_mut() {
            for facet in member.undecided() {
                member.verdicts.insert(facet, Verdict::Postponed(reason));
            }
        }
    }

    /// The inputs of `slots` that may be sent at `now` in one call of at most `inputs_max`; the
    /// others come later. Never sends without enough of a lease left: whoever sends last must be
    /// the one who read the state last.
    pub fn ready(&mut self, slots: Vec<Slot>, now: Timestamp, inputs_max: usize) -> Vec<Input> {
        let latest = after_seconds(now, CALL_SECONDS_MAX);
        let mut inputs: Vec<Input> = Vec::new();
        let mut rest = Vec::new();
        for slot in slots {
            let Some(member) = self.members.get_mut(&slot.user) else {
                continue;
            };
            if member.candidate.lease.until < latest {
                member.decide(&slot.facets, &Verdict::Postponed(Reason::Paced));
                continue;
            }
            if let Some(verdict) = member.identity_first(&slot) {
                member.decide(&slot.facets, &verdict);
                continue;
            }
            let Some(input) = member.input(&slot, self.key) else {
                member.decide(&slot.facets, &Verdict::Blocked);
                continue;
            };
            let same_kind = inputs.first().is_none_or(|first| {
                std::mem::discriminant(&first.address) == std::mem::discriminant(&input.address)
            });
            let same_contact = inputs.iter().any(|other| other.address == input.address);
            if inputs.len() < inputs_max && same_kind && !same_contact {
                inputs.push(input);
            } else {
                rest.push(slot);
            }
        }
        if !rest.is_empty() {
            self.tasks.push_front(Task::Write(rest));
        }
        inputs
    }

    /// Takes in what became of a call and says what it means for the portal.
    pub fn absorb(&mut self, inputs: Vec<Input>, outcome: CallOutcome, now: Timestamp) -> Health {
        match outcome {
            CallOutcome::Answered(results) => {
                self.answered(inputs, &results, now);
                Health::Well
            }
            CallOutcome::Refused(failure) => self.refused(inputs, &failure, now),
            CallOutcome::NotSent => {
                self.decide(&inputs, &Verdict::Postponed(Reason::Portal));
                self.give_up(PauseReason::Outage, None)
            }
            CallOutcome::Unknown => {
                for input in &inputs {
                    if let Some(member) = self.members.get_mut(&input.user) {
                        member.keep_lease = true;
                    }
                }
                self.decide(
                    &inputs,
                    &Verdict::Later { reason: Reason::Unknown, outage: true, doubt: true },
                );
                self.give_up(PauseReason::Outage, None)
            }
        }
    }

    /// Takes in what became of declaring a part of the schema. `None`: go on.
    pub fn absorb_declared(&mut self, outcome: &CallOutcome) -> Option<Health> {
        let failure = match outcome {
            CallOutcome::Answered(_) => return None,
            CallOutcome::NotSent | CallOutcome::Unknown => {
                return Some(self.give_up(PauseReason::Outage, None));
            }
            CallOutcome::Refused(failure) => failure,
        };
        Some(match classify(failure) {
            Class::RefreshCredentials if !self.credentials_renewed => {
                self.tasks.push_front(Task::DeclareSchema);
                self.renew_credentials()
            }
            Class::RefreshCredentials => self.give_up(PauseReason::Credentials, Some(failure)),
            Class::RetryAfter(Retry::Portal(reason)) | Class::PausePortal(reason) => {
                self.give_up(reason, Some(failure))
            }
            Class::Sent
            | Class::RetryAfter(Retry::Input | Retry::ByKey)
            | Class::SplitAndRetry
            | Class::FixSchema
            | Class::AdoptExistingId
            | Class::DeadLetter => self.give_up(PauseReason::Unusable, Some(failure)),
        })
    }

    /// Takes in to whom contacts belong: what is free is adopted, what is another user's is not.
    pub fn absorb_owners(
        &mut self,
        slots: Vec<Slot>,
        owners: &BTreeMap<String, Option<String>>,
        now: Timestamp,
    ) {
        let mut free: Vec<Slot> = Vec::new();
        for slot in slots {
            // Two users with one address: the first gets the contact, the second then finds it taken.
            if free.iter().any(|other| other.adopt == slot.adopt) {
                self.transient(&slot, &Failure::default(), now);
                continue;
            }
            match slot.adopt.as_ref().map(|contact| owners.get(contact)) {
                Some(Some(owner)) if owner.as_deref().is_none_or(|o| o == slot.user.as_str()) => {
                    free.push(slot);
                }
                Some(Some(_)) => {
                    let failure = Failure {
                        category: "EMAIL_OF_ANOTHER_USER".to_owned(),
                        message: "the e-mail address is on the contact of another user".to_owned(),
                        ..Failure::default()
                    };
                    self.taken(slot, &failure, now);
                }
                Some(None) | None => self.transient(&slot, &Failure::default(), now),
            }
        }
        if !free.is_empty() {
            self.tasks.push_back(Task::Write(free));
        }
    }

    /// The credentials are refused and no others were found.
    pub fn no_credentials(&mut self) -> Health {
        self.give_up(PauseReason::Credentials, None)
    }

    fn answered(
        &mut self,
        inputs: Vec<Input>,
        results: &BTreeMap<String, ItemResult>,
        now: Timestamp,
    ) {
        let mut unknown_property = Vec::new();
        let mut to_adopt = Vec::new();
        let mut to_split = Vec::new();
        for input in inputs {
            match results.get(input.user.as_str()) {
                None => self.decide(
                    &[input],
                    &Verdict::Later { reason: Reason::Unknown, outage: false, doubt: true },
                ),
                Some(ItemResult::Written { contact_id }) => self.written(&input, contact_id),
                Some(ItemResult::Failed(failure)) => match classify(failure) {
                    Class::FixSchema if !self.schema_declared => unknown_property.push(slot(input)),
                    Class::AdoptExistingId => match self.adoption(&input, failure) {
                        Some(slot) => to_adopt.push(slot),
                        None => to_split.push((slot(input), failure)),
                    },
                    Class::RetryAfter(Retry::ByKey) => self.gone(&input, failure, now),
                    Class::RetryAfter(Retry::Input) => self.transient(&slot(input), failure, now),
                    Class::DeadLetter => self.refuse(&slot(input), failure),
                    Class::SplitAndRetry
                    | Class::FixSchema
                    | Class::Sent
                    | Class::RefreshCredentials
                    | Class::RetryAfter(Retry::Portal(_))
                    | Class::PausePortal(_) => to_split.push((slot(input), failure)),
                },
            }
        }
        self.split_or_refuse(to_split, now);
        if !to_adopt.is_empty() {
            self.tasks.push_back(Task::FindOwners(to_adopt));
        }
        if !unknown_property.is_empty() {
            self.repair_schema(unknown_property);
        }
    }

    fn refused(&mut self, inputs: Vec<Input>, failure: &Failure, now: Timestamp) -> Health {
        match classify(failure) {
            Class::RetryAfter(Retry::Portal(reason)) => {
                let verdict = if reason == PauseReason::Outage {
                    Verdict::Later { reason: Reason::Portal, outage: true, doubt: true }
                } else {
                    Verdict::Postponed(Reason::Portal)
                };
                self.decide(&inputs, &verdict);
                return self.give_up(reason, Some(failure));
            }
            Class::PausePortal(reason) => {
                self.decide(&inputs, &Verdict::Postponed(Reason::Portal));
                return self.give_up(reason, Some(failure));
            }
            Class::RefreshCredentials if self.credentials_renewed => {
                self.decide(&inputs, &Verdict::Postponed(Reason::Portal));
                return self.give_up(PauseReason::Credentials, Some(failure));
            }
            Class::RefreshCredentials => {
                self.tasks.push_front(Task::Write(inputs.into_iter().map(slot).collect()));
                return self.renew_credentials();
            }
            Class::FixSchema if !self.schema_declared => {
                self.repair_schema(inputs.into_iter().map(slot).collect());
            }
            // Whatever the matter is, it is not known with whom: halve until it is.
            _ if inputs.len() > 1 => self.bisect(inputs),
            Class::AdoptExistingId => {
                for input in inputs {
                    match self.adoption(&input, failure) {
                        Some(slot) => self.tasks.push_back(Task::FindOwners(vec![slot])),
                        None => self.split_or_refuse(vec![(slot(input), failure)], now),
                    }
                }
            }
            Class::RetryAfter(Retry::Input | Retry::ByKey) | Class::Sent => {
                for input in inputs {
                    self.transient(&slot(input), failure, now);
                }
            }
            Class::SplitAndRetry | Class::FixSchema | Class::DeadLetter => {
                let refused = inputs.into_iter().map(|input| (slot(input), failure)).collect();
                self.split_or_refuse(refused, now);
            }
        }
        Health::Well
    }

    fn written(&mut self, input: &Input, contact_id: &str) {
        if let Some(member) = self.members.get_mut(&input.user) {
            member.candidate.ledger.contact_id = Some(contact_id.to_owned());
            member.decide(&input.facets, &Verdict::Acknowledged);
        }
    }

    fn bisect(&mut self, inputs: Vec<Input>) {
        let mut first: Vec<Slot> = inputs.into_iter().map(slot).collect();
        let second = first.split_off(first.len() / 2);
        self.tasks.push_front(Task::Write(second));
        self.tasks.push_front(Task::Write(first));
    }

    /// The slot that adopts the contact which `failure` names. A user who has a contact cannot take
    /// another: a person has to merge them. Their own, from which somebody took our key, they can.
    fn adoption(&self, input: &Input, failure: &Failure) -> Option<Slot> {
        let member = self.members.get(&input.user)?;
        let by_id = matches!(input.address, Address::ContactId(_));
        let contact = existing_id(failure)?;
        let has_other = member.candidate.ledger.contact_id.as_ref().is_some_and(|c| *c != contact);
        if by_id || has_other {
            return None;
        }
        Some(Slot { adopt: Some(contact), ..slot(input.clone()) })
    }

    /// Each facet alone, so that one bad property never holds up another facet; what cannot be split
    /// further is refused. Splits of many users share calls, identities first.
    fn split_or_refuse(&mut self, refused: Vec<(Slot, &Failure)>, now: Timestamp) {
        let mut alone: BTreeMap<Facet, Vec<Slot>> = BTreeMap::new();
        for (slot, failure) in refused {
            if slot.facets.len() == 1 {
                match classify(failure) {
                    Class::AdoptExistingId => self.taken(slot, failure, now),
                    _ => self.refuse(&slot, failure),
                }
                continue;
            }
            for facet in slot.facets {
                // Only the facet with the e-mail address makes a contact ours.
                let adopt = slot.adopt.clone().filter(|_| facet == Facet::Identity);
                let user = slot.user.clone();
                alone.entry(facet).or_default().push(Slot { user, facets: vec![facet], adopt });
            }
        }
        self.tasks.extend(alone.into_values().map(Task::Write));
    }

    fn refuse(&mut self, slot: &Slot, failure: &Failure) {
        if let Some(member) = self.members.get_mut(&slot.user) {
            for facet in &slot.facets {
                let properties = member.candidate.state.get(facet).map(|p| &p.properties);
                let cause = properties.map(|properties| Cause::new(properties, failure));
                let verdict = cause.map_or(Verdict::Unchanged, |c| Verdict::Refused(Box::new(c)));
                member.verdicts.insert(*facet, verdict);
            }
        }
    }

    /// The address is on another contact than the user's, which may be about to lose it: a change of who
    /// had it before, or their erasure, may be under way. After a day a person has to look.
    fn taken(&mut self, slot: Slot, failure: &Failure, now: Timestamp) {
        let Some(member) = self.members.get_mut(&slot.user) else {
            return;
        };
        if member.waits_since(Facet::Identity, now) > ROW_AGE_SECONDS_MAX {
            return self.refuse_identity(slot, failure);
        }
        let later = Verdict::Later { reason: Reason::Transient, outage: false, doubt: false };
        member.decide(&slot.facets, &later);
    }

    /// The address stays another one's: without an identity nothing else can be sent either.
    fn refuse_identity(&mut self, slot: Slot, failure: &Failure) {
        if let Some(member) = self.members.get_mut(&slot.user) {
            member.decide(&slot.facets, &Verdict::Blocked);
        }
        let facets = vec![Facet::Identity];
        self.refuse(&Slot { facets, ..slot }, failure);
    }

    fn transient(&mut self, slot: &Slot, failure: &Failure, now: Timestamp) {
        let too_old = self.members.get(&slot.user).is_some_and(|member| {
            slot.facets.iter().any(|facet| member.waits_since(*facet, now) > ROW_AGE_SECONDS_MAX)
        });
        if too_old {
            self.refuse(slot, failure);
        } else if let Some(member) = self.members.get_mut(&slot.user) {
            let verdict = Verdict::Later { reason: Reason::Transient, outage: false, doubt: false };
            member.decide(&slot.facets, &verdict);
        }
    }

    fn gone(&mut self, input: &Input, failure: &Failure, now: Timestamp) {
        if let Some(member) = self.members.get_mut(&input.user) {
            let ledger = std::mem::take(&mut member.candidate.ledger);
            member.candidate.ledger = Ledger { contact_id: None, ..ledger.doubted() };
        }
        self.transient(&slot(input.clone()), failure, now);
    }

    fn repair_schema(&mut self, slots: Vec<Slot>) {
        self.schema_declared = true;
        self.tasks.push_front(Task::Write(slots));
        self.tasks.push_front(Task::DeclareSchema);
    }

    fn renew_credentials(&mut self) -> Health {
        self.credentials_renewed = true;
        self.tasks.push_front(Task::RenewCredentials);
        Health::Well
    }

    fn give_up(&mut self, reason: PauseReason, failure: Option<&Failure>) -> Health {
        self.stop(Reason::Portal);
        Health::Ill { reason, retry_after: failure.and_then(|failure| failure.retry_after) }
    }

    fn decide(&mut self, inputs: &[Input], verdict: &Verdict) {
        for input in inputs {
            if let Some(member) = self.members.get_mut(&input.user) {
                member.decide(&input.facets, verdict);
            }
        }
    }
}

fn slot(input: Input) -> Slot {
    let adopt = match input.address {
        Address::ContactId(contact) if input.properties.contains_key(schema::USER_ID) => {
            Some(contact)
        }
        Address::ContactId(_) | Address::UserId(_) | Address::Email(_) => None,
    };
    Slot { user: input.user, facets: input.facets, adopt }
}

impl Member {
    fn plan(mut candidate: Candidate, key: KeyKind) -> Self {
        // Something may have been sent that nobody confirmed, or the contact is not known: only
        // sending everything makes sure.
        if candidate.abandoned || candidate.ledger.contact_id.is_none() {
            candidate.ledger = std::mem::take(&mut candidate.ledger).doubted();
        }
        let has_contact = candidate.ledger.contact_id.is_some();
        let everything = candidate.abandoned || !has_contact;
        let dirty = candidate.work.facets.keys().copied();
        let considered =
            if everything { Facet::ALL.into_iter().collect() } else { dirty.collect() };
        let mut member =
            Self { candidate, considered, verdicts: BTreeMap::new(), keep_lease: false };
        for facet in member.considered.clone() {
            if let Some(verdict) = member.known(facet) {
                member.verdicts.insert(facet, verdict);
            }
        }
        let undecided = member.undecided();
        let identity_comes = undecided.contains(&Facet::Identity);
        let has_address = key == KeyKind::UserId || member.address(key, None).is_some();
        if (!has_contact && !identity_comes) || !has_address {
            member.decide(&undecided, &Verdict::Blocked);
        }
        member
    }

    fn known(&self, facet: Facet) -> Option<Verdict> {
        let Some(projected) = self.candidate.state.get(&facet) else {
            return Some(Verdict::Unchanged);
        };
        if self.candidate.ledger.holds(facet, &projected.hash) && !self.is_forced(facet) {
            return Some(Verdict::Unchanged);
        }
        let refused = self.candidate.ledger.facet(facet).refused;
        let refused = refused.is_some_and(|refused| refused.hash == projected.hash);
        (refused && !self.is_forced(facet)).then_some(Verdict::Blocked)
    }

    fn row(&self, facet: Facet) -> Option<&PendingRow> {
        self.candidate.work.facets.get(&facet).and_then(|want| want.row.as_ref())
    }

    fn is_forced(&self, facet: Facet) -> bool {
        self.row(facet).is_some_and(|row| row.forced)
    }

    fn waits_since(&self, facet: Facet, now: Timestamp) -> i64 {
        self.row(facet).map_or(0, |row| now.duration_since(row.first_at).as_secs())
    }

    fn undecided(&self) -> Vec<Facet> {
        let open = self.considered.iter().filter(|facet| !self.verdicts.contains_key(facet));
        open.copied().collect()
    }

    fn decide(&mut self, facets: &[Facet], verdict: &Verdict) {
        for facet in facets {
            self.verdicts.insert(*facet, verdict.clone());
        }
    }

    /// Identity makes the contact recognisable, so it comes first: what becomes of `slot` if it
    /// carries no identity and the CRM has none either.
    fn identity_first(&self, slot: &Slot) -> Option<Verdict> {
        if slot.facets.contains(&Facet::Identity) || self.candidate.ledger.contact_id.is_some() {
            return None;
        }
        match self.verdicts.get(&Facet::Identity)? {
            Verdict::Acknowledged => None,
            Verdict::Refused(_) | Verdict::Blocked | Verdict::Unchanged => Some(Verdict::Blocked),
            Verdict::Later { reason, .. } | Verdict::Postponed(reason) => {
                Some(Verdict::Postponed(*reason))
            }
        }
    }

    fn address(&self, key: KeyKind, adopt: Option<&String>) -> Option<Address> {
        let contact = adopt.or(match key {
            KeyKind::UserId => None,
            KeyKind::Email => self.candidate.ledger.contact_id.as_ref(),
        });
        if let Some(contact) = contact {
            return Some(Address::ContactId(contact.clone()));
        }
        match key {
            KeyKind::UserId => Some(Address::UserId(self.candidate.work.user.clone())),
            KeyKind::Email => {
                let identity = self.candidate.state.get(&Facet::Identity)?;
                identity.properties.get(schema::EMAIL).cloned().map(Address::Email)
            }
        }
    }

    fn input(&self, slot: &Slot, key: KeyKind) -> Option<Input> {
        let address = self.address(key, slot.adopt.as_ref())?;
        let mut properties: BTreeMap<&'static str, String> = slot
            .facets
            .iter()
            .filter_map(|facet| self.candidate.state.get(facet))
            .flat_map(|projected| projected.properties.clone())
            .collect();
        let makes_contact = self.candidate.ledger.contact_id.is_none()
            && !matches!(address, Address::ContactId(_))
            && slot.facets.contains(&Facet::Identity);
        if makes_contact {
            properties.insert(schema::LIFECYCLE_STAGE, "lead".to_owned());
        }
        Some(Input { user: slot.user.clone(), facets: slot.facets.clone(), address, properties })
    }
}
