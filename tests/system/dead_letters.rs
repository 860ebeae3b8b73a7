//! The dead-letter desk: nothing on it is out of sight, and what an operator does about a letter is
//! done once, told in the audit log, and undone by nothing but a newer state.

use futures::future::join_all;
use rollcall_tests::{Browser, Outcome, World, eventually};
use serde_json::{Value, json};

use crate::idempotency::world_with_dead_letters;

const DESK: &str = "/admin/dead-letters";
const ENROLLED: &str = "rollcall_enrolled_courses";

pub(crate) fn id(letter: &Value) -> &str {
    letter["id"].as_str().unwrap()
}

/// The letters that a query picks, page by page.
pub(crate) async fn list(operator: &Browser, query: &str) -> Vec<Value> {
    let (mut letters, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = operator.clone().get(&format!("{DESK}?{query}{cursor}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let page = answer.json();
        letters.extend(page["dead_letters"].as_array().unwrap().clone());
        match page["cursor"].as_str() {
            None => return letters,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
}

pub(crate) async fn show(operator: &Browser, letter: &str) -> Value {
    let answer = operator.clone().get(&format!("{DESK}/{letter}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// A letter once it has this status.
pub(crate) async fn settled(operator: &Browser, letter: &str, status: &str) -> Value {
    eventually(&format!("{letter} is {status}"), async || {
        let shown = show(operator, letter).await;
        (shown["status"] == status).then_some(shown)
    })
    .await
}

/// What the audit log tells of a letter: actions with their details, in no order.
async fn told(operator: &Browser, letter: &str) -> Vec<(String, Value)> {
    let page = operator.clone().get(&format!("/admin/audit?subject={letter}")).await.json();
    let mut entries: Vec<(String, Value)> = page["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap().to_owned(), entry["details"].clone()))
        .collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    entries
}

fn ids(letters: &[Value]) -> Vec<&str> {
    letters.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_in_the_list_whatever_became_of_it() {
    let (world, grace, letters) = world_with_dead_letters().await;
    // The portal is left alone, so what is replayed stays on its way.
    world.break_hubspot().await;
    let mut ada = world.signed_in("ada").await;
    assert_eq!(ada.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    eventually("the portal is left alone", async || {
        let status = grace.clone().get("/admin/crm/status").await.json();
        status["portal"]["paused_until"].as_str().map(|_| ())
    })
    .await;
    let first = id(&letters[2]);
    let replay = grace.clone().post(&format!("{DESK}/{first}/replay"), None).await;
    assert_eq!(replay.status, 202, "{replay:?}");
    assert_eq!(ids(&list(&grace, "status=replaying").await), [first]);
    assert_eq!(ids(&list(&grace, "status=open").await), ids(&letters[..2]));
    let all = [ids(&letters[..2]), vec![first]].concat();
    for limit in [1, 2, 100] {
        assert_eq!(ids(&list(&grace, &format!("status=all&limit={limit}")).await), all);
    }
    let status = grace.clone().get("/admin/crm/status").await.json();
    assert_eq!(status["dead_letters"], json!({ "open": 2, "replaying": 1, "has_more": false }));

    let (user, cause) = (&letters[0]["user_id"], &letters[0]["fingerprint"]);
    let own: Vec<&str> =
        letters.iter().filter(|letter| letter["user_id"] == *user).map(id).collect();
    let last = letters[0]["last_seen_at"].as_str().unwrap();
    // Instants of one width, so their texts compare as they do; two may be one.
    let latest = letters[..2].iter().filter(|l| l["last_seen_at"].as_str() >= Some(last));
    let latest: Vec<&str> = latest.map(id).collect();
    for (query, expected) in [
        (format!("user={}", user.as_str().unwrap()), own),
        (format!("fingerprint={}", cause.as_str().unwrap()), ids(&letters[..2])),
        ("fingerprint=0123456789abcdef".to_owned(), vec![]),
        ("facet=identity".to_owned(), vec![]),
        ("facet=learning&kind=facet".to_owned(), ids(&letters[..2])),
        ("kind=milestone".to_owned(), vec![]),
        (format!("since={last}"), latest),
        ("status=discarded".to_owned(), vec![]),
    ] {
        assert_eq!(ids(&list(&grace, &query).await), expected, "{query}");
    }
    world.mend_hubspot().await;
    settled(&grace, first, "resolved").await;
    assert_eq!(ids(&list(&grace, "status=resolved").await), [first]);
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_letters_that_makes_no_sense_is_refused_with_its_field() {
    let (world, mut grace, letters) = world_with_dead_letters().await;
    let groups = grace.get(&format!("{DESK}/groups")).await.json();
    let causes = groups["groups"].as_array().unwrap();
    let counted: u64 = causes.iter().map(|group| group["count"].as_u64().unwrap()).sum();
    assert_eq!((counted, groups["cursor"].as_str()), (3, None), "{groups}");
    let cause = causes.iter().find(|group| group["fingerprint"] == letters[0]["fingerprint"]);
    let cause = cause.unwrap();
    assert_eq!(cause["last_seen_at"], letters[0]["last_seen_at"]);
    assert_eq!(
        (&cause["kinds"], id(&letters[0])),
        (&json!(["facet"]), cause["example"].as_str().unwrap())
    );

    for list in [DESK.to_owned(), format!("{DESK}/groups")] {
        for (name, value) in [
            ("status", "gone"),
            ("kind", "letter"),
            ("fingerprint", "xyz"),
            ("facet", "body"),
            ("user", "dlt_0"),
            ("since", "yesterday"),
        ] {
            let answer = grace.get(&format!("{list}?{name}={value}")).await;
            assert_eq!(answer.status, 422, "{name}: {answer:?}");
            assert_eq!(answer.json()["errors"][0]["pointer"], format!("query:{name}"));
        }
    }
    let page = grace.get(&format!("{DESK}?limit=1")).await.json();
    let cursor = page["cursor"].as_str().unwrap();
    for other in ["status=all", "facet=learning", "kind=facet"] {
        let answer = grace.get(&format!("{DESK}?{other}&cursor={cursor}")).await;
        assert_eq!(answer.json()["errors"][0]["code"], "invalid-cursor", "{other}: {answer:?}");
    }
    let answer = grace.get(&format!("{DESK}/groups?cursor={cursor}")).await;
    assert_eq!(answer.json()["errors"][0]["code"], "invalid-cursor", "{answer:?}");
    for unknown in ["dlt_00000000000070008000000000000000", "x"] {
        for (method, rest) in [("GET", ""), ("GET", "/dry-run"), ("POST", "/replay")] {
            let path = format!("{DESK}/{unknown}{rest}");
            assert_eq!(grace.change(method, &path, None).await.status, 404, "{path}");
        }
    }
    world.finish(Outcome::Troubled).await;
}

/// Takes one step of replaying a cause.
async fn step(operator: &Browser, cause: &str) -> Value {
    let path = format!("{DESK}/groups/{cause}/replay");
    operator.clone().post(&path, None).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_group_is_replayed_only_after_its_canary_was_acknowledged() {
    let (world, grace, letters) = world_with_dead_letters().await;
    let cause = letters[0]["fingerprint"].as_str().unwrap();
    // Both members' enrolments and the operator's empty beginning have one cause.
    assert!(letters.iter().all(|letter| letter["fingerprint"] == cause), "{letters:#?}");

    // The cause is still there: one is tried, the others stay.
    let steps = join_all((0..4).map(|_| step(&grace, cause))).await;
    let begun: Vec<&Value> = steps.iter().filter(|step| step["step"] == "canary").collect();
    assert_eq!(begun.len(), 1, "{steps:#?}");
    let canary = begun[0]["canary"].as_str().unwrap().to_owned();
    settled(&grace, &canary, "open").await;
    let refused = step(&grace, cause).await;
    assert_eq!((&refused["code"], &refused["detail"]), (&json!("canary-refused"), &json!(canary)));
    let tries = |letters: &[Value]| -> u64 {
        letters.iter().map(|letter| letter["tries"].as_u64().unwrap()).sum()
    };
    assert_eq!(tries(&list(&grace, "").await), tries(&letters) + 1, "only the canary was tried");

    world.mend_hubspot().await;
    let mut replayed = 0;
    eventually("all are replayed", async || {
        let step = step(&grace, cause).await;
        replayed += step["replayed"].as_u64().unwrap();
        (step["step"] == "done").then_some(())
    })
    .await;
    assert_eq!(replayed, 3);
    for letter in &letters {
        let letter = settled(&grace, id(letter), "resolved").await;
        let told = told(&grace, id(&letter)).await;
        assert!(told.iter().all(|(action, _)| action == "dead-letter-replayed"), "{told:?}");
        assert_eq!(told.len(), if id(&letter) == canary { 2 } else { 1 }, "{told:?}");
    }
    assert_eq!(step(&grace, cause).await["step"], "done");
    let nobody = step(&grace, "x").await;
    assert_eq!(nobody["code"], "not-found");
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn some_letters_are_replayed_together_and_each_says_what_became_of_it() {
    let (world, mut grace, letters) = world_with_dead_letters().await;
    world.mend_hubspot().await;
    let first = id(&letters[0]);
    let path = format!("{DESK}/{first}/replay");
    assert_eq!(grace.post(&path, None).await.status, 202);
    settled(&grace, first, "resolved").await;
    let path = format!("{DESK}/replay");
    let unknown = "dlt_00000000000070008000000000000000";
    let mut asked = ids(&letters);
    asked.push(unknown);
    let answer = grace.post(&path, Some(json!({ "ids": asked }))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let became = answer.json()["dead_letters"].as_array().unwrap().clone();
    let outcome = |letter: &str| {
        let found = became.iter().find(|became| became["id"] == letter);
        found.unwrap()["outcome"].as_str().unwrap().to_owned()
    };
    let outcomes: Vec<String> = asked.iter().map(|letter| outcome(letter)).collect();
    assert_eq!(outcomes, ["closed", "replaying", "replaying", "unknown"]);
    for letter in &letters {
        settled(&grace, id(letter), "resolved").await;
    }
    for (ids, pointer) in [
        (json!([]), "/ids"),
        (json!(vec![unknown; 26]), "/ids"),
        (json!([unknown, "x"]), "/ids/1"),
        (json!("x"), "/ids"),
    ] {
        let answer = grace.post(&path, Some(json!({ "ids": ids }))).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    world.finish(Outcome::Troubled).await;
}

/// The letter about what a user enrolled in.
fn letter_of<'a>(letters: &'a [Value], user: &str) -> &'a str {
    id(letters.iter().find(|letter| letter["user_id"] == user).unwrap())
}

async fn user_id(browser: &mut Browser) -> String {
    browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
}

async fn refuse(world: &World, property: &str) {
    let refusal =
        json!({ "kind": "refuse_property", "name": property, "message": "is not welcome today" });
    assert!(world.hubspot("POST", "/_emulator/faults", Some(refusal)).await.status < 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_for_the_state_that_was_refused_and_the_next_state_is_sent_as_it_is() {
    let (world, mut grace, letters) = world_with_dead_letters().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    let letter = letter_of(&letters, &ada_id);
    let watching = grace.clone();
    let dry = move |letter: String| {
        let mut watching = watching.clone();
        async move { watching.get(&format!("{DESK}/{letter}/dry-run")).await.json() }
    };
    let before = dry(letter.to_owned()).await;
    let request = &before["requests"][0];
    assert_eq!((&before["would"], &request["facets"]), (&json!("send"), &json!(["learning"])));
    assert!(request["properties"][ENROLLED].as_str().unwrap().starts_with("11 characters"));
    assert_eq!(
        (&request["found_by"], &request["found_as"]),
        (&json!("rollcall_user_id"), &json!(ada_id))
    );

    let path = format!("{DESK}/{letter}/edit");
    for (properties, pointer, code) in [
        (json!({}), "/properties", "empty"),
        (json!({ "email": "eve@rollcall.example" }), "/properties/email", "unknown-property"),
        (json!({ "rollcall_user_id": "x" }), "/properties/rollcall_user_id", "key-property"),
        (json!({ "a/b": null }), "/properties/a~1b", "unknown-property"),
        (json!({ (ENROLLED): "x".repeat(60_001) }), &format!("/properties/{ENROLLED}"), "too-long"),
    ] {
        let answer = grace.post(&path, Some(json!({ "properties": properties }))).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        let error = &answer.json()["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(code)));
    }

    // The CRM still refuses the property, so it is left out, and another one is replaced.
    let properties = json!({ (ENROLLED): null, "rollcall_progress_summary": "asked by phone" });
    let answer = grace.post(&path, Some(json!({ "properties": properties }))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let closed = settled(&grace, letter, "resolved").await;
    assert_eq!(closed["edited"]["properties"][ENROLLED], "left out");
    assert!(
        closed["edited"]["properties"]["rollcall_progress_summary"]
            .as_str()
            .unwrap()
            .starts_with("14 characters")
    );
    assert!(closed["request"][ENROLLED].as_str().unwrap().starts_with("11 characters"));
    let edited = [("rollcall_progress_summary", "asked by phone"), (ENROLLED, "")];
    world.contact_with(&ada_id, &edited).await;
    let details = json!({
        "user_id": ada_id, "facet": "learning",
        "properties": "rollcall_enrolled_courses rollcall_progress_summary",
    });
    assert_eq!(told(&grace, letter).await, [("dead-letter-edited".to_owned(), details)]);
    assert_eq!(grace.post(&path, Some(json!({ "properties": properties }))).await.status, 409);
    assert_eq!(dry(letter.to_owned()).await["because"], "acknowledged");

    // The newest state wins over what anybody replaced in an older one.
    world.mend_hubspot().await;
    assert_eq!(ada.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    let newest = [
        (ENROLLED, "first-steps;hubspot-basics"),
        ("rollcall_progress_summary", "first-steps: 0/3; hubspot-basics: 0/3"),
    ];
    world.contact_with(&ada_id, &newest).await;
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_letter_says_why_and_a_later_success_closes_it() {
    let (world, mut grace, letters) = world_with_dead_letters().await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    let letter = letter_of(&letters, &ada_id);
    let path = format!("{DESK}/{letter}/discard");
    for reason in [json!(""), json!("  "), json!("x".repeat(501)), json!(7)] {
        let answer = grace.post(&path, Some(json!({ "reason": reason }))).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/reason");
    }
    let reason = json!({ "reason": "the course is over" });
    let answers = join_all((0..4).map(|_| {
        let (mut grace, path, reason) = (grace.clone(), path.clone(), reason.clone());
        async move { grace.post(&path, Some(reason)).await }
    }))
    .await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(taken == 1 && answers.iter().all(|a| matches!(a.status, 200 | 409)), "{answers:?}");
    let shown = show(&grace, letter).await;
    let operator = user_id(&mut grace).await;
    assert_eq!(shown["status"], "discarded");
    assert_eq!(
        (&shown["discarded"]["by"], &shown["discarded"]["reason"]),
        (&json!(operator), &reason["reason"])
    );
    let expected = [("dead-letter-discarded".to_owned(), json!({}))];
    assert_eq!(told(&grace, letter).await, expected);
    for rest in ["replay", "edit"] {
        let body = json!({ "properties": { (ENROLLED): null } });
        let body = (rest == "edit").then_some(body);
        assert_eq!(grace.post(&format!("{DESK}/{letter}/{rest}"), body).await.status, 409);
    }

    world.mend_hubspot().await;
    assert_eq!(ada.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    let closed = settled(&grace, letter, "superseded").await;
    assert_eq!(closed["discarded"], shown["discarded"]);
    world.finish(Outcome::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_where_one_user_stands_and_what_would_be_sent() {
    let world = crate::world().await;
    refuse(&world, ENROLLED).await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    let grace = world.signed_in("grace").await;
    let look = async || {
        let answer = grace.clone().get(&format!("/admin/crm/users/{ada_id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let refused = eventually("the enrolment is refused and nothing waits", async || {
        let user = look().await;
        let letters = user["dead_letters"].as_array().unwrap();
        let is_new = letters.iter().any(|letter| {
            let sent = letter["request"][ENROLLED].as_str().unwrap_or_default();
            sent.starts_with("11 characters")
        });
        let waits = user["pending"].as_array().unwrap().len();
        (is_new && waits == 0 && user["leased_until"].is_null()).then_some(user)
    })
    .await;
    let contact = world.contact(&ada_id).unwrap();
    assert_eq!(refused["contact_id"], contact.id);
    assert!(refused["facets"]["identity"]["acknowledged_version"].is_number(), "{refused}");
    assert_eq!(refused["facets"]["learning"]["dead_letter"], refused["dead_letters"][0]["id"]);
    assert_eq!(refused["would_send"], json!([]), "what was refused is not sent again");
    assert!(!refused.to_string().contains("ada@rollcall.example"), "{refused}");

    world.break_hubspot().await;
    assert_eq!(ada.put("/enrollments/course/hubspot-basics", None).await.status, 200);
    let waiting = eventually("the newer state waits", async || {
        let user = look().await;
        user["pending"].as_array().is_some_and(|rows| !rows.is_empty()).then_some(user)
    })
    .await;
    assert_eq!(waiting["pending"][0]["facet"], "learning");
    let sent = &waiting["would_send"][0];
    assert_eq!(sent["facets"], json!(["learning"]));
    assert!(sent["properties"][ENROLLED].as_str().unwrap().starts_with("26 characters"));
    let nobody = "/admin/crm/users/usr_00000000000070008000000000000000";
    assert_eq!(grace.clone().get(nobody).await.status, 404);
    world.mend_hubspot().await;
    world.contact_with(&ada_id, &[(ENROLLED, "first-steps;hubspot-basics")]).await;
    world.finish(Outcome::Troubled).await;
}
