//! Messages going in and out, one by one or up to ten at once.

use std::time::Duration;

use rollcall_local_kit::Principal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::batch::{Entry, each, entries};
use super::{object, out_of_range, queue_for, settings_of};
use crate::arn;
use crate::queues::error::QueueError;
use crate::queues::message::{
    Attributes, Content, MESSAGE_BYTES_MAX, md5_of_attributes, md5_of_body,
};
use crate::queues::queue::{Accepted, Delivery};
use crate::queues::settings::WAIT_SECONDS_MAX;
use crate::queues::{Moment, Queues, RECEIVE_MAX};
use crate::wire::{Call, Fault};

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
        let Accepted { message_id, sequence_number } =
            queues.send(queue, content, self.delay_seconds, moment)?;
        let system = md5_of_attributes(&self.message_system_attributes);
        Ok(object([
            ("MessageId", Some(message_id.into())),
            ("MD5OfMessageBody", Some(md5_of_body(&self.message_body).into())),
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

pub(super) fn send_message(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:SendMessage")?;
    let outgoing: Outgoing = call.input()?;
    let sent =
        call.messages.queues(|queues, moment| outgoing.send(call, &queue, queues, moment))?;
    Ok(Value::Object(sent))
}

pub(super) fn send_message_batch(call: &Call) -> Result<Value, Fault> {
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

pub(super) fn delete_message(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:DeleteMessage")?;
    let held: Held = call.input()?;
    call.messages.queues(|queues, moment| held.delete(&queue, queues, moment))?;
    Ok(json!({}))
}

pub(super) fn delete_message_batch(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:DeleteMessage")?;
    let entries = entries::<Held>(call, &queue)?;
    Ok(call.messages.queues(|queues, moment| {
        each(&entries, |entry| entry.delete(&queue, queues, moment).map(|()| Map::new()))
    }))
}

pub(super) fn change_message_visibility(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:ChangeMessageVisibility")?;
    let held: Held = call.input()?;
    call.messages.queues(|queues, moment| held.change(&queue, queues, moment))?;
    Ok(json!({}))
}

pub(super) fn change_message_visibility_batch(call: &Call) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:ChangeMessageVisibility")?;
    let entries = entries::<Held>(call, &queue)?;
    Ok(call.messages.queues(|queues, moment| {
        each(&entries, |entry| entry.change(&queue, queues, moment).map(|()| Map::new()))
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

pub(super) async fn receive_message(call: &Call<'_>) -> Result<Value, Fault> {
    let queue = queue_for(call, "sqs:ReceiveMessage")?;
    let input: Receive = call.input()?;
    let max = input.max_number_of_messages.unwrap_or(1);
    if !(1..=RECEIVE_MAX).contains(&max) {
        return Err(out_of_range("MaxNumberOfMessages", max, "1 and 10"));
    }
    let settings = settings_of(call, &queue)?;
    let wait = input.wait_time_seconds.unwrap_or(settings.receive_wait_seconds);
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
            let mut names = self.attribute_names.iter().chain(&self.message_system_attribute_names);
            names.any(|asked| asked == "All" || asked == name)
        };
        let mut system = message.system_attributes(fifo);
        system.retain(|name, _| asked(name));
        let mut attributes = message.content.attributes.clone();
        attributes.retain(|name, _| self.wants(name));
        let body = &message.content.body;
        Value::Object(object([
            ("MessageId", Some(message.id.clone().into())),
            ("ReceiptHandle", Some(delivery.receipt_handle.clone().into())),
            ("MD5OfBody", Some(md5_of_body(body).into())),
            ("Body", Some(body.clone().into())),
            ("Attributes", (!system.is_empty()).then(|| json!(system))),
            ("MD5OfMessageAttributes", md5_of_attributes(&attributes).map(Value::from)),
            ("MessageAttributes", (!attributes.is_empty()).then(|| json!(attributes))),
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
