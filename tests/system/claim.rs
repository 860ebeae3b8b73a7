//! People who ask for an account: everybody is answered alike, and what is true is told by mail to
//! the reader of the address alone.

use std::collections::BTreeSet;

use futures::future::join_all;
use rollcall_local::Addresses;
use rollcall_local::lambda::CrashPoint;
use rollcall_local::mail::{Fault, FaultKind, Message};
use rollcall_tests::{Answer, Browser, Outcome, World, eventually, member, percent_encode};
use serde_json::{Value, json};

use crate::{PROGRAM, world};

const TABLE: &str = "rollcall-dev-mail";
const USER: &str = "ada@rollcall.example";
const CONTACT: &str = "known@elsewhere.example";
const STRANGER: &str = "nobody@elsewhere.example";

/// Makes the CRM know an address.
pub(crate) async fn contact(world: &World, email: &str) {
    let body = json!({ "properties": { "email": email } });
    let answer = world.hubspot("POST", "/crm/v3/objects/contacts", Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Asks for an account.
pub(crate) async fn claim(world: &World, email: &str) -> Answer {
    world.browser().post("/auth/claim", Some(json!({ "email": email }))).await
}

/// Everything in the table `mail` whose key begins with `prefix`.
pub(crate) async fn items(world: &World, prefix: &str) -> Vec<Value> {
    let order = json!({
        "TableName": TABLE,
        "ConsistentRead": true,
        "FilterExpression": "begins_with(pk, :prefix)",
        "ExpressionAttributeValues": { ":prefix": { "S": prefix } },
    });
    world.dynamodb("Scan", &order).await["Items"].as_array().unwrap().clone()
}

/// Lets the wait of every claim be over, and looks what is due.
async fn come_due(world: &World) {
    for item in items(world, "claim#").await {
        let order = json!({
            "TableName": TABLE,
            "Key": { "pk": item["pk"], "sk": item["sk"] },
            "ConditionExpression": "attribute_exists(pk)",
            "UpdateExpression": "SET due_at = :past",
            "ExpressionAttributeValues": { ":past": { "S": "2026-01-01T00:00:00.000Z" } },
        });
        world.dynamodb("UpdateItem", &order).await;
    }
    world.cloud.schedules.fire("claim-answer").await.unwrap();
}

async fn no_claim_is_left(world: &World) {
    eventually("every claim is settled", async || {
        items(world, "claim#").await.is_empty().then_some(())
    })
    .await;
}

pub(crate) async fn mail_to(world: &World, email: &str) -> Message {
    eventually(&format!("a mail to {email}"), async || {
        let messages = world.cloud.mail.messages();
        messages.into_iter().find(|message| message.to == [email])
    })
    .await
}

/// The shape of an item: its attributes and their types.
fn shape(item: &Value) -> BTreeSet<String> {
    let attributes = item.as_object().unwrap().iter();
    let kind = |value: &Value| value.as_object().unwrap().keys().next().unwrap().clone();
    attributes.map(|(name, value)| format!("{name}: {}", kind(value))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_a_claim_is_answered_alike_whatever_is_known_of_the_address() {
    let world = world().await;
    world.signed_in("ada").await;
    contact(&world, CONTACT).await;
    // What follows is kept from happening, so that only the request's own work is seen.
    world.cloud.lambda.crash_next("claim-answer", 1_000, CrashPoint::BeforeDelivery).unwrap();
    let mut seen = BTreeSet::new();
    for email in [USER, CONTACT, STRANGER] {
        let mut answer = claim(&world, email).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        for own in ["apigw-requestid", "x-request-id", "date", "ratelimit"] {
            answer.headers.remove(own);
        }
        seen.insert(format!("{} {:?} {}", answer.status, answer.headers, answer.text));
    }
    assert_eq!(seen.len(), 1, "{seen:#?}");
    let claims = items(&world, "claim#").await;
    let shapes: BTreeSet<_> = claims.iter().map(shape).collect();
    assert_eq!((claims.len(), shapes.len()), (3, 1), "{claims:#?}");
    assert_eq!(items(&world, "").await.len(), 3);
    let uses = world.cloud.iam.uses().into_iter().filter(|used| used.function == "auth-claim");
    let uses: Vec<String> = uses.map(|used| format!("{} {}", used.action, used.resource)).collect();
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/rollcall-dev";
    assert_eq!(
        uses,
        [
            format!("dynamodb:PutItem {arn}-mail"),
            // Whether the routes are open.
            format!("dynamodb:Query {arn}-catalog"),
            format!("dynamodb:UpdateItem {arn}-edge"),
        ]
    );
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_address_is_refused_before_anything_is_written() {
    let world = world().await;
    for email in ["", "ada", "a@b@c.example", "a@x.example,b@x.example", "<a@x.example>"] {
        let answer = claim(&world, email).await;
        assert_eq!(answer.status, 422, "{email}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["code"], "invalid-email", "{answer:?}");
    }
    assert_eq!(items(&world, "").await, Vec::<Value>::new());
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_told_by_mail_what_is_true_of_them() {
    let world = world().await;
    world.signed_in("ada").await;
    contact(&world, CONTACT).await;
    for email in [USER, CONTACT, STRANGER] {
        assert_eq!(claim(&world, &email.to_uppercase()).await.status, 202);
    }
    assert_eq!(mail_to(&world, USER).await.subject, "You already have a Rollcall account");
    let invitation = mail_to(&world, CONTACT).await;
    assert_eq!(invitation.subject, "Your invitation to Rollcall");
    no_claim_is_left(&world).await;
    assert_eq!(world.cloud.mail.messages().len(), 2);

    // The token stands in no table and in no log, and no address in any log.
    let (_, rest) = invitation.text.split_once("invitation=").unwrap();
    let token = rest.split_whitespace().next().unwrap();
    assert_eq!(token.len(), 43, "{token}");
    let stored = json!(items(&world, "").await).to_string();
    assert!(!stored.contains(token), "{stored}");
    assert!(!stored.contains(STRANGER) && !stored.contains(USER), "{stored}");
    for line in world.cloud.logs.lines() {
        for secret in [token, CONTACT, STRANGER] {
            assert!(!line.line.contains(secret), "{}: {}", line.function, line.line);
        }
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_a_hundred_claims_at_once_send_one_mail() {
    let world = world().await;
    contact(&world, CONTACT).await;
    let answers = join_all((0..100).map(|_| claim(&world, CONTACT))).await;
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    mail_to(&world, CONTACT).await;
    no_claim_is_left(&world).await;
    assert_eq!(items(&world, "mail#").await.len(), 1);
    assert_eq!(items(&world, "invitation#").await.len(), 1);
    assert_eq!(world.cloud.mail.messages().len(), 1);
    // Look-ups are made by as many as answer at once, not by as many as ask.
    let calls = world.cloud.hubspot.calls().into_iter();
    let asked = calls.filter(|call| call.path.ends_with("/batch/read")).count();
    assert!(asked < 50, "{asked} calls");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_crm_nor_the_mail_service_being_away_loses_a_claim() {
    let world = world().await;
    contact(&world, CONTACT).await;
    world.break_hubspot().await;
    world.cloud.mail.set_fault(Some(Fault { kind: FaultKind::Outage, count: None }));
    assert_eq!(claim(&world, CONTACT).await.status, 202);
    eventually("the claim waits", async || {
        let lines = world.cloud.logs.lines();
        let waits = |line: &str| line.contains("a claim has to wait for the CRM");
        lines.iter().any(|line| waits(&line.line)).then_some(())
    })
    .await;
    assert_eq!(items(&world, "claim#").await.len(), 1);
    world.mend_hubspot().await;
    eventually("the claim is answered once the CRM is back", async || {
        come_due(&world).await;
        items(&world, "claim#").await.is_empty().then_some(())
    })
    .await;
    let waiting = eventually("the mail waits", async || {
        let mails = items(&world, "mail#").await;
        mails.into_iter().find(|mail| mail.get("reason").is_some())
    })
    .await;
    assert_eq!((&waiting["state"]["S"], world.cloud.mail.messages().len()), (&json!("waiting"), 0));
    world.cloud.mail.set_fault(None);
    let order = json!({
        "TableName": TABLE,
        "Key": { "pk": waiting["pk"], "sk": waiting["sk"] },
        "UpdateExpression": "SET due_at = :past",
        "ExpressionAttributeValues": { ":past": { "S": "2026-01-01T00:00:00.000Z" } },
    });
    world.dynamodb("UpdateItem", &order).await;
    world.cloud.schedules.fire("mail-send").await.unwrap();
    mail_to(&world, CONTACT).await;
    world.finish(Outcome::Troubled).await;
}

/// The path of the link in an invitation.
pub(crate) fn link(world: &World, mail: &Message) -> String {
    let (_, rest) = mail.text.split_once(&world.browser().api).unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

/// Has somebody whom the CRM knows invited; the path of the link in their mail.
async fn invited(world: &World, email: &str) -> String {
    contact(world, email).await;
    assert_eq!(claim(world, email).await.status, 202);
    link(world, &mail_to(world, email).await)
}

/// Fills in the provider's sign-up form with `email`, and comes back.
pub(crate) async fn sign_up(world: &World, browser: &mut Browser, path: &str, email: &str) {
    let start = browser.get(path).await;
    assert_eq!(start.status, 302, "{start:?}");
    let form_url = start.header("location").to_owned();
    let mut provider = world.browser();
    let form = format!("email={}&password=New-here-2-day%21", percent_encode(email));
    let sent = provider.send_form(&form_url, &form).await;
    let field = |before: &str, after: &str| {
        let (_, rest) = sent.text.split_once(before).unwrap();
        rest.split_once(after).unwrap().0.to_owned()
    };
    let (username, code) = (field("value=\"", "\""), field("<code>", "</code>"));
    let confirm_url = form_url.replace("/signup?", "/confirmUser?");
    let sent = provider.send_form(&confirm_url, &format!("username={username}&code={code}")).await;
    let back = browser.send("GET", sent.header("location"), None, &[]).await;
    assert_eq!(back.status, 303, "{back:?}");
}

pub(crate) async fn change(world: &World, item: &Value, update: &str, values: Value) {
    let order = json!({
        "TableName": TABLE,
        "Key": { "pk": item["pk"], "sk": item["sk"] },
        "UpdateExpression": update,
        "ExpressionAttributeValues": values,
    });
    world.dynamodb("UpdateItem", &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_person_signs_up_once_and_their_contact_is_adopted() {
    let world = world().await;
    let path = invited(&world, CONTACT).await;
    let mut browser = world.browser();
    let start = browser.get(&path).await;
    let hint = format!("login_hint={}", CONTACT.replace('@', "%40"));
    assert!(start.header("location").contains(&hint), "{start:?}");
    sign_up(&world, &mut browser, &path, CONTACT).await;
    let me = browser.get("/auth/me").await.json();
    assert_eq!(me["email"], CONTACT);
    let invitation = items(&world, "invitation#").await.remove(0);
    assert!(invitation["accepted_at"]["S"].is_string(), "{invitation}");
    assert!(invitation.get("address").is_none(), "{invitation}");

    let user_id = me["user_id"].as_str().unwrap();
    world.contact_with(user_id, &[("email", CONTACT)]).await;
    let contacts = world
        .cloud
        .hubspot
        .contacts()
        .into_iter()
        .filter(|contact| contact.properties.get("email").map(String::as_str) == Some(CONTACT));
    assert_eq!(contacts.count(), 1);

    let again = world.browser().get(&path).await;
    assert_eq!(again.status, 410, "{again:?}");
    assert!(again.text.contains("cannot be used any more"), "{again:?}");
    let unknown = world.browser().get("/auth/signup?invitation=nothing").await;
    assert_eq!((unknown.status, unknown.text), (again.status, again.text));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_stays_open_when_somebody_else_signs_up_with_it() {
    let world = world().await;
    let path = invited(&world, CONTACT).await;
    let mut browser = world.browser();
    sign_up(&world, &mut browser, &path, "another@elsewhere.example").await;
    assert_eq!(browser.get("/auth/me").await.json()["email"], "another@elsewhere.example");
    let invitation = items(&world, "invitation#").await.remove(0);
    assert_eq!(invitation["address"]["S"], CONTACT);
    assert_eq!(world.browser().get(&path).await.status, 302);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_come_back_with_one_invitation_one_accepts_it() {
    let member = member(1);
    let email = member.email.clone();
    let world = World::start_with(PROGRAM, vec![member], |_| {}).await;
    let path = invited(&world, &email).await;
    // Their account is there already, so that only the invitation is contended for.
    world.signed_in("member-1").await;
    let coming_back = (0..8).map(|_| async {
        let mut browser = world.browser();
        let start = browser.get(&path).await;
        let url = start.header("location").replace("/signup?", "/oauth2/authorize?");
        let order = json!({ "authorize_url": url, "username": "member-1" });
        let login_as =
            format!("{}/_emulator/login-as", Addresses::url(world.cloud.addresses.provider));
        let callback = browser.plain("POST", &login_as, Some(order)).await.json();
        let callback = callback["callback_url"].as_str().expect("a callback").to_owned();
        browser.send("GET", &callback, None, &[]).await.status
    });
    let statuses = join_all(coming_back).await;
    assert_eq!(statuses, [303; 8]);
    let lines = world.cloud.logs.lines();
    let accepted = lines.iter().filter(|line| line.line.contains("an invitation is accepted"));
    assert_eq!(accepted.count(), 1);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_who_comes_too_late_gets_a_new_invitation_that_replaces_the_old() {
    let world = world().await;
    let old_path = invited(&world, CONTACT).await;
    let invitation = items(&world, "invitation#").await.remove(0);
    let long_ago =
        json!({ ":then": { "S": "2026-01-01T00:00:00Z" }, ":end": { "N": "1767830400" } });
    change(&world, &invitation, "SET created_at = :then, ends_at = :end", long_ago).await;
    let late = world.browser().get(&old_path).await;
    assert_eq!(late.status, 410, "{late:?}");
    let renewal = format!("{old_path}&renew=true");
    assert!(late.text.contains(&renewal.replace('&', "&amp;")), "{late:?}");

    // As if the first mail had been sent more than ten minutes ago.
    let address = items(&world, "address#").await.remove(0);
    change(&world, &address, "SET answered_at = :none", json!({ ":none": { "L": [] } })).await;
    let renewed = world.browser().get(&renewal).await;
    assert_eq!(renewed.status, 202, "{renewed:?}");
    let mail = eventually("a second mail", async || {
        let messages = world.cloud.mail.messages();
        (messages.len() == 2).then(|| messages[1].clone())
    })
    .await;
    let new_path = link(&world, &mail);
    assert_eq!(world.browser().get(&new_path).await.status, 302);
    assert_eq!(world.browser().get(&old_path).await.status, 410);
    assert_eq!(items(&world, "invitation#").await.len(), 1);
    world.finish(Outcome::Clean).await;
}
