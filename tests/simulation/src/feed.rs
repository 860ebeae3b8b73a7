//! Another system in place of HubSpot: it reads messages one after the other and keeps what the last
//! one said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rollcall_crm::classifier::Failure;
use rollcall_crm::port::LimitSignal;
use rollcall_crm::projection::project;
use rollcall_domain::facet::Facet;
use rollcall_domain::time::Timestamp;
use rollcall_feed::{Delivery, Transport};
use serde_json::Value;

use crate::world::World;

/// A reader of messages, which some of them reach.
#[derive(Clone)]
pub(crate) struct Reader {
    world: World,
    messages: Arc<Mutex<Vec<Value>>>,
}

#[async_trait]
impl Transport for Reader {
    const LIMIT_SIGNAL: LimitSignal = LimitSignal::Status;

    async fn deliver(&self, body: Vec<u8>, _at: Timestamp, _trace_id: &str) -> Delivery {
        self.world.step().await;
        self.world.call();
        let refused = |status| Delivery::Refused(Failure { status, ..Failure::default() });
        let fails = self.world.fault(self.world.chances.call);
        let delivery = match self.world.below(5) {
            0 if fails => return Delivery::NotSent,
            1 if fails => return refused(503),
            2 if fails => return Delivery::Unknown,
            3 if fails => Delivery::Unknown,
            _ if fails => return refused(429),
            _ => Delivery::Taken,
        };
        self.messages.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        self.world.step().await;
        delivery
    }
}

impl Reader {
    pub(crate) fn new(world: World) -> Self {
        Self { world, messages: Arc::default() }
    }

    /// What the reader holds is the newest state of everybody, and nothing of who left.
    pub(crate) fn verify(&self) {
        let (messages, seed) = (self.messages.lock().unwrap(), self.world.seed);
        let mut held: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        let (mut gone, mut told) = (BTreeSet::new(), BTreeSet::new());
        for message in messages.iter() {
            let data = &message["data"];
            for contact in data["contacts"].as_array().into_iter().flatten() {
                let user = contact["user_id"].as_str().unwrap();
                assert!(!gone.contains(user), "seed {seed}: {user} had left");
                let properties = contact["properties"].as_object().unwrap();
                let values =
                    properties.iter().map(|(name, value)| (&**name, value.as_str().unwrap()));
                held.entry(user).or_default().extend(values);
            }
            for milestone in data["milestones"].as_array().into_iter().flatten() {
                let user = milestone["user_id"].as_str().unwrap();
                assert!(!gone.contains(user), "seed {seed}: {user} had left");
                told.insert(milestone["id"].as_str().unwrap());
            }
            if message["type"] == "contact.removed" {
                let user = data["user_id"].as_str().unwrap();
                held.remove(user);
                // Who was only set aside may come back.
                if data["kind"] == "erase" {
                    gone.insert(user);
                }
            }
        }
        let state = self.world.state();
        for (user, entry) in
            state.users.iter().filter(|(user, _)| !state.leavers.contains_key(*user))
        {
            for facet in Facet::ALL {
                for (name, value) in project(entry, facet).properties {
                    let read = held.get(user.as_str()).and_then(|held| held.get(name).copied());
                    assert_eq!(read, Some(value.as_str()), "seed {seed}: {name} of {user}");
                }
            }
        }
        for user in state.leavers.keys() {
            assert!(!held.contains_key(user.as_str()), "seed {seed}: {user} has left");
        }
        for (id, (user, _)) in &state.milestones {
            let is_passed_over = state.passed_over.contains(id) || state.leavers.contains_key(user);
            let is_told = told.contains(id.as_str()) || is_passed_over;
            assert!(is_told, "seed {seed}: {id} was never told");
        }
    }
}
