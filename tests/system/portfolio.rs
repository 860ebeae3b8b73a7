//! What people show of their work: theirs alone to change, bounded, and seen by who sees the profile.

use std::collections::BTreeSet;

use futures::future::join_all;
use rollcall_tests::{Answer, Browser, Outcome, World};
use serde_json::{Value, json};

use crate::profile::edit;
use crate::world;

const WORK: &str = "/users/me/work";
const PORTFOLIO: &str = "/users/me/portfolio";
const PIECES_MAX: usize = 50;
/// How often a request is sent again that lost too many races.
const TRIES_MAX: u32 = 30;

/// A change with the headers of a page of ours, and one more.
async fn send(
    browser: &mut Browser,
    method: &str,
    path: &str,
    extra: (&str, &str),
    body: &Value,
) -> Answer {
    browser.change_with(method, path, Some(body.clone()), &[extra]).await
}

async fn create(browser: &mut Browser, path: &str, key: &str, body: &Value) -> Answer {
    send(browser, "POST", path, ("idempotency-key", key), body).await
}

/// Lets the time be over for which answers are kept, as it is for a process that died before it kept
/// its own.
async fn forget_keys(world: &World) {
    let table = json!("rollcall-dev-edge");
    let items = world.dynamodb("Scan", &json!({ "TableName": table })).await;
    for item in items["Items"].as_array().unwrap() {
        if item["sk"]["S"].as_str().unwrap().starts_with("idempotency#") {
            let key = json!({ "pk": item["pk"], "sk": item["sk"] });
            world.dynamodb("DeleteItem", &json!({ "TableName": table, "Key": key })).await;
        }
    }
}

async fn titles(browser: &mut Browser, path: &str) -> Vec<String> {
    let answer = browser.get(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_is_put_changed_and_removed_by_its_owner_alone() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    let body = json!({ "title": " Engine ", "url": "https://a.example/engine", "year": 1843 });
    let created = create(&mut ada, WORK, "one", &body).await;
    assert_eq!((created.status, created.header("etag")), (201, "\"1\""), "{created:?}");
    assert_eq!(created.json()["title"], "Engine");
    let again = create(&mut ada, WORK, "one", &body).await;
    assert_eq!(again.json(), created.json());
    forget_keys(&world).await;
    let late = create(&mut ada, WORK, "one", &body).await;
    assert_eq!((late.status, late.json()), (201, created.json()), "the piece itself remembers");
    assert_eq!(create(&mut ada, PORTFOLIO, "one", &json!({ "title": "Notes" })).await.status, 201);
    assert_eq!(titles(&mut ada, WORK).await, ["Engine"]);
    assert_eq!(titles(&mut ada, PORTFOLIO).await, ["Notes"]);
    assert_eq!(titles(&mut lin, WORK).await, Vec::<String>::new());

    let id = created.json()["id"].as_str().unwrap().to_owned();
    let (own, other) = (format!("{WORK}/{id}"), format!("{PORTFOLIO}/{id}"));
    let change = json!({ "title": "Engine", "description": "by hand" });
    for (browser, path, tag, status) in
        [(&lin, &own, "*", 404), (&ada, &other, "*", 404), (&ada, &own, "\"2\"", 412)]
    {
        let answer = send(&mut browser.clone(), "PUT", path, ("if-match", tag), &change).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    assert_eq!(ada.put(&own, Some(change.clone())).await.status, 428);
    let changed = send(&mut ada, "PUT", &own, ("if-match", "\"1\""), &change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert!(changed.header("etag").starts_with("\"2."), "{changed:?}");
    assert_eq!(
        (&changed.json()["description"], &changed.json()["url"]),
        (&json!("by hand"), &Value::Null)
    );
    let same = send(&mut ada, "PUT", &own, ("if-match", "\"2\""), &change).await;
    assert_eq!(same.header("etag"), changed.header("etag"), "the same again changes nothing");

    for (browser, path, status) in
        [(&lin, &own, 404), (&ada, &other, 404), (&ada, &own, 204), (&ada, &own, 404)]
    {
        assert_eq!(browser.clone().delete(path).await.status, status, "{path}");
    }
    assert_eq!(titles(&mut ada, WORK).await, Vec::<String>::new());
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_piece_is_refused_with_every_field() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    for (number, (body, pointers)) in [
        (json!({ "title": "" }), vec!["/title"]),
        (json!({ "title": "x".repeat(121), "url": "http://a.example" }), vec!["/title", "/url"]),
        (json!({ "title": "x", "url": "javascript:alert(1)", "year": 1 }), vec!["/url", "/year"]),
        (json!({ "title": "x", "description": "a\u{0}b" }), vec!["/description"]),
        (json!({ "title": "x", "owner": "usr_1" }), vec!["/owner"]),
        (json!({ "title": ["x"] }), vec!["/title"]),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = create(&mut ada, WORK, &format!("key-{number}"), &body).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        let errors = answer.json()["errors"].as_array().unwrap().clone();
        let actual: Vec<&str> = errors.iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(actual, pointers, "{body}");
    }
    assert_eq!(titles(&mut ada, WORK).await, Vec::<String>::new());
    for _ in 0..2 {
        assert_eq!(ada.post(WORK, Some(json!({ "title": "x" }))).await.status, 201);
    }
    assert_eq!(titles(&mut ada, WORK).await, ["x", "x"], "two without a key are two");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shelf_holds_fifty_however_many_are_put_there_at_once() {
    let world = world().await;
    let ada = world.signed_in("ada").await;
    let put = |number: usize| {
        let mut ada = ada.clone();
        async move {
            let body = json!({ "title": format!("piece {number}") });
            // Those who lose a race too often are told to try again, as a client would.
            let key = format!("key-{number}");
            let mut answer = create(&mut ada, WORK, &key, &body).await;
            for _again in 0..TRIES_MAX {
                if answer.status == 503 {
                    answer = create(&mut ada, WORK, &key, &body).await;
                }
            }
            answer
        }
    };
    let mut answers = Vec::new();
    for numbers in (0..PIECES_MAX + 6).collect::<Vec<_>>().chunks(8) {
        answers.extend(join_all(numbers.iter().map(|number| put(*number))).await);
    }
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(409)), (PIECES_MAX, 6), "{answers:#?}");
    let mut ada = ada.clone();
    let shown = titles(&mut ada, WORK).await;
    assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), PIECES_MAX);

    let kept = answers.iter().find(|answer| answer.status == 201).unwrap().json();
    let id = kept["id"].as_str().unwrap();
    assert_eq!(ada.delete(&format!("{WORK}/{id}")).await.status, 204);
    let room = create(&mut ada, WORK, "room", &json!({ "title": "room" })).await;
    assert_eq!(room.status, 201, "{room:?}");
    let full = create(&mut ada, WORK, "full", &json!({ "title": "full" })).await;
    assert_eq!(full.json()["code"], "shelf-full", "{full:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_a_profile_sees_its_shelves() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    let mut nobody = world.browser();
    assert_eq!(create(&mut ada, WORK, "one", &json!({ "title": "Engine" })).await.status, 201);
    assert_eq!(edit(&mut ada, json!({ "username": "ada_l" })).await.status, 200);
    for (visibility, member, anybody) in
        [("public", 200, 200), ("members", 200, 404), ("private", 404, 404)]
    {
        let patch = json!({ "visibility": { "profile": visibility } });
        assert_eq!(edit(&mut ada, patch).await.status, 200);
        for path in ["/users/ada_l/work", "/users/ada_l/portfolio"] {
            assert_eq!(lin.get(path).await.status, member, "{visibility} {path}");
            assert_eq!(nobody.get(path).await.status, anybody, "{visibility} {path}");
        }
    }
    let patch = json!({ "visibility": { "profile": "public" } });
    assert_eq!(edit(&mut ada, patch).await.status, 200);
    let mut stranger = nobody.clone();
    assert_eq!(titles(&mut stranger, "/users/ada_l/work").await, ["Engine"]);
    assert_eq!(nobody.get("/users/nobody_here/work").await.status, 404);
    world.finish(Outcome::Clean).await;
}
