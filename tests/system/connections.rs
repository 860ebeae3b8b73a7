//! Connections between members: both sides say the same, whatever happens at once.

use futures::future::{join, join_all};
use rollcall_resources::Table;
use rollcall_tests::{Answer, Browser, Outcome, World, member};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::profile::edit;

/// How many ask one member.
const MEMBERS: usize = 12;
/// How often two of them do everything at once.
const ROUNDS: usize = 12;

async fn world() -> World {
    World::start_with(PROGRAM, (0..MEMBERS).map(member).collect(), |_| {}).await
}

/// Somebody with a name that others find them by.
async fn named(world: &World, provider_name: &str) -> (Browser, String) {
    let mut browser = world.signed_in(provider_name).await;
    let name = provider_name.replace('-', "_");
    let named = edit(&mut browser, json!({ "username": name })).await;
    assert_eq!(named.status, 200, "{named:?}");
    (browser, name)
}

async fn connect(browser: &mut Browser, name: &str) -> Answer {
    browser.put(&format!("/users/{name}/connect"), None).await
}

async fn end(browser: &mut Browser, name: &str) -> Answer {
    browser.delete(&format!("/users/{name}/connect")).await
}

/// The caller's connections as pairs of name and state.
async fn list(browser: &mut Browser, filter: &str) -> Vec<(String, String)> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/users/me/connections?limit=5{filter}{cursor}");
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let connections = page["connections"].as_array().unwrap();
        assert!(page["cursor"].is_null() || connections.len() == 5, "a short page: {page}");
        found.extend(connections.iter().map(|c| (text(&c["user"]["username"]), text(&c["state"]))));
        match page["cursor"].as_str() {
            None => return found,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
}

fn pair(name: &str, state: &str) -> (String, String) {
    (name.to_owned(), state.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn c_24_both_sides_of_a_connection_change_together() {
    let world = world().await;
    let (mut ada, ada_name) = named(&world, "ada").await;
    let (mut lin, lin_name) = named(&world, "lin").await;
    let asked = connect(&mut ada, &lin_name).await;
    assert_eq!((asked.status, &asked.json()["state"]), (200, &json!("asked")), "{asked:?}");
    assert_eq!(connect(&mut ada, &lin_name).await.json(), asked.json(), "asking twice is asking");
    assert_eq!(list(&mut ada, "").await, [pair(&lin_name, "asked")]);
    assert_eq!(list(&mut lin, "").await, [pair(&ada_name, "asked_by")]);
    assert_eq!(connect(&mut lin, &ada_name).await.json()["state"], "connected");
    assert_eq!(list(&mut ada, "&state=connected").await, [pair(&lin_name, "connected")]);
    assert_eq!(list(&mut ada, "&state=asked").await, []);
    assert_eq!(end(&mut ada, &lin_name).await.status, 204);
    assert_eq!(end(&mut ada, &lin_name).await.status, 204);
    assert_eq!(list(&mut lin, "").await, []);
    for (name, status) in [(ada_name.as_str(), 409), ("nobody_here", 404), ("No", 404)] {
        let answer = connect(&mut ada, name).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    let hidden = edit(&mut lin, json!({ "visibility": { "profile": "private" } })).await;
    assert_eq!(hidden.status, 200, "{hidden:?}");
    assert_eq!(connect(&mut ada, &lin_name).await.status, 404, "who is hidden cannot be asked");
    assert_eq!(ada.get("/users/me/connections?state=friends").await.status, 422);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_connections_are_full_and_each_is_listed_once() {
    let world = world().await;
    let (mut ada, ada_name) = named(&world, "ada").await;
    let mut names = Vec::new();
    for number in 0..MEMBERS {
        let (mut browser, name) = named(&world, &format!("member-{number}")).await;
        assert_eq!(connect(&mut browser, &ada_name).await.status, 200);
        if number % 2 == 0 {
            assert_eq!(connect(&mut ada, &name).await.json()["state"], "connected");
        }
        names.push(name);
    }
    let listed = list(&mut ada, "").await;
    names.reverse();
    assert_eq!(listed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names);
    assert_eq!(list(&mut ada, "&state=asked_by").await.len(), MEMBERS / 2);
    world.finish(Outcome::Clean).await;
}

/// The items of connections in the table, by both ends.
async fn sides(world: &World) -> Vec<(String, String, String)> {
    let scan = json!({ "TableName": Table::Users.full_name("dev"), "ConsistentRead": true });
    let items = world.dynamodb("Scan", &scan).await;
    let text = |item: &Value, name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
    let items = items["Items"].as_array().unwrap().iter();
    items
        .filter(|item| text(item, "sk").starts_with("connection#"))
        .map(|item| (text(item, "own_id"), text(item, "other_id"), text(item, "state")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn c_24_two_who_ask_and_end_at_once_agree_in_the_end() {
    let world = world().await;
    let (ada, ada_name) = named(&world, "ada").await;
    let (lin, lin_name) = named(&world, "lin").await;
    let steps = (0..ROUNDS).map(|round| {
        let (mut ada, mut lin) = (ada.clone(), lin.clone());
        let (ada_name, lin_name) = (ada_name.as_str(), lin_name.as_str());
        async move {
            let one = async {
                if round % 3 == 0 {
                    end(&mut ada, lin_name).await
                } else {
                    connect(&mut ada, lin_name).await
                }
            };
            let (one, other) = join(one, connect(&mut lin, ada_name)).await;
            for answer in [one, other] {
                assert!([200, 204, 409].contains(&answer.status), "{answer:?}");
            }
        }
    });
    join_all(steps).await;
    let sides = sides(&world).await;
    for (own, other, state) in &sides {
        let mirrored = match state.as_str() {
            "asked" => "asked_by",
            "asked_by" => "asked",
            state => state,
        };
        let expected = (other.clone(), own.clone(), mirrored.to_owned());
        assert!(sides.contains(&expected), "{sides:?}");
    }
    world.finish(Outcome::Clean).await;
}
