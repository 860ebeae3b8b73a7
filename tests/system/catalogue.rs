//! The catalogue of courses: from a folder of files to what everybody can read, without the keys.

use std::process::{Command, Output};

use rollcall_cli::sample;
use rollcall_domain::catalog::{Catalog, Edition, Module};
use rollcall_local::Cloud;
use rollcall_store::catalog::{CatalogPublisher, Publication, version_of};
use rollcall_store::{Capability, Tables};
use rollcall_tests::Outcome;
use serde_json::json;

use crate::bearer::machine_token;
use crate::{PROGRAM, operating, world};

fn publisher(cloud: &Cloud) -> CatalogPublisher {
    CatalogPublisher::new(&Tables::new(&sample::operator(&cloud.addresses), "dev"))
}

/// The sample, with a module more that belongs to no course.
pub(crate) fn larger(sample: &Edition) -> Edition {
    let catalog = &sample.catalog;
    let extra = Module::new("extra".parse().unwrap(), "Extra", Vec::new());
    let mut texts = sample.texts.clone();
    texts.insert(extra.slug.clone(), "# Extra".to_owned());
    let modules = catalog.modules().cloned().chain([extra]).collect();
    let pathways = catalog.pathways().cloned().collect();
    let courses = catalog.courses().cloned().collect();
    let catalog = Catalog::new(pathways, courses, modules).unwrap();
    Edition::new(catalog, texts, sample.quizzes.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_the_catalogue_and_nobody_reads_a_key() {
    let world = world().await;
    let mut browser = world.browser();
    let edition = sample::edition().unwrap();
    let version = version_of(&edition).unwrap().to_string();
    let pathways = browser.get("/pathways").await;
    assert_eq!(pathways.json()["version"], version);
    let mut answers = vec![pathways, browser.get("/courses").await];
    for pathway in edition.catalog.pathways() {
        answers.push(browser.get(&format!("/pathways/{}", pathway.slug)).await);
    }
    for course in edition.catalog.courses() {
        answers.push(browser.get(&format!("/courses/{}", course.slug)).await);
    }
    for module in edition.catalog.modules() {
        let answer = browser.get(&format!("/modules/{}", module.slug)).await;
        let body = answer.json();
        assert_eq!(body["text"], edition.texts[&module.slug].as_str());
        assert_eq!(body["tasks"].as_array().unwrap().len(), module.tasks.len());
        answers.push(answer);
    }
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.header("etag").is_empty());
        assert!(!answer.text.contains("correct_answer"), "{answer:?}");
        for question in edition.quizzes.values().flat_map(|quiz| &quiz.questions) {
            assert!(!answer.text.contains(&json!(question.stem).to_string()), "{answer:?}");
            let explanation = question.explanation.as_deref().unwrap_or("no explanation");
            assert!(!answer.text.contains(explanation), "{answer:?}");
        }
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d_17_a_version_is_published_once_and_stays_readable() {
    let world = world().await;
    let (publisher, now) = (publisher(&world.cloud), world.cloud.clock.now());
    let first = sample::edition().unwrap();
    let second = larger(&first);
    let (one, two) = (version_of(&first).unwrap(), version_of(&second).unwrap());
    assert_ne!(one, two);
    let again = publisher.publish(&first, now).await.unwrap();
    assert_eq!(again, Publication::Unchanged(one.clone()));
    let next = publisher.publish(&second, now).await.unwrap();
    assert_eq!(next, Publication::Published(two));
    let stored = publisher.current().await.unwrap();
    assert_eq!(stored.differences(&second), []);
    // No instance has read the catalogue before, so none has the first version in its cache.
    assert_eq!(world.browser().get("/modules/extra").await.json()["text"], "# Extra");
    let back = publisher.publish(&first, now).await.unwrap();
    assert_eq!(back, Publication::Published(one));
    assert_eq!(publisher.current().await.unwrap().differences(&first), []);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_publishers_leave_one_whole_version() {
    let world = world().await;
    let (publisher, now) = (publisher(&world.cloud), world.cloud.clock.now());
    let first = sample::edition().unwrap();
    let second = larger(&first);
    let publishing = (0..8).map(|number| {
        let edition = if number % 2 == 0 { &second } else { &first };
        publisher.publish(edition, now)
    });
    futures::future::join_all(publishing).await;
    let stored = publisher.current().await.unwrap();
    let whole = if stored.texts.len() == second.texts.len() { &second } else { &first };
    assert_eq!(stored.differences(whole), []);
    assert_eq!(*stored.catalog.version(), version_of(whole).unwrap());
    world.finish(Outcome::Clean).await;
}

fn rollcall(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("catalog").args(arguments).output().unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_is_told_every_fault_and_publishes_what_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let matter = "+++\ntitle = \"A\"\nsummary = \"About a.\"\nestimated_minutes = 5\n+++\nText.\n";
    write("README.md", "is no part of it");
    write("modules/a/module.md", &matter.replace('5', "0"));
    write("courses/one.md", "+++\ntitle = \"One\"\nmodules = [\"a\", \"b\"]\n+++\nOne.\n");
    let path = folder.path().to_str().unwrap();
    let refused = rollcall(&["check", path]);
    assert!(!refused.status.success());
    assert_eq!(
        text(&refused.stdout),
        "courses/one.md: modules[1]: names b, which does not exist\n\
         modules/a/module.md: estimated_minutes: must be 1 to 1440\n"
    );
    assert!(text(&refused.stderr).contains("2 faults"));

    write("modules/a/module.md", matter);
    write("modules/b/module.md", matter);
    let checked = text(&rollcall(&["check", path]).stdout);
    assert!(
        checked.ends_with(": 0 pathways, 1 course, 2 modules, 0 quizzes, 0 badges\n"),
        "{checked}"
    );
    let missing = rollcall(&["check", "/nowhere/at/all"]);
    assert!(!missing.status.success());

    let world = world().await;
    let token = machine_token(&world).await;
    let said = async |action: &str| {
        let said = operating::rollcall(&world, &token, &["catalog", action, path]).await;
        assert!(said.success, "{said:?}");
        said.output
    };
    let differences = said("diff").await;
    assert!(
        differences.contains("+ course one\n")
            && differences.contains("- module follow-a-change\n")
            && differences.contains("- badge helping-hand\n")
    );
    assert!(said("publish").await.ends_with(" is the catalogue now\n"));
    assert!(said("publish").await.ends_with(" was the catalogue already\n"));
    assert_eq!(said("diff").await, "nothing would change\n");
    let mut grace = world.signed_in("grace").await;
    let log = grace.get("/admin/audit?subject=catalog").await.json();
    let log = log["entries"].as_array().unwrap();
    assert_eq!((log.len(), &log[0]["action"]), (1, &json!("catalog-published")), "{log:?}");
    let refused = operating::rollcall(&world, &token, &["catalog", "publish", "/nowhere"]).await;
    assert!(!refused.success, "{refused:?}");
    assert_eq!(world.browser().get("/courses").await.json()["courses"][0]["slug"], "one");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_with_faults_is_refused_with_all_of_them_and_changes_nothing() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let before = grace.get("/courses").await.json();
    let matter = "+++\ntitle = \"A\"\nsummary = \"About a.\"\nestimated_minutes = 0\n+++\nText.\n";
    let course = "+++\ntitle = \"One\"\nmodules = [\"a\", \"b\"]\n+++\nOne.\n";
    let files = json!([
        { "path": "modules/a/module.md", "text": matter },
        { "path": "courses/one.md", "text": course },
    ]);
    let refused = grace.post("/admin/catalog/versions", Some(json!({ "files": files }))).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let told: Vec<String> = refused.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            format!("{} {}", error["pointer"].as_str().unwrap(), error["detail"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            "file:courses/one.md modules[1]: names b, which does not exist",
            "file:modules/a/module.md estimated_minutes: must be 1 to 1440",
        ]
    );
    assert_eq!(grace.get("/courses").await.json(), before);
    let mut ada = world.signed_in("ada").await;
    let forbidden = ada.post("/admin/catalog/versions", Some(json!({ "files": [] }))).await;
    assert_eq!(forbidden.status, 403);
    world.finish(Outcome::Clean).await;
}
