//! Accounts, the addresses that are theirs, and who may sign in with them.

use futures::future::join_all;
use rollcall_local::Addresses;
use rollcall_local::provider::User;
use rollcall_tests::{Answer, Browser, Outcome, World, eventually, member};
use serde_json::{Value, json};

use crate::sessions::{age, round};
use crate::{PROGRAM, world};

const SESSION: &str = "__Host-rollcall_session";
const LINK: &str = "__Host-rollcall_link";
const USERS: &str = "rollcall-dev-users";
const ADMIN_ROUTE: &str = "/admin/crm/status";

/// Signs in at the provider as `username` and comes back, whatever the answer is.
pub(crate) async fn come_back(world: &World, browser: &mut Browser, username: &str) -> Answer {
    let login = browser.get("/auth/login").await;
    let order = json!({ "authorize_url": login.header("location"), "username": username });
    let provider = Addresses::url(world.cloud.addresses.provider);
    let url = format!("{provider}/_emulator/login-as");
    let callback = browser.plain("POST", &url, Some(order)).await.json();
    browser.send("GET", callback["callback_url"].as_str().unwrap(), None, &[]).await
}

/// The same person at the provider another time, as with another way to sign in.
pub(crate) fn twin(number: usize, email: &str, email_verified: bool) -> User {
    User { email: email.to_owned(), email_verified, ..member(number) }
}

pub(crate) async fn user_id(browser: &mut Browser) -> String {
    browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
}

/// Proves an identity whose address is another user's, and leaves it waiting in the browser.
async fn wait_to_be_linked(world: &World, browser: &mut Browser, username: &str) {
    let answer = come_back(world, browser, username).await;
    assert_page(&answer, 409, "You already have an account");
    assert!(answer.text.contains("href=\"/auth/login\""), "{answer:?}");
    assert!(browser.cookies.contains_key(LINK), "{answer:?}");
}

/// Who signs in with an identity in a browser of their own; `None` when nobody does.
pub(crate) async fn leads_to(world: &World, username: &str) -> Option<String> {
    let mut browser = world.browser();
    let answer = come_back(world, &mut browser, username).await;
    if answer.status != 303 {
        assert_page(&answer, 409, "You already have an account");
        return None;
    }
    Some(user_id(&mut browser).await)
}

/// How many identities wait.
async fn waiting(world: &World) -> usize {
    let items = world.dynamodb("Scan", &json!({ "TableName": "rollcall-dev-edge" })).await;
    let items = items["Items"].as_array().unwrap().clone();
    items.iter().filter(|item| item["sk"]["S"] == "link").count()
}

/// The identities in a user's list.
async fn identities(world: &World, user_id: &str) -> usize {
    let order = json!({
        "TableName": USERS,
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
        "ExpressionAttributeValues": {
            ":pk": { "S": format!("user#{user_id}") }, ":prefix": { "S": "identity#" },
        },
    });
    world.dynamodb("Query", &order).await["Items"].as_array().unwrap().len()
}

/// Changes a user's stored item.
async fn set(world: &World, user_id: &str, attribute: &str, value: Value) {
    let order = json!({
        "TableName": USERS,
        "Key": { "pk": { "S": format!("user#{user_id}") }, "sk": { "S": "profile" } },
        "UpdateExpression": "SET #attribute = :value",
        "ExpressionAttributeNames": { "#attribute": attribute },
        "ExpressionAttributeValues": { ":value": value },
    });
    world.dynamodb("UpdateItem", &order).await;
}

/// Whose an address is, as stored.
async fn owner(world: &World, address: &str) -> Option<String> {
    let key = json!({ "pk": { "S": format!("email#{address}") }, "sk": { "S": "claim" } });
    let found = world.dynamodb("GetItem", &json!({ "TableName": USERS, "Key": key })).await;
    found["Item"]["user_id"]["S"].as_str().map(ToOwned::to_owned)
}

/// Makes it as if the provider had told another address until now.
async fn had_address(world: &World, user_id: &str, old: &str, new: &str) {
    set(world, user_id, "email", json!({ "S": old })).await;
    let key = json!({ "pk": { "S": format!("email#{new}") }, "sk": { "S": "claim" } });
    let taken = json!({ "TableName": USERS, "Key": key, "ReturnValues": "ALL_OLD" });
    let mut claim = world.dynamodb("DeleteItem", &taken).await["Attributes"].clone();
    claim["pk"] = json!({ "S": format!("email#{old}") });
    world.dynamodb("PutItem", &json!({ "TableName": USERS, "Item": claim })).await;
}

/// The items of all users, without claims and links.
async fn stored_users(world: &World) -> Vec<Value> {
    let items = world.dynamodb("Scan", &json!({ "TableName": USERS })).await["Items"].clone();
    let items = items.as_array().unwrap().iter();
    items.filter(|item| item["sk"]["S"] == "profile").cloned().collect()
}

#[track_caller]
fn assert_page(answer: &Answer, status: u16, text: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
    assert!(answer.text.contains(text), "{answer:?}");
    assert!(!answer.header("set-cookie").contains(SESSION), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_13_an_address_that_nobody_verified_is_nobodys() {
    let twins = vec![
        twin(1, "ada@rollcall.example", false),
        twin(2, "late@rollcall.example", false),
        twin(3, "late@rollcall.example", true),
    ];
    let world = World::start_with(PROGRAM, twins, |_| {}).await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    for username in ["member-1", "member-2", "member-1"] {
        let mut browser = world.signed_in(username).await;
        let me = browser.get("/auth/me").await.json();
        assert_eq!(me["email"], Value::Null);
        assert_ne!(me["user_id"], *ada_id);
    }
    assert_eq!(owner(&world, "ada@rollcall.example").await, Some(ada_id));
    assert_eq!(owner(&world, "late@rollcall.example").await, None);
    let mut late = world.signed_in("member-3").await;
    assert_eq!(late.get("/auth/me").await.json()["email"], "late@rollcall.example");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_19_of_all_identities_with_one_address_that_come_at_once_one_makes_an_account() {
    let email = "Same@Rollcall.example";
    let twins = (0..12).map(|number| twin(number, email, true)).collect();
    let world = World::start_with(PROGRAM, twins, |_| {}).await;
    let coming = (0..12).map(|number| {
        let (world, mut browser) = (&world, world.browser());
        async move {
            let answer = come_back(world, &mut browser, &format!("member-{number}")).await;
            (browser, answer)
        }
    });
    let (joined, refused): (Vec<_>, Vec<_>) =
        join_all(coming).await.into_iter().partition(|(_, answer)| answer.status == 303);
    assert_eq!((joined.len(), refused.len()), (1, 11));
    for (mut browser, answer) in refused {
        assert_page(&answer, 409, "already");
        assert_eq!(browser.get("/auth/me").await.status, 401);
    }
    assert_eq!(stored_users(&world).await.len(), 1);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_changed_at_the_provider_moves_at_sign_in_and_at_every_refresh() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    let (old, new) = ("old@rollcall.example", "ada@rollcall.example");
    for by in ["a sign-in", "a refresh", "the schedule"] {
        ada.sign_in("ada").await;
        had_address(&world, &id, old, new).await;
        assert_eq!(ada.get("/auth/me").await.json()["email"], old);
        match by {
            "a sign-in" => drop(ada.sign_in("ada").await),
            "a refresh" => assert_eq!(ada.post("/auth/refresh", None).await.status, 200),
            _ => {
                age(&world, &ada).await;
                assert_eq!(ada.get("/auth/me").await.status, 200);
                round(&world).await;
            }
        }
        let moved =
            async || (ada.clone().get("/auth/me").await.json()["email"] == new).then_some(());
        eventually(by, moved).await;
        assert_eq!((owner(&world, old).await, owner(&world, new).await), (None, Some(id.clone())));
    }
    world.contact_with(&id, &[("email", new)]).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_another_users_stays_theirs_and_everybody_still_signs_in() {
    let world = world().await;
    let mut lin = world.signed_in("lin").await;
    let lin_id = user_id(&mut lin).await;
    // The provider tells the address of Ada's account about Lin from now on.
    let (old, new) = ("ada@rollcall.example", "lin@rollcall.example");
    had_address(&world, &lin_id, "before@rollcall.example", new).await;
    let mut ada = world.signed_in("ada").await;
    let ada_id = user_id(&mut ada).await;
    had_address(&world, &ada_id, new, old).await;
    for _time in 0..2 {
        lin.sign_in("lin").await;
        assert_eq!(lin.get("/auth/me").await.json()["email"], "before@rollcall.example");
        assert_eq!(owner(&world, new).await, Some(ada_id.clone()));
    }
    let lines = world.cloud.logs.lines();
    let told: Vec<&str> = lines
        .iter()
        .map(|line| line.line.as_str())
        .filter(|line| line.contains("AddressesRefused") || line.contains("the old one stays"))
        .collect();
    assert_eq!(told.len(), 4, "a metric and a line, twice: {told:?}");
    assert!(told.iter().all(|line| !line.contains('@')), "{told:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_from_before_addresses_were_claimed_claims_its_own() {
    let world =
        World::start_with(PROGRAM, vec![twin(1, "ada@rollcall.example", true)], |_| {}).await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    let key = json!({ "pk": { "S": "email#ada@rollcall.example" }, "sk": { "S": "claim" } });
    world.dynamodb("DeleteItem", &json!({ "TableName": USERS, "Key": key })).await;
    ada.sign_in("ada").await;
    assert_eq!(owner(&world, "ada@rollcall.example").await, Some(id));
    assert_page(&come_back(&world, &mut world.browser(), "member-1").await, 409, "already");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_or_stays_signed_in_with_a_closed_account() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    let (past, future) =
        (json!({ "S": "2026-01-01T00:00:00Z" }), json!({ "S": "2126-01-01T00:00:00Z" }));
    let suspended = json!({ "M": { "is": { "S": "suspended" }, "since": past } });
    let leaving = |at| json!({ "M": { "is": { "S": "leaving" }, "erase_at": at } });
    for (standing, page) in [
        (suspended, Some("suspended")),
        (leaving(past), Some("being deleted")),
        (leaving(future), None),
        (json!({ "M": { "is": { "S": "active" } } }), None),
    ] {
        ada.sign_in("ada").await;
        set(&world, &id, "standing", standing).await;
        let mut other = world.browser();
        let answer = come_back(&world, &mut other, "ada").await;
        if let Some(text) = page {
            assert_page(&answer, 403, text);
            assert_eq!(other.get("/auth/me").await.status, 401);
            assert_eq!(ada.post("/auth/refresh", None).await.status, 401);
            assert_eq!(ada.get("/auth/me").await.status, 401, "the refresh ended the session");
            set(&world, &id, "standing", json!({ "M": { "is": { "S": "active" } } })).await;
        } else {
            assert_eq!(answer.status, 303, "{answer:?}");
            assert_eq!(ada.post("/auth/refresh", None).await.status, 200);
        }
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_an_administrator_granted_outlives_every_sign_in() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    set(&world, &id, "granted_roles", json!({ "L": [{ "S": "admin" }] })).await;
    assert_eq!(ada.get(ADMIN_ROUTE).await.status, 403, "a session has the roles it began with");
    for _time in 0..2 {
        ada.sign_in("ada").await;
        assert_eq!(ada.get("/auth/me").await.json()["roles"], json!(["admin"]));
        assert_eq!(ada.get(ADMIN_ROUTE).await.status, 200);
    }
    set(&world, &id, "granted_roles", json!({ "L": [] })).await;
    assert_eq!(ada.post("/auth/refresh", None).await.status, 200);
    assert_eq!(ada.get(ADMIN_ROUTE).await.status, 403);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_19_a_second_way_to_sign_in_is_linked_once_both_were_proven_in_one_browser() {
    let world =
        World::start_with(PROGRAM, vec![twin(1, "Ada@Rollcall.example", true)], |_| {}).await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    let before = ada.get("/auth/me").await.json();
    let mut browser = world.browser();
    wait_to_be_linked(&world, &mut browser, "member-1").await;
    assert_eq!(browser.get("/auth/me").await.status, 401);
    // The provider remembers the new identity and must not take it again.
    let login = browser.get("/auth/login").await;
    assert!(login.header("location").contains("prompt=login"), "{login:?}");
    assert!(!ada.get("/auth/login").await.header("location").contains("prompt"));

    browser.sign_in("ada").await;
    assert!(!browser.cookies.contains_key(LINK));
    assert_eq!((waiting(&world).await, identities(&world, &id).await), (0, 2));
    assert_eq!(leads_to(&world, "member-1").await, Some(id.clone()));
    assert_eq!(leads_to(&world, "ada").await, Some(id.clone()));
    assert_eq!(stored_users(&world).await.len(), 1);
    let mut second = world.signed_in("member-1").await;
    let after = second.get("/auth/me").await.json();
    for fact in ["email", "given_name", "family_name", "joined_at"] {
        assert_eq!(after[fact], before[fact], "{fact}");
    }
    assert_eq!(second.post("/auth/refresh", None).await.status, 200);
    world.contact_with(&id, &[("email", "ada@rollcall.example"), ("firstname", "Ada")]).await;
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_13_an_identity_waits_in_its_own_browser_for_the_owner_of_its_address_alone() {
    let twins = vec![twin(1, "ada@rollcall.example", true), twin(2, "ada@rollcall.example", false)];
    let world = World::start_with(PROGRAM, twins, |_| {}).await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    let mut browser = world.browser();
    wait_to_be_linked(&world, &mut browser, "member-1").await;
    let cookie = browser.cookies[LINK].clone();
    // Another browser of the owner, a forged cookie, and somebody else in the same browser.
    ada.sign_in("ada").await;
    ada.cookies.insert(LINK.to_owned(), "x".repeat(43));
    ada.sign_in("ada").await;
    browser.sign_in("lin").await;
    browser.sign_in("member-2").await;
    assert_eq!((waiting(&world).await, identities(&world, &id).await), (1, 1));
    assert_eq!(browser.cookies.get(LINK), Some(&cookie));
    assert_eq!(leads_to(&world, "member-1").await, None);
    assert_eq!(waiting(&world).await, 2);

    // What waited for too long.
    let stored = world.dynamodb("Scan", &json!({ "TableName": "rollcall-dev-edge" })).await;
    let items = stored["Items"].as_array().unwrap().clone();
    for mut item in items.into_iter().filter(|item| item["sk"]["S"] == "link") {
        let text = item.to_string();
        assert!(!text.contains('@') && !text.contains(&cookie), "{text}");
        item["started_at"] = json!({ "S": "2026-01-01T00:00:00Z" });
        let order = json!({ "TableName": "rollcall-dev-edge", "Item": item });
        world.dynamodb("PutItem", &order).await;
    }
    browser.sign_in("ada").await;
    assert_eq!(identities(&world, &id).await, 1);
    assert_eq!(leads_to(&world, "member-1").await, None);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_19_browsers_that_link_at_once_link_each_identity_once() {
    let twins = (1..4).map(|number| twin(number, "ada@rollcall.example", true)).collect();
    let world = World::start_with(PROGRAM, twins, |_| {}).await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    let mut browsers = Vec::new();
    // Two browsers of each identity, and a copy of each browser.
    for number in [1, 1, 2, 2, 3, 3] {
        let mut browser = world.browser();
        wait_to_be_linked(&world, &mut browser, &format!("member-{number}")).await;
        browsers.extend([browser.clone(), browser]);
    }
    let linking = browsers.into_iter().map(|mut browser| {
        let world = &world;
        async move { come_back(world, &mut browser, "ada").await.status }
    });
    let statuses = join_all(linking).await;
    // Whoever loses again and again is told to try again, and nothing is done by halves.
    assert!(statuses.contains(&303), "{statuses:?}");
    for number in 1..4 {
        if leads_to(&world, &format!("member-{number}")).await.is_none() {
            let mut browser = world.browser();
            wait_to_be_linked(&world, &mut browser, &format!("member-{number}")).await;
            browser.sign_in("ada").await;
        }
        assert_eq!(leads_to(&world, &format!("member-{number}")).await, Some(id.clone()));
    }
    assert_eq!(identities(&world, &id).await, 4);
    let users = stored_users(&world).await;
    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["identities"]["N"], "4");
    world.finish(Outcome::Troubled).await;
}
