//! Quizzes: started, answered, graded and reviewed, and never with a key in an answer.

use std::collections::BTreeSet;

use rollcall_cli::sample;
use rollcall_domain::catalog::{Catalog, Edition, TaskKind};
use rollcall_tests::{Browser, Outcome, answers};
use serde_json::{Value, json};

use crate::world;

const MODULE: &str = "follow-a-change";
const START: &str = "/modules/follow-a-change/quizzes/check/start";
const SUBMIT: &str = "/modules/follow-a-change/quizzes/check/attempts";
const ATTEMPTS: &str = "/modules/follow-a-change/attempts";

/// The sample with the quizzes changed.
fn changed(change: impl Fn(&mut rollcall_domain::quiz::Quiz)) -> Edition {
    let mut edition = sample::edition().unwrap();
    edition.quizzes.values_mut().for_each(change);
    let catalog = &edition.catalog;
    let mut modules: Vec<_> = catalog.modules().cloned().collect();
    for (name, quiz) in &edition.quizzes {
        let module = modules.iter_mut().find(|module| module.slug == name.module).unwrap();
        let task = module.tasks.iter_mut().find(|task| task.slug == name.quiz).unwrap();
        task.kind = TaskKind::Quiz(quiz.terms.clone());
    }
    let pathways = catalog.pathways().cloned().collect();
    let courses = catalog.courses().cloned().collect();
    let catalog = Catalog::new(pathways, courses, modules).unwrap();
    Edition::new(catalog, edition.texts, edition.quizzes).unwrap()
}

async fn attempts(browser: &mut Browser) -> Vec<Value> {
    browser.get(ATTEMPTS).await.json()["attempts"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn d_09_the_best_outcome_counts_and_an_attempt_is_submitted_once() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let first = ada.start_quiz(MODULE, "check").await;
    assert_eq!(ada.start_quiz(MODULE, "check").await, first, "an open attempt is shown again");
    let failed = ada.submit_quiz(MODULE, "check", &first, false).await;
    assert_eq!(
        failed.json(),
        json!({
            "attempt_id": first, "score": 0, "passed": false, "attempt_number": 1,
            "best_score": 0, "attempts_left": 2, "module_complete": false,
        })
    );
    let again = ada.submit_quiz(MODULE, "check", &first, false).await;
    assert_eq!((again.status, &again.text), (200, &failed.text), "d_08: a retry is no attempt");
    let other = ada.submit_quiz(MODULE, "check", &first, true).await;
    assert_eq!((other.status, other.json()["code"].clone()), (409, json!("attempt-closed")));
    assert_eq!(ada.attest_lab(MODULE, "watch-a-contact").await.json()["module_complete"], false);

    let second = ada.start_quiz(MODULE, "check").await;
    let passed = ada.submit_quiz(MODULE, "check", &second, true).await.json();
    assert_eq!((&passed["passed"], &passed["score"]), (&json!(true), &json!(100)));
    assert_eq!(passed["module_complete"], true);
    let third = ada.start_quiz(MODULE, "check").await;
    let retake = ada.submit_quiz(MODULE, "check", &third, false).await.json();
    assert_eq!((&retake["passed"], &retake["best_score"]), (&json!(false), &json!(100)));
    assert_eq!((&retake["module_complete"], &retake["attempts_left"]), (&json!(true), &json!(0)));

    let progress = ada.get("/modules/follow-a-change/progress").await.json();
    assert_eq!(progress["module_status"], "complete");
    let task = &progress["tasks"][0];
    assert_eq!((&task["status"], &task["best_score"]), (&json!("passed"), &json!(100)), "d_11");
    assert_eq!(task["attempt_count"], 3);
    let refused = ada.post(START, None).await;
    assert_eq!(
        (refused.status, refused.json()["code"].clone()),
        (409, json!("attempts-exhausted"))
    );

    let newest: Vec<Value> =
        attempts(&mut ada).await.iter().map(|attempt| attempt["attempt_id"].clone()).collect();
    assert_eq!(newest, [third, second, first]);
    let mut lin = world.signed_in("lin").await;
    assert_eq!(attempts(&mut lin).await, Vec::<Value>::new());
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_09_a_review_shows_the_question_that_was_asked_and_never_the_key() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let id = ada.start_quiz(MODULE, "check").await;
    let mut given = answers(MODULE, "check", false);
    given[0] = answers(MODULE, "check", true)[0].clone();
    given.pop();
    let body = json!({ "attempt_id": id, "answers": given });
    let submitted = ada.post(SUBMIT, Some(body)).await;
    assert_eq!((submitted.status, submitted.json()["score"].clone()), (200, json!(20)));

    let edition = sample::edition().unwrap();
    let asked = edition.quizzes.iter().find(|(name, _)| name.module.as_str() == MODULE).unwrap().1;
    // What was asked is what counts, also when the catalogue asks something else now.
    let other = changed(|quiz| {
        for question in &mut quiz.questions {
            question.stem = format!("Now: {}", question.stem);
            question.options.reverse();
        }
    });
    sample::publish(&world.cloud, &other).await.unwrap();
    let listed = ada.get(ATTEMPTS).await;
    let review = listed.json()["attempts"][0]["review"].clone();
    let review = review.as_array().unwrap();
    assert_eq!(review.len(), asked.questions.len());
    for (index, question) in asked.questions.iter().enumerate() {
        let shown = review.iter().find(|shown| shown["question_id"] == question.id.as_str());
        let shown = shown.unwrap();
        assert_eq!(shown["question_text"], question.stem.as_str());
        let explanation = question.explanation.as_deref();
        if index == 0 {
            assert_eq!(
                (&shown["is_correct"], &shown["explanation"]),
                (&json!(true), &json!(explanation))
            );
            let right = question.option(&question.correct_answer).unwrap();
            assert_eq!(shown["submitted_answer_text"], right.text.as_str());
        } else {
            assert_eq!(
                (&shown["is_correct"], &shown["explanation"]),
                (&json!(false), &Value::Null)
            );
            assert!(!listed.text.contains(explanation.unwrap()));
        }
    }
    let unanswered = asked.questions.last().unwrap().id.as_str();
    let shown = review.iter().find(|shown| shown["question_id"] == unanswered).unwrap();
    assert_eq!(shown["submitted_answer_id"], Value::Null);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_16_no_answer_of_any_route_holds_a_key() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let edition = sample::edition().unwrap();
    let mut seen = Vec::new();
    for name in edition.quizzes.keys() {
        let (module, quiz) = (name.module.as_str(), name.quiz.as_str());
        let started = ada.post(&format!("/modules/{module}/quizzes/{quiz}/start"), None).await;
        let id = started.json()["attempt_id"].as_str().unwrap().to_owned();
        seen.push(started);
        seen.push(ada.submit_quiz(module, quiz, &id, false).await);
        seen.push(ada.get(&format!("/modules/{module}/attempts")).await);
        seen.push(ada.get(&format!("/modules/{module}/progress")).await);
        seen.push(ada.get(&format!("/modules/{module}")).await);
    }
    for path in ["/progress", "/courses", "/pathways", "/courses/first-steps/status"] {
        seen.push(ada.get(path).await);
    }
    for answer in seen {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.text.contains("correct_answer"), "{answer:?}");
        for question in edition.quizzes.values().flat_map(|quiz| &quiz.questions) {
            let explanation = question.explanation.as_deref().unwrap_or("no explanation");
            assert!(!answer.text.contains(explanation), "{answer:?}");
        }
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_submissions_respect_the_limit_of_attempts() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    let trying = (0..100).map(|_| {
        let mut ada = ada.clone();
        async move {
            let started = ada.post(START, None).await;
            if started.status == 409 {
                return None;
            }
            assert_eq!(started.status, 200, "{started:?}");
            let id = started.json()["attempt_id"].as_str().unwrap().to_owned();
            let answer = ada.submit_quiz(MODULE, "check", &id, false).await;
            assert!([200, 409].contains(&answer.status), "{answer:?}");
            (answer.status == 200).then_some(id)
        }
    });
    let made: BTreeSet<String> =
        futures::future::join_all(trying).await.into_iter().flatten().collect();
    assert!((1..=3).contains(&made.len()), "{made:?}");
    let mut ada = ada;
    let listed = attempts(&mut ada).await;
    assert_eq!(listed.len(), made.len());
    let progress = ada.get("/modules/follow-a-change/progress").await.json();
    assert_eq!(progress["tasks"][0]["attempt_count"], listed.len());
    // Whoever got through, the rest of the attempts is there and no more.
    for _ in listed.len()..3 {
        let id = ada.start_quiz(MODULE, "check").await;
        assert_eq!(ada.submit_quiz(MODULE, "check", &id, false).await.status, 200);
    }
    assert_eq!(ada.post(START, None).await.json()["code"], "attempts-exhausted");
    assert_eq!(attempts(&mut ada).await.len(), 3);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_parallel_submissions_one_fails_and_the_others_wait_for_the_cool_down() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let module = "what-a-stream-promises";
    let start = format!("/modules/{module}/quizzes/check/start");
    let trying = (0..100).map(|_| {
        let (mut ada, start) = (ada.clone(), start.clone());
        async move {
            let started = ada.post(&start, None).await;
            let id = started.json()["attempt_id"].as_str().map(ToOwned::to_owned)?;
            let answer = ada.submit_quiz(module, "check", &id, false).await;
            assert!([200, 409].contains(&answer.status), "{answer:?}");
            (answer.status == 200).then_some(id)
        }
    });
    let made: BTreeSet<String> =
        futures::future::join_all(trying).await.into_iter().flatten().collect();
    assert_eq!(made.len(), 1, "{made:?}");
    let listed = ada.get(&format!("/modules/{module}/attempts")).await.json();
    assert_eq!(listed["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(ada.post(&start, None).await.json()["code"], "quiz-cooling-down");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiz_that_failed_waits_for_its_cool_down() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let module = "what-a-stream-promises";
    let id = ada.start_quiz(module, "check").await;
    assert_eq!(ada.submit_quiz(module, "check", &id, false).await.status, 200);
    let path = format!("/modules/{module}/quizzes/check/start");
    let refused = ada.post(&path, None).await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (409, json!("quiz-cooling-down")));
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((500..=601).contains(&wait), "{wait}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_attempt_is_refused_and_changes_nothing() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let id = ada.start_quiz(MODULE, "check").await;
    let none = "att_00000000000070008000000000000000";
    let answer = |id: &str, value: &str| json!([{ "id": id, "value": value }]);
    let twice = json!([{ "id": "q1", "value": "a" }, { "id": "q1", "value": "b" }]);
    for (attempt, answers, status, pointer) in [
        (none, answer("q1", "a"), 404, ""),
        ("att_1", answer("q1", "a"), 422, "/attempt_id"),
        (&id, answer("q9", "a"), 422, "/answers"),
        (&id, answer("q1", "z"), 422, "/answers"),
        (&id, answer("__proto__", "a"), 422, "/answers/0/id"),
        (&id, twice, 422, "/answers/1/id"),
        (&id, json!([{ "id": "q1", "value": "a", "score": 100 }]), 422, "/answers/0/score"),
    ] {
        let body = json!({ "attempt_id": attempt, "answers": answers });
        let refused = ada.post(SUBMIT, Some(body)).await;
        assert_eq!(refused.status, status, "{refused:?}");
        let named = refused.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
        assert_eq!(named, pointer, "{refused:?}");
    }
    // The attempt of one user is nobody else's.
    let mut lin = world.signed_in("lin").await;
    assert_eq!(lin.submit_quiz(MODULE, "check", &id, true).await.status, 404);
    for path in [
        "/modules/follow-a-change/quizzes/watch-a-contact/start",
        "/modules/nowhere/quizzes/check/start",
        "/modules/follow-a-change/labs/check/attest",
    ] {
        assert_eq!(ada.post(path, None).await.status, 404, "{path}");
    }
    assert_eq!(attempts(&mut ada).await, Vec::<Value>::new());
    assert_eq!(ada.get("/modules/nowhere/attempts").await.status, 404);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d_14_attempts_are_listed_newest_first_page_by_page() {
    let world = world().await;
    let unlimited = changed(|quiz| quiz.terms.attempts_max = None);
    sample::publish(&world.cloud, &unlimited).await.unwrap();
    let mut ada = world.signed_in("ada").await;
    for _ in 0..5 {
        let id = ada.start_quiz(MODULE, "check").await;
        assert_eq!(ada.submit_quiz(MODULE, "check", &id, false).await.status, 200);
    }
    let (mut numbers, mut path) = (Vec::new(), format!("{ATTEMPTS}?limit=2"));
    loop {
        let page = ada.get(&path).await.json();
        for attempt in page["attempts"].as_array().unwrap() {
            numbers.push(attempt["attempt_number"].as_u64().unwrap());
        }
        let Some(cursor) = page["cursor"].as_str() else { break };
        path = format!("{ATTEMPTS}?limit=2&cursor={cursor}");
    }
    assert_eq!(numbers, [5, 4, 3, 2, 1]);
    world.finish(Outcome::Clean).await;
}
