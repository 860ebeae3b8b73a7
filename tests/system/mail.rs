//! Mail: what stands in the table reaches the mailbox, whatever fails on the way, and nothing of it
//! stays behind.

use rollcall_domain::id::MailId;
use rollcall_local::Addresses;
use rollcall_local::lambda::CrashPoint;
use rollcall_local::mail::{Fault, FaultKind};
use rollcall_tests::{Outcome, World, eventually};
use serde_json::{Value, json};

use crate::claim::{claim, contact, items};
use crate::world;

const READER: &str = "new-member@elsewhere.example";

/// Has an invitation sent to somebody whom the CRM knows.
async fn write(world: &World) -> MailId {
    contact(world, READER).await;
    assert_eq!(claim(world, READER).await.status, 202);
    eventually("the mail is written", async || {
        let mails = items(world, "mail#").await;
        mails.first().map(|mail| mail["mail_id"]["S"].as_str().unwrap().parse().unwrap())
    })
    .await
}

fn key(id: &MailId) -> Value {
    json!({ "pk": { "S": format!("mail#{id}") }, "sk": { "S": "outbox" } })
}

async fn row(world: &World, id: &MailId) -> Value {
    let order = json!({ "TableName": "rollcall-dev-mail", "Key": key(id), "ConsistentRead": true });
    world.dynamodb("GetItem", &order).await["Item"].clone()
}

/// The row of a mail, once it is in this state after this many attempts, and nobody is sending it.
async fn row_in(world: &World, id: &MailId, state: &str, attempts: &str) -> Value {
    eventually(&format!("the mail is {state} after {attempts} attempts"), async || {
        let row = row(world, id).await;
        let settled = state != "waiting" || row.get("reason").is_some();
        let is_so = row["state"]["S"] == state && row["attempts"]["N"] == attempts && settled;
        is_so.then_some(row)
    })
    .await
}

/// Lets the wait of a mail be over, and looks what is due.
async fn come_due(world: &World, id: &MailId) {
    let order = json!({
        "TableName": "rollcall-dev-mail",
        "Key": key(id),
        "UpdateExpression": "SET due_at = :past",
        "ExpressionAttributeValues": { ":past": { "S": "2026-01-01T00:00:00.000Z" } },
    });
    world.dynamodb("UpdateItem", &order).await;
    world.cloud.schedules.fire("mail-send").await.unwrap();
}

fn subjects(world: &World) -> Vec<String> {
    world.cloud.mail.messages().into_iter().map(|message| message.subject).collect()
}

/// The reader stands in no log.
fn assert_logs_are_silent(world: &World) {
    for line in world.cloud.logs.lines() {
        assert!(!line.line.contains(READER), "{}: {}", line.function, line.line);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_sent_and_its_reader_is_forgotten() {
    let world = world().await;
    let id = write(&world).await;
    let row = row_in(&world, &id, "sent", "1").await;
    for gone in ["recipient", "letter", "due_shard", "due_at"] {
        assert!(row.get(gone).is_none(), "{gone} is left: {row}");
    }
    assert!(row["expires_at"]["N"].is_string(), "{row}");
    assert!(!row.to_string().contains("elsewhere.example"), "{row}");
    let messages = world.cloud.mail.messages();
    assert_eq!((messages.len(), messages[0].to.as_slice()), (1, [READER.to_owned()].as_slice()));
    assert_eq!(messages[0].from, "Rollcall <mail@rollcall.example>");
    let automatic = ("Auto-Submitted".to_owned(), "auto-generated".to_owned());
    assert_eq!(messages[0].headers, [automatic]);

    let mailbox = Addresses::url(world.cloud.addresses.mail);
    let list = world.browser().plain("GET", &mailbox, None).await;
    assert!(list.status == 200 && list.text.contains("Your invitation to Rollcall"), "{list:?}");
    let url = format!("{mailbox}/messages/{}", messages[0].id);
    let one = world.browser().plain("GET", &url, None).await;
    let api = Addresses::url(world.cloud.addresses.api);
    let link = format!("<a href=\"{api}/auth/signup?invitation=");
    assert!(one.status == 200 && one.text.contains(&link), "{one:?}");
    assert_logs_are_silent(&world);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_senders_one_sends() {
    let world = world().await;
    let id = write(&world).await;
    let looking = (0..10).map(|_| world.cloud.schedules.fire("mail-send"));
    for looked in futures::future::join_all(looking).await {
        looked.unwrap();
    }
    row_in(&world, &id, "sent", "1").await;
    assert_eq!(subjects(&world).len(), 1);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_out_what_keeps_it_from_being_sent() {
    for kind in [FaultKind::Outage, FaultKind::Throttle] {
        let world = world().await;
        world.cloud.mail.set_fault(Some(Fault { kind, count: None }));
        let id = write(&world).await;
        let waits = row_in(&world, &id, "waiting", "1").await;
        assert!(waits.get("recipient").is_some() && waits.get("expires_at").is_none(), "{waits}");
        come_due(&world, &id).await;
        row_in(&world, &id, "waiting", "2").await;
        assert_eq!(subjects(&world), Vec::<String>::new());
        world.cloud.mail.set_fault(None);
        come_due(&world, &id).await;
        row_in(&world, &id, "sent", "3").await;
        assert_eq!(subjects(&world).len(), 1, "{kind:?}");
        assert_logs_are_silent(&world);
        world.finish(Outcome::Troubled).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_mail_is_closed_and_seen() {
    let world = world().await;
    world.cloud.mail.set_fault(Some(Fault { kind: FaultKind::Reject, count: None }));
    let id = write(&world).await;
    let row = row_in(&world, &id, "refused", "1").await;
    assert_eq!(row["reason"]["S"], "content");
    assert!(row.get("recipient").is_none() && row.get("due_at").is_none(), "{row}");
    let told = |wanted: &str| {
        let lines = world.cloud.logs.lines();
        lines.iter().any(|line| line.function == "mail-send" && line.line.contains(wanted))
    };
    eventually("it is told", async || {
        (told("a mail is refused for good") && told(r#""MailRefused":1.0"#)).then_some(())
    })
    .await;
    assert_logs_are_silent(&world);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_answer_was_lost_is_sent_again_rather_than_not_at_all() {
    let world = world().await;
    world.cloud.mail.set_fault(Some(Fault { kind: FaultKind::LostAnswer, count: Some(1) }));
    let id = write(&world).await;
    row_in(&world, &id, "waiting", "1").await;
    assert_eq!(subjects(&world).len(), 1);
    come_due(&world, &id).await;
    row_in(&world, &id, "sent", "2").await;
    assert_eq!(subjects(&world).len(), 2);
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_keeps_dying_is_recovered_from_its_failure_queue() {
    let world = world().await;
    // The first try and three more; then Lambda reports the record to the queue.
    world.cloud.lambda.crash_next("mail-send", 4, CrashPoint::BeforeDelivery).unwrap();
    let id = write(&world).await;
    row_in(&world, &id, "sent", "1").await;
    assert_eq!(subjects(&world).len(), 1);
    world.finish(Outcome::Troubled).await;
}
