//! The actions of Amazon SQS over its JSON protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollcall_local_kit::Principal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::arn;
use crate::queues::error::QueueError;
use crate::queues::message::{
    Attributes, Content, MESSAGE_BYTES_MAX, md5_of_attributes, md5_of_body,
};
use crate::queues::moves::{MoveTask, Progress, TASKS_MAX, source_of_handle};
use crate::queues::queue::{Accepted, Delivery};
use crate::queues::settings::{Settings, WAIT_SECONDS_MAX, refused_redrive};
use crate::queues::{Moment, Queues, RECEIVE_MAX};
use crate::wire::{Call, Fault, unknown_action};

const BATCH_ENTRIES_MAX: usize = 10;
const ENTRY_ID_CHARS_MAX: usize = 80;
const LIST_MAX: usize = 1_000;

/// Performs one action by its name.
pub(crate) async fn act(call: &Call<'_>, action: &str) -> Result<Value, Fault> {
    match action {
        "SendMessage" => send_message(call),
        "SendMessageBatch" => send_message_batch(call),
        "ReceiveMessage" => receive_message(call).await,
        "DeleteMessage" => delete_message(call),
        "DeleteMessageBatch" => delete_message_batch(call),
        "ChangeMessageVisibility" => change_message_visibility(call),
        "ChangeMessageVisibilityBatch" => change_message_visibility_batch(call),
        "PurgeQueue" => purge_queue(call),
        "CreateQueue" => create_queue(call),
        "GetQueueUrl" => get_queue_url(call),
        "GetQueueAttributes" => get_queue_attributes(call),
        "SetQueueAttributes" => set_queue_attributes(call),
        "ListQueues" => list_queues(call),
        "ListDeadLetterSourceQueues" => list_dead_letter_source_queues(call),
        "StartMessageMoveTask" => start_message_move_task(call),
        "ListMessageMoveTasks" => list_message_move_tasks(call),
        "CancelMessageMoveTask" => cancel_message_move_task(call),
        _ => Err(unknown_action()),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ToQueue {
    queue_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Outgoing {
    id: String,
    message_body: String,
    delay_seconds: Option<u32>,
    message_attributes: Attributes,
    message_system_attributes: Attributes,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Held {
    id: String,
    receipt_handle: Option<String>,
    visibility_timeout: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch<T> {
    #[serde(default = "Vec::new")]
    entries: Vec<T>,
}

trait Entry {
    fn id(&self) -> &str;
}

impl Entry for Outgoing {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Entry for Held {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Outgoing {
    fn content(&self, call: &Call) -> Content {
        let trace = self.message_system_attributes.get("AWSTraceHeader");
        Content {
            body: self.message_body.clone(),
            attributes: self.message_attributes.clone(),
            trace_header: trace.and_then(|value| value.string_value.clone()),
            sender: match &call.principal {
                Principal::Operator => arn::ACCOUNT.to_owned(),
                Principal::Function(name) => crate::sender_of_function(name),
            },
            group: self.message_group_id.clone(),
            deduplication_id: self.message_deduplication_id.clone(),
        }
    }

    fn send(
        &self,
        call: &Call,
        queue: &str,
        queues: &mut Queues,
        moment: Moment,
    ) -> Result<Map<String, Value>, QueueError> {
        let content = self.content(call);
        let Accepted {
            message_id,
            sequence_number,
        } = queues.send(queue, content, self.delay_seconds, moment)?;
        let system = md5_of_attributes(&self.message_system_attributes);
        Ok(object([
            ("MessageId", Some(message_id.into())),
            (
                "MD5OfMessageBody",
                Some(md5_of_body(&self.message_body).into()),
            ),
            (
                "MD5OfMessageAttributes",
                md5_of_attributes(&self.message_attributes).map(Value::from),
            ),
            ("MD5OfMessageSystemAttributes", system.map(Value::from)),
            ("SequenceNumber", sequence_number.map(Value::from)),
        ]))
    }
}

impl Held {
    fn receipt_handle(&self) -> Result<&str, QueueError> {
        let handle = self.receipt_handle.as_deref();
        handle.ok_or(QueueError::MissingParameter("ReceiptHandle"))
    }

    fn delete(&self, queue: &str, queues: &mut Queues, moment: Moment) -> Result<(), QueueError> {
        queues.delete(queue, self.receipt_handle()?, moment)
    }

    fn change(&self, queue: &str, queues: &mut Queues, moment: Moment) -> Result<(), QueueError> {
        let seconds = self.visibility_timeout;
        let seconds = seconds.ok_or(QueueError::MissingParameter("VisibilityTimeout"))?;
        queues.change_visibility(queue, self.receipt_handle()?, seconds, moment)
    }
}

fn send_message(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:SendMessage")?;
    let outgoing: Outgoing = call.input()?;
    let sent = call
        .messages
        .queues(|queues, moment| outgoing.send(call, &queue, queues, moment))?;
    Ok(Value::Object(sent))
}

fn send_message_batch(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:SendMessage")?;
    let entries = entries::<Outgoing>(call, &queue)?;
    let sizes = entries.iter().map(|entry| entry.content(call).size_bytes());
    let sent: usize = sizes.sum();
    if sent > MESSAGE_BYTES_MAX {
        let max = MESSAGE_BYTES_MAX;
        return Err(QueueError::BatchTooLong { max, sent }.into());
    }
    Ok(call
        .messages
        .queues(|queues, moment| each(&entries, |entry| entry.send(call, &queue, queues, moment))))
}

fn delete_message(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:DeleteMessage")?;
    let held: Held = call.input()?;
    call.messages
        .queues(|queues, moment| held.delete(&queue, queues, moment))?;
    Ok(json!({}))
}

fn delete_message_batch(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:DeleteMessage")?;
    let entries = entries::<Held>(call, &queue)?;
    Ok(call.messages.queues(|queues, moment| {
        each(&entries, |entry| {
            entry.delete(&queue, queues, moment).map(|()| Map::new())
        })
    }))
}

fn change_message_visibility(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:ChangeMessageVisibility")?;
    let held: Held = call.input()?;
    call.messages
        .queues(|queues, moment| held.change(&queue, queues, moment))?;
    Ok(json!({}))
}

fn change_message_visibility_batch(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:ChangeMessageVisibility")?;
    let entries = entries::<Held>(call, &queue)?;
    Ok(call.messages.queues(|queues, moment| {
        each(&entries, |entry| {
            entry.change(&queue, queues, moment).map(|()| Map::new())
        })
    }))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Receive {
    attribute_names: Vec<String>,
    message_system_attribute_names: Vec<String>,
    message_attribute_names: Vec<String>,
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u32>,
    wait_time_seconds: Option<u32>,
}

async fn receive_message(call: &Call<'_>) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:ReceiveMessage")?;
    let input: Receive = call.input()?;
    let max = input.max_number_of_messages.unwrap_or(1);
    if !(1..=RECEIVE_MAX).contains(&max) {
        return Err(out_of_range("MaxNumberOfMessages", max, "1 and 10"));
    }
    let settings = settings_of(call, &queue)?;
    let wait = input
        .wait_time_seconds
        .unwrap_or(settings.receive_wait_seconds);
    if wait > WAIT_SECONDS_MAX {
        return Err(out_of_range("WaitTimeSeconds", wait, "0 and 20"));
    }
    let messages = call.messages;
    let receive = async {
        loop {
            let deliveries = messages.queues(|queues, moment| {
                queues.receive(&queue, max, input.visibility_timeout, moment)
            });
            match deliveries {
                Ok(none) if none.is_empty() => messages.receivable(&queue).await,
                other => return other,
            }
        }
    };
    let wait = Duration::from_secs(u64::from(wait));
    let deliveries = match tokio::time::timeout(wait, receive).await {
        Ok(deliveries) => deliveries?,
        Err(_elapsed) => return Ok(json!({})),
    };
    let received = |delivery: &Delivery| input.render(delivery, settings.fifo);
    let received: Vec<Value> = deliveries.iter().map(received).collect();
    Ok(json!({ "Messages": received }))
}

impl Receive {
    fn render(&self, delivery: &Delivery, fifo: bool) -> Value {
        let message = &delivery.message;
        let asked = |name: &str| {
            let mut names = self
                .attribute_names
                .iter()
                .chain(&self.message_system_attribute_names);
            names.any(|asked| asked == "All" || asked == name)
        };
        let mut system = message.system_attributes(fifo);
        system.retain(|name, _| asked(name));
        let mut attributes = message.content.attributes.clone();
        attributes.retain(|name, _| self.wants(name));
        let body = &message.content.body;
        Value::Object(object([
            ("MessageId", Some(message.id.clone().into())),
            (
                "ReceiptHandle",
                Some(delivery.receipt_handle.clone().into()),
            ),
            ("MD5OfBody", Some(md5_of_body(body).into())),
            ("Body", Some(body.clone().into())),
            ("Attributes", (!system.is_empty()).then(|| json!(system))),
            (
                "MD5OfMessageAttributes",
                md5_of_attributes(&attributes).map(Value::from),
            ),
            (
                "MessageAttributes",
                (!attributes.is_empty()).then(|| json!(attributes)),
            ),
        ]))
    }

    /// `All`, `.*`, a name, or a prefix followed by `.*`.
    fn wants(&self, name: &str) -> bool {
        self.message_attribute_names.iter().any(|asked| {
            let prefix = asked.strip_suffix(".*");
            asked == "All" || asked == name || prefix.is_some_and(|prefix| name.starts_with(prefix))
        })
    }
}

fn purge_queue(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:PurgeQueue")?;
    call.messages
        .queues(|queues, moment| queues.purge(&queue, moment))?;
    Ok(json!({}))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Named {
    queue_name: String,
    attributes: BTreeMap<String, String>,
}

fn create_queue(call: &Call) -> Result<Value, Fault> {
    let Named {
        queue_name: name,
        attributes,
    } = call.input()?;
    call.authorize("sqs:CreateQueue", &arn::of_queue(&name))?;
    let settings = Settings::new(&name)?;
    if settings.fifo && !attributes.contains_key("FifoQueue") {
        return Err(QueueError::InvalidParameter(
            "The name of a FIFO queue needs the attribute FifoQueue to be true.".to_owned(),
        )
        .into());
    }
    call.messages.queues(|queues, moment| {
        let existing = queues
            .get(&name, moment)
            .ok()
            .map(|queue| queue.settings.clone());
        let wanted = with_attributes(
            queues,
            &name,
            existing.clone().unwrap_or(settings),
            &attributes,
            moment,
        )?;
        if existing.is_some_and(|existing| existing != wanted) {
            return Err(QueueError::NameTaken);
        }
        queues.put(&name, wanted, moment);
        Ok(())
    })?;
    Ok(json!({ "QueueUrl": call.messages.queue_url(&name) }))
}

fn get_queue_url(call: &Call) -> Result<Value, Fault> {
    let Named { queue_name, .. } = call.input()?;
    call.authorize("sqs:GetQueueUrl", &arn::of_queue(&queue_name))?;
    settings_of(call, &queue_name)?;
    Ok(json!({ "QueueUrl": call.messages.queue_url(&queue_name) }))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct AttributeNames {
    attribute_names: Vec<String>,
}

fn get_queue_attributes(call: &Call) -> Result<Value, Fault> {
    let name = queue_for(call, "sqs:GetQueueAttributes")?;
    let AttributeNames { attribute_names } = call.input()?;
    let mut attributes = call.messages.queues(|queues, moment| {
        let queue = queues.get(&name, moment)?;
        let depth = queue.depth(moment.now_ms);
        let mut attributes = queue.settings.attributes();
        let mut put = |name: &str, value: String| attributes.insert(name.to_owned(), value);
        put("QueueArn", arn::of_queue(&name));
        put("CreatedTimestamp", (queue.created_ms / 1_000).to_string());
        put(
            "LastModifiedTimestamp",
            (queue.modified_ms / 1_000).to_string(),
        );
        put("ApproximateNumberOfMessages", depth.visible.to_string());
        put(
            "ApproximateNumberOfMessagesNotVisible",
            depth.in_flight.to_string(),
        );
        put(
            "ApproximateNumberOfMessagesDelayed",
            depth.delayed.to_string(),
        );
        Ok::<_, QueueError>(attributes)
    })?;
    let asked = |name: &str| attribute_names.iter().any(|n| n == "All" || n == name);
    attributes.retain(|name, _| asked(name));
    if attributes.is_empty() {
        return Ok(json!({}));
    }
    Ok(json!({ "Attributes": attributes }))
}

fn set_queue_attributes(call: &Call) -> Result<Value, Fault> {
    let name = queue_for(call, "sqs:SetQueueAttributes")?;
    let Named { attributes, .. } = call.input()?;
    call.messages.queues(|queues, moment| {
        let settings = queues.get(&name, moment)?.settings.clone();
        let settings = with_attributes(queues, &name, settings, &attributes, moment)?;
        queues.put(&name, settings, moment);
        Ok::<_, QueueError>(())
    })?;
    Ok(json!({}))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct List {
    queue_name_prefix: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

fn list_queues(call: &Call) -> Result<Value, Fault> {
    call.authorize("sqs:ListQueues", "*")?;
    let list: List = call.input()?;
    let names = call.messages.queues(|queues, _| {
        let names = queues.names().map(str::to_owned);
        names
            .filter(|name| name.starts_with(&list.queue_name_prefix))
            .collect::<Vec<_>>()
    });
    Ok(list.page(call, "QueueUrls", names))
}

fn list_dead_letter_source_queues(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:ListDeadLetterSourceQueues")?;
    settings_of(call, &queue)?;
    let names = call
        .messages
        .queues(|queues, _| queues.dead_letter_sources(&queue));
    Ok(call.input::<List>()?.page(call, "queueUrls", names))
}

impl List {
    /// A page of URLs; the token is the last name of the page before.
    fn page(&self, call: &Call, member: &str, mut names: Vec<String>) -> Value {
        if let Some(token) = &self.next_token {
            names.retain(|name| name > token);
        }
        let max = self.max_results.unwrap_or(LIST_MAX).clamp(1, LIST_MAX);
        let more = names.len() > max && self.max_results.is_some();
        names.truncate(max);
        let urls: Vec<String> = names
            .iter()
            .map(|name| call.messages.queue_url(name))
            .collect();
        let next = names.pop().filter(|_| more);
        Value::Object(object([
            (member, Some(json!(urls))),
            ("NextToken", next.map(Value::from)),
        ]))
    }
}

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
fn start_message_move_task(call: &Call) -> Result<Value, Fault> {
    let input: Move = call.input()?;
    authorize_move(call, "sqs:StartMessageMoveTask", &input.source_arn)?;
    let destinations = match (&input.destination_arn, arn::queue_name(&input.source_arn)) {
        (Some(destination), _) => vec![destination.clone()],
        (None, Some(source)) => {
            let sources = call
                .messages
                .queues(|queues, _| queues.dead_letter_sources(source));
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

fn list_message_move_tasks(call: &Call) -> Result<Value, Fault> {
    let input: Move = call.input()?;
    for action in ["sqs:ListMessageMoveTasks", "sqs:GetQueueAttributes"] {
        call.authorize(action, &input.source_arn)?;
    }
    let max = input.max_results.unwrap_or(1);
    if !(1..=TASKS_MAX).contains(&max) {
        return Err(out_of_range("MaxResults", max, "1 and 10"));
    }
    let tasks = call
        .messages
        .queues(|queues, moment| queues.list_moves(&input.source_arn, max, moment))?;
    let results: Vec<Value> = tasks.into_iter().map(render_move).collect();
    Ok(json!({ "Results": results }))
}

fn cancel_message_move_task(call: &Call) -> Result<Value, Fault> {
    let input: Move = call.input()?;
    let source =
        source_of_handle(&input.task_handle).ok_or(QueueError::NoSuchResource("TaskHandle"))?;
    authorize_move(call, "sqs:CancelMessageMoveTask", &source)?;
    let moved = call
        .messages
        .queues(|queues, moment| queues.cancel_move(&input.task_handle, moment))?;
    Ok(json!({ "ApproximateNumberOfMessagesMoved": moved }))
}

fn authorize_move(call: &Call, action: &str, source_arn: &str) -> Result<(), Fault> {
    for action in [
        action,
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
    ] {
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
        (
            "ApproximateNumberOfMessagesToMove",
            Some(task.to_move.into()),
        ),
        ("FailureReason", failure.map(Value::from)),
        ("StartedTimestamp", Some(task.started_ms.into())),
    ]))
}

/// The name of the queue that a call is about, once IAM has allowed `action` on it. IAM comes
/// first, as on AWS: who may not use a queue does not learn whether it exists.
fn queue_for(call: &Call, action: &str) -> Result<String, Fault> {
    let ToQueue { queue_url } = call.input()?;
    let mut segments = queue_url.trim_end_matches('/').rsplit('/');
    let name = segments.next().unwrap_or_default();
    if segments
        .next()
        .is_some_and(|account| account != arn::ACCOUNT)
    {
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

/// Settings with attributes applied; a dead-letter queue must exist already.
fn with_attributes(
    queues: &mut Queues,
    name: &str,
    mut settings: Settings,
    attributes: &BTreeMap<String, String>,
    moment: Moment,
) -> Result<Settings, QueueError> {
    for (attribute, value) in attributes {
        settings.set(attribute, value)?;
    }
    settings.check_redrive(name)?;
    if let Some(redrive) = &settings.redrive
        && queues.get(&redrive.dead_letter_queue, moment).is_err()
    {
        return Err(refused_redrive("Dead letter target does not exist."));
    }
    Ok(settings)
}

/// The entries of a batch, once the rules for batches as a whole hold.
fn entries<T>(call: &Call, queue: &str) -> Result<Vec<T>, Fault>
where
    T: Entry + for<'de> Deserialize<'de>,
{
    settings_of(call, queue)?;
    let Batch { entries } = call.input::<Batch<T>>()?;
    if entries.is_empty() {
        return Err(QueueError::EmptyBatch.into());
    }
    if entries.len() > BATCH_ENTRIES_MAX {
        return Err(QueueError::TooManyEntries(entries.len()).into());
    }
    let mut seen = BTreeSet::new();
    for id in entries.iter().map(Entry::id) {
        let valid = (1..=ENTRY_ID_CHARS_MAX).contains(&id.len())
            && id
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !valid {
            return Err(QueueError::EntryId.into());
        }
        if !seen.insert(id) {
            return Err(QueueError::EntryIdsNotDistinct(id.to_owned()).into());
        }
    }
    Ok(entries)
}

/// Performs each entry of a batch on its own; absent lists are left out, as SQS does.
fn each<T: Entry>(
    entries: &[T],
    mut act: impl FnMut(&T) -> Result<Map<String, Value>, QueueError>,
) -> Value {
    let mut successful = Vec::new();
    let mut failed = Vec::new();
    for entry in entries {
        match act(entry) {
            Ok(mut output) => {
                output.insert("Id".to_owned(), entry.id().into());
                successful.push(Value::Object(output));
            }
            Err(error) => failed.push(json!({
                "Id": entry.id(),
                "SenderFault": true,
                "Code": error.codes().query,
                "Message": error.to_string(),
            })),
        }
    }
    Value::Object(object([
        (
            "Successful",
            (!successful.is_empty()).then(|| successful.into()),
        ),
        ("Failed", (!failed.is_empty()).then(|| failed.into())),
    ]))
}

fn out_of_range(parameter: &str, value: impl std::fmt::Display, range: &str) -> Fault {
    QueueError::InvalidParameter(format!(
        "Value {value} for parameter {parameter} is invalid. Reason: Must be between {range}, if provided."
    ))
    .into()
}

/// A JSON object of the members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}
