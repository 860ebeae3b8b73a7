//! People move from one stage to another, with all they learned and made, whatever dies on the way.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use rollcall_cli::sample;
use rollcall_local::Addresses;
use rollcall_local::dynamodb::Fault;
use rollcall_resources::Table;
use rollcall_tests::{Browser, Outcome, World, eventually, member};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::PROGRAM;
use crate::certificates::certificate;
use crate::desk::{administer, user_id};
use crate::erasure::{erase, items, leave_for_good};
use crate::labs::changed;
use crate::linking::come_back;
use crate::operating::Said;
use crate::opt_out::settled;
use crate::profile::edit;

const COURSE: &str = "first-steps";
const MODULES: [&str; 3] = ["start-the-local-cloud", "sign-in-as-a-member", "follow-a-change"];
/// Members beside those of the sample.
const MEMBERS: usize = 6;
/// More failures than any client of ours repeats a call.
const FAILURES: u32 = 1_000;
/// Tables that nothing but people and a migration write to.
const QUIET: [Table; 8] = [
    Table::Users,
    Table::Enrollments,
    Table::Progress,
    Table::Attempts,
    Table::Catalog,
    Table::Directory,
    Table::Badges,
    Table::Certificates,
];

/// Two stages, and who has what in the one that people come from.
struct Stages {
    from: World,
    to: World,
    ada: Browser,
    /// Everybody's id, by the name with which they sign in.
    ids: BTreeMap<String, String>,
    /// The certificate that was revoked.
    revoked: String,
}

fn command(from: &World, to: &World, more: &[&str]) -> Command {
    let url = |world: &World| Addresses::url(world.cloud.addresses.dynamodb);
    let issuer = |world: &World| {
        format!("{}/us-east-1_rollcall", Addresses::url(world.cloud.addresses.provider))
    };
    let mut command = Command::new(PROGRAM);
    command
        .args(["migrate", "--from", "dev", "--to", "dev"])
        .args(["--from-endpoint", &url(from), "--to-endpoint", &url(to)])
        .args(["--from-issuer", &issuer(from), "--to-issuer", &issuer(to)])
        .args(more);
    command
}

async fn said(mut command: Command) -> Said {
    let output = command.output().await.unwrap();
    Said {
        success: output.status.success(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn migrate(stages: &Stages, more: &[&str]) -> (bool, BTreeMap<String, Value>, Value) {
    let said = said(command(&stages.from, &stages.to, &[more, &["--json"]].concat())).await;
    let mut lines: Vec<Value> =
        said.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap_or_else(|| panic!("nothing was said: {said:?}"));
    let people = lines.into_iter().map(|line| (line["user_id"].as_str().unwrap().to_owned(), line));
    (said.success, people.collect(), summary)
}

/// What a stage keeps of people, but what its functions do by themselves.
async fn kept(world: &World) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for table in QUIET {
        all.extend(items(world, table).await);
    }
    all
}

async fn stages() -> Stages {
    let members: Vec<_> = (0..MEMBERS).map(member).collect();
    let from = World::start_with(PROGRAM, members.clone(), |_| {}).await;
    let to = World::start_with(PROGRAM, members, |_| {}).await;
    // A catalogue that the other stage never had, with places that are counted.
    let limited = changed(|course| course.terms.capacity = Some(20), |_| {});
    sample::publish(&from.cloud, &limited).await.unwrap();
    let mut grace = from.signed_in("grace").await;
    let (mut ada, mut lin) = (from.signed_in("ada").await, from.signed_in("lin").await);
    let mut ids = BTreeMap::new();
    for (name, browser) in [("ada", &mut ada), ("lin", &mut lin), ("grace", &mut grace)] {
        ids.insert(name.to_owned(), user_id(browser).await);
    }
    let first = json!({ "username": "ada_first" });
    assert_eq!(edit(&mut ada, first).await.status, 200);
    let patch = json!({ "username": "ada_l", "about": "Engines", "skills": ["Sewing"] });
    assert_eq!(edit(&mut ada, patch).await.status, 200);
    assert_eq!(edit(&mut lin, json!({ "username": "lin_m" })).await.status, 200);
    assert_eq!(ada.put("/users/lin_m/connect", None).await.status, 200);
    assert_eq!(lin.put("/users/ada_l/connect", None).await.status, 200);
    let out = json!({ "enabled": false });
    assert_eq!(lin.put("/users/me/crm-sync", Some(out)).await.status, 200);
    let rights = json!({ "granted_roles": ["admin"], "plan": "plus" });
    assert_eq!(administer(&mut grace, &ids["ada"], rights).await.status, 200);
    ada.sign_in("ada").await;
    let piece = json!({ "title": "Engine" });
    assert_eq!(ada.post("/users/me/portfolio", Some(piece)).await.status, 201);
    assert_eq!(ada.put(&format!("/enrollments/course/{COURSE}"), None).await.status, 200);
    for module in MODULES {
        ada.complete_module(module).await;
        certificate(&mut ada, module).await;
    }
    ada.start_quiz("upserts-by-a-key", "check").await;
    let revoked = certificate(&mut ada, MODULES[0]).await;
    let reason = json!({ "reason": "a mistake" });
    let revoke = format!("/admin/certificates/{revoked}/revoke");
    assert_eq!(grace.post(&revoke, Some(reason)).await.status, 200);
    for number in 0..MEMBERS {
        let name = format!("member-{number}");
        let mut browser = from.signed_in(&name).await;
        assert_eq!(browser.put(&format!("/enrollments/course/{COURSE}"), None).await.status, 200);
        ids.insert(name, user_id(&mut browser).await);
    }
    eventually("the badges are there", async || {
        let badges = ada.clone().get("/badges").await.json();
        (badges["badges"].as_array().unwrap().len() == 3).then_some(())
    })
    .await;
    eventually("the certificates are there", async || {
        let all = ada.clone().get("/certificates").await.json();
        (all["certificates"].as_array().unwrap().len() == 4).then_some(())
    })
    .await;
    Stages { from, to, ada, ids, revoked }
}

/// What a person sees of their own.
async fn own(browser: &mut Browser) -> Vec<Value> {
    let mut all = Vec::new();
    for path in [
        "/enrollments",
        "/badges",
        "/certificates",
        "/users/me/portfolio",
        "/courses/first-steps/status",
        "/modules/follow-a-change/progress",
        "/modules/follow-a-change/attempts",
        "/users/me/connections",
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        all.push(answer.json());
    }
    all
}

/// Lets a migration die with the first person who completed the course, and looks what is left of that.
async fn die(stages: &Stages) {
    let faults = stages.to.cloud.dynamodb.faults();
    let mut held = faults.hold_next("TransactWriteItems", "completion#course#first-steps");
    let mut dying = command(&stages.from, &stages.to, &["--yes"]).spawn().unwrap();
    assert!(held.arrived().await);
    dying.kill().await.unwrap();
    drop(held);
    let own = format!("user#{}\"", stages.ids["ada"]);
    let written = kept(&stages.to).await;
    assert!(written.iter().any(|item| item.contains(&own)), "something is written");
    let is_account = |item: &&String| item.contains(&own) && item.contains("\"profile\"");
    assert_eq!(written.iter().filter(is_account).count(), 0, "nobody is there by half");
    let refused = come_back(&stages.to, &mut stages.to.browser(), "ada").await;
    assert_ne!(refused.status, 303, "and nobody takes their place");
}

/// Somebody who moved goes on where they were, and what is not to come did not.
async fn goes_on(stages: &mut Stages) {
    let ada_id = stages.ids["ada"].clone();
    let to = &stages.to;
    let mut ada = to.signed_in("ada").await;
    assert_eq!(user_id(&mut ada).await, ada_id);
    assert_eq!(own(&mut ada).await, own(&mut stages.ada).await);
    let profile = ada.get("/users/me").await.json();
    assert_eq!((&profile["username"], &profile["plan"]), (&json!("ada_l"), &json!("plus")));
    assert_eq!(ada.get("/admin/crm/status").await.status, 403, "rights are given in each stage");
    let found = ada.get("/users?query=ada_l").await;
    assert!(found.text.contains("ada_l"), "{found:?}");
    let page = to.browser().get(&format!("/certificates/{}", stages.revoked)).await;
    assert!(page.text.contains("was revoked on"), "{page:?}");
    let mut late = to.signed_in("member-2").await;
    let named = edit(&mut late, json!({ "username": "ada_first" })).await;
    assert_eq!(named.status, 409, "a name given up is held for who had it: {named:?}");
    ada.complete_module("upserts-by-a-key").await;
    certificate(&mut ada, "upserts-by-a-key").await;
    let all = ada.get("/certificates").await.json()["certificates"].as_array().unwrap().len();
    assert_eq!(all, 5, "none was awarded twice");

    let mut stranger = to.browser();
    stranger.cookies = stages.ada.cookies.clone();
    assert_eq!(stranger.get("/auth/me").await.status, 401);
    let mut grace = to.signed_in("grace").await;
    let log = grace.get(&format!("/admin/audit?subject={ada_id}&limit=100")).await.json();
    assert_eq!(log["entries"], json!([]));
    let told = [("email", "ada@rollcall.example"), ("rollcall_username", "ada_l")];
    to.contact_with(&ada_id, &told).await;
    settled(to).await;
    assert_eq!(to.contact(&stages.ids["lin"]), None, "who is out of the CRM stays out");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_move_to_another_stage_whole_although_the_program_dies_on_the_way() {
    let mut stages = stages().await;
    // In the other stage somebody has grace's and member-5's identities, and member-1's name already.
    stages.to.signed_in("grace").await;
    let mut other = stages.to.signed_in("member-5").await;
    let taken = json!({ "username": "the_name" });
    assert_eq!(edit(&mut other, taken.clone()).await.status, 200);
    let mut namesake = stages.from.signed_in("member-1").await;
    assert_eq!(edit(&mut namesake, taken).await.status, 200);
    let conflicts = ["grace", "member-1", "member-5"].map(|name| stages.ids[name].clone());
    let conflicts: BTreeSet<String> = conflicts.into();
    let ids = |people: &BTreeMap<String, Value>| people.keys().cloned().collect::<BTreeSet<_>>();
    let everybody = stages.ids.len();

    // A dry run says all that and writes nothing.
    let before = kept(&stages.to).await;
    let (success, people, look) = migrate(&stages, &[]).await;
    assert!(!success && ids(&people) == conflicts, "{people:?}");
    assert_eq!(look["statuses"], json!({ "conflict": 3, "copied": everybody - 3 }));
    assert_eq!((&look["dry_run"], &look["compared"]), (&json!(true), &json!({})));
    let finding = &people[&stages.ids["member-1"]]["findings"][0];
    let owner = user_id(&mut other).await;
    assert_eq!(*finding, json!({ "what": "taken", "item": "username", "owner": owner }));
    assert_eq!(kept(&stages.to).await, before);

    die(&stages).await;
    let (success, people, moved) = migrate(&stages, &["--yes"]).await;
    assert!(!success && ids(&people) == conflicts, "{people:?}");
    let ada_id = stages.ids["ada"].clone();
    assert_eq!(moved["roles_left"], json!({ ada_id.clone(): ["admin"] }));
    let all = kept(&stages.to).await;
    assert!(before.is_subset(&all), "nothing that was there is another");
    let (_, people, again) = migrate(&stages, &["--yes"]).await;
    assert_eq!(ids(&people), conflicts);
    assert_eq!((&again["items"], &again["statuses"]["there"]), (&json!({}), &json!(everybody - 3)));
    assert_eq!(kept(&stages.to).await, all);
    let places = all.iter().find(|item| item.contains("places#course")).unwrap();
    assert!(places.contains(r#""taken":{"N":"5"}"#), "everybody's place is taken once: {places}");

    goes_on(&mut stages).await;
    // From now on the two sides differ, and nobody is overwritten.
    let all = kept(&stages.to).await;
    let (_, people, _) = migrate(&stages, &["--yes"]).await;
    assert_eq!(people[&ada_id]["status"], "conflict");
    assert_eq!(kept(&stages.to).await, all);
    stages.from.finish(Outcome::Clean).await;
    stages.to.finish(Outcome::Troubled).await;
}

/// Two stages, and two members in the one.
async fn two_members() -> (World, World) {
    let members: Vec<_> = (0..2).map(member).collect();
    let from = World::start_with(PROGRAM, members.clone(), |_| {}).await;
    let to = World::start_with(PROGRAM, members, |_| {}).await;
    for name in ["member-0", "member-1"] {
        let mut browser = from.signed_in(name).await;
        assert_eq!(browser.put(&format!("/enrollments/course/{COURSE}"), None).await.status, 200);
    }
    (from, to)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_same_on_both_sides_is_found_and_a_table_that_fails_stops_it() {
    let (from, to) = two_members().await;
    let faults = to.cloud.dynamodb.faults();
    let enrollments = Table::Enrollments.full_name("dev");
    faults.fail_next("TransactWriteItems", &enrollments, Fault::Throttling, FAILURES);
    let stopped = said(command(&from, &to, &["--yes"])).await;
    assert!(!stopped.success && stopped.errors.contains("run the same again"), "{stopped:?}");
    faults.clear();
    // Twice at once is once.
    let twice = (0..2).map(|_| said(command(&from, &to, &["--yes"])));
    for whole in join_all(twice).await {
        assert!(whole.success && whole.output.contains("2 items here, 2 there"), "{whole:?}");
    }
    assert!(said(command(&from, &to, &["--verify"])).await.success);

    let stored = to.dynamodb("Scan", &json!({ "TableName": enrollments })).await["Items"].clone();
    let own = stored.as_array().unwrap().iter().find(|item| item["slug"]["S"] == COURSE).unwrap();
    let mut changed = own.clone();
    changed["source"] = json!({ "S": "elsewhere" });
    let mut extra = own.clone();
    extra["sk"] = json!({ "S": "enrollment#course#another" });
    let key = |item: &Value| json!({ "pk": item["pk"], "sk": item["sk"] });
    let put = |item: &Value| json!({ "TableName": enrollments, "Item": item });
    let delete = |item: &Value| json!({ "TableName": enrollments, "Key": key(item) });
    for (action, order, undo, what) in [
        ("PutItem", put(&changed), ("PutItem", put(own)), "differs"),
        ("DeleteItem", delete(own), ("PutItem", put(own)), "missing"),
        ("PutItem", put(&extra), ("DeleteItem", delete(&extra)), "extra"),
    ] {
        to.dynamodb(action, &order).await;
        let found = said(command(&from, &to, &["--verify"])).await;
        assert!(!found.success && found.output.contains(what), "{what}: {found:?}");
        to.dynamodb(undo.0, &undo.1).await;
    }
    assert!(said(command(&from, &to, &["--verify"])).await.success);
    from.finish(Outcome::Clean).await;
    to.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_who_was_erased_does_not_come_again_and_who_has_no_name_there_does_not_come_at_all() {
    let (from, to) = two_members().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("subjects");
    let name = |person: &str| json!({ "from": person, "to": person }).to_string();
    std::fs::write(&file, name(&member(0).subject)).unwrap();
    let subjects = ["--subjects", file.to_str().unwrap(), "--yes"];
    let one = said(command(&from, &to, &subjects)).await;
    assert!(!one.success && one.output.contains("unmapped       1"), "{one:?}");
    assert!(one.output.contains("copied         1"), "{one:?}");

    let mut leaver = to.signed_in("member-0").await;
    let id = user_id(&mut leaver).await;
    assert_eq!(id, user_id(&mut from.signed_in("member-0").await).await);
    to.contact_with(&id, &[]).await;
    leave_for_good(&to, &mut leaver, &id).await;
    assert!(erase(&to).await);
    let whole = said(command(&from, &to, &["--yes"])).await;
    assert!(whole.success && whole.output.contains("erased         1"), "{whole:?}");
    assert!(!kept(&to).await.iter().any(|item| item.contains(&id)), "nothing came back");
    from.finish(Outcome::Clean).await;
    to.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_copied_away_from_prod_onto_themselves_or_for_all_to_read() {
    let local = "http://localhost:1";
    let issuers = ["--from-issuer", "a", "--to-issuer", "b", "--subjects", "/nowhere"];
    let dev_to_staging = ["--from", "dev", "--to", "staging"];
    let ends = ["--from-endpoint", local, "--to-endpoint", local];
    for (arguments, reason) in [
        (vec!["--from", "prod", "--to", "dev"], "never from it"),
        (vec!["--from", "dev", "--to", "dev"], "the same tables"),
        (
            vec!["--from", "dev", "--to", "prod", "--from-endpoint", "http://rollcall.example"],
            "neither https nor on this machine",
        ),
        ([&dev_to_staging[..], &ends, &issuers].concat(), "cannot be read"),
        (vec!["--from", "dev", "--to", "prod", "--from-issuer", "a"], "--to-issuer"),
    ] {
        let mut command = Command::new(PROGRAM);
        command.arg("migrate").args(&arguments).arg("--yes");
        let refused = said(command).await;
        assert!(!refused.success && refused.errors.contains(reason), "{arguments:?}: {refused:?}");
    }
}
