//! What answers look like, to the byte but for ids, times and tokens.

use rollcall_tests::{Browser, Outcome};
use serde_json::{Value, json};

use crate::world;

/// Values that differ from run to run, by the names of their fields.
const CHANGING: [&str; 13] = [
    "cursor",
    "ends_at",
    "enrolled_at",
    "fingerprint",
    "first_seen_at",
    "id",
    "instance",
    "joined_at",
    "last_seen_at",
    "signed_in_at",
    "token",
    "user_id",
    "version",
];

/// `value` with every changing value replaced by the name of its type.
fn steady(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(steady).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let changes = CHANGING.contains(&name.as_str()) && value.is_string();
                let value = if changes { json!(format!("[{name}]")) } else { steady(value) };
                (name, value)
            })
            .collect(),
        other => other,
    }
}

async fn check(browser: &mut Browser, name: &str, method: &str, path: &str, body: Option<Value>) {
    let answer = browser.change(method, path, body).await;
    let shape = json!({
        "status": answer.status,
        "content-type": answer.header("content-type"),
        "cache-control": answer.header("cache-control"),
        "body": steady(answer.json()),
    });
    insta::assert_json_snapshot!(name, shape);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_their_shapes() {
    let world = world().await;
    let mut nobody = world.browser();
    check(&mut nobody, "health", "GET", "/health", None).await;
    check(&mut nobody, "pathways", "GET", "/pathways", None).await;
    check(&mut nobody, "course", "GET", "/courses/first-steps", None).await;
    check(&mut nobody, "module", "GET", "/modules/follow-a-change", None).await;
    check(&mut nobody, "not_found", "GET", "/courses/nowhere", None).await;
    check(&mut nobody, "unauthenticated", "GET", "/auth/me", None).await;
    let mut ada = world.signed_in("ada").await;
    check(&mut ada, "me", "GET", "/auth/me", None).await;
    check(&mut ada, "csrf", "GET", "/auth/csrf", None).await;
    check(&mut ada, "forbidden", "GET", "/admin/crm/status", None).await;
    let course = "/enrollments/course/first-steps";
    check(&mut ada, "enrolled", "PUT", course, Some(json!({ "source": "snapshot" }))).await;
    check(&mut ada, "enrollments", "GET", "/enrollments", None).await;
    check(&mut ada, "withdrawn", "DELETE", course, None).await;
    let event =
        json!({ "event_name": "learning_module_completed", "module_slug": "spare-reading" });
    check(&mut ada, "tracked", "POST", "/events/track", Some(json!({ "events": [event] }))).await;
    let nothing = Some(json!({ "events": [] }));
    check(&mut ada, "invalid", "POST", "/events/track", nothing).await;
    check(&mut ada, "course_status", "GET", "/courses/first-steps/status", None).await;
    let mut grace = world.signed_in("grace").await;
    check(&mut grace, "no_dead_letters", "GET", "/admin/dead-letters", None).await;
    check(&mut grace, "bad_limit", "GET", "/admin/dead-letters?limit=0", None).await;
    world.finish(Outcome::Clean).await;
}
