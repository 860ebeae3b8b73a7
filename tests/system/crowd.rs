//! Many at once.

use std::collections::BTreeSet;

use futures::StreamExt;
use rollcall_local::Options;
use rollcall_local::hubspot::Tier;
use rollcall_tests::{Browser, Outcome, World, member};

use crate::{PROGRAM, world};

/// Members who enrol at once.
const MEMBERS: usize = 200;
/// Sign-ins under way at a time; the enrolments that follow all start together.
const SIGN_INS_AT_A_TIME: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_members_enrol_at_once_and_every_contact_is_right() {
    let members = (0..MEMBERS).map(member).collect();
    let lowest_tier = |options: &mut Options| options.hubspot.1.tier = Tier::Starter;
    let world = World::start_with(PROGRAM, members, lowest_tier).await;
    let browsers: Vec<Browser> = futures::stream::iter(0..MEMBERS)
        .map(|number| {
            let mut browser = world.browser();
            async move {
                browser.sign_in(&format!("member-{number}")).await;
                browser
            }
        })
        .buffered(SIGN_INS_AT_A_TIME)
        .collect()
        .await;
    let courses = ["first-steps", "streams-and-queues", "hubspot-basics", "when-sync-fails"];
    let enrolling = browsers.into_iter().enumerate().map(|(number, mut browser)| async move {
        let course = courses[number % courses.len()];
        let enrolled = browser.put(&format!("/enrollments/course/{course}"), None).await;
        assert_eq!(enrolled.status, 200, "{enrolled:?}");
        let me = browser.get("/auth/me").await.json();
        (number, me["user_id"].as_str().unwrap().to_owned(), course)
    });
    let enrolled: Vec<(usize, String, &str)> = futures::future::join_all(enrolling).await;
    for (number, user_id, course) in &enrolled {
        let email = format!("member-{number}@rollcall.example");
        let first_name = format!("Member{number}");
        world
            .contact_with(
                user_id,
                &[
                    ("email", &email),
                    ("firstname", &first_name),
                    ("rollcall_enrolled_courses", course),
                    ("rollcall_modules_completed", "0"),
                ],
            )
            .await;
    }
    let users: BTreeSet<&String> = enrolled.iter().map(|(_, user_id, _)| user_id).collect();
    assert_eq!(users.len(), MEMBERS);
    assert_eq!(world.cloud.hubspot.contacts().len(), MEMBERS);
    let searches =
        world.cloud.hubspot.calls().into_iter().filter(|call| call.path.ends_with("/search"));
    assert_eq!(searches.count(), 0);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d_06_parallel_completions_of_one_learner_complete_the_course_once() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    let labs = [("start-the-local-cloud", "start-it"), ("follow-a-change", "watch-a-contact")];
    ada.clone().complete_module("sign-in-as-a-member").await;
    for (module, _) in labs {
        let mut ada = ada.clone();
        let id = ada.start_quiz(module, "check").await;
        assert_eq!(ada.submit_quiz(module, "check", &id, true).await.status, 200);
    }
    let attesting = labs.into_iter().cycle().take(24).map(|(module, lab)| {
        let mut ada = ada.clone();
        async move {
            let attested = ada.attest_lab(module, lab).await;
            assert_eq!(attested.status, 200, "{attested:?}");
            assert_eq!(attested.json()["module_complete"], true);
        }
    });
    futures::future::join_all(attesting).await;
    let progress = ada.clone().get("/progress").await.json();
    assert_eq!(progress["modules_completed"], 3);
    let status = ada.clone().get("/courses/first-steps/status").await.json();
    assert_eq!(status["course_status"], "complete");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_signing_in_many_times_at_once_is_one_user() {
    let world = world().await;
    let signing_in = (0..16).map(|_| async {
        let mut browser = world.signed_in("ada").await;
        browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
    });
    let users: BTreeSet<String> = futures::future::join_all(signing_in).await.into_iter().collect();
    assert_eq!(users.len(), 1);
    world.finish(Outcome::Clean).await;
}
