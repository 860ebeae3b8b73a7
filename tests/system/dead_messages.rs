//! Messages that no function could handle: all of them come to the one desk, each once, and go back
//! from there to where they failed.

use futures::future::join_all;
use rollcall_functions_crm::dead_letter_drain;
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_resources::Queue;
use rollcall_runtime::Trigger;
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::dead_letters::{id, list, settled, show};
use crate::world;

const PERSON: &str = "zoe@rollcall.example";

fn dead() -> Vec<(Queue, Queue)> {
    let queues = Queue::ALL.into_iter();
    queues.filter_map(|queue| Some((queue, queue.redrive()?.dead_letter_queue))).collect()
}

#[test]
fn every_dead_letter_queue_is_drained() {
    let mut drained: Vec<Queue> = dead_letter_drain::FUNCTION
        .triggers
        .iter()
        .filter_map(|trigger| match trigger {
            Trigger::Queue(queue) => Some(queue.queue),
            Trigger::Http(_)
            | Trigger::Stream(_)
            | Trigger::Schedule { .. }
            | Trigger::Cognito(_) => None,
        })
        .collect();
    drained.sort();
    let mut expected: Vec<Queue> = dead().into_iter().map(|(_, dead)| dead).collect();
    expected.sort();
    assert_eq!(drained, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_queue_come_to_the_desk_and_go_back() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let newcomer = json!({
        "issuer": "http://localhost:9001/us-east-1_rollcall", "subject": "zoe", "email": PERSON,
        "email_verified": true, "given_name": "", "family_name": "",
    });
    for (queue, dead) in dead() {
        let body = match queue {
            Queue::UserSweep => newcomer.to_string(),
            _ => json!({ "reason": "pending", "queue": queue.name() }).to_string(),
        };
        world.cloud.messages.send(&dead.full_name("dev"), body);
    }
    let count = dead().len();
    let letters = eventually("all are at the desk", async || {
        let letters = list(&grace, "kind=message").await;
        (letters.len() == count).then_some(letters)
    })
    .await;
    for (queue, dead) in dead() {
        let letter = letters.iter().find(|l| l["queue_message"]["queue"] == queue.name()).unwrap();
        let body = letter["queue_message"]["body"].as_str().unwrap();
        assert_eq!(body.contains(queue.name()), queue != Queue::UserSweep, "{letter}");
        assert!(!letter.to_string().contains("zoe"), "{letter}");
        let depth = world.cloud.messages.depth(&dead.full_name("dev"));
        assert_eq!(depth.visible, 0, "{queue:?}");
        let dry = grace.get(&format!("/admin/dead-letters/{}/dry-run", id(letter))).await.json();
        assert_eq!((&dry["would"], &dry["queue"]), (&json!("return"), &json!(queue.name())));
        let path = format!("/admin/dead-letters/{}/replay", id(letter));
        let replay = grace.post(&path, None).await;
        assert_eq!((replay.status, &replay.json()["status"]), (202, &json!("returned")));
        assert_eq!(grace.post(&path, None).await.status, 409);
        let page = grace.get(&format!("/admin/audit?subject={}", id(letter))).await.json();
        let entry = &page["entries"][0];
        assert_eq!(entry["action"], "dead-message-returned");
        assert_eq!(entry["details"], json!({ "queue": queue.name() }));
    }
    // What went back is done: the account that could not be stored is made.
    eventually("the newcomer has an account", async || {
        let contacts = world.cloud.hubspot.contacts();
        let email = |c: &rollcall_local::hubspot::Contact| c.properties.get("email").cloned();
        contacts.iter().find(|contact| email(contact).as_deref() == Some(PERSON)).map(|_| ())
    })
    .await;
    world.finish(Outcome::Troubled).await;
}

/// Gives the drain a message, as Lambda does; how many it could not keep.
async fn deliver(world: &World, message: &str, arn: &str, letter: Option<&str>) -> usize {
    let attributes = letter.map_or(
        json!({}),
        |letter| json!({ "dead-letter": { "stringValue": letter, "dataType": "String" } }),
    );
    let event = json!({ "Records": [{
        "messageId": message,
        "body": "{\"reason\":\"pending\"}",
        "attributes": { "SentTimestamp": "1795251600000", "ApproximateReceiveCount": "6" },
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": "us-east-1",
    }] });
    let invoked =
        world.cloud.lambda.invoke("dead-letter-drain", event.to_string().into(), None).await;
    let Invoked::Response(answer) = invoked.unwrap().outcome else {
        panic!("{message} makes the whole batch fail");
    };
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["batchItemFailures"].as_array().unwrap().len()
}

async fn replay(operator: &Browser, letter: &str) {
    let path = format!("/admin/dead-letters/{letter}/replay");
    assert_eq!(operator.clone().post(&path, None).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_one_letter_however_often_it_is_delivered_and_fails() {
    let world = world().await;
    let grace = world.signed_in("grace").await;
    let arn = world.cloud.messages.queue_arn("rollcall-dev-crm-drain-dead").unwrap();
    let kept = join_all((0..6).map(|_| deliver(&world, "first", &arn, None))).await;
    assert_eq!(kept, [0; 6]);
    let [letter] = list(&grace, "kind=message").await.try_into().unwrap();
    let first = id(&letter).to_owned();
    assert_eq!(
        (&letter["tries"], &letter["queue_message"]["receives"], &letter["category"]),
        (&json!(1), &json!(6), &json!("RECEIVED_IN_VAIN"))
    );

    replay(&grace, &first).await;
    settled(&grace, &first, "returned").await;
    let kept = join_all((0..6).map(|_| deliver(&world, "second", &arn, Some(&first)))).await;
    assert_eq!(kept, [0; 6]);
    let again = show(&grace, &first).await;
    assert_eq!(
        (&again["status"], &again["tries"], &again["queue_message"]["message_id"]),
        (&json!("open"), &json!(2), &json!("second"))
    );
    assert_eq!(list(&grace, "kind=message").await.len(), 1);

    // A letter that is gone keeps no message from the desk.
    let gone = "dlt_00000000000070008000000000000000";
    assert_eq!(deliver(&world, "third", &arn, Some(gone)).await, 0);
    assert_eq!(list(&grace, "kind=message").await.len(), 2);
    let strange = arn.replace("crm-drain-dead", "crm-drain");
    assert_eq!(deliver(&world, "fourth", &strange, None).await, 1);

    let discard = json!({ "reason": "nothing is pending any more" });
    let path = format!("/admin/dead-letters/{first}/discard");
    assert_eq!(grace.clone().post(&path, Some(discard)).await.status, 200);
    assert_eq!(list(&grace, "kind=message").await.len(), 1);
    world.finish(Outcome::Troubled).await;
}

#[test]
fn nothing_about_a_person_lies_at_the_desk_longer_than_their_erasure_takes() {
    // DynamoDB may take two days to remove what has expired.
    let slack = 2 * 24 * 60 * 60;
    let kept = rollcall_crm::limits::PERSONAL_MESSAGE_KEPT_SECONDS + slack;
    assert!(kept < rollcall_domain::limits::ERASURE_GRACE_SECONDS);
}
