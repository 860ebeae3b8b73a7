//! The AWS SDK against the local cloud, with many clients at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName,
    SendMessageBatchRequestEntry,
};
use aws_smithy_http_client::Builder;
use rollcall_local_kit::{Iam, LocalClock, Server, Shutdown};

use crate::{Messages, Options, QueueDefinition};

struct Cloud {
    base_url: String,
    messages: Messages,
    shutdown: Shutdown,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

async fn start(queues: &[&str]) -> Cloud {
    let server = Server::bind(0).await.unwrap();
    let base_url = server.base_url();
    let messages = Messages::open(Options {
        folder: None,
        clock: LocalClock::new(),
        iam: Iam::new(),
        base_url: base_url.clone(),
    })
    .unwrap();
    for name in queues {
        messages
            .create_queue(&QueueDefinition {
                name: (*name).to_owned(),
                visibility_timeout_seconds: 30,
                retention_seconds: 345_600,
                redrive: None,
            })
            .unwrap();
    }
    let shutdown = Shutdown::new();
    server.serve(messages.router(), shutdown.clone());
    Cloud { base_url, messages, shutdown }
}

impl Cloud {
    fn sqs(&self, access_key_id: &str) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(access_key_id, "secret", None, None, "test"))
            .http_client(Builder::new().build_http())
            .endpoint_url(&self.base_url);
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("local", "secret", None, None, "test"))
            .http_client(Builder::new().build_http())
            .endpoint_url(&self.base_url);
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }
}

async fn send_all(sqs: &aws_sdk_sqs::Client, url: &str, messages: &[(String, Option<String>)]) {
    for batch in messages.chunks(10) {
        let entries = batch.iter().map(|(body, group)| {
            SendMessageBatchRequestEntry::builder()
                .id(body)
                .message_body(body)
                .set_message_group_id(group.clone())
                .set_message_deduplication_id(group.is_some().then(|| body.clone()))
                .build()
                .unwrap()
        });
        let request = sqs.send_message_batch().queue_url(url);
        let sent = request.set_entries(Some(entries.collect())).send().await.unwrap();
        assert!(sent.failed().is_empty());
        assert_eq!(sent.successful().len(), batch.len());
    }
}

async fn receive(sqs: &aws_sdk_sqs::Client, url: &str, max: i32) -> Vec<Message> {
    let request = sqs.receive_message().queue_url(url).max_number_of_messages(max);
    let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
    request.send().await.unwrap().messages.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_receivers_never_get_the_same_message() {
    const MESSAGES: usize = 1_000;
    let cloud = start(&["work"]).await;
    let sqs = cloud.sqs("local");
    let url = cloud.messages.queue_url("work");
    let bodies: Vec<_> = (0..MESSAGES).map(|n| (n.to_string(), None)).collect();
    send_all(&sqs, &url, &bodies).await;

    let receivers: Vec<_> = (0..100)
        .map(|_| {
            let (sqs, url) = (sqs.clone(), url.clone());
            tokio::spawn(async move {
                let mut bodies = Vec::new();
                loop {
                    let messages = receive(&sqs, &url, 3).await;
                    if messages.is_empty() {
                        return bodies;
                    }
                    bodies.extend(messages.into_iter().filter_map(|message| message.body));
                }
            })
        })
        .collect();
    let mut received = Vec::new();
    for receiver in receivers {
        received.extend(receiver.await.unwrap());
    }
    assert_eq!(received.len(), MESSAGES);
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>().len(), MESSAGES);
    assert_eq!(cloud.messages.depth("work").in_flight, MESSAGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_group_of_a_fifo_queue_stays_in_order_among_many_receivers() {
    const GROUPS: usize = 5;
    const PER_GROUP: usize = 40;
    let cloud = start(&["work.fifo"]).await;
    let sqs = cloud.sqs("local");
    let url = cloud.messages.queue_url("work.fifo");
    let messages: Vec<_> =
        (0..GROUPS * PER_GROUP).map(|n| (n.to_string(), Some((n % GROUPS).to_string()))).collect();
    send_all(&sqs, &url, &messages).await;

    let seen: Arc<Mutex<BTreeMap<String, Vec<usize>>>> = Arc::default();
    let workers: Vec<_> = (0..20)
        .map(|_| {
            let (sqs, url, seen, port) =
                (sqs.clone(), url.clone(), Arc::clone(&seen), cloud.messages.clone());
            tokio::spawn(async move {
                loop {
                    let depth = port.depth("work.fifo");
                    if depth.visible + depth.in_flight == 0 {
                        return;
                    }
                    work(&sqs, &url, &seen).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), GROUPS);
    for (group, numbers) in seen.iter() {
        let first: usize = group.parse().unwrap();
        let expected: Vec<_> = (0..PER_GROUP).map(|n| first + n * GROUPS).collect();
        assert_eq!(*numbers, expected, "group {group}");
    }
}

/// Receives some messages, notes them, and deletes them.
async fn work(sqs: &aws_sdk_sqs::Client, url: &str, seen: &Mutex<BTreeMap<String, Vec<usize>>>) {
    let messages = receive(sqs, url, 3).await;
    if messages.is_empty() {
        return;
    }
    for message in &messages {
        let attributes = message.attributes().unwrap();
        let group = attributes[&MessageSystemAttributeName::MessageGroupId].clone();
        let number = message.body().unwrap().parse().unwrap();
        seen.lock().unwrap().entry(group).or_default().push(number);
    }
    let entries = messages.iter().enumerate().map(|(n, message)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(n.to_string())
            .receipt_handle(message.receipt_handle().unwrap())
            .build()
            .unwrap()
    });
    let request = sqs.delete_message_batch().queue_url(url);
    let deleted = request.set_entries(Some(entries.collect())).send().await.unwrap();
    assert!(deleted.failed().is_empty());
}

#[tokio::test]
async fn the_sqs_client_understands_answers_and_refusals() {
    let cloud = start(&["work"]).await;
    let sqs = cloud.sqs("local");
    let url = sqs.get_queue_url().queue_name("work").send().await.unwrap();
    let url = url.queue_url().unwrap();
    let value = MessageAttributeValue::builder()
        .data_type("Binary")
        .binary_value(Blob::new([0, 1, 2]))
        .build()
        .unwrap();
    let request = sqs.send_message().queue_url(url).message_body("hello");
    let sent = request.message_attributes("bytes", value.clone()).send().await.unwrap();
    assert_eq!(sent.md5_of_message_body(), Some("5d41402abc4b2a76b9719d911017c592"));
    let request = sqs.receive_message().queue_url(url).message_attribute_names("All");
    let received = request.send().await.unwrap();
    let message = &received.messages()[0];
    assert_eq!(message.message_attributes().unwrap()["bytes"], value);
    assert_eq!(message.md5_of_message_attributes(), sent.md5_of_message_attributes());

    let absent = sqs.get_queue_url().queue_name("absent").send().await.unwrap_err();
    assert!(absent.into_service_error().is_queue_does_not_exist());
    let stranger = cloud.sqs("stranger").list_queues().send().await.unwrap_err();
    assert_eq!(stranger.code(), Some("InvalidClientTokenId"));
}

#[tokio::test]
async fn a_new_secret_value_makes_the_old_one_the_previous() {
    let cloud = start(&[]).await;
    let secrets = cloud.secrets();
    let created = secrets.create_secret().name("rollcall/dev/key").secret_string("one");
    let created = created.send().await.unwrap();
    let arn = created.arn().unwrap();
    let prefix = "arn:aws:secretsmanager:us-east-1:000000000000:secret:rollcall/dev/key-";
    assert_eq!(arn.strip_prefix(prefix).map(str::len), Some(6));
    let put = secrets.put_secret_value().secret_id(arn).secret_string("two");
    put.send().await.unwrap();
    let check = async |id: &str, stage: Option<&str>, version: Option<&str>, value: &str| {
        let request = secrets.get_secret_value().secret_id(id);
        let request = request.set_version_stage(stage.map(str::to_owned));
        let request = request.set_version_id(version.map(str::to_owned));
        let got = request.send().await.unwrap();
        assert_eq!(got.secret_string(), Some(value));
    };
    check("rollcall/dev/key", None, None, "two").await;
    check(arn, Some("AWSCURRENT"), None, "two").await;
    check(arn, Some("AWSPREVIOUS"), None, "one").await;
    check(arn, None, created.version_id(), "one").await;
    let described = secrets.describe_secret().secret_id(arn).send().await.unwrap();
    assert_eq!(described.version_ids_to_stages().unwrap().len(), 2);

    let absent = secrets.get_secret_value().secret_id("absent").send().await.unwrap_err();
    assert!(absent.into_service_error().is_resource_not_found_exception());
    let again = secrets.create_secret().name("rollcall/dev/key").secret_string("three");
    let again = again.send().await.unwrap_err();
    assert!(again.into_service_error().is_resource_exists_exception());
}
