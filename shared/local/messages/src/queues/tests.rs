//! The queues against a model that is too simple to be wrong: a list that is searched whole.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::queues::settings::Redrive;

const VISIBILITY_SECONDS: u32 = 30;
const RETENTION_SECONDS: u32 = 120;
const MAX_RECEIVE_COUNT: u32 = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send {
        group: u8,
        delay_seconds: u32,
    },
    Receive {
        max: usize,
        visibility_seconds: u32,
    },
    /// Of the n-th delivery so far, however old.
    Delete {
        delivery: usize,
    },
    ChangeVisibility {
        delivery: usize,
        seconds: u32,
    },
    Wait {
        seconds: u32,
    },
    Restart,
}

#[derive(Clone, Debug)]
struct Modelled {
    id: String,
    group: u8,
    sent_ms: i64,
    visible_at_ms: i64,
    receive_count: u32,
}

#[derive(Clone, Debug)]
struct ModelledDelivery {
    id: String,
    receive_count: u32,
    handle: String,
}

/// What the queue `work` and its dead-letter queue ought to hold.
struct Model {
    fifo: bool,
    now_ms: i64,
    /// In the order of sending.
    work: Vec<Modelled>,
    dead: Vec<Modelled>,
    deliveries: Vec<ModelledDelivery>,
}

impl Model {
    fn is_visible(&self, message: &Modelled) -> bool {
        message.visible_at_ms <= self.now_ms
    }

    fn is_in_flight(&self, message: &Modelled) -> bool {
        message.receive_count > 0 && !self.is_visible(message)
    }

    fn expire(&mut self) {
        let oldest_ms = self.now_ms - i64::from(RETENTION_SECONDS) * 1_000;
        self.work.retain(|message| message.sent_ms > oldest_ms);
        self.dead.retain(|message| message.sent_ms > oldest_ms);
    }

    /// Ids in the order in which they should be considered.
    fn receivable(&self) -> Vec<String> {
        let mut candidates: Vec<&Modelled> = if self.fifo {
            let in_order = |message: &&Modelled| {
                let group: Vec<_> =
                    self.work.iter().filter(|other| other.group == message.group).collect();
                let before = group.iter().take_while(|other| other.id != message.id);
                group.iter().all(|other| !self.is_in_flight(other))
                    && before.into_iter().all(|other| self.is_visible(other))
            };
            self.work.iter().filter(in_order).collect()
        } else {
            let mut all: Vec<_> = self.work.iter().collect();
            all.sort_by_key(|message| message.visible_at_ms);
            all
        };
        candidates.retain(|message| self.is_visible(message));
        candidates.iter().map(|message| message.id.clone()).collect()
    }

    /// The (id, receive count) of each message that a receive ought to give.
    fn receive(&mut self, max: usize, visibility_seconds: u32) -> Vec<(String, u32)> {
        let mut given = Vec::new();
        for id in self.receivable() {
            let place = self.work.iter().position(|message| message.id == id).unwrap();
            if self.work[place].receive_count >= MAX_RECEIVE_COUNT {
                let mut dead = self.work.remove(place);
                if self.fifo {
                    dead.sent_ms = self.now_ms;
                }
                self.dead.push(dead);
            } else if given.len() < max {
                let message = &mut self.work[place];
                message.receive_count += 1;
                message.visible_at_ms = self.now_ms + i64::from(visibility_seconds) * 1_000;
                given.push((id, message.receive_count));
            } else {
                break;
            }
        }
        given
    }

    /// The place of the message that a delivery still speaks for.
    fn latest(&self, delivery: &ModelledDelivery) -> Option<usize> {
        self.work.iter().position(|message| {
            message.id == delivery.id && message.receive_count == delivery.receive_count
        })
    }

    fn depth(&self) -> Depth {
        let count = |wanted: &dyn Fn(&Modelled) -> bool| {
            self.work.iter().filter(|message| wanted(message)).count()
        };
        Depth {
            visible: count(&|message| self.is_visible(message)),
            in_flight: count(&|message| self.is_in_flight(message)),
            delayed: count(&|m| !self.is_visible(m) && !self.is_in_flight(m)),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..3, 0_u32..40).prop_map(|(group, delay_seconds)| Step::Send { group, delay_seconds }),
        5 => (1_usize..4, 0_u32..40)
            .prop_map(|(max, visibility_seconds)| Step::Receive { max, visibility_seconds }),
        2 => (0_usize..20).prop_map(|delivery| Step::Delete { delivery }),
        1 => (0_usize..20, 0_u32..60)
            .prop_map(|(delivery, seconds)| Step::ChangeVisibility { delivery, seconds }),
        3 => (0_u32..50).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
    ]
}

fn next_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("message-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn names(fifo: bool) -> (&'static str, &'static str) {
    if fifo { ("work.fifo", "dead.fifo") } else { ("work", "dead") }
}

fn queues(fifo: bool, moment: Moment) -> Queues {
    let mut queues = Queues::default();
    let (work, dead) = names(fifo);
    for name in [work, dead] {
        let mut settings = Settings::new(name).unwrap();
        settings.visibility_timeout_seconds = VISIBILITY_SECONDS;
        settings.retention_seconds = RETENTION_SECONDS;
        settings.redrive = (name == work).then(|| Redrive {
            dead_letter_queue: dead.to_owned(),
            max_receive_count: MAX_RECEIVE_COUNT,
        });
        queues.put(name, settings, moment);
    }
    queues
}

fn content(group: Option<u8>) -> Content {
    Content {
        body: "body".to_owned(),
        group: group.map(|group| group.to_string()),
        // Unique, so that nothing is deduplicated here.
        deduplication_id: group.map(|_| next_id()),
        ..Content::default()
    }
}

fn send(model: &mut Model, queues: &mut Queues, group: u8, delay_seconds: u32, moment: Moment) {
    let (work, _) = names(model.fifo);
    if model.fifo {
        // A FIFO queue takes the delay from its settings only.
        let mut settings = queues.get(work, moment).unwrap().settings.clone();
        settings.delay_seconds = delay_seconds;
        queues.put(work, settings, moment);
    }
    let delay = (!model.fifo).then_some(delay_seconds);
    let content = content(model.fifo.then_some(group));
    let accepted = queues.send(work, content, delay, moment).unwrap();
    model.work.push(Modelled {
        id: accepted.message_id,
        group,
        sent_ms: model.now_ms,
        visible_at_ms: model.now_ms + i64::from(delay_seconds) * 1_000,
        receive_count: 0,
    });
}

fn receive(
    max: usize,
    visibility_seconds: u32,
    model: &mut Model,
    queues: &mut Queues,
    moment: Moment,
) {
    let (work, _) = names(model.fifo);
    let expected = model.receive(max, visibility_seconds);
    let deliveries = queues.receive(work, max, Some(visibility_seconds), moment);
    let given = deliveries.unwrap().into_iter().map(|delivery| ModelledDelivery {
        id: delivery.message.id,
        receive_count: delivery.message.receive_count,
        handle: delivery.receipt_handle,
    });
    let given: Vec<_> = given.collect();
    let seen: Vec<_> = given.iter().map(|d| (d.id.clone(), d.receive_count)).collect();
    assert_eq!(seen, expected);
    model.deliveries.extend(given);
}

fn delete(delivery: usize, model: &mut Model, queues: &mut Queues, moment: Moment) {
    let Some(delivery) = model.deliveries.get(delivery) else {
        return;
    };
    let (work, _) = names(model.fifo);
    let exists = model.work.iter().any(|message| message.id == delivery.id);
    let usable = model
        .latest(delivery)
        .filter(|place| !model.fifo || !model.is_visible(&model.work[*place]));
    let deleted = queues.delete(work, &delivery.handle, moment);
    assert_eq!(deleted.is_err(), model.fifo && exists && usable.is_none());
    if let Some(place) = usable {
        model.work.remove(place);
    }
}

fn change_visibility(
    delivery: usize,
    seconds: u32,
    model: &mut Model,
    queues: &mut Queues,
    moment: Moment,
) {
    let Some(delivery) = model.deliveries.get(delivery) else {
        return;
    };
    let (work, _) = names(model.fifo);
    let place = model.latest(delivery).filter(|place| !model.is_visible(&model.work[*place]));
    let changed = queues.change_visibility(work, &delivery.handle, seconds, moment);
    assert_eq!(changed.is_ok(), place.is_some());
    if let Some(place) = place {
        model.work[place].visible_at_ms = model.now_ms + i64::from(seconds) * 1_000;
    }
}

/// Does one step in both worlds and compares what can be seen.
fn check_step(step: Step, model: &mut Model, queues: &mut Queues) {
    if let Step::Wait { seconds } = step {
        model.now_ms += i64::from(seconds) * 1_000;
    }
    let now_ms = model.now_ms;
    let moment = Moment { now_ms, new_id: next_id };
    let (work, dead) = names(model.fifo);
    model.expire();
    match step {
        Step::Send { group, delay_seconds } => send(model, queues, group, delay_seconds, moment),
        Step::Receive { max, visibility_seconds } => {
            receive(max, visibility_seconds, model, queues, moment);
        }
        Step::Delete { delivery } => delete(delivery, model, queues, moment),
        Step::ChangeVisibility { delivery, seconds } => {
            change_visibility(delivery, seconds, model, queues, moment);
        }
        Step::Wait { .. } => {}
        Step::Restart => {
            let saved = serde_json::to_string(queues).unwrap();
            *queues = serde_json::from_str(&saved).unwrap();
            queues.reindex();
        }
    }
    assert_eq!(queues.depth(work, moment).unwrap(), model.depth());
    assert_eq!(queues.depth(dead, moment).unwrap().visible, model.dead.len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    /// No message is lost, given twice within its visibility timeout, miscounted, or kept from the
    /// dead-letter queue, whatever happens in whatever order.
    #[test]
    fn a_queue_behaves_as_its_model(fifo: bool, steps in vec(step(), 1..60)) {
        let now_ms = 1_000_000;
        let mut queues = queues(fifo, Moment { now_ms, new_id: next_id });
        let mut model = Model { fifo, now_ms, work: vec![], dead: vec![], deliveries: vec![] };
        for step in steps {
            check_step(step, &mut model, &mut queues);
        }
        let dead: Vec<String> = queues
            .receive_all(names(fifo).1, Moment { now_ms: model.now_ms, new_id: next_id });
        let expected: Vec<String> = model.dead.into_iter().map(|message| message.id).collect();
        prop_assert_eq!(sorted(dead), sorted(expected));
    }
}

impl Queues {
    fn receive_all(&mut self, name: &str, moment: Moment) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let deliveries = self.receive(name, RECEIVE_MAX, Some(60), moment).unwrap();
            if deliveries.is_empty() {
                return ids;
            }
            for delivery in deliveries {
                // A group gives its next messages only once these are gone.
                self.delete(name, &delivery.receipt_handle, moment).unwrap();
                ids.push(delivery.message.id);
            }
        }
    }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn a_duplicate_is_recognised_for_five_minutes() {
    let check = |after_seconds: i64, is_duplicate: bool| {
        let moment = |seconds: i64| Moment { now_ms: seconds * 1_000, new_id: next_id };
        let mut queues = queues(true, moment(0));
        let mut settings = queues.get("work.fifo", moment(0)).unwrap().settings.clone();
        settings.content_based_deduplication = true;
        settings.retention_seconds = 345_600;
        queues.put("work.fifo", settings, moment(0));
        let content = Content { deduplication_id: None, ..content(Some(1)) };
        let first = queues.send("work.fifo", content.clone(), None, moment(0)).unwrap();
        let second = queues.send("work.fifo", content, None, moment(after_seconds)).unwrap();
        assert_eq!(first == second, is_duplicate, "after {after_seconds} s");
        let depth = queues.depth("work.fifo", moment(after_seconds)).unwrap();
        assert_eq!(depth.visible, if is_duplicate { 1 } else { 2 });
    };
    check(0, true);
    check(299, true);
    check(300, false);
}

#[test]
fn a_message_cannot_be_hidden_for_more_than_twelve_hours_in_all() {
    let moment = |seconds: i64| Moment { now_ms: seconds * 1_000, new_id: next_id };
    let mut queues = Queues::default();
    queues.put("work", Settings::new("work").unwrap(), moment(0));
    queues.send("work", content(None), None, moment(0)).unwrap();
    let deliveries = queues.receive("work", 1, Some(60), moment(0)).unwrap();
    let handle = &deliveries[0].receipt_handle;
    let mut change = |seconds| queues.change_visibility("work", handle, seconds, moment(30));
    assert!(change(43_201).is_err());
    assert!(change(43_171).is_err());
    assert!(change(43_170).is_ok());
}
