//! What an operator can follow and measure: one id from a request to the CRM's call, and numbers for
//! everything that becomes of a change.

use rollcall_tests::{Answer, Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::recovery::quiet;
use crate::world;

/// The id that the log of a request is under.
async fn trace_id(world: &World, answer: &Answer) -> String {
    let lines = world.log_of(answer).await;
    let id = lines[0]["correlation_id"].as_str().unwrap().to_owned();
    assert!(lines.iter().all(|line| line["correlation_id"] == id.as_str()), "{lines:#?}");
    id
}

/// The first call to the CRM that was followed by this id and answered well.
async fn call_under(world: &World, trace_id: &str) -> Value {
    let what = format!("a call under {trace_id}");
    eventually(&what, async || {
        let mut calls = world.cloud.hubspot.calls().into_iter();
        let call = calls.find(|call| {
            call.trace_id.as_deref() == Some(trace_id)
                && call.path.ends_with("/batch/upsert")
                && call.status.is_some_and(|status| status < 300)
        })?;
        Some(call.body_json())
    })
    .await
}

async fn enrol(member: &mut Browser, course: &str) -> Answer {
    let answer = member.put(&format!("/enrollments/course/{course}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_leads_from_a_request_through_stream_and_queue_to_the_call() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    quiet(&world).await;
    let carries = |body: &Value, courses: &str| {
        let sent = &body["inputs"][0]["properties"]["rollcall_enrolled_courses"];
        assert_eq!(sent, courses, "{body}");
    };

    let answer = enrol(&mut ada, "first-steps").await;
    let at_once = trace_id(&world, &answer).await;
    carries(&call_under(&world, &at_once).await, "first-steps");

    // The id waits with the change while the CRM is away.
    world.break_hubspot().await;
    let answer = enrol(&mut ada, "hubspot-basics").await;
    let later = trace_id(&world, &answer).await;
    assert_ne!(at_once, later);
    let grace = world.signed_in("grace").await;
    eventually("the change waits", async || {
        let status = grace.clone().get("/admin/crm/status").await.json();
        (status["pending"]["by_facet"]["learning"] == 1).then_some(())
    })
    .await;
    world.mend_hubspot().await;
    carries(&call_under(&world, &later).await, "first-steps;hubspot-basics");
    world.finish(Outcome::Troubled).await;
}

/// Every value of a metric that was measured so far, oldest first.
fn values(world: &World, metric: &str) -> Vec<f64> {
    let lines = world.cloud.logs.lines().into_iter();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line.line).ok());
    let values = lines.filter(|line| !line["_aws"].is_null()).filter_map(|line| {
        let directives = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(
            (&directives["Dimensions"], &line["stage"]),
            (&json!([["stage"]]), &json!("dev"))
        );
        let declared = directives["Metrics"].as_array()?;
        declared.iter().any(|declared| declared["Name"] == metric).then_some(())?;
        line[metric].as_f64()
    });
    values.collect()
}

/// The sum of a metric over everything that was measured so far; `None` when it never was.
fn measured(world: &World, metric: &str) -> Option<f64> {
    let values = values(world, metric);
    (!values.is_empty()).then(|| values.iter().sum())
}

/// The last value of a metric; `None` when it never was measured.
pub(crate) fn measured_last(world: &World, metric: &str) -> Option<f64> {
    values(world, metric).pop()
}

async fn grows(world: &World, metric: &str) {
    let what = format!("{metric} is measured");
    eventually(&what, async || measured(world, metric).filter(|sum| *sum > 0.0)).await;
}

async fn fault(world: &World, fault: Value) {
    let answer = world.hubspot("POST", "/_emulator/faults", Some(fault)).await;
    assert!(answer.status < 300, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_becomes_of_a_change_is_measured() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    for metric in ["CrmSent", "CrmCalls", "CrmLag"] {
        grows(&world, metric).await;
    }
    let ada_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    quiet(&world).await;
    let dynamodb = &world.cloud.dynamodb;
    let table = "rollcall-dev-users";
    let shards = dynamodb.shards(table);
    let known: Vec<Value> = shards
        .iter()
        .flat_map(|shard| dynamodb.read_stream(table, shard, None, 100).unwrap())
        .collect();
    let known = json!({ "Records": known }).to_string();
    world.cloud.lambda.invoke("crm-sync", known.into(), None).await.unwrap();
    grows(&world, "CrmUnchanged").await;

    fault(&world, json!({ "kind": "status", "status": 503, "count": 1 })).await;
    enrol(&mut ada, "first-steps").await;
    for metric in ["CrmPending", "CrmCallsRefused"] {
        grows(&world, metric).await;
    }
    quiet(&world).await;
    let refusal =
        json!({ "kind": "refuse_property", "name": "rollcall_enrolled_courses", "message": "no" });
    fault(&world, refusal).await;
    enrol(&mut ada, "hubspot-basics").await;
    grows(&world, "CrmDead").await;
    world.mend_hubspot().await;
    fault(&world, json!({ "kind": "drop_after_commit", "count": 1 })).await;
    enrol(&mut ada, "streams-and-queues").await;
    grows(&world, "CrmCallsLost").await;
    for metric in ["CrmPaced", "CrmCallsLimited"] {
        assert!(measured(&world, metric).is_some(), "{metric}");
    }
    world.finish(Outcome::Troubled).await;
}
