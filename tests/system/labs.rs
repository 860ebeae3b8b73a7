//! Labs, enrolment on terms, events of every kind, and how far somebody is.

use rollcall_cli::sample;
use rollcall_domain::catalog::{Catalog, Course, Edition, LabTerms, TaskKind, Terms};
use rollcall_domain::time::{SignedDuration, after};
use rollcall_tests::{Browser, Outcome, World};
use serde_json::{Value, json};

use crate::world;

/// The sample with its courses and modules changed.
pub(crate) fn changed(
    course: impl Fn(&mut Course),
    module: impl Fn(&mut rollcall_domain::catalog::Module),
) -> Edition {
    let edition = sample::edition().unwrap();
    let catalog = &edition.catalog;
    let mut modules: Vec<_> = catalog.modules().cloned().collect();
    modules.iter_mut().for_each(module);
    let mut courses: Vec<_> = catalog.courses().cloned().collect();
    courses.iter_mut().for_each(course);
    let pathways = catalog.pathways().cloned().collect();
    let badges = catalog.badges().cloned().collect();
    let catalog = Catalog::new(pathways, courses, modules).unwrap().with_badges(badges).unwrap();
    Edition::new(catalog, edition.texts, edition.quizzes).unwrap()
}

fn event(name: &str, fields: &Value) -> Value {
    let mut event = json!({ "event_name": name });
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

async fn track(browser: &mut Browser, event: Value) -> rollcall_tests::Answer {
    browser.post("/events/track", Some(json!({ "events": [event] }))).await
}

async fn enroll(browser: &mut Browser, course: &str) -> (u16, Value) {
    let answer = browser.put(&format!("/enrollments/course/{course}"), None).await;
    (answer.status, answer.json()["code"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn d_04_a_lab_is_attested_once_and_its_first_evidence_stays() {
    let world = world().await;
    let evidence = changed(
        |_| {},
        |module| {
            for task in &mut module.tasks {
                if task.slug.as_str() == "watch-a-contact" {
                    task.kind =
                        TaskKind::Lab(LabTerms { evidence_required: true, validated: false });
                }
            }
        },
    );
    sample::publish(&world.cloud, &evidence).await.unwrap();
    let mut ada = world.signed_in("ada").await;
    let path = "/modules/follow-a-change/labs/watch-a-contact/attest";
    for (body, pointer) in [
        (None, "/evidence_url"),
        (Some(json!({ "evidence_url": "http://example.org" })), "/evidence_url"),
        (Some(json!({ "evidence_url": "https://" })), "/evidence_url"),
        (Some(json!({ "evidence": "https://example.org" })), "/evidence"),
    ] {
        let refused = ada.post(path, body).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer);
    }
    let first = ada.post(path, Some(json!({ "evidence_url": "https://example.org/1" }))).await;
    assert_eq!(first.json()["evidence_url"], "https://example.org/1");
    let again = ada.post(path, Some(json!({ "evidence_url": "https://example.org/2" }))).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    let progress = ada.get("/modules/follow-a-change/progress").await.json();
    assert_eq!(progress["tasks"][1]["status"], "attested");
    assert_eq!(progress["tasks"][1]["done_at"], first.json()["attested_at"]);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_01_tasks_complete_modules_courses_and_pathways() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    assert_eq!(ada.put("/enrollments/pathway/run-rollcall", None).await.status, 200);
    let report = json!({ "event_name": "learning_course_completed", "course_slug": "first-steps" });
    assert_eq!(track(&mut ada, report.clone()).await.status, 422);
    for module in ["start-the-local-cloud", "sign-in-as-a-member"] {
        ada.complete_module(module).await;
    }
    let status = ada.get("/courses/first-steps/status").await.json();
    assert_eq!((&status["modules_completed"], &status["modules_total"]), (&json!(2), &json!(3)));
    ada.complete_module("follow-a-change").await;
    let status = ada.get("/courses/first-steps/status").await.json();
    assert_eq!(status["course_status"], "complete");
    assert_eq!(track(&mut ada, report).await.status, 200);
    let pathway = ada.get("/pathways/run-rollcall/status").await.json();
    assert_eq!(pathway["pathway_status"], "in_progress");
    assert_eq!((&pathway["courses_completed"], &pathway["courses_total"]), (&json!(1), &json!(2)));
    for module in ["what-a-stream-promises", "batches-and-bisection", "dead-letter-queues"] {
        ada.complete_module(module).await;
    }
    let pathway = ada.get("/pathways/run-rollcall/status").await.json();
    assert_eq!(pathway["pathway_status"], "complete");
    let progress = ada.get("/progress").await.json();
    assert_eq!(progress["modules_completed"], 6);
    let kinds: Vec<String> = progress["progress"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            format!("{} {}", entry["slug"].as_str().unwrap(), entry["status"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "know-your-crm in_progress",
            "run-rollcall complete",
            "first-steps complete",
            "streams-and-queues complete",
            "when-sync-fails in_progress",
        ]
    );
    world
        .contact_with(
            &user_id,
            &[
                ("rollcall_completed_courses", "first-steps;streams-and-queues"),
                ("rollcall_modules_completed", "6"),
            ],
        )
        .await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d_03_another_catalogue_takes_back_no_completion() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    for module in ["start-the-local-cloud", "sign-in-as-a-member", "follow-a-change"] {
        ada.complete_module(module).await;
    }
    let before = ada.get("/modules/follow-a-change/progress").await.json();
    let harder = changed(
        |course| {
            if course.slug.as_str() == "first-steps" {
                course.modules.push("replay-a-refusal".parse().unwrap());
            }
        },
        |module| module.tasks.iter_mut().for_each(|task| task.required = true),
    );
    sample::publish(&world.cloud, &harder).await.unwrap();
    // Nobody has asked this function before, so it has no older catalogue in its cache.
    let course = ada.get("/courses/first-steps/status").await.json();
    assert_eq!(course["course_status"], "complete");
    assert_eq!((&course["modules_completed"], &course["modules_total"]), (&json!(3), &json!(4)));
    let after = ada.get("/modules/follow-a-change/progress").await.json();
    assert_eq!(after["completed_at"], before["completed_at"]);
    assert_eq!(after["completed_version"], before["completed_version"]);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_of_enrolment_are_kept_by_everybody() {
    let world = world().await;
    let now = world.cloud.clock.now();
    let hour = SignedDuration::from_hours(1);
    let terms = changed(
        |course| {
            course.terms = match course.slug.as_str() {
                "first-steps" => Terms { capacity: Some(1), ..Terms::default() },
                "streams-and-queues" => {
                    let prerequisites = vec!["first-steps".parse().unwrap()];
                    Terms { prerequisites, ..Terms::default() }
                }
                "hubspot-basics" => Terms { opens_at: Some(after(now, hour)), ..Terms::default() },
                _ => Terms { closes_at: Some(after(now, -hour)), ..Terms::default() },
            };
        },
        |_| {},
    );
    sample::publish(&world.cloud, &terms).await.unwrap();
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    for (course, code) in [
        ("streams-and-queues", "prerequisites-missing"),
        ("hubspot-basics", "enrollment-closed"),
        ("when-sync-fails", "enrollment-closed"),
    ] {
        assert_eq!(enroll(&mut ada, course).await, (409, json!(code)), "{course}");
        let event = json!({ "event_name": "learning_course_enrolled", "course_slug": course });
        let refused = track(&mut ada, event).await;
        assert_eq!(
            (refused.status, &refused.json()["errors"][0]["code"]),
            (422, &json!("not-admitted"))
        );
    }
    // One place, and two who want it.
    assert_eq!(enroll(&mut ada, "first-steps").await.0, 200);
    assert_eq!(enroll(&mut ada, "first-steps").await.0, 200);
    assert_eq!(enroll(&mut lin, "first-steps").await, (409, json!("no-place-left")));
    assert_eq!(ada.delete("/enrollments/course/first-steps").await.status, 204);
    assert_eq!(ada.delete("/enrollments/course/first-steps").await.status, 204);
    assert_eq!(enroll(&mut lin, "first-steps").await.0, 200);
    assert_eq!(enroll(&mut ada, "first-steps").await, (409, json!("no-place-left")));
    for module in ["start-the-local-cloud", "sign-in-as-a-member", "follow-a-change"] {
        ada.complete_module(module).await;
    }
    assert_eq!(enroll(&mut ada, "streams-and-queues").await.0, 200);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_enrolments_never_take_more_places_than_there_are() {
    let world =
        World::start_with(crate::PROGRAM, (0..8).map(rollcall_tests::member).collect(), |_| {})
            .await;
    let limited = changed(|course| course.terms.capacity = Some(3), |_| {});
    sample::publish(&world.cloud, &limited).await.unwrap();
    let mut members = Vec::new();
    for number in 0..8 {
        members.push(world.signed_in(&format!("member-{number}")).await);
    }
    let enrolling = members.iter_mut().map(|member| enroll(member, "first-steps"));
    let results = futures::future::join_all(enrolling).await;
    let enrolled = results.iter().filter(|(status, _)| *status == 200).count();
    assert!((1..=3).contains(&enrolled), "{results:?}");
    for member in &mut members {
        enroll(member, "first-steps").await;
    }
    let mut inside = 0;
    for member in &mut members {
        inside += member.get("/enrollments").await.json()["enrollments"].as_array().unwrap().len();
    }
    assert_eq!(inside, 3);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_every_kind_are_taken() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let module = json!({ "module_slug": "spare-reading" });
    let course = json!({ "course_slug": "hubspot-basics", "enrollment_source": "page" });
    let pathway = json!({ "pathway_slug": "run-rollcall", "enrollment_source": "page" });
    let page = json!({ "content_type": "course", "slug": "first-steps" });
    let events = [
        event("learning_module_started", &module),
        event("learning_module_completed", &module),
        event("learning_course_enrolled", &course),
        event("learning_pathway_enrolled", &pathway),
        event("learning_page_viewed", &page),
    ];
    let tracked = ada.post("/events/track", Some(json!({ "events": events }))).await;
    assert_eq!(tracked.status, 200, "{tracked:?}");
    assert_eq!(tracked.json()["recorded"], 5);
    assert_eq!(tracked.json()["enrolled"].as_array().unwrap().len(), 2);
    let progress = ada.get("/progress").await.json();
    assert_eq!(progress["last_viewed"]["slug"], "first-steps");
    let read = ada.get("/modules/spare-reading/progress").await.json();
    assert_eq!(
        (&read["module_status"], &read["has_required_tasks"]),
        (&json!("complete"), &json!(false))
    );
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_not_true_or_not_whole_are_refused() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    for (event, pointer, code) in [
        (
            event("learning_module_completed", &json!({ "module_slug": "follow-a-change" })),
            "/events/0/module_slug",
            "tasks-missing",
        ),
        (
            event("learning_course_completed", &json!({ "course_slug": "first-steps" })),
            "/events/0",
            "not-complete",
        ),
        (
            event("learning_pathway_completed", &json!({ "pathway_slug": "nowhere" })),
            "/events/0/pathway_slug",
            "unknown-pathway",
        ),
        (event("learning_module_started", &json!({})), "/events/0/module_slug", "required"),
        (
            event("learning_course_enrolled", &json!({ "pathway_slug": "run-rollcall" })),
            "/events/0/course_slug",
            "required",
        ),
        (
            event(
                "learning_pathway_enrolled",
                &json!({ "pathway_slug": "run-rollcall", "slug": "x" }),
            ),
            "/events/0/slug",
            "unexpected",
        ),
        (
            event("learning_page_viewed", &json!({ "slug": "x" })),
            "/events/0/content_type",
            "required",
        ),
    ] {
        let refused = track(&mut ada, event).await;
        let error = refused.json()["errors"][0].clone();
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(code)));
    }
    world.finish(Outcome::Clean).await;
}
