//! What tells that Rollcall is well, and the switch for when it is not.

use rollcall_functions_ops::canary::CANARY_URL;
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::bearer::{access_token, machine_token};
use crate::operating::{Said, rollcall};
use crate::visible::measured_last;
use crate::{PROGRAM, world};

/// Lets a schedule's function run once.
async fn round(world: &World, function: &str) {
    let order = b"{}".as_slice().into();
    let invocation = world.cloud.lambda.invoke(function, order, None).await.unwrap();
    assert!(matches!(invocation.outcome, Invoked::Response(_)), "{invocation:?}");
}

async fn becomes(world: &World, function: &str, metric: &str, is_right: impl Fn(f64) -> bool) {
    round(world, function).await;
    eventually(&format!("{metric} is measured"), async || {
        measured_last(world, metric).filter(|value| is_right(*value))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_canary_tells_an_api_that_answers_from_one_that_does_not() {
    let well = world().await;
    becomes(&well, "canary", "CanaryAnswered", |answered| answered > 0.0).await;
    well.finish(Outcome::Clean).await;

    let dead = World::start_with(PROGRAM, Vec::new(), |options| {
        rollcall_cli::sample::set(options, &CANARY_URL, "http://localhost:1/health");
    })
    .await;
    becomes(&dead, "canary", "CanaryAnswered", |answered| answered == 0.0).await;
    dead.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_crm_is_measured_while_nothing_is_sent() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    becomes(&world, "crm-watch", "CrmPaused", |paused| paused == 0.0).await;
    assert_eq!(measured_last(&world, "CrmLettersOpen"), Some(0.0));
    world.break_hubspot().await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    eventually("the sync stands still and is measured", async || {
        round(&world, "crm-watch").await;
        let waiting = measured_last(&world, "CrmWaiting").filter(|waiting| *waiting > 0.0);
        waiting.and(measured_last(&world, "CrmPaused")).filter(|paused| *paused > 0.0)
    })
    .await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_turned_away_is_measured() {
    let world = world().await;
    let mut nobody = world.browser();
    assert_eq!(nobody.get("/enrollments").await.status, 401);
    let url = format!("{}/enrollments", nobody.api);
    let answer = nobody.send("GET", &url, None, &[("authorization", "Bearer nothing")]).await;
    assert_eq!(answer.status, 401);
    for metric in ["SessionsRefused", "TokensInvalid"] {
        eventually(metric, async || measured_last(&world, metric)).await;
    }
    world.finish(Outcome::Clean).await;
}

async fn answers(browser: &Browser, path: &str, status: u16) {
    eventually(&format!("{path} answers {status}"), async || {
        let answer = browser.clone().get(path).await;
        (answer.status == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_routes_is_closed_and_opened_by_a_command_and_everybody_is_told() {
    let world = world().await;
    let token = machine_token(&world).await;
    let mut ada = world.signed_in("ada").await;
    answers(&ada, "/enrollments", 200).await;
    let said = rollcall(&world, &token, &["close", "learning", "--dry-run"]).await;
    assert_eq!((said.success, said.output.as_str()), (true, "would close learning\n"), "{said:?}");
    answers(&ada, "/enrollments", 200).await;

    let [closed] =
        rollcall(&world, &token, &["close", "learning", "--json"]).await.json().try_into().unwrap();
    assert_eq!((&closed["name"], &closed["open"]), (&json!("learning"), &json!(false)));
    answers(&ada, "/enrollments", 503).await;
    let refused = ada.get("/enrollments").await;
    assert_eq!((refused.header("retry-after"), &refused.json()["code"]), ("60", &json!("closed")));
    let refused = ada.put("/enrollments/course/first-steps", None).await;
    assert!(matches!(refused.status, 200 | 503), "{refused:?}");
    answers(&world.browser(), "/enrollments", 503).await;
    assert_eq!(ada.get("/auth/me").await.status, 200, "the other groups stay open");
    let status = world.browser().get("/status").await;
    assert_eq!((status.status, &status.json()["status"]), (200, &json!("partly_closed")));
    let groups: Vec<Value> = status.json()["groups"].as_array().unwrap().clone();
    let closed: Vec<&Value> = groups.iter().filter(|group| group["open"] == false).collect();
    assert_eq!(closed.len(), 1);

    let all = rollcall(&world, &token, &["open", "all"]).await;
    assert!(all.success && all.output.lines().count() == 4, "{all:?}");
    answers(&ada, "/enrollments", 200).await;
    assert_eq!(world.browser().get("/status").await.json()["status"], "open");
    let mut grace = world.signed_in("grace").await;
    let told = grace.get("/admin/audit?subject=flag:routes-learning&limit=10").await.json();
    let entries = told["entries"].as_array().unwrap();
    let steps: Vec<_> =
        entries.iter().map(|entry| entry["details"]["to"].as_str().unwrap()).collect();
    assert_eq!(steps, ["on", "off"]);
    assert!(entries.iter().all(|entry| entry["actor"].as_str().unwrap().starts_with("client:")));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_looks_at_everything_and_fails_when_anything_is_wrong() {
    let world = world().await;
    let (machine, ada) = (machine_token(&world).await, access_token(&world, "ada").await);
    world.signed_in("ada").await;
    let arguments = ["verify", "--json", "--user-token", &ada];
    let said = rollcall(&world, &machine, &arguments).await;
    let states = |said: &Said| -> Vec<(String, String)> {
        let lines = said.output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        lines.map(|line| (text(&line, "check"), text(&line, "state"))).collect()
    };
    assert!(said.success, "{said:?}");
    let skipped: Vec<_> = states(&said).into_iter().filter(|(_, state)| state != "ok").collect();
    let expected = ["certificate", "alarms"].map(|check| (check.to_owned(), "skipped".to_owned()));
    assert_eq!(skipped, expected);
    assert!(states(&said).iter().any(|(check, _)| check == "crm-arrival"));

    assert!(rollcall(&world, &machine, &["close", "learning"]).await.success);
    answers(&world.browser(), "/enrollments", 503).await;
    let said = rollcall(&world, &machine, &arguments).await;
    assert!(!said.success, "{said:?}");
    let failed: Vec<_> = states(&said).into_iter().filter(|(_, state)| state == "failed").collect();
    let names: Vec<&str> = failed.iter().map(|(check, _)| check.as_str()).collect();
    // Other instances may not know yet that the group is closed.
    assert!(names.contains(&"status") && names.contains(&"closed-by-default"), "{names:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sets_flags_from_the_shell_and_a_machine_does_not() {
    let world = world().await;
    world.signed_in("grace").await;
    let (grace, machine) = (access_token(&world, "grace").await, machine_token(&world).await);
    let said = rollcall(&world, &grace, &["flags", "set", "sign-up", "25%", "--dry-run"]).await;
    assert_eq!(said.output, "would set sign-up from on to 25%\n");
    let said = rollcall(&world, &grace, &["flags", "set", "sign-up", "25%", "--json"]).await;
    assert_eq!(said.json()[0]["value"], "25%");
    let listed = rollcall(&world, &grace, &["flags", "list", "--json"]).await.json();
    let flag = listed.iter().find(|flag| flag["name"] == "sign-up").unwrap();
    assert_eq!(flag["value"], "25%");
    let refused = rollcall(&world, &machine, &["flags", "set", "sign-up", "on"]).await;
    assert!(!refused.success && refused.errors.contains("user-required"), "{refused:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_close_anything_and_only_what_there_is() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let body = Some(json!({ "open": false }));
    assert_eq!(ada.put("/admin/route-groups/learning", body.clone()).await.status, 403);
    let mut grace = world.signed_in("grace").await;
    assert_eq!(grace.put("/admin/route-groups/admin", body).await.status, 404);
    let wrong = grace.put("/admin/route-groups/learning", Some(json!({ "open": "no" }))).await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    let same = grace.put("/admin/route-groups/learning", Some(json!({ "open": true }))).await;
    assert_eq!((same.status, &same.json()["since"]), (200, &Value::Null));
    world.finish(Outcome::Clean).await;
}
