//! The emulator over HTTP, as an AWS client meets it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rollcall_local_kit::iam::OPERATOR_ACCESS_KEY_ID;
use rollcall_local_kit::{Iam, LocalClock, Server, Shutdown, Statement};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;

const USERS: &str = "rollcall-dev-users";
const LEDGER: &str = "rollcall-dev-ledger";
const FUNCTION_KEY: &str = "AKIAFUNCTION";

fn users() -> TableDefinition {
    TableDefinition {
        name: USERS.to_owned(),
        partition_key: "pk".to_owned(),
        sort_key: Some("sk".to_owned()),
        stream: true,
        time_to_live_attribute: Some("expires_at".to_owned()),
        indexes: vec![IndexDefinition {
            name: "by_email".to_owned(),
            partition_key: "email".to_owned(),
            sort_key: None,
        }],
    }
}

fn ledger() -> TableDefinition {
    TableDefinition {
        name: LEDGER.to_owned(),
        partition_key: "id".to_owned(),
        sort_key: None,
        stream: false,
        time_to_live_attribute: None,
        indexes: Vec::new(),
    }
}

/// One local cloud with nothing but DynamoDB in it.
struct Cloud {
    database: DynamoDb,
    clock: LocalClock,
    iam: Iam,
    client: Client,
}

impl Cloud {
    async fn in_memory() -> Self {
        Self::open(None).await
    }

    async fn open(folder: Option<&Path>) -> Self {
        let (clock, iam) = (LocalClock::new(), Iam::new());
        let database = DynamoDb::open(Options {
            folder: folder.map(Path::to_owned),
            clock: clock.clone(),
            iam: iam.clone(),
        })
        .unwrap();
        database.create_table(&users()).unwrap();
        database.create_table(&ledger()).unwrap();
        let server = Server::bind(0).await.unwrap();
        let client = Client { address: server.address(), access_key_id: OPERATOR_ACCESS_KEY_ID };
        server.serve(database.router(), Shutdown::new());
        Self { database, clock, iam, client }
    }

    /// Every record of the users' stream, shard by shard.
    fn records(&self) -> Vec<Vec<Value>> {
        let shards = self.database.shards(USERS);
        shards
            .iter()
            .map(|shard| self.database.read_stream(USERS, shard, None, 10_000).unwrap())
            .collect()
    }

    /// The one shard that has records, and its records.
    fn only_shard(&self) -> (String, Vec<Value>) {
        let shards = self.database.shards(USERS).into_iter();
        let mut used = shards.zip(self.records()).filter(|(_, r)| !r.is_empty());
        let shard = used.next().unwrap();
        assert_eq!(used.next(), None);
        shard
    }
}

/// Speaks AWS JSON 1.0 over a connection per request.
#[derive(Clone, Copy)]
struct Client {
    address: SocketAddr,
    access_key_id: &'static str,
}

impl Client {
    async fn send(self, target: &str, body: &Value) -> (u16, String, Value) {
        let body = body.to_string();
        let authorization = match self.access_key_id {
            "" => String::new(),
            id => format!(
                "authorization: AWS4-HMAC-SHA256 Credential={id}/20261121/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0\r\n"
            ),
        };
        let request = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-amz-target: {target}\r\n{authorization}content-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), serde_json::from_str(body).unwrap())
    }

    async fn call(self, operation: &str, body: Value) -> Result<Value, Value> {
        let service = match operation {
            "ListStreams" | "DescribeStream" | "GetShardIterator" | "GetRecords" => {
                "DynamoDBStreams_20120810"
            }
            _ => "DynamoDB_20120810",
        };
        match self.send(&format!("{service}.{operation}"), &body).await {
            (200, _, answer) => Ok(answer),
            (_, _, error) => Err(error),
        }
    }

    async fn ok(self, operation: &str, body: Value) -> Value {
        self.call(operation, body).await.unwrap()
    }

    /// The error's name, without its namespace.
    async fn refused(self, operation: &str, body: Value) -> String {
        let error = self.call(operation, body).await.unwrap_err();
        error_name(&error)
    }

    async fn put_user(self, pk: &str, name: &str) {
        let item = json!({ "pk": { "S": pk }, "sk": { "S": "profile" }, "name": { "S": name } });
        self.ok("PutItem", json!({ "TableName": USERS, "Item": item })).await;
    }
}

fn error_name(error: &Value) -> String {
    let name = error["__type"].as_str().unwrap();
    name.split_once('#').unwrap().1.to_owned()
}

fn user_key(pk: &str) -> Value {
    json!({ "pk": { "S": pk }, "sk": { "S": "profile" } })
}

fn rename(pk: &str, name: &str) -> Value {
    json!({
        "TableName": USERS,
        "Key": user_key(pk),
        "UpdateExpression": "SET #n = :n",
        "ExpressionAttributeNames": { "#n": "name" },
        "ExpressionAttributeValues": { ":n": { "S": name } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_concurrent_claims_of_one_key_exactly_one_wins() {
    let cloud = Cloud::in_memory().await;
    let mut claims = JoinSet::new();
    for claimant in 0..100 {
        let client = cloud.client;
        claims.spawn(async move {
            let put = json!({
                "TableName": LEDGER,
                "Item": { "id": { "S": "claim" }, "owner": { "N": claimant.to_string() } },
                "ConditionExpression": "attribute_not_exists(id)",
            });
            client.call("PutItem", put).await
        });
    }
    let outcomes = claims.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refusal in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error_name(&refusal), "ConditionalCheckFailedException");
    }
}

fn transfer(from: usize, to: usize, amount: usize) -> Value {
    let change = |account: usize, sign: char, condition: &str| {
        json!({ "Update": {
            "TableName": LEDGER,
            "Key": { "id": { "S": account.to_string() } },
            "UpdateExpression": format!("SET balance = balance {sign} :amount"),
            "ConditionExpression": condition,
            "ExpressionAttributeValues": { ":amount": { "N": amount.to_string() } },
        }})
    };
    json!({ "TransactItems": [
        change(from, '-', "balance >= :amount"),
        change(to, '+', "attribute_exists(id)"),
    ]})
}

async fn balances(client: Client) -> Vec<i64> {
    let answer = client.ok("Scan", json!({ "TableName": LEDGER })).await;
    let items = answer["Items"].as_array().unwrap().iter();
    items.map(|item| item["balance"]["N"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_transfers_are_all_or_nothing_and_conserve_the_sum() {
    let cloud = Cloud::in_memory().await;
    for account in 0..5 {
        let item = json!({ "id": { "S": account.to_string() }, "balance": { "N": "10" } });
        cloud.client.ok("PutItem", json!({ "TableName": LEDGER, "Item": item })).await;
    }
    let mut transfers = JoinSet::new();
    for number in 0..50_usize {
        let client = cloud.client;
        // Some go to account 5, which does not exist: their debit must not remain.
        let from = number % 5;
        let request = transfer(from, (from + 1 + number / 5 % 5) % 6, 3 + number % 4);
        transfers.spawn(async move { client.call("TransactWriteItems", request).await });
    }
    let outcomes = transfers.join_all().await;
    assert!(outcomes.iter().any(Result::is_ok));
    for refusal in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error_name(&refusal), "TransactionCanceledException");
        let reasons = refusal["CancellationReasons"].as_array().unwrap();
        assert_eq!(reasons.len(), 2);
        assert!(reasons.iter().any(|r| r["Code"] == "ConditionalCheckFailed"));
    }
    let balances = balances(cloud.client).await;
    assert_eq!(balances.iter().sum::<i64>(), 50);
    assert!(balances.iter().all(|balance| *balance >= 0));
}

#[tokio::test]
async fn a_repeated_transaction_token_applies_once_within_ten_minutes() {
    let cloud = Cloud::in_memory().await;
    for account in ["0", "1"] {
        let item = json!({ "id": { "S": account }, "balance": { "N": "10" } });
        let put = json!({ "TableName": LEDGER, "Item": item });
        cloud.client.ok("PutItem", put).await;
    }
    let mut request = transfer(0, 1, 2);
    request["ClientRequestToken"] = json!("token-1");
    cloud.client.ok("TransactWriteItems", request.clone()).await;
    cloud.client.ok("TransactWriteItems", request.clone()).await;
    let mut balance = balances(cloud.client).await;
    balance.sort_unstable();
    assert_eq!(balance, [8, 12]);

    let mut other = transfer(0, 1, 3);
    other["ClientRequestToken"] = json!("token-1");
    assert_eq!(
        cloud.client.refused("TransactWriteItems", other).await,
        "IdempotentParameterMismatchException"
    );
    cloud.clock.advance(Duration::from_secs(601));
    cloud.client.ok("TransactWriteItems", request).await;
    let mut balance = balances(cloud.client).await;
    balance.sort_unstable();
    assert_eq!(balance, [6, 14]);
}

#[tokio::test]
async fn a_failed_condition_answers_the_item_when_asked_in_the_shape_of_aws() {
    let cloud = Cloud::in_memory().await;
    cloud.client.put_user("usr_1", "Ada").await;
    let mut update = rename("usr_1", "Eve");
    update["ConditionExpression"] = json!("#n = :n");
    update["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
    let (status, head, error) = cloud.client.send("DynamoDB_20120810.UpdateItem", &update).await;
    assert_eq!(status, 400);
    assert!(head.contains("content-type: application/x-amz-json-1.0"));
    assert!(head.contains("x-amzn-requestid: "));
    let expected = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": { "pk": { "S": "usr_1" }, "sk": { "S": "profile" }, "name": { "S": "Ada" } },
    });
    assert_eq!(error, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_carries_every_change_in_order_per_key_over_all_shards() {
    let cloud = Cloud::in_memory().await;
    let mut writers = JoinSet::new();
    for user in 0..40 {
        let client = cloud.client;
        writers.spawn(async move {
            let pk = format!("usr_{user}");
            client.put_user(&pk, "1").await;
            client.ok("UpdateItem", rename(&pk, "2")).await;
            let delete = json!({ "TableName": USERS, "Key": user_key(&pk) });
            client.ok("DeleteItem", delete).await;
        });
    }
    writers.join_all().await;

    let shards = cloud.records();
    assert!(shards.iter().all(|records| !records.is_empty()));
    let mut changes: BTreeMap<(usize, String), Vec<Value>> = BTreeMap::new();
    for (shard, records) in shards.iter().enumerate() {
        let numbers = records.iter().map(|r| r["dynamodb"]["SequenceNumber"].as_str().unwrap());
        assert!(numbers.is_sorted_by(|left, right| left < right));
        for record in records {
            let change = &record["dynamodb"];
            let pk = change["Keys"]["pk"]["S"].as_str().unwrap().to_owned();
            let name = |image: &str| change[image]["name"]["S"].clone();
            changes.entry((shard, pk)).or_default().push(json!([
                record["eventName"],
                name("OldImage"),
                name("NewImage")
            ]));
        }
    }
    assert_eq!(changes.len(), 40, "each key is in one shard");
    let expected =
        [json!(["INSERT", null, "1"]), json!(["MODIFY", "1", "2"]), json!(["REMOVE", "2", null])];
    for (key, changes) in changes {
        assert_eq!(changes, expected, "{key:?}");
    }
}

#[tokio::test]
async fn a_record_is_what_lambda_and_the_streams_api_carry() {
    let cloud = Cloud::in_memory().await;
    cloud.client.put_user("usr_1", "Ada").await;
    let (shard, records) = cloud.only_shard();
    let mut record = records[0].clone();
    let arn = cloud.database.stream_arn(USERS).unwrap();
    assert!(
        arn.starts_with(
            "arn:aws:dynamodb:us-east-1:000000000000:table/rollcall-dev-users/stream/20"
        )
    );
    let sequence = record["dynamodb"]["SequenceNumber"].clone();
    assert_eq!(record["eventID"].as_str().unwrap().len(), 32);
    assert_eq!(record["eventSourceARN"], json!(arn));
    assert!(record["dynamodb"]["ApproximateCreationDateTime"].is_number());
    assert!(record["dynamodb"]["SizeBytes"].is_number());
    let image = json!({ "pk": { "S": "usr_1" }, "sk": { "S": "profile" }, "name": { "S": "Ada" } });
    let expected = json!({
        "eventID": record["eventID"],
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "eventSourceARN": arn,
        "dynamodb": {
            "ApproximateCreationDateTime": record["dynamodb"]["ApproximateCreationDateTime"],
            "Keys": user_key("usr_1"),
            "NewImage": image,
            "SequenceNumber": sequence,
            "SizeBytes": record["dynamodb"]["SizeBytes"],
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    });
    assert_eq!(record, expected);

    record.as_object_mut().unwrap().remove("eventSourceARN");
    let streams = cloud.client.ok("ListStreams", json!({})).await;
    assert_eq!(streams["Streams"][0]["StreamArn"], json!(arn));
    let description = cloud.client.ok("DescribeStream", json!({ "StreamArn": arn })).await;
    let description = &description["StreamDescription"];
    assert_eq!(description["KeySchema"].as_array().unwrap().len(), 2);
    assert_eq!(description["Shards"].as_array().unwrap().len(), 4);
    for (kind, sequence, expected) in [
        ("TRIM_HORIZON", json!(null), vec![record.clone()]),
        ("AT_SEQUENCE_NUMBER", sequence.clone(), vec![record.clone()]),
        ("AFTER_SEQUENCE_NUMBER", sequence, vec![]),
        ("LATEST", json!(null), vec![]),
    ] {
        let request = json!({
            "StreamArn": arn,
            "ShardId": shard,
            "ShardIteratorType": kind,
            "SequenceNumber": sequence,
        });
        let iterator = cloud.client.ok("GetShardIterator", request).await;
        let answer = cloud.client.ok("GetRecords", iterator.clone()).await;
        assert_eq!(answer["Records"], json!(expected), "{kind}");
        cloud.clock.advance(Duration::from_mins(16));
        assert_eq!(cloud.client.refused("GetRecords", iterator).await, "ExpiredIteratorException");
        let next = json!({ "ShardIterator": answer["NextShardIterator"] });
        assert_eq!(cloud.client.refused("GetRecords", next).await, "ExpiredIteratorException");
    }
}

#[tokio::test]
async fn a_write_that_changes_nothing_leaves_no_record() {
    let cloud = Cloud::in_memory().await;
    let item = |tags: Value| {
        json!({ "TableName": USERS, "Item": {
            "pk": { "S": "usr_1" }, "sk": { "S": "profile" }, "name": { "S": "Ada" },
            "tags": { "SS": tags }, "nested": { "M": { "a": { "N": "1" }, "b": { "N": "2" } } },
        }})
    };
    cloud.client.ok("PutItem", item(json!(["x", "y"]))).await;
    cloud.client.ok("PutItem", item(json!(["y", "x"]))).await;
    cloud.client.ok("UpdateItem", rename("usr_1", "Ada")).await;
    let transaction = json!({ "TransactItems": [
        { "Update": rename("usr_1", "Ada") },
        { "ConditionCheck": {
            "TableName": LEDGER,
            "Key": { "id": { "S": "x" } },
            "ConditionExpression": "attribute_not_exists(id)",
        }},
    ]});
    cloud.client.ok("TransactWriteItems", transaction).await;
    let delete = json!({ "TableName": USERS, "Key": user_key("usr_2") });
    cloud.client.ok("DeleteItem", delete).await;
    assert_eq!(cloud.only_shard().1.len(), 1);
    cloud.client.ok("UpdateItem", rename("usr_1", "Eve")).await;
    assert_eq!(cloud.only_shard().1.len(), 2);
}

/// Calls `operation` as a function that may do `action` on `resource`, a suffix of the table ARN.
async fn check_permission(grant: (&str, &str), operation: &str, request: Value, allowed: bool) {
    let cloud = Cloud::in_memory().await;
    let (action, resource) = grant;
    let arn = |suffix: &str| format!("arn:aws:dynamodb:us-east-1:000000000000:table/{suffix}");
    cloud.iam.add_key(FUNCTION_KEY, "profile");
    cloud.iam.set_policy(
        "profile",
        vec![Statement::allow(vec![format!("dynamodb:{action}")], vec![arn(resource)])],
    );
    let client = Client { access_key_id: FUNCTION_KEY, ..cloud.client };
    match client.call(operation, request).await {
        Ok(_) => assert!(allowed, "{grant:?} {operation}"),
        Err(error) => {
            assert!(!allowed, "{grant:?} {operation}: {error}");
            assert_eq!(error["__type"], "com.amazon.coral.service#AccessDeniedException");
            let message = error["Message"].as_str().unwrap();
            assert!(message.starts_with("User: arn:aws:sts::000000000000:assumed-role/profile"));
            assert!(message.contains("is not authorized to perform: dynamodb:"));
        }
    }
}

#[tokio::test]
async fn a_function_may_do_what_its_policy_names_and_nothing_else() {
    let get = json!({ "TableName": USERS, "Key": user_key("usr_1") });
    check_permission(("GetItem", USERS), "GetItem", get.clone(), true).await;
    check_permission(("GetItem", LEDGER), "GetItem", get.clone(), false).await;
    check_permission(("PutItem", USERS), "GetItem", get, false).await;

    let query = json!({
        "TableName": USERS,
        "IndexName": "by_email",
        "KeyConditionExpression": "email = :e",
        "ExpressionAttributeValues": { ":e": { "S": "ada@example.org" } },
    });
    let index = format!("{USERS}/index/by_email");
    check_permission(("Query", &index), "Query", query.clone(), true).await;
    check_permission(("Query", USERS), "Query", query, false).await;

    let item = json!({ "id": { "S": "1" } });
    let put = json!({ "TableName": LEDGER, "Item": item });
    let transaction = |parts: Value| json!({ "TransactItems": parts });
    let alone = transaction(json!([{ "Put": put }]));
    let check = json!({ "ConditionCheck": {
        "TableName": USERS,
        "Key": user_key("usr_1"),
        "ConditionExpression": "attribute_not_exists(pk)",
    }});
    let with_check = transaction(json!([{ "Put": put }, check]));
    let operation = "TransactWriteItems";
    check_permission(("PutItem", LEDGER), operation, alone.clone(), true).await;
    check_permission(("TransactWriteItems", LEDGER), operation, alone, false).await;
    check_permission(("PutItem", LEDGER), operation, with_check, false).await;

    let batch = json!({ "RequestItems": { LEDGER: [{ "PutRequest": { "Item": item } }] } });
    let operation = "BatchWriteItem";
    check_permission((operation, LEDGER), operation, batch.clone(), true).await;
    check_permission(("PutItem", LEDGER), operation, batch, false).await;

    let describe = json!({ "StreamArn": access::table_arn(USERS) + "/stream/x" });
    check_permission(("DescribeStream", USERS), "DescribeStream", describe, false).await;
}

#[tokio::test]
async fn an_unsigned_request_and_an_unknown_key_are_refused() {
    let cloud = Cloud::in_memory().await;
    for access_key_id in ["", "AKIASTRANGER"] {
        let client = Client { access_key_id, ..cloud.client };
        let error = client.call("ListTables", json!({})).await.unwrap_err();
        let expected = json!({
            "__type": "com.amazon.coral.service#UnrecognizedClientException",
            "message": "The security token included in the request is invalid.",
        });
        assert_eq!(error, expected);
    }
    assert_eq!(
        cloud.client.refused("ExecuteStatement", json!({})).await,
        "UnknownOperationException"
    );
}

#[tokio::test]
async fn a_restart_keeps_items_streams_and_the_order_of_sequence_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let before = Cloud::open(Some(folder.path())).await;
    before.clock.advance(Duration::from_hours(1));
    before.client.put_user("usr_1", "Ada").await;
    let (shard, records) = before.only_shard();
    let arn = before.database.stream_arn(USERS);
    drop(before);

    let after = Cloud::open(Some(folder.path())).await;
    assert_eq!(after.database.stream_arn(USERS), arn);
    assert_eq!(after.only_shard(), (shard.clone(), records.clone()));
    // The clock is an hour behind the last run's; the next number must still be greater.
    after.client.ok("UpdateItem", rename("usr_1", "Eve")).await;
    let sequence = records[0]["dynamodb"]["SequenceNumber"].as_str();
    let newer = after.database.read_stream(USERS, &shard, sequence, 10).unwrap();
    assert_eq!(newer.len(), 1);
    assert_eq!(newer[0]["dynamodb"]["OldImage"]["name"]["S"], "Ada");
}

#[tokio::test]
async fn a_change_is_seen_after_all_before_it_was_trimmed_and_the_clock_went_back() {
    let folder = tempfile::tempdir().unwrap();
    let before = Cloud::open(Some(folder.path())).await;
    before.clock.advance(Duration::from_hours(1));
    before.client.put_user("usr_1", "Ada").await;
    before.clock.advance(Duration::from_hours(25));
    before.database.sweep().unwrap();
    assert!(before.records().iter().all(Vec::is_empty));
    drop(before);

    let after = Cloud::open(Some(folder.path())).await;
    after.client.ok("UpdateItem", rename("usr_1", "Eve")).await;
    assert_eq!(after.only_shard().1.len(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dynamodb.sqlite"), "not a database").unwrap();
    let error = DynamoDb::open(Options {
        folder: Some(folder.path().to_owned()),
        clock: LocalClock::new(),
        iam: Iam::new(),
    })
    .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("dynamodb.sqlite is damaged"), "{message}");
    assert!(message.contains("RESET=1"), "{message}");
}

/// Reads after `sequence` in process and over HTTP; both must say that it is trimmed.
async fn check_trimmed(cloud: &Cloud, shard: &str, sequence: &str) {
    let read = cloud.database.read_stream(USERS, shard, Some(sequence), 10);
    assert!(matches!(read, Err(StreamError::Trimmed)), "{read:?}");
    let request = json!({
        "StreamArn": cloud.database.stream_arn(USERS),
        "ShardId": shard,
        "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
        "SequenceNumber": sequence,
    });
    assert_eq!(
        cloud.client.refused("GetShardIterator", request).await,
        "TrimmedDataAccessException"
    );
}

#[tokio::test]
async fn a_reader_behind_the_trimmed_part_of_a_stream_is_told() {
    let cloud = Cloud::in_memory().await;
    for name in ["1", "2", "3"] {
        cloud.client.put_user("usr_1", name).await;
    }
    let (shard, records) = cloud.only_shard();
    let number = |record: usize| {
        let number = &records[record]["dynamodb"]["SequenceNumber"];
        number.as_str().unwrap().to_owned()
    };
    cloud.database.faults().trim_stream(USERS, &number(2)).unwrap();
    check_trimmed(&cloud, &shard, &number(0)).await;
    let after_trimmed = cloud.database.read_stream(USERS, &shard, Some(&number(1)), 10);
    assert_eq!(after_trimmed.unwrap(), records[2..]);
    assert_eq!(cloud.only_shard().1, records[2..]);

    cloud.clock.advance(Duration::from_hours(25));
    cloud.database.sweep().unwrap();
    check_trimmed(&cloud, &shard, &number(1)).await;
    assert!(cloud.records().iter().all(Vec::is_empty));
    cloud.client.put_user("usr_1", "4").await;
    let left = cloud.only_shard().1;
    assert_eq!(left.len(), 1);
    assert!(left[0]["dynamodb"]["SequenceNumber"].as_str().unwrap() > number(2).as_str());
}

#[tokio::test]
async fn an_item_past_its_time_to_live_is_deleted_by_the_service() {
    let cloud = Cloud::in_memory().await;
    let due = cloud.clock.now().as_second() + 60;
    let item = json!({
        "pk": { "S": "usr_1" }, "sk": { "S": "profile" }, "expires_at": { "N": due.to_string() },
    });
    let put = json!({ "TableName": USERS, "Item": item });
    cloud.client.ok("PutItem", put).await;
    cloud.database.sweep().unwrap();
    assert_eq!(cloud.only_shard().1.len(), 1);

    let seen = cloud.database.changed(0).await;
    cloud.clock.advance(Duration::from_secs(62));
    cloud.database.sweep().unwrap();
    assert_eq!(cloud.database.changed(seen).await, seen + 1);
    let (shard, records) = cloud.only_shard();
    assert_eq!(records[1]["eventName"], "REMOVE");
    assert_eq!(records[1]["dynamodb"]["OldImage"], item);
    assert_eq!(
        records[1]["userIdentity"],
        json!({ "type": "Service", "principalId": "dynamodb.amazonaws.com" })
    );
    let request = json!({
        "StreamArn": cloud.database.stream_arn(USERS),
        "ShardId": shard,
        "ShardIteratorType": "TRIM_HORIZON",
    });
    let iterator = cloud.client.ok("GetShardIterator", request).await;
    let answer = cloud.client.ok("GetRecords", iterator).await;
    assert_eq!(
        answer["Records"][1]["userIdentity"],
        json!({ "Type": "Service", "PrincipalId": "dynamodb.amazonaws.com" })
    );
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_a_write() {
    let cloud = Cloud::in_memory().await;
    let database = cloud.database.clone();
    let reader = tokio::spawn(async move { database.changed(0).await });
    cloud.client.put_user("usr_1", "Ada").await;
    assert_eq!(reader.await.unwrap(), 1);
}

#[tokio::test]
async fn faults_meet_the_planned_requests_and_no_more() {
    let cloud = Cloud::in_memory().await;
    let faults = cloud.database.faults();
    let put = json!({ "TableName": LEDGER, "Item": { "id": { "S": "1" } } });
    for (fault, name) in [
        (Fault::ProvisionedThroughputExceeded, "ProvisionedThroughputExceededException"),
        (Fault::Throttling, "ThrottlingException"),
        (Fault::TransactionConflict, "TransactionConflictException"),
    ] {
        faults.fail_next("PutItem", LEDGER, fault, 2);
        cloud.client.put_user("usr_1", "another table").await;
        for _ in 0..2 {
            assert_eq!(cloud.client.refused("PutItem", put.clone()).await, name);
        }
        cloud.client.ok("PutItem", put.clone()).await;
    }
    faults.fail_next("TransactWriteItems", LEDGER, Fault::TransactionConflict, 1);
    let transaction = json!({ "TransactItems": [
        { "Update": rename("usr_1", "Eve") },
        { "Put": put },
    ]});
    let error = cloud.client.call("TransactWriteItems", transaction.clone()).await.unwrap_err();
    assert_eq!(error_name(&error), "TransactionCanceledException");
    let codes: Vec<&Value> = error["CancellationReasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| &reason["Code"])
        .collect();
    assert_eq!(codes, ["None", "TransactionConflict"]);
    cloud.client.ok("TransactWriteItems", transaction).await;

    faults.fail_next("GetRecords", USERS, Fault::Throttling, 1);
    let shard = cloud.database.shards(USERS).remove(0);
    let read = || cloud.database.read_stream(USERS, &shard, None, 1);
    assert!(matches!(read(), Err(StreamError::Throttled)));
    assert!(read().is_ok());
}

#[tokio::test]
async fn a_throttled_batch_returns_what_it_did_not_do() {
    let cloud = Cloud::in_memory().await;
    let faults = cloud.database.faults();
    faults.fail_next("BatchWriteItem", LEDGER, Fault::Throttling, 1);
    faults.fail_next("BatchGetItem", LEDGER, Fault::Throttling, 1);
    let put = |id: &str| json!({ "PutRequest": { "Item": { "id": { "S": id } } } });
    let batch = json!({ "RequestItems": { LEDGER: [put("1"), put("2"), put("3")] } });
    let answer = cloud.client.ok("BatchWriteItem", batch).await;
    let rest = json!({ LEDGER: [put("2"), put("3")] });
    assert_eq!(answer["UnprocessedItems"], rest);
    let rest = json!({ "RequestItems": rest });
    cloud.client.ok("BatchWriteItem", rest).await;

    let keys: Vec<Value> = ["1", "2", "3"].map(|id| json!({ "id": { "S": id } })).into();
    let batch = json!({ "RequestItems": { LEDGER: { "Keys": keys, "ConsistentRead": true } } });
    let answer = cloud.client.ok("BatchGetItem", batch.clone()).await;
    assert_eq!(answer["Responses"][LEDGER].as_array().unwrap().len(), 1);
    let rest = &answer["UnprocessedKeys"][LEDGER];
    assert_eq!(rest["Keys"].as_array().unwrap().len(), 2);
    assert_eq!(rest["ConsistentRead"], json!(true));
    let answer = cloud.client.ok("BatchGetItem", batch).await;
    assert_eq!(answer["Responses"][LEDGER].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_table_grows_with_its_definition_and_keeps_its_keys() {
    let cloud = Cloud::in_memory().await;
    let mut definition = ledger();
    definition.stream = true;
    definition.time_to_live_attribute = Some("expires_at".to_owned());
    definition.indexes = ["by_owner", "by_kind"]
        .map(|name| IndexDefinition {
            name: name.to_owned(),
            partition_key: name.replace("by_", ""),
            sort_key: Some("id".to_owned()),
        })
        .into();
    let item = json!({ "id": { "S": "1" }, "owner": { "S": "usr_1" } });
    let put = json!({ "TableName": LEDGER, "Item": item });
    cloud.client.ok("PutItem", put).await;
    cloud.database.create_table(&definition).unwrap();
    cloud.database.create_table(&definition).unwrap();

    let described = cloud.client.ok("DescribeTable", json!({ "TableName": LEDGER })).await;
    let table = &described["Table"];
    assert_eq!(table["TableStatus"], "ACTIVE");
    assert_eq!(table["TableArn"], json!(access::table_arn(LEDGER)));
    assert_eq!(table["LatestStreamArn"], json!(cloud.database.stream_arn(LEDGER)));
    let indexes: BTreeSet<&str> = table["GlobalSecondaryIndexes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|index| index["IndexName"].as_str().unwrap())
        .collect();
    assert_eq!(indexes, BTreeSet::from(["by_kind", "by_owner"]));
    let query = json!({
        "TableName": LEDGER,
        "IndexName": "by_owner",
        "KeyConditionExpression": "#o = :o",
        "ExpressionAttributeNames": { "#o": "owner" },
        "ExpressionAttributeValues": { ":o": { "S": "usr_1" } },
    });
    assert_eq!(cloud.client.ok("Query", query).await["Count"], 1);

    definition.sort_key = Some("sk".to_owned());
    let error = cloud.database.create_table(&definition).unwrap_err();
    assert!(matches!(error, TableError::Differs { .. }), "{error}");
}
