//! Requests that come several times with one idempotency key, and cursors that somebody changed.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join, join_all};
use rollcall_cli::sample;
use rollcall_domain::cursor::CursorScope;
use rollcall_domain::id::UserId;
use rollcall_domain::secret::Secret;
use rollcall_local::lambda::CrashPoint;
use rollcall_tests::{Answer, Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::world;

const EDGE: &str = "rollcall-dev-edge";

fn started(module: &str) -> Value {
    json!({ "events": [{ "event_name": "learning_module_started", "module_slug": module }] })
}

/// `POST path` as our own page sends it, with an idempotency key.
async fn post(browser: &Browser, path: &str, key: &str, body: Option<&Value>) -> Answer {
    let mut browser = browser.clone();
    let token = browser.get("/auth/csrf").await.json()["token"].as_str().unwrap().to_owned();
    let (url, origin) = (format!("{}{path}", browser.api), browser.api.clone());
    let headers = [("origin", origin.as_str()), ("x-csrf-token", &token), ("idempotency-key", key)];
    browser.send("POST", &url, body.map(Value::to_string), &headers).await
}

async fn track(browser: &Browser, key: &str, body: &Value) -> Answer {
    post(browser, "/events/track", key, Some(body)).await
}

/// What must be the same in every answer to one request: all but what the gateway and the rate limit
/// tell about this very call.
fn same(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let mut headers = answer.headers.clone();
    for own in ["apigw-requestid", "date", "ratelimit"] {
        headers.remove(own);
    }
    (answer.status, headers, answer.text.clone())
}

/// How often stored progress was changed.
fn changes(world: &World) -> usize {
    let dynamodb = &world.cloud.dynamodb;
    let table = "rollcall-dev-progress";
    let shards = dynamodb.shards(table).into_iter();
    let records =
        shards.map(|shard| dynamodb.read_stream(table, &shard, None, 1_000).unwrap().len());
    records.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn d_08_a_hundred_equal_requests_at_once_have_one_effect_and_one_answer() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    let body = started("follow-a-change");
    let sending = (0..100).map(|_| track(&ada, "one", &body));
    let answers = join_all(sending).await;
    assert_eq!(answers[0].status, 200, "{:?}", answers[0]);
    assert_eq!(answers[0].json()["modules"], json!(["follow-a-change"]));
    let distinct: BTreeSet<_> = answers.iter().map(same).collect();
    assert_eq!(distinct.len(), 1, "{distinct:#?}");
    let effects = changes(&world);
    // Long after, with a cookie of another session, and the same body.
    let again = track(&world.signed_in("ada").await, "one", &body).await;
    assert_eq!(same(&again), same(&answers[0]));
    assert_eq!(changes(&world), effects);
    // Another key is another request, which finds nothing to change.
    let other = track(&ada, "two", &body).await;
    assert_eq!((other.status, other.json()["modules"].clone()), (200, json!([])));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d_08_a_key_belongs_to_one_request_of_one_caller() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    let lin = world.signed_in("lin").await;
    let first = track(&ada, "key", &started("follow-a-change")).await;
    assert_eq!(first.json()["modules"], json!(["follow-a-change"]), "{first:?}");
    let taken = track(&ada, "key", &started("start-the-local-cloud")).await;
    assert_eq!(taken.status, 409, "{taken:?}");
    assert_eq!(taken.json()["code"], "idempotency-key-reused");
    let effects = changes(&world);
    let strangers = track(&lin, "key", &started("start-the-local-cloud")).await;
    assert_eq!(strangers.json()["modules"], json!(["start-the-local-cloud"]), "{strangers:?}");
    assert!(changes(&world) > effects);
    // A refusal is kept like any answer that another try would not change.
    let nowhere = started("nowhere");
    let refused = track(&ada, "refused", &nowhere).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(same(&track(&ada, "refused", &nowhere).await), same(&refused));
    for key in ["two words", &"x".repeat(256)] {
        let answer = track(&ada, key, &started("follow-a-change")).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "header:Idempotency-Key");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d_08_a_crash_before_the_answer_arrives_changes_neither_effect_nor_answer() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    let body = started("follow-a-change");
    let lambda = &world.cloud.lambda;
    for (number, point) in
        [CrashPoint::BeforeDelivery, CrashPoint::AfterResponse].into_iter().enumerate()
    {
        let (key, module) =
            (format!("crash-{number}"), ["follow-a-change", "spare-reading"][number]);
        let body = started(module);
        lambda.crash_next("event-track", 1, point).unwrap();
        let lost = track(&ada, &key, &body).await;
        assert!(lost.status >= 500, "{lost:?}");
        let answers = join_all((0..5).map(|_| track(&ada, &key, &body))).await;
        assert_eq!(answers[0].json()["modules"], json!([module]), "{:?}", answers[0]);
        let distinct: BTreeSet<_> = answers.iter().map(same).collect();
        assert_eq!(distinct.len(), 1, "{distinct:#?}");
    }
    let again = track(&ada, "again", &body).await;
    assert_eq!(again.json()["modules"], json!([]));
    world.finish(Outcome::Troubled).await;
}

/// The one idempotency record there is.
async fn record(world: &World) -> Value {
    let items = world.dynamodb("Scan", &json!({ "TableName": EDGE })).await;
    let mut records = items["Items"].as_array().unwrap().clone();
    records.retain(|item| item["sk"]["S"].as_str().unwrap().starts_with("idempotency"));
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}

/// Says until when the one record there is is held.
async fn hold_until(world: &World, held_until_ms: i64) {
    let mut record = record(world).await;
    record["held_until_ms"] = json!({ "N": held_until_ms.to_string() });
    world.dynamodb("PutItem", &json!({ "TableName": EDGE, "Item": record })).await;
}

/// Sends a request whose process is killed when it is about to make a call to DynamoDB: `action`,
/// with `text` in its body.
async fn killed_at(
    world: &World,
    (action, text): (&str, &str),
    asking: impl Future<Output = Answer>,
) {
    let mut held = world.cloud.dynamodb.faults().hold_next(action, text);
    let killing = async {
        assert!(held.arrived().await);
        assert_eq!(world.cloud.lambda.kill_running("event-track"), 1);
    };
    let (lost, ()) = join(asking, killing).await;
    assert!(lost.status >= 500, "{lost:?}");
}

/// Where a process dies: before its effect, and before its answer is kept.
const DEATHS: [((&str, &str), bool); 2] = [
    (("TransactWriteItems", "rollcall-dev-progress"), false),
    (("UpdateItem", "\"#holder = :holder\""), true),
];

/// While the dead process could still be at work, nobody takes its place.
async fn is_waited_for(world: &World, browser: &Browser, body: &Value) {
    hold_until(world, world.cloud.clock.now_ms() + 60_000).await;
    let waiting = track(browser, "key", body).await;
    assert_eq!(
        (waiting.status, waiting.json()["code"].as_str()),
        (409, Some("request-in-progress"))
    );
    let seconds: u64 = waiting.header("retry-after").parse().unwrap();
    assert!((30..=60).contains(&seconds), "{waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d_08_a_process_that_is_killed_leaves_one_effect_after_all() {
    for (point, has_effect) in DEATHS {
        let world = world().await;
        let ada = world.signed_in("ada").await;
        let body = started("follow-a-change");
        let before = changes(&world);
        killed_at(&world, point, track(&ada, "key", &body)).await;
        let effects = changes(&world);
        assert_eq!(effects > before, has_effect, "{point:?}");
        assert!(record(&world).await.get("answer").is_none(), "{point:?}");

        if has_effect {
            is_waited_for(&world, &ada, &body).await;
            assert_eq!(changes(&world), effects);
        }
        hold_until(&world, 1).await;
        let reused = track(&ada, "key", &started("spare-reading")).await;
        assert_eq!(reused.json()["code"], "idempotency-key-reused", "{reused:?}");
        let answers = join_all((0..10).map(|_| track(&ada, "key", &body))).await;
        assert_eq!(answers[0].status, 200, "{:?}", answers[0]);
        assert_eq!(answers[0].json()["recorded"], 1);
        let distinct: BTreeSet<_> = answers.iter().map(same).collect();
        assert_eq!(distinct.len(), 1, "{distinct:#?}");
        assert_eq!(changes(&world) == effects, has_effect, "{point:?}");
        let effects = changes(&world);
        let other = track(&ada, "other", &body).await;
        assert_eq!((other.status, other.json()["modules"].clone()), (200, json!([])));
        assert_eq!(changes(&world), effects);
        world.finish(Outcome::Troubled).await;
    }
}

/// A local cloud whose HubSpot refuses what everybody learns: at the desk are the enrolments of two
/// members and the empty beginning of the operator, and no more will come.
pub(crate) async fn world_with_dead_letters() -> (World, Browser, Vec<Value>) {
    let world = world().await;
    let refusal = json!({
        "kind": "refuse_property",
        "name": "rollcall_enrolled_courses",
        "message": "is not welcome today",
    });
    let answer = world.hubspot("POST", "/_emulator/faults", Some(refusal)).await;
    assert!(answer.status < 300, "{answer:?}");
    for username in ["ada", "lin"] {
        let mut member = world.signed_in(username).await;
        assert_eq!(member.put("/enrollments/course/first-steps", None).await.status, 200);
    }
    let grace = world.signed_in("grace").await;
    let is_of_enrolment = |letter: &&Value| {
        let sent = letter["request"]["rollcall_enrolled_courses"].as_str().unwrap_or_default();
        sent.starts_with("11 characters")
    };
    let letters = eventually("the refused changes are dead letters", async || {
        let list = grace.clone().get("/admin/dead-letters").await;
        assert_eq!(list.status, 200, "{list:?}");
        let letters = list.json()["dead_letters"].as_array().unwrap().clone();
        let enrolled = letters.iter().filter(is_of_enrolment).count();
        (letters.len() == 3 && enrolled == 2).then_some(letters)
    })
    .await;
    (world, grace, letters)
}

#[tokio::test(flavor = "multi_thread")]
async fn d_08_a_dead_letter_is_replayed_once_however_often_the_operator_asks() {
    let (world, grace, letters) = world_with_dead_letters().await;
    world.mend_hubspot().await;
    let path =
        |letter: &Value| format!("/admin/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let path = (path(&letters[0]), path(&letters[1]));
    let answers = join_all((0..20).map(|_| post(&grace, &path.0, "key", None))).await;
    assert_eq!(answers[0].status, 202, "{:?}", answers[0]);
    let distinct: BTreeSet<_> = answers.iter().map(same).collect();
    assert_eq!(distinct.len(), 1, "{distinct:#?}");
    let reused = post(&grace, &path.1, "key", None).await;
    assert_eq!(reused.json()["code"], "idempotency-key-reused", "{reused:?}");
    let without = grace.clone().post(&path.0, None).await;
    assert_eq!(without.status, 409, "{without:?}");
    let replays = world.cloud.logs.lines();
    let replays = replays.iter().filter(|line| line.line.contains("a dead letter is replayed"));
    assert_eq!(replays.count(), 1);
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_works_for_its_caller_and_list_alone() {
    let (world, mut grace, letters) = world_with_dead_letters().await;
    let page = grace.get("/admin/dead-letters?limit=1").await.json();
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    assert_eq!(page["dead_letters"], json!([letters[0]]));
    let next = grace.get(&format!("/admin/dead-letters?limit=2&cursor={cursor}")).await;
    assert_eq!(next.status, 200, "{next:?}");
    let next = next.json();
    assert_eq!(next["dead_letters"], json!([letters[1], letters[2]]));
    assert_eq!(next["cursor"], Value::Null);

    let user: UserId =
        grace.get("/auth/me").await.json()["user_id"].as_str().unwrap().parse().unwrap();
    let mut users = letters.iter().map(|letter| letter["user_id"].as_str().unwrap());
    let other: UserId = users.find(|id| *id != user.as_str()).unwrap().parse().unwrap();
    let key = Secret::new(sample::CURSOR_KEY);
    // Of the letters that are open, and no others.
    let list = "dead-letter-list?open&*&*&*&*&*&*";
    let own = CursorScope { list, caller: user.as_str() };
    let position = own.open(&key, &cursor).unwrap();
    assert_eq!(own.seal(&key, &position).unwrap(), cursor);
    let tampered = cursor.replacen(char::is_alphanumeric, "_", 1);
    let foreign = CursorScope { list, caller: other.as_str() }.seal(&key, &position).unwrap();
    let of_another_list = CursorScope { list: "enrollment-list", caller: user.as_str() }
        .seal(&key, &position)
        .unwrap();
    let of_another_key = own.seal(&Secret::new("guessed"), &position).unwrap();
    for bad in [tampered, foreign, of_another_list, of_another_key, position, "x".to_owned()] {
        let answer = grace.get(&format!("/admin/dead-letters?cursor={bad}")).await;
        assert_eq!(answer.status, 422, "{bad}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["code"], "invalid-cursor");
    }
    world.finish(Outcome::Troubled).await;
}
