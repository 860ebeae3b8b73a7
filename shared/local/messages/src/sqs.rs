//! The actions of Amazon SQS over its JSON protocol.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::arn;
use crate::queues::error::QueueError;
use crate::queues::settings::Settings;
use crate::wire::{Call, Fault, unknown_action};

mod administration;
mod batch;
mod messages;
mod moves;

/// Performs one action by its name.
pub(crate) async fn act(call: &Call<'_>, action: &str) -> Result<Value, Fault> {
    match action {
        "SendMessage" => messages::send_message(call),
        "SendMessageBatch" => messages::send_message_batch(call),
        "ReceiveMessage" => messages::receive_message(call).await,
        "DeleteMessage" => messages::delete_message(call),
        "DeleteMessageBatch" => messages::delete_message_batch(call),
        "ChangeMessageVisibility" => messages::change_message_visibility(call),
        "ChangeMessageVisibilityBatch" => messages::change_message_visibility_batch(call),
        "PurgeQueue" => administration::purge_queue(call),
        "CreateQueue" => administration::create_queue(call),
        "GetQueueUrl" => administration::get_queue_url(call),
        "GetQueueAttributes" => administration::get_queue_attributes(call),
        "SetQueueAttributes" => administration::set_queue_attributes(call),
        "ListQueues" => administration::list_queues(call),
        "ListDeadLetterSourceQueues" => administration::list_dead_letter_source_queues(call),
        "StartMessageMoveTask" => moves::start_message_move_task(call),
        "ListMessageMoveTasks" => moves::list_message_move_tasks(call),
        "CancelMessageMoveTask" => moves::cancel_message_move_task(call),
        _ => Err(unknown_action()),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ToQueue {
    queue_url: String,
}

/// The name of the queue that a call is about, once IAM has allowed `action` on it. IAM comes
/// first, as on AWS: who may not use a queue does not learn whether it exists.
fn queue_for(call: &Call, action: &str) -> Result<String, Fault> {
    let ToQueue { queue_url } = call.input()?;
    let mut segments = queue_url.trim_end_matches('/').rsplit('/');
    let name = segments.next().unwrap_or_default();
    if segments.next().is_some_and(|account| account != arn::ACCOUNT) {
        return Err(QueueError::NoSuchQueue.into());
    }
    call.authorize(action, &arn::of_queue(name))?;
    Ok(name.to_owned())
}

fn settings_of(call: &Call, name: &str) -> Result<Settings, QueueError> {
    call.messages.queues(|queues, moment| {
        let queue = queues.get(name, moment)?;
        Ok(queue.settings.clone())
    })
}

fn out_of_range(parameter: &str, value: impl std::fmt::Display, range: &str) -> Fault {
    QueueError::InvalidParameter(format!(
        "Value {value} for parameter {parameter} is invalid. Reason: Must be between {range}, if provided."
    ))
    .into()
}

/// A JSON object of the members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
