//! The services as a client without an SDK sees them: headers, status, JSON.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use rollcall_local_kit::Statement;
use serde_json::json;

use super::*;

mod clients;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const RETENTION: Duration = Duration::from_hours(4 * 24);

struct Cloud {
    clock: LocalClock,
    iam: Iam,
    folder: Option<PathBuf>,
}

impl Cloud {
    fn new(folder: Option<PathBuf>) -> Self {
        Self { clock: LocalClock::new(), iam: Iam::new(), folder }
    }

    fn open(&self) -> Messages {
        Messages::open(Options {
            folder: self.folder.clone(),
            clock: self.clock.clone(),
            iam: self.iam.clone(),
            base_url: "http://localhost:9004".to_owned(),
        })
        .unwrap()
    }
}

struct Answer {
    status: u16,
    query_error: Option<String>,
    body: Value,
}

impl Answer {
    fn kind(&self) -> &str {
        self.body["__type"].as_str().unwrap_or_default()
    }
}

async fn call_as(messages: &Messages, key: Option<&str>, target: &str, body: Value) -> Answer {
    let mut request = Request::builder().header("x-amz-target", target);
    if let Some(key) = key {
        let value =
            format!("AWS4-HMAC-SHA256 Credential={key}/20261121/us-east-1/sqs/aws4_request");
        request = request.header("authorization", value);
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = wire::serve(State(messages.clone()), request).await;
    let query_error = response.headers().get("x-amzn-query-error");
    let query_error = query_error.map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Answer { status, query_error, body: serde_json::from_slice(&body).unwrap() }
}

/// The output of a call that must succeed.
async fn call(messages: &Messages, target: &str, body: Value) -> Value {
    let answer = call_as(messages, Some("local"), target, body).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    answer.body
}

/// The refusal of a call: status, type, code for the query protocol.
async fn refusal(messages: &Messages, target: &str, body: Value) -> (u16, String, String) {
    let answer = call_as(messages, Some("local"), target, body).await;
    let kind = answer.kind().rsplit('#').next().unwrap().to_owned();
    (answer.status, kind, answer.query_error.unwrap_or_default())
}

fn queue(name: &str, redrive: Option<(&str, u32)>) -> QueueDefinition {
    QueueDefinition {
        name: name.to_owned(),
        visibility_timeout_seconds: 30,
        retention_seconds: 345_600,
        redrive: redrive.map(|(queue, max_receive_count)| Redrive {
            dead_letter_queue: queue.to_owned(),
            max_receive_count,
        }),
    }
}

fn url(name: &str) -> String {
    format!("http://localhost:9004/000000000000/{name}")
}

fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

fn bodies(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["body"].as_str().unwrap()).collect()
}

fn handles(records: &[Value]) -> Vec<String> {
    let handle = |record: &Value| record["receiptHandle"].as_str().unwrap().to_owned();
    records.iter().map(handle).collect()
}

/// `work` with dead letters after one receive, three of them in `dead`.
fn with_dead_letters(cloud: &Cloud) -> Messages {
    let messages = cloud.open();
    messages.create_queue(&queue("dead", None)).unwrap();
    messages.create_queue(&queue("work", Some(("dead", 1)))).unwrap();
    for body in ["a", "b", "c"] {
        messages.send("work", body.to_owned());
        assert_eq!(messages.receive("work", 1).len(), 1);
    }
    cloud.clock.advance(HOUR);
    assert!(messages.receive("work", 10).is_empty());
    assert_eq!(messages.depth("dead").visible, 3);
    messages
}

#[tokio::test]
async fn dead_letters_go_back_oldest_first_as_new_messages() {
    let cloud = Cloud::new(None);
    let messages = with_dead_letters(&cloud);
    let input = json!({ "SourceArn": queue_arn("dead"), "MaxNumberOfMessagesPerSecond": 1 });
    let task = call(&messages, "AmazonSQS.StartMessageMoveTask", input.clone()).await;
    assert_eq!(messages.depth("work").visible, 1);
    let again = refusal(&messages, "AmazonSQS.StartMessageMoveTask", input).await;
    assert_eq!(again.1, "InvalidParameterValueException");

    cloud.clock.advance(Duration::from_secs(1));
    messages.changed("work", None).await;
    let records = messages.receive("work", 10);
    assert_eq!(bodies(&records), ["a", "b"]);
    assert_eq!(records[0]["attributes"]["ApproximateReceiveCount"], "1");

    let cancelled = call(&messages, "AmazonSQS.CancelMessageMoveTask", task).await;
    assert_eq!(cancelled, json!({ "ApproximateNumberOfMessagesMoved": 2 }));
    cloud.clock.advance(HOUR);
    assert_eq!(messages.depth("dead").visible, 1);

    let rest = json!({ "SourceArn": queue_arn("dead"), "DestinationArn": queue_arn("work") });
    call(&messages, "AmazonSQS.StartMessageMoveTask", rest).await;
    let list = json!({ "SourceArn": queue_arn("dead"), "MaxResults": 10 });
    let list = call(&messages, "AmazonSQS.ListMessageMoveTasks", list).await;
    let statuses: Vec<_> =
        list["Results"].as_array().unwrap().iter().map(|t| &t["Status"]).collect();
    assert_eq!(statuses, ["COMPLETED", "CANCELLED"]);
    assert_eq!(list["Results"][0]["ApproximateNumberOfMessagesMoved"], 1);
}

#[tokio::test]
async fn only_dead_letters_of_a_queue_can_go_back() {
    let cloud = Cloud::new(None);
    let messages = with_dead_letters(&cloud);
    let start = "AmazonSQS.StartMessageMoveTask";
    let no_dead_letters =
        refusal(&messages, start, json!({ "SourceArn": queue_arn("work") })).await;
    assert_eq!(no_dead_letters.1, "InvalidParameterValueException");
    let absent = refusal(&messages, start, json!({ "SourceArn": queue_arn("none") })).await;
    assert_eq!((absent.0, absent.1.as_str()), (404, "ResourceNotFoundException"));

    messages.send("dead", "from a function".to_owned());
    call(&messages, start, json!({ "SourceArn": queue_arn("dead") })).await;
    let list = json!({ "SourceArn": queue_arn("dead") });
    let list = call(&messages, "AmazonSQS.ListMessageMoveTasks", list).await;
    assert_eq!(list["Results"][0]["Status"], "FAILED");
    assert_eq!(list["Results"][0]["FailureReason"], "CouldNotDetermineMessageSource");
    assert_eq!(messages.depth("dead").visible, 1);
}

/// A cloud in which the key `AKIA1` may send to `work`, and read one secret and one parameter.
fn with_policy() -> Messages {
    let cloud = Cloud::new(None);
    let messages = cloud.open();
    messages.create_queue(&queue("work", None)).unwrap();
    messages.put_secret("rollcall/dev/session", "s3cret");
    messages.put_parameter("/rollcall/dev/flag", "on");
    cloud.iam.add_key("AKIA1", "enroll");
    let actions = ["sqs:SendMessage", "secretsmanager:GetSecretValue", "ssm:GetParameter"];
    let resources = [
        queue_arn("work"),
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:rollcall/dev/session-*".to_owned(),
        "arn:aws:ssm:us-east-1:000000000000:parameter/rollcall/dev/flag".to_owned(),
    ];
    let actions = actions.map(str::to_owned).to_vec();
    let policy = Statement::allow(actions, resources.to_vec());
    cloud.iam.set_policy("enroll", vec![policy]);
    messages
}

#[tokio::test]
async fn a_function_may_do_what_its_policy_names_and_nothing_else() {
    let messages = with_policy();
    let entry = json!({ "Id": "1", "MessageBody": "hello" });
    let send = json!({ "QueueUrl": url("work"), "MessageBody": "hello" });
    let batch = json!({ "QueueUrl": url("work"), "Entries": [entry] });
    let elsewhere = json!({ "QueueUrl": url("other"), "MessageBody": "hello" });
    let secret = json!({ "SecretId": "rollcall/dev/session" });
    let parameter = json!({ "Name": "/rollcall/dev/flag" });
    let denied = "AccessDeniedException";
    let unknown = "UnrecognizedClientException";
    let key = Some("AKIA1");
    for (key, target, body, expected) in [
        (key, "AmazonSQS.SendMessage", &send, (200, "")),
        (key, "AmazonSQS.SendMessageBatch", &batch, (200, "")),
        (key, "AmazonSQS.SendMessage", &elsewhere, (403, denied)),
        (key, "AmazonSQS.ReceiveMessage", &send, (403, denied)),
        (key, "AmazonSQS.ListQueues", &json!({}), (403, denied)),
        (key, "secretsmanager.GetSecretValue", &secret, (200, "")),
        (key, "secretsmanager.PutSecretValue", &secret, (400, denied)),
        (key, "AmazonSSM.GetParameter", &parameter, (200, "")),
        (key, "AmazonSSM.PutParameter", &parameter, (400, denied)),
        (None, "AmazonSQS.SendMessage", &send, (403, unknown)),
        (Some("AKIA2"), "AmazonSQS.SendMessage", &send, (403, unknown)),
        (None, "secretsmanager.GetSecretValue", &secret, (400, unknown)),
        (None, "AmazonSSM.GetParameter", &parameter, (400, unknown)),
    ] {
        let answer = call_as(&messages, key, target, body.clone()).await;
        let kind = answer.kind().rsplit('#').next().unwrap();
        assert_eq!((answer.status, kind), expected, "{key:?} {target}");
    }
    assert_eq!(messages.depth("work").visible, 2);
}

#[tokio::test]
async fn a_denial_says_who_may_not_do_what_where() {
    let messages = with_policy();
    let input = json!({ "QueueUrl": url("work") });
    let answer = call_as(&messages, Some("AKIA1"), "AmazonSQS.ReceiveMessage", input).await;
    assert_eq!(answer.query_error.as_deref(), Some("AccessDenied;Sender"));
    assert_eq!(
        answer.body["message"],
        "User: arn:aws:sts::000000000000:assumed-role/enroll is not authorized to perform: \
         sqs:ReceiveMessage on resource: arn:aws:sqs:us-east-1:000000000000:work because no \
         identity-based policy allows the sqs:ReceiveMessage action"
    );
}

#[tokio::test]
async fn starting_a_move_needs_the_rights_to_empty_one_queue_and_fill_the_other() {
    let cloud = Cloud::new(None);
    let messages = with_dead_letters(&cloud);
    cloud.iam.add_key("AKIA1", "replay");
    let on_dead = [
        "sqs:StartMessageMoveTask",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
    ];
    let mut statements = Vec::new();
    let grants = on_dead.map(|action| (action, "dead")).into_iter();
    for (action, name) in grants.chain([("sqs:SendMessage", "work")]) {
        let input = json!({ "SourceArn": queue_arn("dead") });
        let answer =
            call_as(&messages, Some("AKIA1"), "AmazonSQS.StartMessageMoveTask", input).await;
        assert_eq!(answer.status, 403, "before {action}");
        statements.push(Statement::allow(vec![action.to_owned()], vec![queue_arn(name)]));
        cloud.iam.set_policy("replay", statements.clone());
    }
    let input = json!({ "SourceArn": queue_arn("dead") });
    let answer = call_as(&messages, Some("AKIA1"), "AmazonSQS.StartMessageMoveTask", input).await;
    assert_eq!(answer.status, 200);
    assert_eq!(messages.depth("work").visible, 3);
}

#[tokio::test]
async fn a_restart_keeps_everything_and_gives_unfinished_messages_again() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::new(Some(folder.path().to_owned()));
    let before = cloud.open();
    before.create_queue(&queue("work", None)).unwrap();
    before.put_secret("session", "first");
    before.put_parameter("flag", "on");
    before.send("work", "in flight".to_owned());
    let records = before.receive("work", 1);
    before.send("work", "waiting".to_owned());
    before.flush().unwrap();
    drop(before);

    let after = cloud.open();
    after.put_secret("session", "second");
    after.put_parameter("flag", "off");
    let secret =
        call(&after, "secretsmanager.GetSecretValue", json!({ "SecretId": "session" })).await;
    assert_eq!(secret["SecretString"], "first");
    let parameter = call(&after, "AmazonSSM.GetParameter", json!({ "Name": "flag" })).await;
    assert_eq!(parameter["Parameter"]["Value"], "on");
    assert_eq!(after.depth("work"), Depth { visible: 1, in_flight: 1, delayed: 0 });
    assert_eq!(bodies(&after.receive("work", 10)), ["waiting"]);
    cloud.clock.advance(HOUR);
    let again = after.receive("work", 10);
    assert_eq!(bodies(&again), ["in flight", "waiting"]);
    assert_eq!(again[0]["messageId"], records[0]["messageId"]);
    assert_eq!(again[0]["attributes"]["ApproximateReceiveCount"], "2");
    after.delete("work", &handles(&records));
    assert_eq!(after.depth("work").in_flight, 2, "an old handle deletes nothing");
    after.delete("work", &handles(&again));
    assert_eq!(after.depth("work"), Depth::default());
}

#[tokio::test]
async fn a_change_is_saved_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::new(Some(folder.path().to_owned()));
    let messages = cloud.open();
    messages.create_queue(&queue("work", None)).unwrap();
    messages.send("work", "kept".to_owned());
    let saved = async {
        while cloud.open().depth("work").visible == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), saved).await.unwrap();
}

#[tokio::test]
async fn a_waiting_receive_ends_when_the_clock_moves_or_a_message_comes() {
    let cloud = Cloud::new(None);
    let messages = cloud.open();
    messages.create_queue(&queue("work", None)).unwrap();
    let wait = json!({ "QueueUrl": url("work"), "WaitTimeSeconds": 20 });
    let check = async |cause: &dyn Fn(), body: &str| {
        let receive = call(&messages, "AmazonSQS.ReceiveMessage", wait.clone());
        let (received, ()) = tokio::join!(receive, async { cause() });
        assert_eq!(received["Messages"][0]["Body"], body);
    };
    check(&|| messages.send("work", "sent".to_owned()), "sent").await;
    let delayed = json!({ "QueueUrl": url("work"), "MessageBody": "late", "DelaySeconds": 900 });
    call(&messages, "AmazonSQS.SendMessage", delayed).await;
    let none =
        call(&messages, "AmazonSQS.ReceiveMessage", json!({ "QueueUrl": url("work") })).await;
    assert_eq!(none, json!({}));
    assert_eq!(messages.depth("work"), Depth { visible: 0, in_flight: 1, delayed: 1 });
    cloud.clock.advance(Duration::from_secs(29));
    check(&|| cloud.clock.advance(Duration::from_secs(5)), "sent").await;
    check(&|| cloud.clock.advance(Duration::from_secs(31)), "sent").await;
}

#[tokio::test]
async fn a_clock_that_jumps_over_the_retention_empties_a_queue() {
    let cloud = Cloud::new(None);
    let messages = cloud.open();
    messages.create_queue(&queue("work", None)).unwrap();
    messages.send("work", "old".to_owned());
    cloud.clock.advance(RETENTION.saturating_sub(MINUTE));
    assert_eq!(messages.depth("work").visible, 1);
    cloud.clock.advance(MINUTE);
    assert_eq!(messages.depth("work").visible, 0);
    assert!(messages.receive("work", 10).is_empty());
}

/// Each refusal as (action, input, status, type, code of the query protocol).
async fn check_refusals(refusals: Vec<(&str, Value, u16, &str, &str)>) {
    let messages = Cloud::new(None).open();
    messages.create_queue(&queue("work", None)).unwrap();
    messages.create_queue(&queue("work.fifo", None)).unwrap();
    for (action, body, status, kind, query) in refusals {
        let refused = refusal(&messages, &format!("AmazonSQS.{action}"), body).await;
        let expected = (status, kind.to_owned(), format!("{query};Sender"));
        assert_eq!(refused, expected, "{action}");
    }
}

#[tokio::test]
async fn sqs_refuses_in_its_own_words() {
    let send = |body: &str| json!({ "QueueUrl": url("work"), "MessageBody": body });
    let (value, value_code) = ("InvalidParameterValueException", "InvalidParameterValue");
    let (missing, missing_code) = ("MissingRequiredParameterException", "MissingParameter");
    let (none, none_code) = ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue");
    let late = json!({ "QueueUrl": url("work"), "MessageBody": "x", "DelaySeconds": 901 });
    let ungrouped = json!({ "QueueUrl": url("work.fifo"), "MessageBody": "x" });
    let handle = json!({ "QueueUrl": url("work"), "ReceiptHandle": "none" });
    let other = json!({ "QueueName": "work", "Attributes": { "DelaySeconds": "1" } });
    let contents = "InvalidMessageContents";
    let invalid_handle = "ReceiptHandleIsInvalid";
    let no_queue = json!({ "QueueUrl": url("none") });
    check_refusals(vec![
        ("GetQueueUrl", json!({ "QueueName": "none" }), 400, none, none_code),
        ("PurgeQueue", no_queue, 400, none, none_code),
        ("SendMessage", send(&"x".repeat(1_048_577)), 400, value, value_code),
        ("SendMessage", late, 400, value, value_code),
        ("SendMessage", send("\u{1}"), 400, contents, contents),
        ("SendMessage", ungrouped, 400, missing, missing_code),
        ("DeleteMessage", handle, 404, invalid_handle, invalid_handle),
        ("CreateQueue", other, 400, "QueueNameExists", "QueueAlreadyExists"),
        ("Nothing", json!({}), 400, "UnknownOperationException", "InvalidAction"),
    ])
    .await;
}

#[tokio::test]
async fn a_batch_that_breaks_a_rule_for_batches_is_refused_whole() {
    let check = async |entries: Value, kind: &str| {
        let query = format!("AWS.SimpleQueueService.{kind}");
        let input = json!({ "QueueUrl": url("work"), "Entries": entries });
        check_refusals(vec![("SendMessageBatch", input, 400, kind, &query)]).await;
    };
    let entry = |id: &str, bytes: usize| json!({ "Id": id, "MessageBody": "x".repeat(bytes) });
    let eleven: Vec<_> = (0..11).map(|n| entry(&n.to_string(), 1)).collect();
    check(json!([]), "EmptyBatchRequest").await;
    check(json!(eleven), "TooManyEntriesInBatchRequest").await;
    check(json!([entry("a", 1), entry("a", 1)]), "BatchEntryIdsNotDistinct").await;
    check(json!([entry("a b", 1)]), "InvalidBatchEntryId").await;
    let long = json!([entry("a", 600_000), entry("b", 600_000)]);
    check(long, "BatchRequestTooLong").await;
}

#[tokio::test]
async fn one_bad_entry_fails_alone() {
    let messages = Cloud::new(None).open();
    messages.create_queue(&queue("work", None)).unwrap();
    let entries = json!([
        { "Id": "good", "MessageBody": "x" },
        { "Id": "bad", "MessageBody": "x", "DelaySeconds": 901 },
    ]);
    let input = json!({ "QueueUrl": url("work"), "Entries": entries });
    let output = call(&messages, "AmazonSQS.SendMessageBatch", input).await;
    assert_eq!(output["Successful"][0]["Id"], "good");
    assert_eq!(output["Successful"].as_array().unwrap().len(), 1);
    assert_eq!(output["Failed"][0]["Id"], "bad");
    assert_eq!(output["Failed"][0]["Code"], "InvalidParameterValue");
    assert_eq!(output["Failed"][0]["SenderFault"], true);
    assert_eq!(messages.depth("work").visible, 1);
}

#[tokio::test]
async fn a_record_has_the_shape_that_lambda_gives_to_functions() {
    let messages = Cloud::new(None).open();
    messages.create_queue(&queue("work.fifo", None)).unwrap();
    let input = json!({
        "QueueUrl": url("work.fifo"),
        "MessageBody": "hello",
        "MessageGroupId": "usr_1",
        "MessageDeduplicationId": "once",
        "MessageAttributes": { "kind": { "DataType": "String", "StringValue": "greeting" } },
        "MessageSystemAttributes": {
            "AWSTraceHeader": { "DataType": "String", "StringValue": "Root=1-2-3" },
        },
    });
    let sent = call(&messages, "AmazonSQS.SendMessage", input).await;
    let mut records = messages.receive("work.fifo", 10);
    let mut record = records.pop().unwrap();
    let attributes = record["attributes"].as_object_mut().unwrap();
    for time in ["SentTimestamp", "ApproximateFirstReceiveTimestamp"] {
        let time = attributes.remove(time).unwrap();
        assert!(time.as_str().unwrap().parse::<i64>().is_ok());
    }
    assert!(record.as_object_mut().unwrap().remove("receiptHandle").is_some());
    let expected = json!({
        "messageId": sent["MessageId"],
        "body": "hello",
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SenderId": "000000000000",
            "SequenceNumber": sent["SequenceNumber"],
            "MessageGroupId": "usr_1",
            "MessageDeduplicationId": "once",
            "AWSTraceHeader": "Root=1-2-3",
        },
        "messageAttributes": {
            "kind": {
                "stringValue": "greeting",
                "binaryValue": null,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            },
        },
        "md5OfBody": "5d41402abc4b2a76b9719d911017c592",
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn("work.fifo"),
        "awsRegion": "us-east-1",
    });
    assert_eq!(record, expected);
}

#[tokio::test]
async fn parameters_have_versions_and_secure_ones_are_sealed() {
    let messages = Cloud::new(None).open();
    let put = |overwrite: bool, value: &str| json!({ "Name": "/a", "Value": value, "Type": "SecureString", "Overwrite": overwrite });
    let first = call(&messages, "AmazonSSM.PutParameter", put(false, "one")).await;
    assert_eq!(first["Version"], 1);
    let again = refusal(&messages, "AmazonSSM.PutParameter", put(false, "two")).await;
    assert_eq!(again.1, "ParameterAlreadyExists");
    call(&messages, "AmazonSSM.PutParameter", put(true, "two")).await;
    let sealed = call(&messages, "AmazonSSM.GetParameter", json!({ "Name": "/a" })).await;
    assert_ne!(sealed["Parameter"]["Value"], "two");
    let names = json!({ "Names": ["/a", "/b"], "WithDecryption": true });
    let open = call(&messages, "AmazonSSM.GetParameters", names).await;
    assert_eq!(open["Parameters"][0]["Value"], "two");
    assert_eq!(open["Parameters"][0]["Version"], 2);
    assert_eq!(open["InvalidParameters"], json!(["/b"]));
    let absent = refusal(&messages, "AmazonSSM.GetParameter", json!({ "Name": "/b" })).await;
    assert_eq!((absent.0, absent.1.as_str()), (400, "ParameterNotFound"));
}
