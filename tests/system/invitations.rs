//! Operators invite people: each is written to once, and only who reads the mail comes in.

use std::collections::BTreeSet;
use std::slice::from_ref;

use futures::future::join_all;
use rollcall_local::mail::{Fault, FaultKind};
use rollcall_tests::{Answer, Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::claim::{change, items, link, mail_to, sign_up};
use crate::world;

const ADDRESS: &str = "edsger@elsewhere.example";
const PATH: &str = "/admin/invitations";
/// A moment that is past for every clock.
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

async fn invite(browser: &mut Browser, email: &str) -> Answer {
    browser.post(PATH, Some(json!({ "email": email, "name": "Edsger <W>" }))).await
}

async fn listed(browser: &mut Browser) -> Vec<Value> {
    let page = browser.get(&format!("{PATH}?limit=100")).await;
    assert_eq!(page.status, 200, "{page:?}");
    page.json()["invitations"].as_array().unwrap().clone()
}

/// Lets what was written to all addresses be long ago.
async fn let_time_pass(world: &World) {
    for address in items(world, "address#").await {
        change(world, &address, "SET answered_at = :none", json!({ ":none": { "L": [] } })).await;
    }
    for row in items(world, "invited").await {
        change(world, &row, "SET created_at = :then", json!({ ":then": { "S": LONG_AGO } })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_an_operator_invites_makes_their_account_once() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let invited = invite(&mut grace, &ADDRESS.to_uppercase()).await;
    assert_eq!(invited.status, 201, "{invited:?}");
    let invitation = invited.json();
    assert_eq!((&invitation["state"], &invitation["email"]), (&json!("open"), &json!(ADDRESS)));
    assert_eq!(listed(&mut grace).await, from_ref(&invitation));
    let again = invite(&mut grace, ADDRESS).await;
    assert_eq!((again.status, again.json()), (201, invitation.clone()));

    let mail = mail_to(&world, ADDRESS).await;
    assert!(mail.text.starts_with("Hello Edsger <W>,"), "{mail:?}");
    let path = link(&world, &mail);
    sign_up(&world, &mut world.browser(), &path, ADDRESS).await;
    let accepted = listed(&mut grace).await.remove(0);
    assert_eq!(accepted["state"], "accepted");
    for forgotten in ["email", "name"] {
        assert_eq!(accepted[forgotten], Value::Null, "{accepted}");
    }
    let id = invitation["id"].as_str().unwrap();
    let late = grace.delete(&format!("{PATH}/{id}")).await;
    assert_eq!((late.status, &late.json()["code"]), (409, &json!("invitation-accepted")));
    let known = invite(&mut grace, ADDRESS).await;
    assert_eq!((known.status, &known.json()["code"]), (409, &json!("account-exists")));

    let told = grace.get(&format!("/admin/audit?subject={id}")).await;
    let entries = told.json()["entries"].as_array().unwrap().clone();
    assert_eq!(entries.len(), 1, "{told:?}");
    assert_eq!(
        (&entries[0]["action"], &entries[0]["actor"]),
        (&json!("person-invited"), &invitation["invited_by"])
    );
    assert!(!told.text.contains('@'), "{told:?}");
    assert_eq!(world.cloud.mail.messages().len(), 1);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_invite_one_person_at_once_all_hear_of_one_invitation() {
    let world = world().await;
    let grace = world.signed_in("grace").await;
    let inviting = (0..20).map(|_| {
        let mut grace = grace.clone();
        async move { invite(&mut grace, ADDRESS).await }
    });
    let answers = join_all(inviting).await;
    let ids: BTreeSet<String> =
        answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:#?}");
    assert_eq!(ids.len(), 1, "{ids:?}");
    mail_to(&world, ADDRESS).await;
    for (prefix, count) in [("mail#", 1), ("invitation#", 1), ("invited", 1)] {
        assert_eq!(items(&world, prefix).await.len(), count, "{prefix}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_is_taken_back_opens_nothing() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let first = invite(&mut grace, ADDRESS).await.json();
    let old_path = link(&world, &mail_to(&world, ADDRESS).await);
    let_time_pass(&world).await;
    let second = invite(&mut grace, ADDRESS).await;
    assert_eq!(second.status, 201, "{second:?}");
    let second = second.json();
    let states: Vec<Value> =
        listed(&mut grace).await.iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["open", "replaced"]);
    assert_eq!(world.browser().get(&old_path).await.status, 410);
    let mail = eventually("a second mail", async || {
        let messages = world.cloud.mail.messages();
        (messages.len() == 2).then(|| messages[1].clone())
    })
    .await;
    let path = link(&world, &mail);
    assert_eq!(world.browser().get(&path).await.status, 302);

    for (invitation, status) in [(&first, 204), (&second, 204), (&second, 404)] {
        let id = invitation["id"].as_str().unwrap();
        assert_eq!(grace.delete(&format!("{PATH}/{id}")).await.status, status);
    }
    assert_eq!(world.browser().get(&path).await.status, 410);
    assert_eq!(listed(&mut grace).await, Vec::<Value>::new());
    let again = invite(&mut grace, ADDRESS).await;
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("written-lately")));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_waits_is_not_sent_once_its_invitation_is_taken_back() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    world.cloud.mail.set_fault(Some(Fault { kind: FaultKind::Outage, count: None }));
    let id = invite(&mut grace, ADDRESS).await.json()["id"].as_str().unwrap().to_owned();
    eventually("the mail waits", async || {
        let mails = items(&world, "mail#").await;
        mails.into_iter().find(|mail| mail.get("reason").is_some())
    })
    .await;
    assert_eq!(grace.delete(&format!("{PATH}/{id}")).await.status, 204);
    assert_eq!(items(&world, "mail#").await, Vec::<Value>::new());
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_invites_nobody_is_refused_and_lists_have_pages() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    for (body, pointer) in [
        (json!({ "email": "ada" }), "/email"),
        (json!({ "email": "a@x.example,b@x.example" }), "/email"),
        (json!({ "email": ADDRESS, "name": " " }), "/name"),
        (json!({ "email": ADDRESS, "name": "a\nBcc: b@x.example" }), "/name"),
        (json!({ "email": ADDRESS, "role": "admin" }), "/role"),
    ] {
        let answer = grace.post(PATH, Some(body.clone())).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    for number in 0..3 {
        let body = json!({ "email": format!("person-{number}@elsewhere.example") });
        assert_eq!(grace.post(PATH, Some(body)).await.status, 201);
    }
    let first = grace.get(&format!("{PATH}?limit=2")).await.json();
    let cursor = first["cursor"].as_str().unwrap();
    let last = grace.get(&format!("{PATH}?limit=2&cursor={cursor}")).await.json();
    let emails = [&first, &last].map(|page| page["invitations"].as_array().unwrap().clone());
    let emails: Vec<Value> = emails.concat().iter().map(|one| one["email"].clone()).collect();
    let expected = [2, 1, 0].map(|number| json!(format!("person-{number}@elsewhere.example")));
    assert_eq!((emails.as_slice(), &last["cursor"]), (expected.as_slice(), &Value::Null));
    world.finish(Outcome::Clean).await;
}
