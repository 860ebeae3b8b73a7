//! Move tasks, which give dead letters back to the queues that they came from.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{object, out_of_range};
use crate::arn;
use crate::queues::error::QueueError;
use crate::queues::moves::{MoveTask, Progress, TASKS_MAX, source_of_handle};
use crate::wire::{Call, Fault};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Move {
    source_arn: String,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<u32>,
    max_results: Option<usize>,
    task_handle: String,
}

/// Needs what the "Troubleshoot Amazon SQS dead-letter queue and DLQ redrive issues" page of the
/// Developer Guide lists, on both ends.
pub(super) fn start_message_move_task(call: &Call) -> Result<Value, Fault> {
    let input: Move = call.input()?;
    authorize_move(call, "sqs:StartMessageMoveTask", &input.source_arn)?;
    let destinations = match (&input.destination_arn, arn::queue_name(&input.source_arn)) {
        (Some(destination), _) => vec![destination.clone()],
        (None, Some(source)) => {
            let sources = call.messages.queues(|queues, _| queues.dead_letter_sources(source));
            sources.iter().map(|name| arn::of_queue(name)).collect()
        }
        (None, None) => Vec::new(),
    };
    for destination in &destinations {
        call.authorize("sqs:SendMessage", destination)?;
    }
    let handle = call.messages.queues(|queues, moment| {
        let destination = input.destination_arn.as_deref();
        let rate = input.max_number_of_messages_per_second;
        queues.start_move(&input.source_arn, destination, rate, moment)
    })?;
    Ok(json!({ "TaskHandle": handle }))
}

pub(super) fn list_message_move_tasks(call: &Call) -> Result<Value, Fault> {
    let input: Move = call.input()?;
    for action in ["sqs:ListMessageMoveTasks", "sqs:GetQueueAttributes"] {
        call.authorize(action, &input.source_arn)?;
    }
    let max = input.max_results.unwrap_or(1);
    if !(1..=TASKS_MAX).contains(&max) {
        return Err(out_of_range("MaxResults", max, "1 and 10"));
    }
    let tasks =
        call.messages.queues(|queues, moment| queues.list_moves(&input.source_arn, max, moment))?;
    let results: Vec<Value> = tasks.into_iter().map(render_move).collect();
    Ok(json!({ "Results": results }))
}

pub(super) fn cancel_message_move_task(call: &Call) -> Result<Value, Fault> {
    let input: Move = call.input()?;
    let source =
        source_of_handle(&input.task_handle).ok_or(QueueError::NoSuchResource("TaskHandle"))?;
    authorize_move(call, "sqs:CancelMessageMoveTask", &source)?;
    let moved =
        call.messages.queues(|queues, moment| queues.cancel_move(&input.task_handle, moment))?;
    Ok(json!({ "ApproximateNumberOfMessagesMoved": moved }))
}

fn authorize_move(call: &Call, action: &str, source_arn: &str) -> Result<(), Fault> {
    for action in [action, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"] {
        call.authorize(action, source_arn)?;
    }
    Ok(())
}

fn render_move(task: MoveTask) -> Value {
    let (status, failure) = match task.progress {
        Progress::Running => ("RUNNING", None),
        Progress::Completed => ("COMPLETED", None),
        Progress::Cancelled => ("CANCELLED", None),
        Progress::Failed(reason) => ("FAILED", Some(reason)),
    };
    let destination = task.destination.map(|name| arn::of_queue(&name));
    let handle = (status == "RUNNING").then_some(task.handle);
    Value::Object(object([
        ("TaskHandle", handle.map(Value::from)),
        ("Status", Some(status.into())),
        ("SourceArn", Some(arn::of_queue(&task.source).into())),
        ("DestinationArn", destination.map(Value::from)),
        ("MaxNumberOfMessagesPerSecond", task.rate.map(Value::from)),
        ("ApproximateNumberOfMessagesMoved", Some(task.moved.into())),
        ("ApproximateNumberOfMessagesToMove", Some(task.to_move.into())),
        ("FailureReason", failure.map(Value::from)),
        ("StartedTimestamp", Some(task.started_ms.into())),
    ]))
}
