//! The simulated CRM: HubSpot's upsert rules, and everything that goes wrong on the way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rollcall_crm::classifier::{Failure, ITEM};
use rollcall_crm::limits::BATCH_INPUTS_MAX;
use rollcall_crm::milestone::Milestone;
use rollcall_crm::port::{
    Address, CallOutcome, Capabilities, Crm, DeleteKind, EventsKind, Input, ItemResult, KeyKind,
    LimitSignal, Owners, Reply, SchemaPart,
};
use rollcall_crm::portal::Quota;
use rollcall_crm::removal::RemovalKind;
use rollcall_crm::schema::{EMAIL, EVENTS, EventDefinition, SCHEMA, Schema, USER_ID};
use rollcall_crm::turns::Asked;
use rollcall_domain::id::UserId;
use rollcall_domain::time::SignedDuration;

use crate::world::{Commit, Order, State, World, is_bad};

/// What becomes of one call.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Good,
    NotSent,
    Status(u16),
    /// A server's fault, told after everything was written.
    WrittenThen(u16),
    /// No answer in time; written never, in time, or after we gave up.
    TimeOut(Option<i64>),
    /// 200 with nothing in it; written or not.
    Empty(bool),
}

const CLIENT_GIVES_UP_MS: i64 = 10_000;
/// In place of a user: the events of a call were taken.
const TAKEN: &str = "taken";
const LATEST_COMMIT_MS: usize = 11_900;

impl World {
    fn fate(&self) -> Fate {
        let now = self.state().now;
        if self.chances.call > 0 && self.fault(8) {
            let minutes = 1 + self.below(10);
            self.state().outage_until = now + i64::try_from(minutes).unwrap() * 60_000;
        }
        let is_out = {
            let state = self.state();
            state.faults && state.outage_until > now
        };
        if is_out {
            return [Fate::Status(503), Fate::NotSent, Fate::TimeOut(None)][self.below(3)];
        }
        if !self.fault(self.chances.call) {
            return Fate::Good;
        }
        let late = i64::try_from(self.below(LATEST_COMMIT_MS)).unwrap();
        [
            Fate::NotSent,
            Fate::Status(503),
            Fate::Status(429),
            Fate::Status(423),
            Fate::Status(477),
            Fate::Status(401),
            Fate::WrittenThen(502),
            Fate::TimeOut(None),
            Fate::TimeOut(Some(late)),
            Fate::TimeOut(Some(late)),
            Fate::Empty(true),
            Fate::Empty(false),
        ][self.below(12)]
    }

    fn arrive(&self, inputs: &[Input]) -> i64 {
        let mut state = self.state();
        let now = state.now;
        state.calls.push(now);
        for input in inputs {
            let busy_until = state.in_flight.get(&input.user).copied().unwrap_or(0);
            assert!(busy_until <= now, "seed {}: two senders for {}", self.seed, input.user);
        }
        now
    }

    /// Lets the CRM work on `order` at `at`; the answer is in `committed` afterwards.
    fn schedule(&self, order: Order, at: i64) -> usize {
        let id = self.below(usize::MAX);
        let mut state = self.state();
        if let Order::Write(inputs) = &order {
            for input in inputs {
                state.in_flight.insert(input.user.clone(), at);
            }
        }
        state.commits.push(Commit { id, at, order });
        id
    }

    /// What becomes of an order that arrived at `start`.
    async fn exchange(&self, order: Order, start: i64) -> CallOutcome {
        let fate = self.fate();
        let latency = i64::try_from(5 + self.below(300)).unwrap();
        let commit_at = match fate {
            Fate::Good | Fate::WrittenThen(_) | Fate::Empty(true) => Some(start + latency / 2),
            Fate::TimeOut(Some(late)) => Some(start + late),
            Fate::NotSent | Fate::Status(_) | Fate::TimeOut(None) | Fate::Empty(false) => None,
        };
        let id = commit_at.map(|at| self.schedule(order, at));
        let answer_at = match fate {
            Fate::TimeOut(_) => start + CLIENT_GIVES_UP_MS,
            _ => start + latency,
        };
        World::until(self, answer_at).await;
        let results = id.and_then(|id| self.state().committed.remove(&id));
        match fate {
            Fate::Good => match results.unwrap() {
                Err(message) => CallOutcome::Refused(failure(400, "VALIDATION_ERROR", &message)),
                Ok(mut results) => {
                    results.retain(|user, _| user == TAKEN || !self.fault(self.chances.item / 2));
                    CallOutcome::Answered(results)
                }
            },
            Fate::NotSent => CallOutcome::NotSent,
            Fate::Status(status) | Fate::WrittenThen(status) => self.refuse(status),
            Fate::TimeOut(_) => CallOutcome::Unknown,
            Fate::Empty(_) => CallOutcome::Answered(BTreeMap::new()),
        }
    }

    /// Does what the CRM had taken in by now.
    pub(crate) fn commit_due(&self) {
        let due = {
            let mut state = self.state();
            let now = state.now;
            let (mut due, rest): (Vec<Commit>, Vec<Commit>) =
                state.commits.drain(..).partition(|commit| commit.at <= now);
            state.commits = rest;
            due.sort_by_key(|commit| commit.at);
            due
        };
        for Commit { id, order, .. } in due {
            let result = match order {
                Order::Write(inputs) => {
                    let any_bad = inputs.iter().any(|input| is_bad(input.properties.values()));
                    if self.chances.whole_calls && any_bad {
                        Err("Property values were not valid".to_owned())
                    } else {
                        Ok(inputs.iter().map(|input| self.commit(input)).collect())
                    }
                }
                Order::Tell(told) => self.state().hear(&told, self.chances.people > 0),
                Order::Remove(contact, kind) => {
                    let mut state = self.state();
                    let contact = state.resolved(&contact);
                    if let Some(properties) = state.contacts.remove(&contact) {
                        state.removed.push((properties.get(USER_ID).cloned(), kind));
                    }
                    Ok(BTreeMap::new())
                }
            };
            self.state().committed.insert(id, result);
        }
    }

    fn commit(&self, input: &Input) -> (String, ItemResult) {
        let result = if self.fault(self.chances.item) {
            Err(failure(ITEM, "INTERNAL_ERROR", ""))
        } else {
            self.state().upsert(input, self.key)
        };
        let result = match result {
            Ok(contact_id) => ItemResult::Written { contact_id },
            Err(failure) => ItemResult::Failed(failure),
        };
        (input.user.to_string(), result)
    }

    /// A call that takes effect when it is answered, or not at all.
    pub(crate) async fn ask<T>(&self, answer: impl FnOnce(&mut State) -> T) -> Asked<T> {
        self.arrive(&[]);
        self.step().await;
        let outcome = match self.fate() {
            Fate::Good => return Ok((answer(&mut self.state()), Quota::default())),
            Fate::Status(status) | Fate::WrittenThen(status) => self.refuse(status),
            Fate::NotSent => CallOutcome::NotSent,
            Fate::TimeOut(_) | Fate::Empty(_) => CallOutcome::Unknown,
        };
        Err(Reply { outcome, quota: Quota::default() })
    }

    fn refuse(&self, status: u16) -> CallOutcome {
        let retry_after = (status == 477).then(|| SignedDuration::from_secs(30));
        let policy = if self.below(10) == 0 { "DAILY" } else { "TEN_SECONDLY_ROLLING" };
        let mut failure = failure(status, "", "");
        failure.retry_after = retry_after;
        policy.clone_into(&mut failure.policy);
        CallOutcome::Refused(failure)
    }
}

fn done(asked: Asked<()>) -> Reply {
    let done = |((), quota)| Reply { outcome: CallOutcome::Answered(BTreeMap::new()), quota };
    asked.map_or_else(|reply| reply, done)
}

fn failure(status: u16, category: &str, message: &str) -> Failure {
    Failure {
        status,
        category: category.to_owned(),
        message: message.to_owned(),
        ..Failure::default()
    }
}

impl State {
    pub(crate) fn by(&self, name: &str, value: &str) -> Option<String> {
        let mut contacts = self.contacts.iter();
        contacts
            .find(|(_, contact)| contact.get(name).is_some_and(|held| held == value))
            .map(|(id, _)| id.clone())
    }

    fn is_bad(&self, milestone: &Milestone) -> bool {
        self.milestones.get(&milestone.id).is_some_and(|(_, bad)| *bad)
    }

    /// All or none, and what was told before is passed over.
    fn hear(
        &mut self,
        told: &[(Milestone, String)],
        people: bool,
    ) -> Result<BTreeMap<String, ItemResult>, String> {
        if self.events_declared < EVENTS.len() {
            return Err("Event with fully qualified name x does not exist.".to_owned());
        }
        if told.iter().any(|(milestone, _)| self.is_bad(milestone)) {
            return Err("Property values were not valid".to_owned());
        }
        for (milestone, contact) in told {
            let owner = self.contacts.get(contact).and_then(|contact| contact.get(USER_ID));
            // An event is taken for whatever id is given, and people do what they want with contacts.
            assert!(
                people || owner.map(String::as_str) == Some(milestone.user.as_str()),
                "whose is it?"
            );
            self.told.entry(milestone.id.clone()).or_insert_with(|| milestone.user.clone());
        }
        // Something, to tell it from an answer with nothing in it.
        let taken = ItemResult::Written { contact_id: String::new() };
        Ok(BTreeMap::from([(TAKEN.to_owned(), taken)]))
    }

    fn upsert(&mut self, input: &Input, key: KeyKind) -> Result<String, Failure> {
        if !self.declared.1 {
            let message = "Property values were not valid: [{\"error\":\"PROPERTY_DOESNT_EXIST\"}]";
            return Err(failure(ITEM, "VALIDATION_ERROR", message));
        }
        if is_bad(input.properties.values()) {
            return Err(failure(ITEM, "VALIDATION_ERROR", "bad value"));
        }
        let found = match &input.address {
            Address::UserId(user) => self.by(USER_ID, user.as_str()),
            Address::Email(email) => self.by_address(email),
            Address::ContactId(id) => {
                let id = self.resolved(id);
                if !self.contacts.contains_key(&id) {
                    return Err(failure(ITEM, "OBJECT_NOT_FOUND", ""));
                }
                Some(id)
            }
        };
        let key_owner = input.properties.get(USER_ID).and_then(|user| self.by(USER_ID, user));
        if key == KeyKind::UserId && key_owner.is_some() && key_owner != found {
            return Err(failure(ITEM, "VALIDATION_ERROR", "another contact has this value"));
        }
        let email_owner = input.properties.get(EMAIL).and_then(|email| self.by_address(email));
        if let Some(owner) = email_owner.filter(|owner| found.as_ref() != Some(owner)) {
            let message = format!("Contact already exists. Existing ID: {owner}");
            return Err(failure(ITEM, "CONFLICT", &message));
        }
        let id = found.unwrap_or_else(|| self.next_contact());
        let contact = self.contacts.entry(id.clone()).or_default();
        match &input.address {
            Address::UserId(user) => {
                contact.insert(USER_ID.to_owned(), user.to_string());
            }
            // "Partial upserts are not supported": what is left out may be blanked.
            Address::Email(email) => {
                contact.retain(|name, _| SCHEMA.properties.iter().all(|p| p.name != name));
                contact.insert(EMAIL.to_owned(), email.clone());
            }
            Address::ContactId(_) => {}
        }
        for (name, value) in &input.properties {
            contact.insert((*name).to_owned(), value.clone());
        }
        Ok(id)
    }
}

#[async_trait]
impl Crm for World {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batch_max: BATCH_INPUTS_MAX,
            key_kind: self.key,
            delete_kind: DeleteKind::Verified,
            events_kind: EventsKind::Declared,
            limit_signal: LimitSignal::Headers,
        }
    }

    async fn renew_credentials(&self) -> bool {
        self.step().await;
        self.below(2) == 0
    }

    async fn write(&self, inputs: &[Input], _: &str) -> Reply {
        let start = self.arrive(inputs);
        let outcome = self.exchange(Order::Write(inputs.to_vec()), start).await;
        Reply { outcome, quota: Quota::default() }
    }

    async fn declare(&self, _: &Schema, part: SchemaPart, _: &str) -> Reply {
        let declared = self.ask(|state| match part {
            SchemaPart::Group => state.declared.0 = true,
            SchemaPart::Properties => state.declared.1 = state.declared.0,
        });
        done(declared.await)
    }

    async fn owners(&self, addresses: &[Address], _: &str) -> Result<Owners, Reply> {
        let is_complete = !self.fault(self.chances.item);
        let owners = self.ask(|state| {
            let owner = |address: &Address| {
                let id = match address {
                    Address::UserId(user) => state.by(USER_ID, user.as_str())?,
                    Address::Email(email) => state.by_address(email)?,
                    Address::ContactId(id) => state.resolved(id),
                };
                let contact = state.contacts.get(&id)?;
                Some((id, contact.get(USER_ID).cloned()))
            };
            let found = addresses.iter().filter_map(owner).collect();
            Owners { found, is_complete }
        });
        owners.await.map(|(owners, _)| owners)
    }

    async fn events_namespace(&self, _: &str) -> Result<(String, Quota), Reply> {
        self.ask(|_state| "pe1_".to_owned()).await
    }

    async fn declare_event(&self, _: &EventDefinition, _: &str) -> Reply {
        done(self.ask(|state| state.events_declared += 1).await)
    }

    async fn tell(&self, _: &str, told: &[(Milestone, String)], _: &str) -> Reply {
        let start = self.arrive(&[]);
        if self.fault(5) {
            // A person removed the definitions.
            self.state().events_declared = 0;
        }
        // Events are taken with 204 and nothing else, so a 200 with nothing in it is no answer.
        let outcome = match self.exchange(Order::Tell(told.to_vec()), start).await {
            CallOutcome::Answered(results) if results.is_empty() => CallOutcome::Unknown,
            outcome => outcome,
        };
        Reply { outcome, quota: Quota::default() }
    }

    async fn remove(&self, contact_id: &str, kind: RemovalKind, _: &str) -> Reply {
        let start = self.arrive(&[]);
        {
            let state = self.state();
            let owner = state.contacts.get(contact_id).and_then(|contact| contact.get(USER_ID));
            let owner = owner.and_then(|owner| owner.parse().ok());
            let busy_until = owner.and_then(|owner: UserId| state.in_flight.get(&owner).copied());
            assert!(
                busy_until.is_none_or(|until| until <= start),
                "seed {}: {contact_id} is removed while something is sent about it",
                self.seed
            );
        }
        let order = Order::Remove(contact_id.to_owned(), kind);
        let outcome = self.exchange(order, start).await;
        Reply { outcome, quota: Quota::default() }
    }
}
