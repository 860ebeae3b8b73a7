//! What an earlier system recorded of people: brought over, compared and undone, from the shell.

use std::path::Path;

use rollcall_resources::Table;
use rollcall_tests::{Browser, Outcome, World};
use serde_json::{Value, json};

use crate::bearer::machine_token;
use crate::erasure::items;
use crate::linking::user_id;
use crate::operating::{Said, rollcall};
use crate::world;

/// A contact of the earlier system, as HubSpot's API has it.
fn contact(id: &str, email: &str, state: &str) -> Value {
    json!({ "id": id, "properties": {
        "email": email,
        "hhl_progress_state": state,
        "hhl_progress_updated_at": "2025-12-24",
        "hhl_total_progress": "2",
    } })
}

fn tree() -> String {
    let begun = json!({ "started": true, "started_at": "2025-10-02T08:00:00Z" });
    let complete = |at: &str| json!({ "completed": true, "completed_at": at });
    json!({
        "run-rollcall": {
            "enrolled": true, "enrolled_at": "2025-10-01T08:00:00.000Z", "enrollment_source": "pathway_page",
            "courses": { "first-steps": {
                "enrolled": true, "enrolled_at": "2025-10-01T08:00:00.000Z",
                "modules": {
                    "start-the-local-cloud": complete("2025-10-03T08:00:00Z"),
                    "Sign-In-As-A-Member": complete("2025-10-04T08:00:00Z"),
                    "follow-a-change": complete("2025-10-05T08:00:00Z"),
                    "retired-module": complete("2025-10-05T08:00:00Z"),
                },
            } },
        },
        "courses": { "hubspot-basics": { "modules": { "upserts-by-a-key": begun } } },
    })
    .to_string()
}

async fn import(world: &World, token: &str, file: &Path, more: &[&str]) -> Said {
    let file = file.to_str().unwrap();
    let arguments = [&["progress", "import", file, "--json"], more].concat();
    rollcall(world, token, &arguments).await
}

/// What an operator asks of Ada's past.
fn order(mode: &str, state: &str) -> Value {
    json!({ "mode": mode, "contacts": [{
        "contact_id": "1", "email": "ada@rollcall.example", "progress_state": state,
    }] })
}

fn statuses(said: &[Value]) -> Vec<&str> {
    said.iter().map(|told| told["status"].as_str().unwrap()).collect()
}

async fn progress_items(world: &World) -> Vec<String> {
    let mut all = items(world, Table::Enrollments).await;
    all.extend(items(world, Table::Progress).await);
    all.sort();
    all
}

async fn milestones(world: &World, browser: &mut Browser) -> Vec<String> {
    let id = user_id(browser).await;
    let key = world.contact(&id).map(|contact| format!("id:{}", contact.id));
    let events = world.cloud.hubspot.events().into_iter();
    events.filter(|event| Some(&event.key) == key.as_ref()).map(|event| event.name).collect()
}

/// Ada, Lin, somebody without an account, a tree that is none, and a line that is none.
fn contacts() -> String {
    let lines = [
        contact("1", "Ada@Rollcall.example", &tree()).to_string(),
        contact("2", "lin@rollcall.example", &tree()).to_string(),
        contact("3", "nobody@rollcall.example", &tree()).to_string(),
        contact("4", "grace@rollcall.example", "{\"run-rollcall\": 7").to_string(),
        "{\"id\":".to_owned(),
    ];
    lines.join("\n")
}

/// An import and its end stand in the audit log, and the CRM hears of no milestone.
async fn is_told_as_history(world: &World, ada: &mut Browser) {
    let id = user_id(ada).await;
    let mut grace = world.signed_in("grace").await;
    let log = grace.get(&format!("/admin/audit?subject={id}")).await.json();
    let actions: Vec<&Value> =
        log["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["import-undone", "progress-imported"], "{log}");
    // History is no news: only what Ada did here is told as an event.
    world.contact_with(&id, &[("rollcall_completed_courses", "")]).await;
    let told = milestones(world, ada).await;
    let news = ["module_started", "module_completed", "course_completed", "enrolled", "awarded"];
    assert!(!told.iter().any(|name| news.iter().any(|news| name.ends_with(news))), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_systems_progress_is_brought_over_compared_and_undone() {
    let world = world().await;
    let (mut ada, mut lin) = (world.signed_in("ada").await, world.signed_in("lin").await);
    let token = machine_token(&world).await;
    // Lin has begun here what she had completed there.
    lin.start_quiz("follow-a-change", "check").await;
    let before = progress_items(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, report) = (folder.path().join("contacts.jsonl"), folder.path().join("report.jsonl"));
    world.signed_in("grace").await;
    std::fs::write(&file, contacts()).unwrap();

    let dry = import(&world, &token, &file, &["--dry-run"]).await.json();
    let expected = ["unreadable", "would_write", "would_write", "no_user", "malformed"];
    assert_eq!(statuses(&dry), expected, "{dry:#?}");
    assert_eq!(progress_items(&world).await, before, "a dry run writes nothing");
    let lacking = import(&world, &token, &file, &["--verify"]).await.json();
    assert_eq!(statuses(&lacking)[1], "incomplete", "{lacking:#?}");
    assert!(lacking[1]["items"].as_array().unwrap().contains(&json!("module follow-a-change")));

    let report = report.to_str().unwrap();
    let done = import(&world, &token, &file, &["--report", report]).await.json();
    assert_eq!(statuses(&done), ["unreadable", "written", "written", "no_user", "malformed"]);
    assert_eq!(done[1]["records"], dry[1]["records"]);
    assert_eq!(
        done[1]["oddities"],
        json!([{
            "place": "run-rollcall/courses/first-steps/modules/retired-module", "code": "unknown",
        }])
    );
    let written = std::fs::read_to_string(report).unwrap();
    assert_eq!(written.lines().count(), 5);
    // Whoever begins again with the report asks about nobody who is done.
    let again = import(&world, &token, &file, &["--report", report]).await.json();
    assert_eq!(statuses(&again), ["unreadable"]);
    let twice = import(&world, &token, &file, &[]).await.json();
    assert_eq!(statuses(&twice)[1..3], ["nothing", "nothing"], "{twice:#?}");
    let verified = import(&world, &token, &file, &["--verify"]).await.json();
    assert_eq!(statuses(&verified)[1..3], ["complete", "complete"], "{verified:#?}");

    let course = ada.get("/courses/first-steps/status").await.json();
    assert_eq!(course["course_status"], "complete");
    let module = ada.get("/modules/sign-in-as-a-member/progress").await.json();
    assert_eq!(module["completed_at"], "2025-10-04T08:00:00Z");
    let enrolled = ada.get("/enrollments").await.json();
    assert_eq!(enrolled["enrollments"].as_array().unwrap().len(), 2, "{enrolled}");
    let id = user_id(&mut ada).await;
    // Badges follow from what was told, and certificates from nothing that we have not seen.
    let told = [
        ("rollcall_completed_courses", "first-steps"),
        ("rollcall_badges", "course first-steps;first_module start-the-local-cloud"),
        ("rollcall_certificates", ""),
    ];
    world.contact_with(&id, &told).await;
    assert_eq!(ada.get("/certificates").await.json()["certificates"], json!([]));
    let begun = lin.get("/modules/follow-a-change/progress").await.json();
    assert_eq!(begun["module_status"], "complete");
    assert!(begun["started_at"].as_str().unwrap() > "2026", "what is ours stays: {begun}");

    // Ada goes on in what was brought over.
    ada.attest_lab("follow-a-change", "watch-a-contact").await;
    let undone = import(&world, &token, &file, &["--undo"]).await.json();
    assert_eq!(statuses(&undone), ["unreadable", "undone", "undone", "no_user", "nothing"]);
    assert_eq!(undone[1]["items"], json!(["module follow-a-change"]));
    let left = ada.get("/progress").await.json();
    assert_eq!(left["modules_completed"], 1, "{left}");
    assert_eq!(ada.get("/enrollments").await.json()["enrollments"], json!([]));
    let begun_again = lin.get("/modules/follow-a-change/progress").await.json();
    assert_eq!(begun_again["module_status"], "in_progress", "as before the import");
    assert_eq!(begun_again["started_at"], begun["started_at"]);
    assert_eq!(statuses(&import(&world, &token, &file, &["--undo"]).await.json())[1], "nothing");

    is_told_as_history(&world, &mut ada).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_larger_than_one_write_is_brought_and_undone_portion_by_portion() {
    let world = world().await;
    // So many modules that they do not fit one transaction.
    let modules = (0..130).map(|number| {
        let name = format!("module-{number}");
        rollcall_domain::catalog::Module::new(name.parse().unwrap(), &name, Vec::new())
    });
    let mut edition = rollcall_cli::sample::edition().unwrap();
    let catalog = &edition.catalog;
    let all = catalog.modules().cloned().chain(modules).collect();
    let (pathways, courses) = (catalog.pathways().cloned(), catalog.courses().cloned());
    let catalog =
        rollcall_domain::catalog::Catalog::new(pathways.collect(), courses.collect(), all).unwrap();
    for module in catalog.modules() {
        edition.texts.entry(module.slug.clone()).or_insert_with(|| "# Text".to_owned());
    }
    edition.catalog = catalog;
    rollcall_cli::sample::publish(&world.cloud, &edition).await.unwrap();
    let mut ada = world.signed_in("ada").await;
    let completed = json!({ "completed": true, "completed_at": "2025-10-04T08:00:00Z" });
    let modules: serde_json::Map<String, Value> =
        (0..130).map(|number| (format!("module-{number}"), completed.clone())).collect();
    let mut grace = world.signed_in("grace").await;
    let path = "/admin/progress/imports/learn";
    // What the answer lists is bounded, and how much there is of it is told.
    let nowhere: serde_json::Map<String, Value> =
        (0..120).map(|number| (format!("nowhere-{number}"), json!({ "enrolled": true }))).collect();
    let odd = json!({ "run-rollcall": { "modules": modules }, "courses": nowhere }).to_string();
    let told = grace.post(path, Some(order("verify", &odd))).await.json();
    let told = &told["contacts"][0];
    for (list, total) in [("items", 130), ("oddities", 120)] {
        assert_eq!(told[list].as_array().unwrap().len(), 100, "{told}");
        assert_eq!(told[format!("{list}_total")], total, "{told}");
    }
    let state = json!({ "run-rollcall": { "modules": modules } }).to_string();
    // Two operators at once are as good as one.
    let mut other = grace.clone();
    let (one, two) = futures::future::join(
        grace.post(path, Some(order("import", &state))),
        other.post(path, Some(order("import", &state))),
    )
    .await;
    let records =
        |answer: &rollcall_tests::Answer| answer.json()["contacts"][0]["records"].as_u64();
    assert_eq!(records(&one).unwrap() + records(&two).unwrap(), 130, "{one:?} {two:?}");
    assert_eq!(ada.get("/progress").await.json()["modules_completed"], 130);
    let undone = grace.post(path, Some(order("undo", "{}"))).await.json();
    assert_eq!(undone["contacts"][0]["status"], "undone", "{undone}");
    assert_eq!(undone["contacts"][0]["records"], 130);
    assert_eq!(ada.get("/progress").await.json()["modules_completed"], 0);
    for (body, pointer) in [
        (json!({ "mode": "import", "contacts": [] }), "/contacts"),
        (json!({ "mode": "guess", "contacts": [] }), "/mode"),
        (order("import", &"x".repeat(300_000)), "/contacts/0/progress_state"),
    ] {
        let refused = grace.post(path, Some(body)).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer);
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_import_brings_while_it_is_undone_is_undone_or_can_be() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    let mut grace = world.signed_in("grace").await;
    let path = "/admin/progress/imports/learn";
    let state = |modules: &[&str]| {
        let completed = json!({ "completed": true, "completed_at": "2025-10-04T08:00:00Z" });
        let modules: serde_json::Map<String, Value> =
            modules.iter().map(|slug| ((*slug).to_owned(), completed.clone())).collect();
        json!({ "run-rollcall": { "modules": modules } }).to_string()
    };
    let (first, second) = ("start-the-local-cloud", "sign-in-as-a-member");
    let brought = grace.post(path, Some(order("import", &state(&[first])))).await.json();
    assert_eq!(brought["contacts"][0]["status"], "written", "{brought}");
    // Until nobody but the undoing reads what Ada has learned.
    let badge = format!("first_module {first}");
    world.contact_with(&ada_id, &[("rollcall_badges", &badge)]).await;
    let mut held = world.cloud.dynamodb.faults().hold_next("Query", &format!("user#{ada_id}"));
    let mut other = grace.clone();
    let importing = async {
        assert!(held.arrived().await);
        let more = other.post(path, Some(order("import", &state(&[first, second])))).await;
        drop(held);
        more.json()
    };
    let undoing = grace.post(path, Some(order("undo", "{}")));
    let (undone, brought) = futures::future::join(undoing, importing).await;
    assert_eq!(undone.json()["contacts"][0]["status"], "undone", "{undone:?}");
    assert_eq!(brought["contacts"][0]["status"], "written", "{brought}");
    assert_eq!(grace.post(path, Some(order("undo", "{}"))).await.status, 200);
    assert_eq!(ada.get("/progress").await.json()["modules_completed"], 0);
    world.finish(Outcome::Clean).await;
}
