//! Queues themselves: creating, describing, listing and emptying them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{object, queue_for, settings_of};
use crate::arn;
use crate::queues::error::QueueError;
use crate::queues::settings::{Settings, refused_redrive};
use crate::queues::{Moment, Queues};
use crate::wire::{Call, Fault};

const LIST_MAX: usize = 1_000;

pub(super) fn purge_queue(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:PurgeQueue")?;
    call.messages.queues(|queues, moment| queues.purge(&queue, moment))?;
    Ok(json!({}))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Named {
    queue_name: String,
    attributes: BTreeMap<String, String>,
}

pub(super) fn create_queue(call: &Call) -> Result<Value, Fault> {
    let Named { queue_name: name, attributes } = call.input()?;
    call.authorize("sqs:CreateQueue", &arn::of_queue(&name))?;
    let settings = Settings::new(&name)?;
    if settings.fifo && !attributes.contains_key("FifoQueue") {
        return Err(QueueError::InvalidParameter(
            "The name of a FIFO queue needs the attribute FifoQueue to be true.".to_owned(),
        )
        .into());
    }
    call.messages.queues(|queues, moment| {
        let existing = queues.get(&name, moment).ok().map(|queue| queue.settings.clone());
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

pub(super) fn get_queue_url(call: &Call) -> Result<Value, Fault> {
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

pub(super) fn get_queue_attributes(call: &Call) -> Result<Value, Fault> {
    let name = queue_for(call, "sqs:GetQueueAttributes")?;
    let AttributeNames { attribute_names } = call.input()?;
    let mut attributes = call.messages.queues(|queues, moment| {
        let queue = queues.get(&name, moment)?;
        let depth = queue.depth(moment.now_ms);
        let mut attributes = queue.settings.attributes();
        let mut put = |name: &str, value: String| attributes.insert(name.to_owned(), value);
        put("QueueArn", arn::of_queue(&name));
        put("CreatedTimestamp", (queue.created_ms / 1_000).to_string());
        put("LastModifiedTimestamp", (queue.modified_ms / 1_000).to_string());
        put("ApproximateNumberOfMessages", depth.visible.to_string());
        put("ApproximateNumberOfMessagesNotVisible", depth.in_flight.to_string());
        put("ApproximateNumberOfMessagesDelayed", depth.delayed.to_string());
        Ok::<_, QueueError>(attributes)
    })?;
    let asked = |name: &str| attribute_names.iter().any(|n| n == "All" || n == name);
    attributes.retain(|name, _| asked(name));
    if attributes.is_empty() {
        return Ok(json!({}));
    }
    Ok(json!({ "Attributes": attributes }))
}

pub(super) fn set_queue_attributes(call: &Call) -> Result<Value, Fault> {
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

pub(super) fn list_queues(call: &Call) -> Result<Value, Fault> {
    call.authorize("sqs:ListQueues", "*")?;
    let list: List = call.input()?;
    let names = call.messages.queues(|queues, _| {
        let names = queues.names().map(str::to_owned);
        names.filter(|name| name.starts_with(&list.queue_name_prefix)).collect::<Vec<_>>()
    });
    Ok(list.page(call, "QueueUrls", names))
}

pub(super) fn list_dead_letter_source_queues(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:ListDeadLetterSourceQueues")?;
    settings_of(call, &queue)?;
    let names = call.messages.queues(|queues, _| queues.dead_letter_sources(&queue));
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
        let urls: Vec<String> = names.iter().map(|name| call.messages.queue_url(name)).collect();
        let next = names.pop().filter(|_| more);
        Value::Object(object([(member, Some(json!(urls))), ("NextToken", next.map(Value::from))]))
    }
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
