//! Merging two accounts of one person: everything becomes the survivor's, whatever dies on the way.

use std::collections::BTreeSet;

use futures::future::{join, join_all};
use rollcall_cli::sample;
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_resources::Table;
use rollcall_tests::{Answer, Browser, Outcome, World, eventually, member};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::certificates::certificate;
use crate::erasure::{LONG_AGO, erase, items, leave_for_good};
use crate::labs::changed;
use crate::linking::{leads_to, twin, user_id};
use crate::profile::edit;

const TWIN: &str = "member-1";
const COURSE: &str = "first-steps";
/// Pieces of work that the survivor adds while a merge goes on.
const PIECES: usize = 10;

async fn merge_with(browser: &mut Browser, into: &str, from: &str, tag: &str) -> Answer {
    let path = format!("/admin/users/{into}/merge");
    let body = json!({ "from": from });
    browser.change_with("POST", &path, Some(body), &[("if-match", tag)]).await
}

/// Merges for whatever version there is.
pub(crate) async fn merge(browser: &mut Browser, into: &str, from: &str) -> Answer {
    let tag = browser.get(&format!("/admin/users/{into}")).await.header("etag").to_owned();
    merge_with(browser, into, from, &tag).await
}

/// Lets the time be over in which requests of an account that was merged may run.
pub(crate) async fn settle(world: &World, from: &str) {
    let update = json!({
        "TableName": Table::Users.full_name("dev"),
        "Key": { "pk": { "S": format!("user#{from}") }, "sk": { "S": "merged" } },
        "UpdateExpression": "SET closed_at = :value",
        "ConditionExpression": "attribute_exists(closed_at)",
        "ExpressionAttributeValues": { ":value": { "S": LONG_AGO } },
    });
    world.dynamodb("UpdateItem", &update).await;
}

/// Lets the schedule's function run once, and tells whether it succeeded.
pub(crate) async fn go_on(world: &World) -> bool {
    let invocation = world.cloud.lambda.invoke("user-merge", b"{}".as_slice().into(), None).await;
    matches!(invocation.unwrap().outcome, Invoked::Response(_))
}

pub(crate) async fn status(browser: &mut Browser, into: &str, from: &str) -> String {
    let answer = merge(browser, into, from).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["status"].as_str().unwrap().to_owned()
}

/// Where something stands about an account, but in the log of what operators did and in counters that
/// forget within minutes.
async fn remains(world: &World, user: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Audit) {
        for item in items(world, table).await {
            let item: Value = serde_json::from_str(&item).unwrap();
            let (pk, sk) = (item["pk"]["S"].as_str().unwrap(), item["sk"]["S"].as_str().unwrap());
            if item.to_string().contains(user) && !pk.starts_with("rate") {
                let pk = if pk == format!("user#{user}") { "own" } else { pk };
                found.insert(format!("{} {pk} {sk}", table.name()));
            }
        }
    }
    found
}

/// Twins, whose accounts hold something of everything, and somebody who knows both.
struct Twins {
    world: World,
    grace: Browser,
    ada: Browser,
    ada_id: String,
    twin: Browser,
    twin_id: String,
}

async fn place(browser: &mut Browser, title: &str) {
    let body = json!({ "title": title });
    assert_eq!(browser.post("/users/me/portfolio", Some(body)).await.status, 201);
}

async fn twins() -> Twins {
    // A stage with a client secret, with which what the sessions had at the provider is revoked.
    let with_secret = |options: &mut _| sample::authenticate_client(options);
    let world = World::start_with(PROGRAM, vec![member(1)], with_secret).await;
    let limited = changed(|course| course.terms.capacity = Some(3), |_| {});
    sample::publish(&world.cloud, &limited).await.unwrap();
    let (mut ada, mut twin) = (world.signed_in("ada").await, world.signed_in(TWIN).await);
    let mut lin = world.signed_in("lin").await;
    for (browser, name) in [(&mut ada, "ada_l"), (&mut twin, "twin_first"), (&mut lin, "lin_m")] {
        assert_eq!(edit(browser, json!({ "username": name })).await.status, 200);
    }
    let patch = json!({ "username": "twin_now", "about": "Two of me", "skills": ["Sewing"] });
    assert_eq!(edit(&mut twin, patch).await.status, 200);
    assert_eq!(twin.put("/users/lin_m/connect", None).await.status, 200);
    assert_eq!(twin.put("/users/ada_l/connect", None).await.status, 200);
    assert_eq!(lin.put("/users/ada_l/connect", None).await.status, 200);
    for browser in [&mut ada, &mut twin] {
        assert_eq!(browser.put(&format!("/enrollments/course/{COURSE}"), None).await.status, 200);
    }
    assert_eq!(twin.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    ada.complete_module("start-the-local-cloud").await;
    ada.complete_module("sign-in-as-a-member").await;
    let failed = twin.start_quiz("follow-a-change", "check").await;
    assert_eq!(twin.submit_quiz("follow-a-change", "check", &failed, false).await.status, 200);
    twin.complete_module("follow-a-change").await;
    twin.start_quiz("upserts-by-a-key", "check").await;
    place(&mut ada, "Engine").await;
    place(&mut twin, "Notes").await;
    let (ada_id, twin_id) = (user_id(&mut ada).await, user_id(&mut twin).await);
    let mut grace = world.signed_in("grace").await;
    let tag = grace.get(&format!("/admin/users/{twin_id}")).await.header("etag").to_owned();
    let granted = json!({ "granted_roles": ["instructor"] });
    let desk = format!("/admin/users/{twin_id}");
    let answer = grace.change_with("PATCH", &desk, Some(granted), &[("if-match", &tag)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let badge = format!("/admin/users/{twin_id}/badges/helping-hand");
    assert_eq!(grace.post(&badge, None).await.status, 200);
    let twin = world.signed_in(TWIN).await;
    Twins { world, grace, ada, ada_id, twin, twin_id }
}

/// What the survivor has when all of it is merged.
async fn check_survivor(twins: &mut Twins) {
    let Twins { world, ada_id, .. } = twins;
    // Granted roles are a new session's.
    let mut ada = world.signed_in("ada").await;
    let me = ada.get("/users/me").await.json();
    assert_eq!((&me["user_id"], &me["username"]), (&json!(ada_id), &json!("ada_l")));
    assert_eq!((&me["about"], &me["skills"]), (&json!("Two of me"), &json!(["Sewing"])));
    assert_eq!(ada.get("/auth/me").await.json()["roles"], json!(["instructor"]));
    let course = ada.get(&format!("/courses/{COURSE}/status")).await.json();
    assert_eq!(course["course_status"], "complete", "{course}");
    let enrolled = ada.get("/enrollments").await.json();
    assert_eq!(enrolled["enrollments"].as_array().unwrap().len(), 2, "{enrolled}");
    let attempts = ada.get("/modules/follow-a-change/attempts").await.json();
    assert_eq!(attempts["attempts"].as_array().unwrap().len(), 2, "{attempts}");
    let badges = ada.get("/badges").await.json();
    let mut badges = badges["badges"].as_array().unwrap().iter();
    assert!(badges.any(|badge| badge["kind"] == "by_hand"), "{badges:?}");
    let pieces = ada.get("/users/me/portfolio").await.json();
    let titles: BTreeSet<&str> = pieces["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|piece| piece["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles, BTreeSet::from(["Engine", "Notes"]));
    let connections = ada.get("/users/me/connections").await.json();
    let connections = connections["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(connections[0]["user"]["username"], "lin_m");
    assert_eq!(connections[0]["state"], "connected", "lin asked one, the twin asked lin");
    let taken: Vec<Value> = items(world, Table::Enrollments)
        .await
        .iter()
        .map(|item| serde_json::from_str::<Value>(item).unwrap())
        .filter(|item| item["pk"]["S"] == format!("places#course#{COURSE}"))
        .collect();
    assert_eq!(taken[0]["taken"]["N"], "1", "one person needs one place: {taken:?}");
    let found = ada.get("/users?skill=sewing").await.json();
    assert_eq!(found["users"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["users"][0]["username"], "ada_l");
    for held in ["twin_first", "twin_now"] {
        let mut lin = world.signed_in("lin").await;
        assert_eq!(lin.get(&format!("/users/{held}")).await.status, 404);
        let refused = edit(&mut lin, json!({ "username": held })).await;
        assert_eq!(refused.status, 409, "{held} is held for the survivor: {refused:?}");
    }
}

/// What is left of the account that ended: its tombstones, here and in the CRM's ledger.
async fn check_remains(twins: &Twins) {
    let Twins { world, ada_id, twin_id, .. } = twins;
    let gone = format!("no contact of {twin_id} is left");
    eventually(&gone, async || world.contact(twin_id).is_none().then_some(())).await;
    let expected = [
        "crm own ledger".to_owned(),
        "users own merged".to_owned(),
        format!("users user#{ada_id} absorbed#{twin_id}"),
    ];
    let only = async || {
        world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
        (remains(world, twin_id).await == BTreeSet::from(expected.clone())).then_some(())
    };
    let what = format!("only tombstones are left: {:#?}", remains(world, twin_id).await);
    eventually(&what, only).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_two_accounts_becomes_one() {
    let mut twins = twins().await;
    let Twins { world, grace, ada, ada_id, twin, twin_id } = &mut twins;
    world.contact_with(twin_id, &[("rollcall_username", "twin_now")]).await;
    let moved = certificate(twin, "follow-a-change").await;
    let merged = merge(grace, ada_id, twin_id).await;
    assert_eq!((merged.status, &merged.json()["status"]), (202, &json!("merging")), "{merged:?}");
    assert_eq!(twin.get("/auth/me").await.status, 401, "its sessions end");
    assert_eq!(leads_to(world, TWIN).await.as_ref(), Some(&*ada_id), "at once");
    assert_eq!(ada.get("/auth/me").await.status, 401, "what the survivor may do has changed");
    assert!(go_on(world).await);
    assert_eq!(status(grace, ada_id, twin_id).await, "merging", "not while requests may run");
    settle(world, twin_id).await;
    assert!(go_on(world).await);
    assert_eq!(status(grace, ada_id, twin_id).await, "merged");
    assert!(go_on(world).await);
    check_survivor(&mut twins).await;
    let mut ada = twins.world.signed_in("ada").await;
    assert_eq!(certificate(&mut ada, "follow-a-change").await, moved, "a certificate keeps its id");
    check_remains(&twins).await;
    let Twins { world, mut grace, ada_id, twin_id, .. } = twins;
    for (subject, action) in [(&ada_id, "account-absorbed"), (&twin_id, "merged-into")] {
        let told = grace.get(&format!("/admin/audit?subject={subject}")).await.json();
        let told = told["entries"].as_array().unwrap().clone();
        assert_eq!(told.iter().filter(|entry| entry["action"] == action).count(), 1, "{told:?}");
    }
    assert_eq!(leads_to(&world, TWIN).await, Some(ada_id));
    world.finish(Outcome::Clean).await;
}

/// Where a round dies: about to make this call, with this text in it.
const DEATHS: [(&str, &str); 8] = [
    ("TransactWriteItems", "rollcall-dev-progress"),
    ("TransactWriteItems", "open#upserts-by-a-key"),
    ("TransactWriteItems", "attempt#follow-a-change"),
    ("TransactWriteItems", "rollcall-dev-portfolio"),
    ("TransactWriteItems", "rollcall-dev-directory"),
    ("TransactWriteItems", "connection#"),
    ("BatchWriteItem", "rollcall-dev-progress"),
    ("TransactWriteItems", "#erase_shard"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_dies_anywhere_goes_on_and_doubles_nothing() {
    let mut twins = twins().await;
    let Twins { world, grace, ada_id, twin, twin_id, .. } = &mut twins;
    // Between the merge and the end of the sessions, which a round has to end then.
    let mut held = world.cloud.dynamodb.faults().hold_next("GetItem", "\"changes\"");
    let killing = async {
        assert!(held.arrived().await);
        assert_eq!(world.cloud.lambda.kill_running("admin-user-merge"), 1);
    };
    let (lost, ()) = join(merge(grace, ada_id, twin_id), killing).await;
    assert!(lost.status >= 500, "{lost:?}");
    assert_eq!(twin.get("/auth/me").await.status, 401, "there is no such user any more");
    settle(world, twin_id).await;
    assert!(go_on(world).await);
    assert_eq!(status(grace, ada_id, twin_id).await, "merging", "its requests may still run");
    settle(world, twin_id).await;
    for (action, text) in DEATHS {
        let mut held = world.cloud.dynamodb.faults().hold_next(action, text);
        let killing = async {
            assert!(held.arrived().await, "{action} {text}");
            assert_eq!(world.cloud.lambda.kill_running("user-merge"), 1);
        };
        let (finished, ()) = join(go_on(world), killing).await;
        assert!(!finished, "{action} {text}");
        assert_eq!(status(grace, ada_id, twin_id).await, "merging", "{action} {text}");
    }
    assert!(go_on(world).await);
    assert_eq!(status(grace, ada_id, twin_id).await, "merged");
    check_survivor(&mut twins).await;
    check_remains(&twins).await;
    twins.world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_merges_at_once_one_has_an_effect() {
    let world = World::start_with(PROGRAM, vec![member(1)], |_| {}).await;
    let mut grace = world.signed_in("grace").await;
    let into = user_id(&mut world.signed_in("ada").await).await;
    let from = user_id(&mut world.signed_in(TWIN).await).await;
    let tag = grace.get(&format!("/admin/users/{into}")).await.header("etag").to_owned();
    let merging = (0..20).map(|_| {
        let (mut grace, into, from, tag) = (grace.clone(), &into, &from, &tag);
        async move { merge_with(&mut grace, into, from, tag).await.status }
    });
    let statuses = join_all(merging).await;
    // Those who lose too many races are told to look again.
    assert!(statuses.iter().all(|status| [202, 409].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&202), "{statuses:?}");
    let told = grace.get(&format!("/admin/audit?subject={into}")).await.json();
    assert_eq!(told["entries"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(merge_with(&mut grace, &into, &from, &tag).await.status, 202);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_survivor_does_meanwhile_is_kept() {
    let mut twins = twins().await;
    let Twins { world, grace, ada_id, twin_id, .. } = &mut twins;
    assert_eq!(merge(grace, ada_id, twin_id).await.status, 202);
    settle(world, twin_id).await;
    let mut ada = world.signed_in("ada").await;
    let working = async {
        for number in 0..PIECES {
            place(&mut ada, &format!("piece {number}")).await;
        }
        ada.complete_module("upserts-by-a-key").await;
        assert_eq!(edit(&mut ada, json!({ "about": "One of me" })).await.status, 200);
    };
    let rounds = async {
        // Two at once, as when a schedule fires late.
        join(go_on(world), go_on(world)).await;
        eventually("the merge is finished", async || {
            go_on(world).await;
            (status(&mut grace.clone(), ada_id, twin_id).await == "merged").then_some(())
        })
        .await;
    };
    join(working, rounds).await;
    let mut ada = world.signed_in("ada").await;
    let pieces = ada.get("/users/me/portfolio").await.json();
    assert_eq!(pieces["items"].as_array().unwrap().len(), PIECES + 2, "{pieces}");
    let module = ada.get("/modules/upserts-by-a-key/progress").await.json();
    assert!(module["completed_at"].is_string(), "{module}");
    let course = ada.get(&format!("/courses/{COURSE}/status")).await.json();
    assert_eq!(course["course_status"], "complete", "{course}");
    assert_eq!(ada.get("/users/me").await.json()["about"], "One of me");
    check_remains(&twins).await;
    twins.world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_taken_over_when_the_crm_has_let_go_of_it() {
    let bare = twin(2, "member-2@rollcall.example", false);
    let world = World::start_with(PROGRAM, vec![member(1), bare], |_| {}).await;
    let mut grace = world.signed_in("grace").await;
    let into = user_id(&mut world.signed_in("member-2").await).await;
    let from = user_id(&mut world.signed_in(TWIN).await).await;
    let address = member(1).email;
    world.contact_with(&from, &[("email", &address)]).await;
    world.contact_with(&into, &[("email", "")]).await;
    world.break_hubspot().await;
    assert_eq!(merge(&mut grace, &into, &from).await.status, 202);
    settle(&world, &from).await;
    assert!(go_on(&world).await);
    assert_eq!(status(&mut grace, &into, &from).await, "merging", "its contact has the address");
    let shown = grace.get(&format!("/admin/users/{into}")).await.json();
    assert_eq!(shown["email"], Value::Null, "{shown}");
    world.mend_hubspot().await;
    eventually("the merge is finished", async || {
        world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
        assert!(go_on(&world).await);
        (status(&mut grace.clone(), &into, &from).await == "merged").then_some(())
    })
    .await;
    let shown = grace.get(&format!("/admin/users/{into}")).await.json();
    assert_eq!(shown["email"], json!(address), "{shown}");
    world.contact_with(&into, &[("email", &address)]).await;
    assert!(world.contact(&from).is_none());
    assert_eq!(leads_to(&world, TWIN).await, Some(into));
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_survives_a_merge_and_is_erased_takes_along_what_was_merged() {
    let mut twins = twins().await;
    let Twins { world, grace, ada_id, twin_id, .. } = &mut twins;
    assert_eq!(merge(grace, ada_id, twin_id).await.status, 202);
    let mut ada = world.signed_in("ada").await;
    leave_for_good(world, &mut ada, ada_id).await;
    settle(world, twin_id).await;
    assert!(go_on(world).await, "nothing is moved to somebody who is being erased");
    assert!(erase(world).await);
    for user in [ada_id, twin_id] {
        let what = format!("nothing is left: {:#?}", remains(world, user).await);
        let only = async || {
            world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
            let left = remains(world, user).await;
            (left == BTreeSet::from(["crm own ledger".to_owned()])).then_some(())
        };
        eventually(&what, only).await;
    }
    assert!(go_on(world).await);
    twins.world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_merged_is_refused_with_its_reason() {
    let world = World::start_with(PROGRAM, vec![member(1), member(2)], |_| {}).await;
    let mut grace = world.signed_in("grace").await;
    let own = user_id(&mut grace).await;
    let into = user_id(&mut world.signed_in("ada").await).await;
    let mut leaver = world.signed_in(TWIN).await;
    let leaving = user_id(&mut leaver).await;
    let other = user_id(&mut world.signed_in("member-2").await).await;
    assert_eq!(leaver.delete("/users/me").await.status, 202);
    let nobody = "usr_019a9c5be40070008000000000000001";
    for (into, from, tag, status, code) in [
        (&into, into.as_str(), "*", 422, "invalid-value"),
        (&into, nobody, "*", 422, "invalid-value"),
        (&into, "somebody", "*", 422, "invalid-value"),
        (&into, &own, "*", 409, "not-mergeable"),
        (&into, &leaving, "*", 409, "not-mergeable"),
        (&leaving, &other, "*", 409, "not-mergeable"),
        (&into, &other, "\"7\"", 412, "version-changed"),
        (&nobody.to_owned(), &other, "*", 404, "not-found"),
    ] {
        let answer = merge_with(&mut grace, into, from, tag).await;
        assert_eq!(answer.status, status, "{from}: {answer:?}");
        assert_eq!(answer.json()["code"], code, "{from}: {answer:?}");
    }
    assert_eq!(merge(&mut grace, &into, &other).await.status, 202);
    let gone = grace.get(&format!("/admin/users/{other}")).await;
    assert_eq!((gone.status, &gone.json()["detail"]), (410, &json!(into)), "{gone:?}");
    let elsewhere = merge(&mut grace, &own, &other).await;
    assert_eq!(elsewhere.json()["code"], "merged-elsewhere", "{elsewhere:?}");
    world.finish(Outcome::Clean).await;
}
