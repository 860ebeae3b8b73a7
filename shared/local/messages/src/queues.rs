//! All queues of a local cloud and what happens between them: redrive to dead-letter queues and
//! back. Nothing here reads a clock or draws an id; both come with each call as a [`Moment`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) mod error;
pub(crate) mod message;
pub(crate) mod moves;
pub(crate) mod queue;
pub(crate) mod settings;

use error::QueueError;
use message::Content;
use moves::MoveTask;
use queue::{Accepted, Delivery, Depth, Queue};
use settings::{Settings, VISIBILITY_SECONDS_MAX};

/// The most messages that one receive gives.
pub(crate) const RECEIVE_MAX: usize = 10;

/// When something happens, and where its ids come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Milliseconds since the Unix epoch.
    pub(crate) now_ms: i64,
    pub(crate) new_id: fn() -> String,
}

/// Every queue by name, and the move tasks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Queues {
    by_name: BTreeMap<String, Queue>,
    moves: Vec<MoveTask>,
    /// Grows with every change, so that the owner knows when to save and whom to wake.
    #[serde(skip)]
    version: u64,
}

impl Queues {
    /// Rebuilds what is not saved, after loading.
    pub(crate) fn reindex(&mut self) {
        self.by_name.values_mut().for_each(Queue::reindex);
    }

    /// Differs after a change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// A queue, with its move tasks done and its expired messages gone.
    pub(crate) fn get(&mut self, name: &str, moment: Moment) -> Result<&Queue, QueueError> {
        self.queue(name, moment).map(|queue| &*queue)
    }

    /// Creates a queue, or sets all attributes of one that exists.
    pub(crate) fn put(&mut self, name: &str, settings: Settings, moment: Moment) {
        match self.by_name.get_mut(name) {
            Some(queue) if queue.settings == settings => return,
            Some(queue) => {
                queue.settings = settings;
                queue.modified_ms = moment.now_ms;
            }
            None => {
                let queue = Queue::new(name, settings, moment.now_ms);
                self.by_name.insert(name.to_owned(), queue);
            }
        }
        self.changed();
    }

    pub(crate) fn send(
        &mut self,
        name: &str,
        content: Content,
        delay_seconds: Option<u32>,
        moment: Moment,
    ) -> Result<Accepted, QueueError> {
        let queue = self.queue(name, moment)?;
        let accepted = queue.send(content, delay_seconds, (moment.new_id)(), moment.now_ms)?;
        self.changed();
        Ok(accepted)
    }

    /// Receives up to `max` messages, at most ten. What was received too often goes to the
    /// dead-letter queue instead, provided that it exists.
    pub(crate) fn receive(
        &mut self,
        name: &str,
        max: usize,
        visibility_seconds: Option<u32>,
        moment: Moment,
    ) -> Result<Vec<Delivery>, QueueError> {
        check_visibility(visibility_seconds.unwrap_or(0))?;
        let now_ms = moment.now_ms;
        let redrive = self.queue(name, moment)?.settings.redrive.clone();
        let redrive =
            redrive.filter(|redrive| self.by_name.contains_key(&redrive.dead_letter_queue));
        let dead_after = redrive.as_ref().map(|redrive| redrive.max_receive_count);
        let max = max.min(RECEIVE_MAX);
        let received =
            self.queue(name, moment)?.receive(max, visibility_seconds, dead_after, now_ms);
        if !received.deliveries.is_empty() || !received.dead.is_empty() {
            self.changed();
        }
        if let Some(grave) = redrive.and_then(|r| self.by_name.get_mut(&r.dead_letter_queue)) {
            for mut message in received.dead {
                message.visible_at_ms = now_ms;
                message.dead_letter_source = Some(name.to_owned());
                if grave.settings.fifo {
                    // Standard queues keep the enqueue time; FIFO queues count retention anew and
                    // must not deduplicate two dead letters.
                    message.sent_ms = now_ms;
                    message.content.deduplication_id = Some(message.id.clone());
                }
                grave.insert(message);
            }
        }
        Ok(received.deliveries)
    }

    pub(crate) fn delete(
        &mut self,
        name: &str,
        receipt_handle: &str,
        moment: Moment,
    ) -> Result<(), QueueError> {
        let queue = self.queue(name, moment)?;
        queue.delete(receipt_handle, moment.now_ms)?;
        self.changed();
        Ok(())
    }

    pub(crate) fn change_visibility(
        &mut self,
        name: &str,
        receipt_handle: &str,
        seconds: u32,
        moment: Moment,
    ) -> Result<(), QueueError> {
        check_visibility(seconds)?;
        let queue = self.queue(name, moment)?;
        queue.change_visibility(receipt_handle, seconds, moment.now_ms)?;
        self.changed();
        Ok(())
    }

    pub(crate) fn purge(&mut self, name: &str, moment: Moment) -> Result<(), QueueError> {
        self.queue(name, moment)?.purge(moment.now_ms)?;
        self.changed();
        Ok(())
    }

    pub(crate) fn depth(&mut self, name: &str, moment: Moment) -> Result<Depth, QueueError> {
        Ok(self.get(name, moment)?.depth(moment.now_ms))
    }

    /// When a receive may find something: now or earlier if it would already; `None` when that
    /// needs somebody to act.
    pub(crate) fn receivable_at(&mut self, name: &str, moment: Moment) -> Option<i64> {
        let own = self.get(name, moment).ok()?.receivable_at(moment.now_ms);
        // A running move task may bring a message within a second.
        let moved = self.is_moving().then(|| moment.now_ms.saturating_add(1_000));
        own.into_iter().chain(moved).min()
    }

    fn queue(&mut self, name: &str, moment: Moment) -> Result<&mut Queue, QueueError> {
        self.advance(moment);
        let queue = self.by_name.get_mut(name).ok_or(QueueError::NoSuchQueue)?;
        queue.expire(moment.now_ms);
        Ok(queue)
    }

    fn changed(&mut self) {
        self.version = self.version.wrapping_add(1);
    }
}

fn check_visibility(seconds: u32) -> Result<(), QueueError> {
    if seconds <= VISIBILITY_SECONDS_MAX {
        return Ok(());
    }
    Err(QueueError::InvalidParameter(format!(
        "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= {VISIBILITY_SECONDS_MAX}, if provided."
    )))
}

#[cfg(test)]
mod tests;
