//! `drift`: a portal in which every class of drift was seeded is reconciled.

use std::collections::BTreeMap;

use clap::Parser;
use rollcall_bench::{Lab, Setup};
use rollcall_crm::ledger::Ledger;
use rollcall_crm::reconcile::{Class, Policy};
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::id::UserId;
use serde_json::{Value, json};

const CONTACTS: &str = "/crm/v3/objects/contacts";
/// Contacts that one call creates.
const CREATED_AT_ONCE: usize = 100;

/// Seeds a portal with drift, and looks that all of it is found, none is invented, and repair leaves none.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many users.
    #[arg(long, default_value_t = 50_000)]
    users: usize,
    /// How many of each class.
    #[arg(long, default_value_t = 500)]
    of_each: usize,
}

/// A class and whom it is about: a user, or a contact.
type Seeded = BTreeMap<Class, Vec<String>>;

struct Drift<'a> {
    lab: &'a Lab,
    by_email: bool,
    contacts: BTreeMap<UserId, String>,
    seeded: Seeded,
}

#[expect(clippy::print_stdout, reason = "its output is for people")]
fn main() -> std::io::Result<()> {
    let Arguments { users, of_each } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for setup in
        [Setup { api: "2026-09", key: "rollcall_user_id" }, Setup { api: "v3", key: "email" }]
    {
        println!("paths and key        {} {}", setup.api, setup.key);
        runtime.block_on(measure(users, of_each, setup));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "its output is for people")]
async fn measure(users: usize, of_each: usize, setup: Setup) {
    let lab = Lab::start(setup).await;
    for number in 0..users {
        lab.bench.memory.join(number);
    }
    lab.reconcile(Policy::Backfill).await;
    println!("users                {users}");
    println!("calls of a backfill  {}", lab.bench.hubspot.calls().len());
    let seeded = seed(&lab, setup.key == "email", of_each).await;

    let (before, began) = (lab.bench.hubspot.calls().len(), lab.bench.now());
    lab.reconcile(Policy::Report).await;
    println!("calls of a report    {}", lab.bench.hubspot.calls().len() - before);
    println!("time of the portal   {} s", lab.bench.now().duration_since(began).as_secs());
    let found = found(&lab);
    for (class, whom) in &seeded {
        let found = found.get(class).map_or(0, Vec::len);
        println!("{:<20} {} seeded, {found} found", class.as_str(), whom.len());
    }
    assert_eq!(found, seeded, "all found, none invented");

    let before = lab.bench.hubspot.calls().len();
    lab.reconcile(Policy::Repair).await;
    println!("calls of a repair    {}", lab.bench.hubspot.calls().len() - before);
    lab.reconcile(Policy::Report).await;
    let left = lab.bench.memory.found().len();
    let violations = lab.bench.hubspot.violations();
    println!("left after it        {left}");
    println!("dead letters         {}", lab.bench.memory.dead_letters());
    println!("limit violations     {}\n", violations.len());
    assert_eq!((left, lab.bench.memory.dead_letters()), (0, 0));
    assert!(violations.is_empty(), "{violations:#?}");
    lab.bench.stop();
}

fn found(lab: &Lab) -> Seeded {
    let mut found = Seeded::new();
    for finding in lab.bench.memory.found() {
        let user = finding.user.map(String::from);
        let whom = user.or(finding.contact_id).unwrap_or_default();
        found.entry(finding.class).or_default().push(whom);
    }
    for whom in found.values_mut() {
        whom.sort_unstable();
    }
    found
}

async fn seed(lab: &Lab, by_email: bool, of_each: usize) -> Seeded {
    let owned = lab.bench.hubspot.contacts().into_iter().filter_map(|contact| {
        Some((contact.properties.get("rollcall_user_id")?.parse().ok()?, contact.id))
    });
    let mut drift = Drift { lab, by_email, contacts: owned.collect(), seeded: Seeded::new() };
    // Every class another slice of the users, spread over all of them.
    let users: Vec<UserId> = drift.contacts.keys().cloned().collect();
    let stride = (users.len() / of_each.max(1)).max(1);
    for class in Class::ALL {
        let place = Class::ALL.iter().position(|other| *other == class).unwrap_or_default();
        let chosen: Vec<UserId> =
            users.iter().skip(place).step_by(stride).take(of_each).cloned().collect();
        drift.seed(class, &chosen).await;
    }
    for whom in drift.seeded.values_mut() {
        whom.sort_unstable();
    }
    drift.seeded
}

impl Drift<'_> {
    async fn seed(&mut self, class: Class, users: &[UserId]) {
        let mut seeded: Vec<String> = users.iter().map(ToString::to_string).collect();
        match class {
            Class::Missing => {
                for user in users {
                    self.edit(user, json!({ "archived": true })).await;
                }
            }
            Class::Stale => {
                for user in users {
                    if let Some(state) = self.lab.bench.memory.state().users.get_mut(user) {
                        state.user.given_name.push_str(" Anew");
                        state.user.version += 1;
                    }
                }
            }
            Class::Edited => {
                for user in users {
                    self.edit(user, json!({ "properties": { "lastname": "Edited" } })).await;
                }
            }
            Class::Merged => {
                let twins = self.strangers("twin", users.len(), |_| None).await;
                for (user, twin) in users.iter().zip(twins) {
                    let merge = json!({ "primary_id": self.contact(user), "merged_id": twin });
                    self.lab.ask("/_emulator/merge", &merge).await;
                }
            }
            Class::Duplicate => {
                if !self.by_email {
                    return;
                }
                let owner = |place: usize| users.get(place).map(ToString::to_string);
                self.strangers("double", users.len(), owner).await;
            }
            Class::Erased => {
                let now = self.lab.bench.now();
                for user in users {
                    let mut state = self.lab.bench.memory.state();
                    state.users.remove(user);
                    let wish = Removal::new(user.to_string(), RemovalKind::Erase, None, now);
                    let tombstone = Ledger { removal: Some(wish.done(now)), ..Ledger::default() };
                    state.ledger.insert(user.clone(), (tombstone, None));
                }
            }
            Class::Foreign => {
                let ids = users.iter().map(|_| self.lab.bench.memory.stranger());
                seeded = ids.map(String::from).collect();
                let owner = |place: usize| seeded.get(place).cloned();
                self.strangers("foreign", users.len(), owner).await;
            }
        }
        if !seeded.is_empty() {
            self.seeded.insert(class, seeded);
        }
    }

    fn contact(&self, user: &UserId) -> &str {
        self.contacts.get(user).map(String::as_str).unwrap_or_default()
    }

    async fn edit(&self, user: &UserId, mut order: Value) {
        if let Value::Object(fields) = &mut order {
            fields.insert("id".to_owned(), json!(self.contact(user)));
        }
        self.lab.ask("/_emulator/edit", &order).await;
    }

    /// Contacts that somebody else makes; their ids.
    async fn strangers(
        &self,
        name: &str,
        count: usize,
        owner: impl Fn(usize) -> Option<String>,
    ) -> Vec<String> {
        let mut made = Vec::new();
        let places: Vec<usize> = (0..count).collect();
        for chunk in places.chunks(CREATED_AT_ONCE) {
            let input = |place: &usize| {
                let email = format!("{name}-{place}@elsewhere.example");
                let mut properties = json!({ "email": email });
                if let (Some(owner), Value::Object(fields)) = (owner(*place), &mut properties) {
                    fields.insert("rollcall_user_id".to_owned(), json!(owner));
                }
                json!({ "properties": properties })
            };
            let inputs: Vec<Value> = chunk.iter().map(input).collect();
            let path = format!("{CONTACTS}/batch/create");
            let answer = self.lab.ask(&path, &json!({ "inputs": inputs })).await;
            let results = answer.get("results").and_then(Value::as_array);
            let ids = results.into_iter().flatten().filter_map(|result| result.get("id")?.as_str());
            made.extend(ids.map(ToOwned::to_owned));
        }
        made
    }
}
