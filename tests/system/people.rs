//! Operators and people: who is looked up and changed from the shell, and who asks by letter for what
//! is kept of them, or to be erased.

use futures::future::join_all;
use rollcall_cli::sample;
use rollcall_resources::Table;
use rollcall_tests::{Answer, Browser, Outcome, World, eventually, member};
use serde_json::{Value, json};

use crate::bearer::{access_token, issued_later, machine_token};
use crate::desk::{administer, user_id};
use crate::erasure::{LONG_AGO, erase, items};
use crate::operating::rollcall;
use crate::profile::edit;
use crate::{PROGRAM, world};

const EMAIL: &str = "ada@rollcall.example";
const COURSE: &str = "first-steps";
const NOBODY: &str = "usr_00000000000070008000000000000000";
/// How often one order is given at the same moment.
const AT_ONCE: usize = 100;

fn export_path(id: &str) -> String {
    format!("/admin/users/{id}/export")
}

async fn order(browser: &mut Browser, id: &str, body: Value) -> Answer {
    browser.post(&format!("/admin/users/{id}/erasure"), Some(body)).await
}

/// The actions that the audit log tells about a subject, oldest first.
async fn told(admin: &Browser, subject: &str) -> Vec<String> {
    let path = format!("/admin/audit?subject={subject}&limit=100");
    let log = admin.clone().get(&path).await.json();
    let entries = log["entries"].as_array().unwrap().iter().rev();
    entries.map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

/// What is kept of somebody, but what the CRM sync is at work on.
async fn stored(world: &World, id: &str) -> Vec<String> {
    let mut all = Vec::new();
    let kept = |table: &Table| table.holds_users() && *table != Table::Crm;
    for table in Table::ALL.into_iter().filter(kept) {
        let own = format!("\"user#{id}\"");
        all.extend(items(world, table).await.into_iter().filter(|item| item.contains(&own)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_shown_and_changed_from_the_shell() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut grace = world.signed_in("grace").await;
    let id = user_id(&mut ada).await;
    assert_eq!(edit(&mut ada, json!({ "username": "ada_l" })).await.status, 200);
    let token = access_token(&world, "grace").await;
    let users = async |arguments: &[&str]| {
        rollcall(&world, &token, &[&["users"], arguments].concat()).await
    };
    for who in [id.as_str(), EMAIL, "ada_l"] {
        let [found] = users(&["find", who, "--json"]).await.json().try_into().unwrap();
        let [shown] = users(&["show", who, "--json"]).await.json().try_into().unwrap();
        assert_eq!((&found["user_id"], &shown["user_id"]), (&json!(id), &json!(id)), "{who}");
        assert!(users(&["show", who]).await.output.contains(EMAIL));
    }
    eventually("the list has both", async || {
        let listed = users(&["find", "--json"]).await.json();
        (listed.len() == 2).then_some(())
    })
    .await;
    assert_eq!(users(&["find", "--limit", "1"]).await.output.lines().count(), 1);
    assert_eq!(users(&["find", "nobody_here"]).await.output, "");
    for (who, reason) in [("nobody_here", "is nobody's"), (NOBODY, "(404 not-found)")] {
        let said = users(&["show", who]).await;
        assert!(!said.success && said.errors.contains(reason), "{said:?}");
    }

    // What is only looked at stays as it is, and says exactly what would be.
    let before = grace.get(&format!("/admin/users/{id}")).await.json();
    let roles = ["--role", "recruiter", "--role", "instructor"];
    let look = [&["grant", EMAIL, "--dry-run", "--json"], &roles[..]].concat();
    let [look] = users(&look).await.json().try_into().unwrap();
    let changes = json!({ "granted_roles": { "from": [], "to": ["instructor", "recruiter"] } });
    assert_eq!((&look["changes"], &look["sessions_ended"]), (&changes, &json!(1)));
    for look in
        [vec!["suspend", EMAIL, "--dry-run"], vec!["take", EMAIL, "--dry-run", "--role", "admin"]]
    {
        assert!(users(&look).await.success, "{look:?}");
    }
    assert_eq!(grace.get(&format!("/admin/users/{id}")).await.json(), before);
    assert_eq!(told(&grace, &id).await, Vec::<String>::new());

    let granted = users(&[&["grant", EMAIL, "--json"], &roles[..]].concat()).await.json();
    assert_eq!(granted[0]["granted_roles"], json!(["instructor", "recruiter"]));
    let left = users(&["take", &id, "--json", "--role", "recruiter"]).await.json();
    assert_eq!(left[0]["roles"], json!(["instructor"]));
    let suspended = users(&["suspend", "ada_l", "--json"]).await.json();
    assert_eq!(
        (&suspended[0]["standing"], &suspended[0]["sessions"]),
        (&json!("suspended"), &json!(0))
    );
    assert_eq!(ada.get("/auth/me").await.status, 401);
    assert_eq!(users(&["unsuspend", &id, "--json"]).await.json()[0]["standing"], "active");
    let actions = ["roles-granted", "roles-granted", "user-suspended", "user-reinstated"];
    assert_eq!(told(&grace, &id).await, actions);
    let own = users(&["suspend", "grace@rollcall.example"]).await;
    assert!(!own.success && own.errors.contains("(409 own-account)"), "{own:?}");
    let unknown = users(&["grant", EMAIL, "--role", "root"]).await;
    assert!(!unknown.success && unknown.errors.contains("is not a role"), "{unknown:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_from_the_shell_says_first_what_it_would_come_to() {
    let world = World::start_with(PROGRAM, vec![member(1)], |_| {}).await;
    let mut ada = world.signed_in("ada").await;
    let mut twin = world.signed_in("member-1").await;
    let mut grace = world.signed_in("grace").await;
    let (into, from) = (user_id(&mut ada).await, user_id(&mut twin).await);
    assert_eq!(edit(&mut twin, json!({ "username": "twin_now" })).await.status, 200);
    let token = access_token(&world, "grace").await;
    let merge = ["users", "merge", EMAIL, "--from", "twin_now", "--json"];
    let look = rollcall(&world, &token, &[&merge[..], &["--dry-run"]].concat()).await;
    let [look] = look.json().try_into().unwrap();
    assert_eq!((&look["status"], &look["from"]), (&json!("would-merge"), &json!(from)));
    let outlook = &look["outlook"];
    assert_eq!(outlook["survivor"]["username"], "twin_now");
    assert_eq!((&outlook["identities"], &outlook["address"]), (&json!(2), &json!("released")));
    assert_eq!(outlook["rights_change"], false);
    assert_eq!(twin.get("/auth/me").await.json()["user_id"], json!(from), "nothing happened");
    assert_eq!(told(&grace, &into).await, Vec::<String>::new());

    let [merged] = rollcall(&world, &token, &merge).await.json().try_into().unwrap();
    assert_eq!((&merged["status"], &merged["outlook"]), (&json!("merging"), &Value::Null));
    assert_eq!(twin.get("/auth/me").await.status, 401);
    assert_eq!(told(&grace, &into).await, ["account-absorbed"]);
    let gone = grace.get(&export_path(&from)).await;
    assert_eq!((gone.status, &gone.json()["detail"]), (410, &json!(into)), "{gone:?}");
    let gone = order(&mut grace, &from, json!({})).await;
    assert_eq!((gone.status, &gone.json()["detail"]), (410, &json!(into)), "{gone:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_who_asks_by_letter_gets_everything_and_the_log_tells_who_was_handed_it() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut grace = world.signed_in("grace").await;
    let id = user_id(&mut ada).await;
    assert_eq!(edit(&mut ada, json!({ "about": "canary-about" })).await.status, 200);
    assert_eq!(ada.put(&format!("/enrollments/course/{COURSE}"), None).await.status, 200);
    let own = ada.get("/users/me/export").await;
    let theirs = grace.get(&export_path(&id)).await;
    assert_eq!(theirs.status, 200, "{theirs:?}");
    assert!(theirs.header("content-disposition").starts_with("attachment"), "{theirs:?}");
    for table in ["users", "enrollments", "progress", "badges"] {
        assert_eq!(own.json()["tables"][table], theirs.json()["tables"][table], "{table}");
    }
    assert!(theirs.text.contains("canary-about") && !theirs.text.contains("refresh_token"));
    assert_eq!(told(&grace, &id).await, ["user-exported"]);

    let token = access_token(&world, "grace").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ada.json");
    let path = file.to_str().unwrap();
    let said = rollcall(&world, &token, &["export", EMAIL, "--output", path]).await;
    assert!(said.success && said.output.contains(&id), "{said:?}");
    let archive: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(archive["tables"]["enrollments"], own.json()["tables"]["enrollments"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else reads it");
    let again = rollcall(&world, &token, &["export", EMAIL, "--output", path]).await;
    assert!(!again.success && again.errors.contains("cannot be written"), "{again:?}");
    let [printed] = rollcall(&world, &token, &["export", &id]).await.json().try_into().unwrap();
    assert_eq!(printed["user_id"], json!(id));
    let lost = folder.path().join("nobody.json");
    let nobody = ["export", NOBODY, "--output", lost.to_str().unwrap()];
    assert!(!rollcall(&world, &token, &nobody).await.success);
    assert!(!lost.exists(), "nothing is left of an export that failed");
    assert_eq!(
        told(&grace, &id).await,
        ["user-exported"; 3],
        "what was not handed out is not told"
    );

    // Nobody else gets it, and no guess at an id leaves a trace or an answer.
    assert_eq!(world.browser().get(&export_path(&id)).await.status, 401);
    assert_eq!(ada.get(&export_path(&id)).await.status, 403, "not even one's own by this way");
    assert_eq!(world.signed_in("lin").await.get(&export_path(&id)).await.status, 403);
    for nobody in [NOBODY, "usr_x", "me"] {
        assert_eq!(grace.get(&export_path(nobody)).await.status, 404, "{nobody}");
    }
    assert_eq!(told(&grace, &id).await.len(), 3);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_who_asks_by_letter_is_erased_after_the_grace_or_at_once() {
    // A stage with a client secret, with which what the sessions had at the provider is revoked.
    let with_secret = |options: &mut _| sample::authenticate_client(options);
    let world = World::start_with(PROGRAM, Vec::new(), with_secret).await;
    let mut ada = world.signed_in("ada").await;
    let mut grace = world.signed_in("grace").await;
    let id = user_id(&mut ada).await;
    assert_eq!(ada.put(&format!("/enrollments/course/{COURSE}"), None).await.status, 200);
    world.contact_with(&id, &[("email", EMAIL)]).await;
    let token = issued_later(&world, "grace").await;

    // A look changes nothing.
    let before = stored(&world, &id).await.len();
    for look in
        [&["erase", EMAIL, "--json"][..], &["erase", &id, "--at-once", "--dry-run", "--json"]]
    {
        let [look] = rollcall(&world, &token, look).await.json().try_into().unwrap();
        assert_eq!((&look["dry_run"], &look["held"]["enrollments"]), (&json!(true), &json!(1)));
        assert!(look["erase_at"].is_string(), "{look}");
    }
    assert_eq!(stored(&world, &id).await.len(), before);
    assert_eq!(ada.get("/users/me").await.json()["erase_at"], Value::Null);
    assert_eq!(told(&grace, &id).await, Vec::<String>::new());

    // With the grace, its user reads of it and may call it off.
    let [ordered] = rollcall(&world, &token, &["erase", EMAIL, "--yes", "--json"])
        .await
        .json()
        .try_into()
        .unwrap();
    assert_eq!((&ordered["held"], &ordered["dry_run"]), (&Value::Null, &json!(false)));
    assert_eq!(ada.get("/users/me").await.json()["erase_at"], ordered["erase_at"]);
    let letter = crate::claim::mail_to(&world, EMAIL).await;
    assert!(letter.text.contains("We were asked to erase"), "{letter:?}");
    let again = order(&mut grace, &id, json!({})).await;
    assert_eq!(again.json()["erase_at"], ordered["erase_at"], "it is not put off");
    assert_eq!(ada.post("/users/me/restore", None).await.status, 200);

    // At once, a hundred times: one order, one entry, and nobody is signed in any more.
    let orders = (0..AT_ONCE).map(|_| {
        let (mut grace, id) = (grace.clone(), id.clone());
        async move { order(&mut grace, &id, json!({ "at_once": true })).await }
    });
    let answers = join_all(orders).await;
    let ordered: Vec<_> = answers.iter().filter(|answer| answer.status == 202).collect();
    let others: Vec<_> =
        answers.iter().filter(|answer| !matches!(answer.status, 202 | 409)).collect();
    assert!(!ordered.is_empty() && others.is_empty(), "{others:#?}");
    assert!(
        ordered.iter().all(|answer| answer.json()["erase_at"] == ordered[0].json()["erase_at"])
    );
    assert_eq!(ada.get("/auth/me").await.status, 401);
    assert_ne!(crate::linking::come_back(&world, &mut world.browser(), "ada").await.status, 303);
    let actions = ["erasure-ordered", "erasure-called-off", "erasure-ordered"];
    assert_eq!(told(&grace, &id).await, actions);
    assert_eq!(world.cloud.mail.messages().len(), 1, "there is nothing left to call off");

    assert!(erase(&world).await);
    let closed = json!({
        "TableName": Table::Users.full_name("dev"),
        "Key": { "pk": { "S": format!("user#{id}") }, "sk": { "S": "profile" } },
        "UpdateExpression": "SET closed_at_ms = :value",
        "ConditionExpression": "attribute_exists(closed_at_ms)",
        "ExpressionAttributeValues": { ":value": { "N": "1" } },
    });
    world.dynamodb("UpdateItem", &closed).await;
    assert_eq!(order(&mut grace, &id, json!({})).await.status, 202, "it is under way already");
    assert!(erase(&world).await);
    eventually("nothing is left", async || world.contact(&id).is_none().then_some(())).await;
    assert_eq!(stored(&world, &id).await, Vec::<String>::new());
    assert_eq!(order(&mut grace, &id, json!({ "at_once": true })).await.status, 404);
    assert_eq!(grace.get(&export_path(&id)).await.status, 404);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_others_erased_but_administrators_and_nobody_themselves_by_mistake() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    let mut grace = world.signed_in("grace").await;
    let (id, own) = (user_id(&mut ada).await, user_id(&mut grace).await);
    let at_once = || json!({ "at_once": true });
    assert_eq!(order(&mut world.browser(), &id, at_once()).await.status, 401);
    for member in [&mut ada, &mut lin] {
        assert_eq!(order(member, &id, at_once()).await.status, 403);
    }
    for body in [at_once(), json!({}), json!({ "dry_run": true })] {
        let refused = order(&mut grace, &own, body).await;
        assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("own-erasure")));
    }
    for nobody in [NOBODY, "usr_x", "me"] {
        assert_eq!(order(&mut grace, nobody, at_once()).await.status, 404, "{nobody}");
    }
    for (body, pointer) in [
        (json!({ "at_once": "yes" }), "/at_once"),
        (json!({ "now": true }), "/now"),
        (json!([true, false]), ""),
    ] {
        let refused = order(&mut grace, &id, body).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer);
    }
    assert_eq!(ada.get("/users/me").await.json()["erase_at"], Value::Null);

    // Who is suspended is no administrator any more, and may be erased like everybody.
    let body = json!({ "granted_roles": ["admin"] });
    assert_eq!(administer(&mut grace, &id, body).await.status, 200);
    ada.sign_in("ada").await;
    assert_eq!(administer(&mut grace, &id, json!({ "suspended": true })).await.status, 200);
    assert_eq!(order(&mut ada, &own, at_once()).await.status, 401);
    assert_eq!(ada.get(&export_path(&own)).await.status, 401);
    let ordered = order(&mut grace, &id, json!({})).await;
    assert_eq!(ordered.status, 202, "{ordered:?}");
    let sooner = order(&mut grace, &id, at_once()).await;
    assert!(sooner.json()["erase_at"].as_str() < ordered.json()["erase_at"].as_str());
    assert!(sooner.json()["erase_at"].as_str() > Some(LONG_AGO));
    let shown = grace.get(&format!("/admin/users/{id}")).await.json();
    assert_eq!(
        (&shown["standing"], &shown["erase_at"]),
        (&json!("suspended"), &sooner.json()["erase_at"])
    );
    assert_eq!(world.cloud.mail.messages().len(), 0, "who cannot sign in cannot call it off");
    let machine = machine_token(&world).await;
    for arguments in [["export", EMAIL], ["erase", EMAIL], ["users", "find"]] {
        let said = rollcall(&world, &machine, &arguments).await;
        assert!(!said.success && said.errors.contains("(403 user-required)"), "{said:?}");
    }
    world.finish(Outcome::Clean).await;
}
