//! All users are compared with the CRM: what differs is found, nothing is invented, and repair leaves
//! nothing.

use std::collections::BTreeSet;

use rollcall_cli::sample;
use rollcall_crm::port::Overseer;
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::id::UserId;
use rollcall_domain::time::{Clock, after_seconds};
use rollcall_local::lambda::{CrashPoint, Outcome as Invoked};
use rollcall_runtime::system::SystemClock;
use rollcall_store::crm::{ContactErasure, PendingMarker};
use rollcall_store::{Capability, Tables};
use rollcall_tests::{Browser, Outcome, World, eventually, member};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::bearer::machine_token;
use crate::operating::rollcall;
use crate::portal::{Portal as Way, in_every_portal};

const PATH: &str = "/admin/crm/reconciliations";
const CONTACTS: &str = "/crm/v3/objects/contacts";
const MEMBERS: usize = 7;

/// A class and the user, or contact, that it is about.
type Found = BTreeSet<(String, String)>;

struct Portal {
    world: World,
    grace: Browser,
    members: Vec<String>,
}

async fn user_id(browser: &mut Browser) -> String {
    browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
}

/// Calls `crm-drain` until nothing waits.
async fn drained(world: &World, grace: &Browser) {
    eventually("nothing waits", async || {
        let drained = world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
        assert!(matches!(drained.outcome, Invoked::Response(_)), "{drained:?}");
        let status = grace.clone().get("/admin/crm/status").await.json();
        (status["pending"]["total"] == 0).then_some(())
    })
    .await;
}

async fn begin(grace: &mut Browser, order: Value) -> String {
    let begun = grace.post(PATH, Some(order)).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(begun.json()["status"], "running");
    begun.json()["id"].as_str().unwrap().to_owned()
}

impl Portal {
    async fn start(change: impl FnOnce(&mut rollcall_local::Options)) -> Self {
        let people = (0..MEMBERS).map(member).collect();
        let world = World::start_with(PROGRAM, people, change).await;
        let grace = world.signed_in("grace").await;
        let mut members = Vec::new();
        for number in 0..MEMBERS {
            let mut browser = world.signed_in(&format!("member-{number}")).await;
            assert_eq!(browser.put("/enrollments/course/first-steps", None).await.status, 200);
            members.push(user_id(&mut browser).await);
        }
        for member in &members {
            world.contact_with(member, &[("rollcall_enrolled_courses", "first-steps")]).await;
        }
        drained(&world, &grace).await;
        let portal = Self { world, grace, members };
        // What is told at once is put right at once, and reconciliation is for what nobody told.
        portal.controls("webhooks", json!({ "paused": true })).await;
        portal
    }

    fn contact_id(&self, member: usize) -> String {
        self.world.contact(&self.members[member]).unwrap().id
    }

    async fn controls(&self, path: &str, order: Value) {
        let answer = self.world.hubspot("POST", &format!("/_emulator/{path}"), Some(order)).await;
        assert!(answer.status < 300, "{answer:?}");
    }

    async fn edit(&self, member: usize, name: &str, value: &str) {
        let order = json!({ "id": self.contact_id(member), "properties": { name: value } });
        self.controls("edit", order).await;
    }

    async fn new_contact(&self, email: &str, user_id: Option<&str>) -> String {
        let mut properties = json!({ "email": email });
        if let Some(user_id) = user_id {
            properties["rollcall_user_id"] = json!(user_id);
        }
        let body = Some(json!({ "properties": properties }));
        let made = self.world.hubspot("POST", CONTACTS, body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// What the CRM acknowledged of a member's identity is not what is now.
    async fn forget_acknowledgement(&self, member: usize) {
        let update = json!({
            "TableName": "rollcall-dev-crm",
            "Key": {
                "pk": { "S": format!("user#{}", self.members[member]) }, "sk": { "S": "ledger" },
            },
            "UpdateExpression": "SET facets.#identity.acknowledged.#hash = :old",
            "ExpressionAttributeNames": { "#identity": "identity", "#hash": "hash" },
            "ExpressionAttributeValues": { ":old": { "S": "what was before" } },
        });
        self.world.dynamodb("UpdateItem", &update).await;
    }

    /// Calls `crm-reconcile` until `id` is through.
    async fn work(&mut self, id: &str) -> Value {
        let (world, grace) = (&self.world, &mut self.grace);
        eventually("the reconciliation is through", async || {
            let _worked = world.cloud.lambda.invoke("crm-reconcile", "{}".into(), None).await;
            let run = grace.get(&format!("{PATH}/{id}")).await;
            assert_eq!(run.status, 200, "{run:?}");
            (run.json()["status"] == "done").then(|| run.json())
        })
        .await
    }

    /// Everything that `id` found, three at a time.
    async fn findings(&mut self, id: &str) -> Vec<Value> {
        let (mut findings, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("{PATH}/{id}/findings?limit=3{cursor}");
            let page = self.grace.get(&path).await;
            assert_eq!(page.status, 200, "{page:?}");
            let page = page.json();
            findings.extend(page["findings"].as_array().unwrap().clone());
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return findings,
            }
        }
    }

    async fn reconciled(&mut self, order: Value) -> (Value, Vec<Value>) {
        let id = begin(&mut self.grace, order).await;
        let run = self.work(&id).await;
        let findings = self.findings(&id).await;
        drained(&self.world, &self.grace).await;
        (run, findings)
    }

    fn found(&self, findings: &[Value]) -> Found {
        let whom = |finding: &Value| {
            let user = finding["user_id"].as_str().unwrap_or("nobody").to_owned();
            let number = self.members.iter().position(|member| *member == user);
            number.map_or(user, |number| number.to_string())
        };
        let class = |finding: &Value| finding["class"].as_str().unwrap().to_owned();
        findings.iter().map(|finding| (class(finding), whom(finding))).collect()
    }
}

fn expected(pairs: &[(&str, &str)]) -> Found {
    pairs.iter().map(|(class, whom)| ((*class).to_owned(), (*whom).to_owned())).collect()
}

const STRANGER: &str = "usr_019a9c5be40070008000000000000001";

/// One of every kind of drift. Returns what is to be found: a portal that keeps a contact's id when
/// another is merged into it has nothing merged that we could notice, or would have to.
async fn drift(portal: &Portal) -> Found {
    let gone = portal.contact_id(0);
    let archived = portal.world.hubspot("DELETE", &format!("{CONTACTS}/{gone}"), None).await;
    assert_eq!(archived.status, 204, "{archived:?}");
    portal.edit(1, "firstname", "Adelaide").await;
    portal.edit(2, "rollcall_enrolled_courses", "something else").await;
    portal.forget_acknowledgement(3).await;
    portal.edit(3, "lastname", "Before").await;
    let twin = portal.new_contact("twin@rollcall.example", None).await;
    let primary = portal.contact_id(4);
    let merge = json!({ "primary_id": primary, "merged_id": twin });
    portal.controls("merge", merge).await;
    let is_another = portal.contact_id(4) != primary;
    forget(portal, 5).await;
    portal.new_contact("stranger@rollcall.example", Some(STRANGER)).await;
    portal.new_contact("garbage@rollcall.example", Some("no id of ours")).await;
    portal.new_contact("somebody@rollcall.example", None).await;
    let mut all = expected(&[
        ("missing", "0"),
        ("edited", "1"),
        ("edited", "2"),
        ("stale", "3"),
        ("erased", "5"),
        ("foreign", STRANGER),
        ("foreign", "nobody"),
    ]);
    if is_another {
        all.extend(expected(&[("merged", "4")]));
    }
    all
}

/// Has a member's contact erased, and then somebody imports it again.
async fn forget(portal: &Portal, member: usize) {
    let user: UserId = portal.members[member].parse().unwrap();
    let tables = Tables::new(&sample::operator(&portal.world.cloud.addresses), "dev");
    let email = Some(format!("member-{member}@rollcall.example"));
    let removal = Removal::new("a-wish".to_owned(), RemovalKind::Erase, email, SystemClock.now());
    ContactErasure::new(&tables).ask(&user, &removal).await.unwrap();
    drained(&portal.world, &portal.grace).await;
    assert_eq!(portal.world.contact(user.as_str()), None);
    portal.new_contact("imported@rollcall.example", Some(user.as_str())).await;
}

async fn mark_table(world: &World, table: &str, seconds: i64) {
    let tables = Tables::new(&sample::operator(&world.cloud.addresses), "dev");
    let at = after_seconds(SystemClock.now(), seconds);
    PendingMarker::new(&tables).table().need_reconcile(table, at).await.unwrap();
}

async fn every_class_of_drift_is_found_none_is_invented_and_repair_leaves_none(way: Way) {
    let mut portal = Portal::start(|options| way.set(options)).await;
    let (run, none) = portal.reconciled(json!({ "policy": "report" })).await;
    assert_eq!(none, Vec::<Value>::new(), "{run}");
    assert_eq!(run["users"], json!(MEMBERS + 1));
    let all = drift(&portal).await;
    let before = portal.world.cloud.hubspot.contacts();
    for order in [json!({ "policy": "report" }), json!({ "policy": "repair", "dry_run": true })] {
        let (run, findings) = portal.reconciled(order).await;
        assert_eq!(portal.found(&findings), all, "{run}");
        assert_eq!(portal.world.cloud.hubspot.contacts(), before, "nothing is changed");
        let repaired = if run["dry_run"] == true { all.len() } else { 0 };
        assert_eq!(run["repaired"], json!(repaired));
        assert!(!findings.iter().any(|finding| finding.to_string().contains("Adelaide")));
    }

    mark_table(&portal.world, "users", -60).await;
    mark_table(&portal.world, "progress", 3_600).await;
    portal.reconciled(json!({ "policy": "repair-owned-only" })).await;
    let status = portal.grace.get("/admin/crm/status").await.json();
    assert_eq!(status["tables_to_reconcile"], json!(["progress"]), "only what was lost before");
    let (_, left) = portal.reconciled(json!({ "policy": "report" })).await;
    let peoples = expected(&[("edited", "1"), ("foreign", STRANGER), ("foreign", "nobody")]);
    assert_eq!(portal.found(&left), peoples);

    let (_, repaired) = portal.reconciled(json!({ "policy": "repair" })).await;
    assert_eq!(portal.found(&repaired), peoples);
    let (run, nothing) = portal.reconciled(json!({ "policy": "report" })).await;
    assert_eq!(nothing, Vec::<Value>::new(), "{run}");
    let contacts = portal.world.cloud.hubspot.contacts();
    let living = contacts.iter().filter(|contact| !contact.archived);
    let owned = living.filter(|contact| contact.properties.contains_key("rollcall_user_id"));
    // Everybody but the one who had to be forgotten.
    assert_eq!(owned.count(), MEMBERS);
    assert!(portal.world.contact(&portal.members[5]).is_none());
    portal.world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_took_off_is_put_back_where_it_was() {
    let mut portal = Portal::start(|_| {}).await;
    let contact = portal.contact_id(6);
    portal.edit(6, "rollcall_user_id", "").await;
    let (_, findings) = portal.reconciled(json!({ "policy": "repair-owned-only" })).await;
    assert_eq!(portal.found(&findings), expected(&[("edited", "6")]));
    assert_eq!(portal.contact_id(6), contact);
    portal.world.finish(Outcome::Clean).await;
}

async fn one_at_a_time_goes_on_after_crashes_and_an_outage(way: Way) {
    let mut portal = Portal::start(|options| way.set(options)).await;
    let all = drift(&portal).await;
    let id = begin(&mut portal.grace, json!({ "policy": "repair" })).await;
    let second = portal.grace.post(PATH, Some(json!({ "policy": "report" }))).await;
    assert_eq!(second.status, 409, "{second:?}");
    assert_eq!(
        (&second.json()["code"], &second.json()["detail"]),
        (&json!("reconciliation-running"), &json!(id))
    );
    let lambda = &portal.world.cloud.lambda;
    lambda.crash_next("crm-reconcile", 1, CrashPoint::BeforeDelivery).unwrap();
    let _crashed = lambda.invoke("crm-reconcile", "{}".into(), None).await;
    portal.world.break_hubspot().await;
    let _in_vain = lambda.invoke("crm-reconcile", "{}".into(), None).await.unwrap();
    let run = portal.grace.get(&format!("{PATH}/{id}")).await.json();
    assert_eq!((&run["status"], &run["users"]), (&json!("running"), &json!(0)), "{run}");
    portal.world.mend_hubspot().await;
    let run = portal.work(&id).await;
    assert_eq!(run["repaired"], json!(all.len()), "{run}");
    drained(&portal.world, &portal.grace).await;
    let (_, nothing) = portal.reconciled(json!({ "policy": "report" })).await;
    assert_eq!(nothing, Vec::<Value>::new());
    let told = portal.grace.get(&format!("/admin/audit?subject={id}")).await.json();
    assert_eq!(told["entries"][0]["action"], "reconciliation-started", "{told}");
    assert_eq!(told["entries"][0]["details"], json!({ "policy": "repair", "dry_run": "false" }));
    portal.world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_begin_a_comparison_follow_it_and_print_a_finding_a_line() {
    let mut portal = Portal::start(|_| {}).await;
    portal.edit(1, "firstname", "Adelaide").await;
    portal.edit(2, "rollcall_enrolled_courses", "something else").await;
    let token = machine_token(&portal.world).await;
    let order = ["crm", "reconcile", "--policy", "repair-owned-only", "--dry-run", "--json"];
    let begun = rollcall(&portal.world, &token, &order).await.json();
    assert_eq!(
        (&begun[0]["policy"], &begun[0]["dry_run"]),
        (&json!("repair-owned-only"), &json!(true))
    );
    let id = begun[0]["id"].as_str().unwrap().to_owned();
    let again = rollcall(&portal.world, &token, &["crm", "backfill"]).await;
    assert!(!again.success && again.errors.contains(&id), "{again:?}");
    portal.work(&id).await;
    let follow = ["crm", "reconcile", "--follow", "--id", &id];
    let said = rollcall(&portal.world, &token, &[&follow[..], &["--json"]].concat()).await.json();
    let (summary, findings) = said.split_last().unwrap();
    assert_eq!(portal.found(findings), expected(&[("edited", "1"), ("edited", "2")]));
    assert_eq!((&summary["status"], &summary["repaired"]), (&json!("done"), &json!(1)));
    let said = rollcall(&portal.world, &token, &follow).await;
    assert!(said.output.contains("edited     2\n"), "{said:?}");
    assert!(said.output.contains("would be repaired 1\n"), "{said:?}");
    portal.world.finish(Outcome::Clean).await;
}

async fn a_backfill_sends_what_was_never_acknowledged_and_searches_nothing(way: Way) {
    let mut portal = Portal::start(|options| way.set(options)).await;
    for member in [0, 3] {
        portal.forget_acknowledgement(member).await;
    }
    let calls = portal.world.cloud.hubspot.calls().len();
    let (run, findings) = portal.reconciled(json!({ "policy": "backfill" })).await;
    assert_eq!(portal.found(&findings), expected(&[("stale", "0"), ("stale", "3")]), "{run}");
    let calls = portal.world.cloud.hubspot.calls().split_off(calls);
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert!(calls[0].path.ends_with("/contacts/batch/upsert"), "{calls:#?}");
    let (_, nothing) = portal.reconciled(json!({ "policy": "backfill" })).await;
    assert_eq!(nothing, Vec::<Value>::new());
    portal.world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_keys_are_not_unique_duplicates_are_found_and_released() {
    let mut portal = Portal::start(|options| {
        sample::set(options, &rollcall_functions_crm::settings::HUBSPOT_KEY, "email");
        sample::set(options, &rollcall_functions_crm::settings::HUBSPOT_API, "v3");
        options.hubspot.1.unique_keys_on_contacts = false;
    })
    .await;
    let (_, none) = portal.reconciled(json!({ "policy": "report" })).await;
    assert_eq!(none, Vec::<Value>::new());
    let twin = portal.new_contact("twin@rollcall.example", Some(&portal.members[0])).await;
    portal.edit(1, "firstname", "Adelaide").await;
    forget(&portal, 5).await;
    let wanted = expected(&[("duplicate", "0"), ("edited", "1"), ("erased", "5")]);
    let (_, findings) = portal.reconciled(json!({ "policy": "repair" })).await;
    assert_eq!(portal.found(&findings), wanted);
    let (_, nothing) = portal.reconciled(json!({ "policy": "report" })).await;
    assert_eq!(nothing, Vec::<Value>::new());
    let contacts = portal.world.cloud.hubspot.contacts();
    let twin = contacts.iter().find(|contact| contact.id == twin).unwrap();
    assert!(!twin.archived && !twin.properties.contains_key("rollcall_user_id"), "{twin:?}");
    portal.world.finish(Outcome::Clean).await;
}

in_every_portal! { DatedWithEvents, UndatedByProperties:
    every_class_of_drift_is_found_none_is_invented_and_repair_leaves_none;
    one_at_a_time_goes_on_after_crashes_and_an_outage;
    a_backfill_sends_what_was_never_acknowledged_and_searches_nothing;
}
