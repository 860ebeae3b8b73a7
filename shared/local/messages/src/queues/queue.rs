//! One queue as a state machine without clock, randomness or I/O.
//!
//! A message has no state field: whether it is visible, delayed or in flight follows from the time
//! at which it becomes visible and from its receive count, so nothing has to happen when that
//! moment comes, and a clock that jumps cannot leave a queue half updated.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::QueueError;
use super::message::{Content, Message, hexadecimal, sequence_number};
use super::settings::{DELAY_SECONDS_MAX, Settings, VISIBILITY_SECONDS_MAX};

/// How long a FIFO queue remembers a deduplication id.
const DEDUPLICATION_MS: i64 = 300_000;
const PURGE_INTERVAL_MS: i64 = 60_000;

/// How many messages a queue holds, by what can be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Could be received now.
    pub visible: usize,
    /// Received, and neither deleted nor visible again.
    pub in_flight: usize,
    /// Sent with a delay that has not passed.
    pub delayed: usize,
}

/// What the sender of a message is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) message_id: String,
    /// In FIFO queues only.
    pub(crate) sequence_number: Option<String>,
}

/// A received message and the handle that deletes it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    pub(crate) receipt_handle: String,
}

/// The outcome of one receive.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) deliveries: Vec<Delivery>,
    /// Messages that were received too often and now belong into the dead-letter queue.
    pub(crate) dead: Vec<Message>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Remembered {
    accepted: Accepted,
    until_ms: i64,
}

/// One queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Queue {
    name: String,
    pub(crate) settings: Settings,
    pub(crate) created_ms: i64,
    pub(crate) modified_ms: i64,
    purged_ms: Option<i64>,
    last_sequence: u64,
    messages: BTreeMap<u64, Message>,
    deduplication: BTreeMap<String, Remembered>,
    /// (visible at, sequence) of every message, so that a receive never scans the whole queue.
    #[serde(skip)]
    by_visibility: BTreeSet<(i64, u64)>,
    /// (sent at, sequence) of every message: expiry and moves begin with the oldest.
    #[serde(skip)]
    by_age: BTreeSet<(i64, u64)>,
}

impl Queue {
    pub(crate) fn new(name: &str, settings: Settings, now_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            created_ms: now_ms,
            modified_ms: now_ms,
            purged_ms: None,
            last_sequence: 0,
            messages: BTreeMap::new(),
            deduplication: BTreeMap::new(),
            by_visibility: BTreeSet::new(),
            by_age: BTreeSet::new(),
        }
    }

    /// Rebuilds what is not saved.
    pub(crate) fn reindex(&mut self) {
        let of = |at: fn(&Message) -> i64| self.messages.values().map(move |m| (at(m), m.sequence));
        self.by_visibility = of(|message| message.visible_at_ms).collect();
        self.by_age = of(|message| message.sent_ms).collect();
    }

    /// Forgets messages older than the retention period.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        let retention_ms = i64::from(self.settings.retention_seconds) * 1_000;
        while let Some(&(sent_ms, sequence)) = self.by_age.first() {
            if sent_ms.saturating_add(retention_ms) > now_ms {
                return;
            }
            self.by_age.pop_first();
            self.remove(sequence);
        }
    }

    /// Accepts a message, or recognises it as one that a FIFO queue accepted already.
    pub(crate) fn send(
        &mut self,
        mut content: Content,
        delay_seconds: Option<u32>,
        id: String,
        now_ms: i64,
    ) -> Result<Accepted, QueueError> {
        content.validate(self.settings.message_bytes())?;
        let delay_seconds = self.delay(delay_seconds)?;
        self.deduplicate(&mut content)?;
        let key = content.deduplication_id.clone();
        self.deduplication.retain(|_, seen| seen.until_ms > now_ms);
        if let Some(seen) = key.as_ref().and_then(|key| self.deduplication.get(key)) {
            return Ok(seen.accepted.clone());
        }
        let sequence = self.insert(Message {
            id: id.clone(),
            content,
            sequence: 0,
            sent_ms: now_ms,
            visible_at_ms: now_ms.saturating_add(i64::from(delay_seconds) * 1_000),
            receive_count: 0,
            first_received_ms: None,
            last_received_ms: None,
            dead_letter_source: None,
        });
        let accepted = Accepted {
            message_id: id,
            sequence_number: self.settings.fifo.then(|| sequence_number(sequence)),
        };
        if let Some(key) = key {
            let seen = Remembered {
                accepted: accepted.clone(),
                until_ms: now_ms.saturating_add(DEDUPLICATION_MS),
            };
            self.deduplication.insert(key, seen);
        }
        Ok(accepted)
    }

    /// Adds a message as the newest and returns its sequence.
    pub(crate) fn insert(&mut self, mut message: Message) -> u64 {
        self.last_sequence += 1;
        message.sequence = self.last_sequence;
        self.by_visibility.insert((message.visible_at_ms, message.sequence));
        self.by_age.insert((message.sent_ms, message.sequence));
        self.messages.insert(message.sequence, message);
        self.last_sequence
    }

    /// Takes a message out.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Message> {
        let message = self.messages.remove(&sequence)?;
        self.by_visibility.remove(&(message.visible_at_ms, sequence));
        self.by_age.remove(&(message.sent_ms, sequence));
        Some(message)
    }

    /// Receives up to `max` messages. Those received `dead_after` times already are taken out
    /// instead; without `dead_after` there is no dead-letter queue.
    pub(crate) fn receive(
        &mut self,
        max: usize,
        visibility_seconds: Option<u32>,
        dead_after: Option<u32>,
        now_ms: i64,
    ) -> Received {
        let mut chosen = Vec::new();
        let mut dead = Vec::new();
        for message in self.receivable(now_ms) {
            if dead_after.is_some_and(|limit| message.receive_count >= limit) {
                dead.push(message.sequence);
            } else if chosen.len() < max {
                chosen.push(message.sequence);
            } else {
                break;
            }
        }
        let seconds = visibility_seconds.unwrap_or(self.settings.visibility_timeout_seconds);
        let visible_at_ms = now_ms.saturating_add(i64::from(seconds) * 1_000);
        Received {
            dead: dead.into_iter().filter_map(|s| self.remove(s)).collect(),
            deliveries: chosen
                .into_iter()
                .filter_map(|s| self.deliver(s, visible_at_ms, now_ms))
                .collect(),
        }
    }

    /// Deletes a message by the handle of its latest receive. An older handle deletes nothing and
    /// is no error ("DeleteMessage", Amazon SQS API Reference); a FIFO queue refuses a handle whose
    /// visibility timeout has passed.
    pub(crate) fn delete(&mut self, handle: &str, now_ms: i64) -> Result<(), QueueError> {
        let receipt = Receipt::parse(&self.name, handle)?;
        let Some(message) = self.received_as(&receipt) else {
            return Ok(());
        };
        let latest = message.receive_count == receipt.receive_count;
        if self.settings.fifo && (!latest || message.visible_at_ms <= now_ms) {
            return Err(QueueError::InvalidParameter(format!(
                "Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
            )));
        }
        if latest {
            self.remove(receipt.sequence);
        }
        Ok(())
    }

    /// Makes a message in flight visible in `seconds` from now, 0 for at once.
    pub(crate) fn change_visibility(
        &mut self,
        handle: &str,
        seconds: u32,
        now_ms: i64,
    ) -> Result<(), QueueError> {
        let receipt = Receipt::parse(&self.name, handle)?;
        let message = self
            .received_as(&receipt)
            .filter(|message| message.receive_count == receipt.receive_count)
            .ok_or_else(|| {
                QueueError::InvalidParameter(format!(
                    "Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change."
                ))
            })?;
        if message.visible_at_ms <= now_ms {
            return Err(QueueError::NotInFlight);
        }
        let visible_at_ms = now_ms.saturating_add(i64::from(seconds) * 1_000);
        let received_ms = message.last_received_ms.unwrap_or(now_ms);
        if visible_at_ms - received_ms > i64::from(VISIBILITY_SECONDS_MAX) * 1_000 {
            return Err(QueueError::InvalidParameter(format!(
                "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [{VISIBILITY_SECONDS_MAX} seconds]"
            )));
        }
        self.show_at(receipt.sequence, visible_at_ms);
        Ok(())
    }

    /// Deletes every message, whether visible or not.
    pub(crate) fn purge(&mut self, now_ms: i64) -> Result<(), QueueError> {
        if self.purged_ms.is_some_and(|purged| now_ms < purged.saturating_add(PURGE_INTERVAL_MS)) {
            return Err(QueueError::PurgeInProgress(self.name.clone()));
        }
        self.purged_ms = Some(now_ms);
        self.messages.clear();
        self.by_visibility.clear();
        self.by_age.clear();
        Ok(())
    }

    /// How many messages there are.
    pub(crate) fn depth(&self, now_ms: i64) -> Depth {
        let visible = self.by_visibility.range(..=(now_ms, u64::MAX)).count();
        let hidden = self.hidden(now_ms);
        let in_flight = hidden.filter(|message| message.receive_count > 0).count();
        Depth { visible, in_flight, delayed: self.messages.len() - visible - in_flight }
    }

    /// The time at which a receive may find something, `now_ms` when it would already; `None` when
    /// nothing will come by itself.
    pub(crate) fn receivable_at(&self, now_ms: i64) -> Option<i64> {
        if self.receivable(now_ms).next().is_some() {
            return Some(now_ms);
        }
        self.by_visibility.range((now_ms.saturating_add(1), 0)..).next().map(|(at_ms, _)| *at_ms)
    }

    /// The message that was sent first among those that could be received.
    pub(crate) fn oldest_receivable(&self, now_ms: i64) -> Option<&Message> {
        if self.settings.fifo {
            return self.receivable(now_ms).next();
        }
        self.by_age
            .iter()
            .filter_map(|(_, sequence)| self.messages.get(sequence))
            .find(|message| message.visible_at_ms <= now_ms)
    }

    /// What could be received: in a FIFO queue in the order of sending, without groups that have
    /// a message in flight; else in the order of becoming visible.
    fn receivable(&self, now_ms: i64) -> Box<dyn Iterator<Item = &Message> + '_> {
        if !self.settings.fifo {
            let visible = self.by_visibility.range(..=(now_ms, u64::MAX));
            return Box::new(visible.filter_map(|(_, sequence)| self.messages.get(sequence)));
        }
        let mut blocked: BTreeSet<&Option<String>> = self
            .hidden(now_ms)
            .filter(|message| message.receive_count > 0)
            .map(|message| &message.content.group)
            .collect();
        Box::new(self.messages.values().filter(move |message| {
            if message.visible_at_ms > now_ms {
                // A delayed message holds back those sent after it to the same group.
                blocked.insert(&message.content.group);
            }
            !blocked.contains(&message.content.group)
        }))
    }

    fn hidden(&self, now_ms: i64) -> impl Iterator<Item = &Message> {
        self.by_visibility
            .range((now_ms.saturating_add(1), 0)..)
            .filter_map(|(_, sequence)| self.messages.get(sequence))
    }

    fn deliver(&mut self, sequence: u64, visible_at_ms: i64, now_ms: i64) -> Option<Delivery> {
        self.show_at(sequence, visible_at_ms);
        let message = self.messages.get_mut(&sequence)?;
        message.receive_count = message.receive_count.saturating_add(1);
        message.first_received_ms.get_or_insert(now_ms);
        message.last_received_ms = Some(now_ms);
        let message = message.clone();
        let receipt_handle = Receipt::of(&message).render(&self.name);
        Some(Delivery { message, receipt_handle })
    }

    fn show_at(&mut self, sequence: u64, visible_at_ms: i64) {
        if let Some(message) = self.messages.get_mut(&sequence) {
            self.by_visibility.remove(&(message.visible_at_ms, sequence));
            message.visible_at_ms = visible_at_ms;
            self.by_visibility.insert((visible_at_ms, sequence));
        }
    }

    fn received_as(&self, receipt: &Receipt) -> Option<&Message> {
        let message = self.messages.get(&receipt.sequence)?;
        (message.id == receipt.message_id).then_some(message)
    }

    fn delay(&self, asked_seconds: Option<u32>) -> Result<u32, QueueError> {
        let Some(seconds) = asked_seconds else {
            return Ok(self.settings.delay_seconds);
        };
        let reason = if self.settings.fifo && seconds > 0 {
            "The request include parameter that is not valid for this queue type."
        } else if seconds > DELAY_SECONDS_MAX {
            "DelaySeconds must be >= 0 and <= 900."
        } else {
            return Ok(seconds);
        };
        Err(QueueError::InvalidParameter(format!(
            "Value {seconds} for parameter DelaySeconds is invalid. Reason: {reason}"
        )))
    }

    /// Gives a message for a FIFO queue its deduplication id, and refuses what the other kind of
    /// queue needs.
    fn deduplicate(&self, content: &mut Content) -> Result<(), QueueError> {
        if !self.settings.fifo {
            return match &content.deduplication_id {
                None => Ok(()),
                Some(id) => Err(QueueError::InvalidParameter(format!(
                    "Value {id} for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type."
                ))),
            };
        }
        if content.group.is_none() {
            return Err(QueueError::MissingParameter("MessageGroupId"));
        }
        if content.deduplication_id.is_none() {
            if !self.settings.content_based_deduplication {
                return Err(QueueError::InvalidParameter(
                    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
                        .to_owned(),
                ));
            }
            let digest = Sha256::digest(content.body.as_bytes());
            content.deduplication_id = Some(hexadecimal(&digest));
        }
        Ok(())
    }
}

/// What a receipt handle says: one particular receive of one message of one queue.
#[derive(Debug, PartialEq, Eq)]
struct Receipt {
    sequence: u64,
    receive_count: u32,
    message_id: String,
}

impl Receipt {
    fn of(message: &Message) -> Self {
        Self {
            sequence: message.sequence,
            receive_count: message.receive_count,
            message_id: message.id.clone(),
        }
    }

    fn render(&self, queue: &str) -> String {
        let Self { sequence, receive_count, message_id } = self;
        STANDARD.encode(format!("{queue} {sequence} {receive_count} {message_id}"))
    }

    fn parse(queue: &str, handle: &str) -> Result<Self, QueueError> {
        let parse = || {
            let text = String::from_utf8(STANDARD.decode(handle).ok()?).ok()?;
            let mut parts = text.split(' ');
            if parts.next()? != queue {
                return None;
            }
            Some(Self {
                sequence: parts.next()?.parse().ok()?,
                receive_count: parts.next()?.parse().ok()?,
                message_id: parts.next()?.to_owned(),
            })
        };
        parse().ok_or_else(|| QueueError::ReceiptHandle(handle.to_owned()))
    }
}
