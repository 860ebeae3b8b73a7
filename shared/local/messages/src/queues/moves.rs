//! Message move tasks: a dead-letter queue's messages go back to where they came from.
//!
//! A task has no worker. It is brought up to date whenever the queues are looked at, from its start,
//! its rate and the time, so it follows the local cloud's clock and survives a restart.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::error::QueueError;
use super::settings::is_fifo;
use super::{Moment, Queues};
use crate::arn;

/// Tasks of one queue that are remembered and listed.
pub(crate) const TASKS_MAX: usize = 10;
/// Messages per second at most.
const RATE_MAX: u32 = 500;

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    Running,
    Completed,
    Cancelled,
    Failed(String),
}

/// One move task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveTask {
    pub(crate) handle: String,
    pub(crate) source: String,
    /// Else each message goes to the queue that it came from.
    pub(crate) destination: Option<String>,
    /// Messages per second; as fast as possible when absent.
    pub(crate) rate: Option<u32>,
    pub(crate) started_ms: i64,
    pub(crate) to_move: u64,
    pub(crate) moved: u64,
    pub(crate) progress: Progress,
}

impl MoveTask {
    fn due(&self, now_ms: i64) -> u64 {
        let Some(rate) = self.rate else {
            return self.to_move;
        };
        let seconds = u64::try_from((now_ms - self.started_ms) / 1_000).unwrap_or(0);
        self.to_move.min(u64::from(rate).saturating_mul(seconds.saturating_add(1)))
    }
}

/// The source ARN in a task handle, which is base64 of `{"taskId":…,"sourceArn":…}` as on AWS.
pub(crate) fn source_of_handle(handle: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(&STANDARD.decode(handle).ok()?).ok()?;
    Some(json.get("sourceArn")?.as_str()?.to_owned())
}

impl Queues {
    /// Starts a task ("StartMessageMoveTask", Amazon SQS API Reference) and returns its handle.
    pub(crate) fn start_move(
        &mut self,
        source_arn: &str,
        destination_arn: Option<&str>,
        rate: Option<u32>,
        moment: Moment,
    ) -> Result<String, QueueError> {
        self.advance(moment);
        let (source, destination) = self.move_ends(source_arn, destination_arn)?;
        if rate.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
            return Err(QueueError::InvalidParameter(format!(
                "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: it must be between 1 and {RATE_MAX}."
            )));
        }
        if self.moves.iter().any(|task| task.source == source && task.progress == Progress::Running)
        {
            return Err(QueueError::InvalidParameter(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
                    .to_owned(),
            ));
        }
        let visible = self.depth(&source, moment)?.visible;
        let handle = serde_json::json!({ "taskId": (moment.new_id)(), "sourceArn": source_arn });
        let handle = STANDARD.encode(handle.to_string());
        self.moves.push(MoveTask {
            handle: handle.clone(),
            source: source.clone(),
            destination,
            rate,
            started_ms: moment.now_ms,
            to_move: u64::try_from(visible).unwrap_or(u64::MAX),
            moved: 0,
            progress: Progress::Running,
        });
        self.forget_old_moves(&source);
        self.changed();
        self.advance(moment);
        Ok(handle)
    }

    /// The tasks of a queue, latest first.
    pub(crate) fn list_moves(
        &mut self,
        source_arn: &str,
        max: usize,
        moment: Moment,
    ) -> Result<Vec<MoveTask>, QueueError> {
        self.advance(moment);
        let source = self.existing(source_arn, "SourceArn")?;
        let tasks = self.moves.iter().rev().filter(|task| task.source == source);
        Ok(tasks.take(max).cloned().collect())
    }

    /// Stops a running task; what it moved stays moved. Returns how many messages that are.
    pub(crate) fn cancel_move(&mut self, handle: &str, moment: Moment) -> Result<u64, QueueError> {
        self.advance(moment);
        let task = self
            .moves
            .iter_mut()
            .find(|task| task.handle == handle)
            .ok_or(QueueError::NoSuchResource("TaskHandle"))?;
        if task.progress != Progress::Running {
            return Err(QueueError::InvalidParameter(
                "Only active tasks can be cancelled.".to_owned(),
            ));
        }
        task.progress = Progress::Cancelled;
        let moved = task.moved;
        self.changed();
        Ok(moved)
    }

    /// Queues whose dead-letter queue this is.
    pub(crate) fn dead_letter_sources(&self, name: &str) -> Vec<String> {
        let feeds = |queue: &super::Queue| {
            let redrive = queue.settings.redrive.as_ref();
            redrive.is_some_and(|redrive| redrive.dead_letter_queue == name)
        };
        self.by_name
            .iter()
            .filter(|(_, queue)| feeds(queue))
            .map(|(source, _)| source.clone())
            .collect()
    }

    /// Moves what running tasks should have moved by now.
    pub(crate) fn advance(&mut self, moment: Moment) {
        if self.is_moving() {
            let mut moves = std::mem::take(&mut self.moves);
            for task in &mut moves {
                self.advance_task(task, moment);
            }
            self.moves = moves;
        }
    }

    /// Whether any task is running.
    pub(crate) fn is_moving(&self) -> bool {
        self.moves.iter().any(|task| task.progress == Progress::Running)
    }

    fn advance_task(&mut self, task: &mut MoveTask, moment: Moment) {
        while task.progress == Progress::Running {
            if task.moved >= task.to_move {
                task.progress = Progress::Completed;
            } else if task.moved >= task.due(moment.now_ms) {
                return;
            } else {
                match self.move_oldest(&task.source, task.destination.as_deref(), moment) {
                    Ok(true) => task.moved += 1,
                    // Somebody else received or deleted the rest.
                    Ok(false) => task.progress = Progress::Completed,
                    Err(reason) => task.progress = Progress::Failed(reason.to_owned()),
                }
            }
            self.changed();
        }
    }

    /// Moves one message; `false` when there is none. A redriven message is a new message: new id,
    /// new enqueue time, nothing received yet ("Learn how to configure a dead-letter queue redrive",
    /// Amazon SQS Developer Guide). The reasons of failure are AWS's.
    fn move_oldest(
        &mut self,
        source: &str,
        destination: Option<&str>,
        moment: Moment,
    ) -> Result<bool, &'static str> {
        const NO_QUEUE: &str = "AWS.SimpleQueueService.NonExistentQueue";
        let queue = self.queue(source, moment).map_err(|_missing| NO_QUEUE)?;
        let Some(oldest) = queue.oldest_receivable(moment.now_ms) else {
            return Ok(false);
        };
        let sequence = oldest.sequence;
        let destination = destination
            .or(oldest.dead_letter_source.as_deref())
            .ok_or("CouldNotDetermineMessageSource")?
            .to_owned();
        if !self.by_name.contains_key(&destination) {
            return Err(NO_QUEUE);
        }
        let taken = self.by_name.get_mut(source).and_then(|queue| queue.remove(sequence));
        if let (Some(mut message), Some(queue)) = (taken, self.by_name.get_mut(&destination)) {
            message.id = (moment.new_id)();
            message.sent_ms = moment.now_ms;
            message.visible_at_ms = moment.now_ms;
            message.receive_count = 0;
            message.first_received_ms = None;
            message.last_received_ms = None;
            message.dead_letter_source = None;
            queue.insert(message);
        }
        Ok(true)
    }

    fn move_ends(
        &self,
        source_arn: &str,
        destination_arn: Option<&str>,
    ) -> Result<(String, Option<String>), QueueError> {
        let source = self.existing(source_arn, "SourceArn")?;
        if self.dead_letter_sources(&source).is_empty() {
            return Err(QueueError::InvalidParameter(
                "Source queue must be configured as a Dead Letter Queue.".to_owned(),
            ));
        }
        let destination =
            destination_arn.map(|arn| self.existing(arn, "DestinationArn")).transpose()?;
        if let Some(destination) = &destination {
            let refusal = if *destination == source {
                "Source queue arn and destination queue arn cannot be the same."
            } else if is_fifo(destination) != is_fifo(&source) {
                "The source queue and destination queue must be of the same queue type."
            } else {
                return Ok((source, Some(destination.clone())));
            };
            return Err(QueueError::InvalidParameter(refusal.to_owned()));
        }
        Ok((source, destination))
    }

    fn existing(&self, arn: &str, parameter: &'static str) -> Result<String, QueueError> {
        arn::queue_name(arn)
            .filter(|name| self.by_name.contains_key(*name))
            .map(str::to_owned)
            .ok_or(QueueError::NoSuchResource(parameter))
    }

    fn forget_old_moves(&mut self, source: &str) {
        let of_source = |task: &&MoveTask| task.source == source;
        let mut surplus = self.moves.iter().filter(of_source).count().saturating_sub(TASKS_MAX);
        self.moves.retain(|task| {
            let forget = surplus > 0 && task.source == source;
            surplus -= usize::from(forget);
            !forget
        });
    }
}
