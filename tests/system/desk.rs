//! What administrators see and change of users.

use futures::future::{join, join_all};
use rollcall_cli::sample;
use rollcall_local::provider::User;
use rollcall_tests::{Answer, Browser, Outcome, World, eventually, member};
use serde_json::{Value, json};

use crate::linking::{come_back, twin};
use crate::{PROGRAM, world};

const USERS: &str = "/admin/users";
const ADMIN_ROUTE: &str = "/admin/crm/status";

pub(crate) async fn user_id(browser: &mut Browser) -> String {
    browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned()
}

fn path(user_id: &str) -> String {
    format!("{USERS}/{user_id}")
}

/// Changes a user as it is now.
pub(crate) async fn administer(admin: &mut Browser, user_id: &str, body: Value) -> Answer {
    let tag = admin.get(&path(user_id)).await.header("etag").to_owned();
    patch(admin, user_id, body, &tag).await
}

async fn patch(admin: &mut Browser, user_id: &str, body: Value, tag: &str) -> Answer {
    admin.fetch_csrf().await;
    admin.change_with("PATCH", &path(user_id), Some(body), &[("if-match", tag)]).await
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{answer:?}");
}

/// The actions that the audit log tells about a user, oldest first, with their details.
async fn audited(admin: &mut Browser, user_id: &str) -> Vec<(String, Value)> {
    let log = admin.get(&format!("/admin/audit?subject={user_id}&limit=100")).await.json();
    let entries = log["entries"].as_array().unwrap().iter().rev();
    entries
        .map(|entry| (entry["action"].as_str().unwrap().to_owned(), entry["details"].clone()))
        .collect()
}

fn members(count: usize) -> Vec<User> {
    (0..count).map(member).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_finds_people_by_every_name_that_is_theirs_alone() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut grace = world.signed_in("grace").await;
    let id = user_id(&mut ada).await;
    let tag = ada.get("/users/me").await.header("etag").to_owned();
    let named = json!({ "username": "ada", "about": "canary-about", "birth_date": "1990-01-31" });
    let named = ada.change_with("PATCH", "/users/me", Some(named), &[("if-match", &tag)]).await;
    assert_eq!(named.status, 200, "{named:?}");
    let shown = grace.get(&path(&id)).await;
    let identity = shown.json()["identities"][0].clone();
    let identity = format!(
        "issuer={}&subject={}",
        rollcall_tests::percent_encode(identity["issuer"].as_str().unwrap()),
        identity["subject"].as_str().unwrap(),
    );
    for (query, found) in [
        ("email=%20ADA%40rollcall.example", true),
        ("email=nobody@rollcall.example", false),
        ("username=Ada", true),
        ("username=nobody_here", false),
        (identity.as_str(), true),
        ("issuer=https://evil.example&subject=1", false),
    ] {
        let users = grace.get(&format!("{USERS}?{query}")).await.json()["users"].clone();
        let ids: Vec<&str> = users
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["user_id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, if found { vec![id.as_str()] } else { Vec::new() }, "{query}");
    }
    // What operators need, and nothing of what people say about themselves.
    let shown = shown.json();
    for (fact, value) in [
        ("username", json!("ada")),
        ("email", json!("ada@rollcall.example")),
        ("standing", json!("active")),
        ("suspended_since", Value::Null),
        ("erase_at", Value::Null),
        ("roles", json!([])),
        ("granted_roles", json!([])),
        ("plan", json!("free")),
        ("verified", json!(false)),
        ("sessions", json!(1)),
    ] {
        assert_eq!(shown[fact], value, "{fact}");
    }
    let text = shown.to_string();
    assert!(!text.contains("canary-about") && !text.contains("1990-01-31"), "{text}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_nobody_finds_nobody_and_what_can_be_no_name_is_refused() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    for (query, pointer, code) in [
        ("email=ada", "query:email", "invalid-text"),
        ("email=", "query:email", "invalid-text"),
        ("username=a-d-a", "query:username", "invalid-username"),
        ("issuer=x", "query:issuer", "incomplete"),
        ("subject=x", "query:issuer", "incomplete"),
        ("issuer=&subject=x", "query:issuer", "invalid-text"),
        ("email=a@b.example&username=ada", "query:email", "ambiguous"),
        ("username=ada&subject=x", "query:email", "ambiguous"),
        ("limit=0", "query:limit", "out-of-range"),
        ("cursor=x", "query:cursor", "invalid-cursor"),
    ] {
        let refused = grace.get(&format!("{USERS}?{query}")).await;
        assert_problem(&refused, 422, "invalid-value");
        let error = &refused.json()["errors"][0];
        assert_eq!(
            (error["pointer"].as_str(), error["code"].as_str()),
            (Some(pointer), Some(code))
        );
    }
    for id in ["usr_00000000000070008000000000000000", "usr_x", "me"] {
        assert_problem(&grace.get(&path(id)).await, 404, "not-found");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_users_are_complete_and_who_joined_last_comes_first() {
    let world = World::start_with(PROGRAM, members(9), |_| {}).await;
    let mut grace = world.signed_in("grace").await;
    let mut expected = vec![user_id(&mut grace).await];
    for number in 0..9 {
        expected.push(user_id(&mut world.signed_in(&format!("member-{number}")).await).await);
    }
    expected.reverse();
    let ids = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().unwrap().iter();
        users.map(|user| user["user_id"].as_str().unwrap().to_owned()).collect()
    };
    eventually("the list has everybody", async || {
        let page = grace.get(&format!("{USERS}?limit=100")).await.json();
        (ids(&page) == expected && page["cursor"].is_null()).then_some(())
    })
    .await;
    for limit in [1, 3, 5, 10] {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        for _page in 0..=expected.len() {
            let from = cursor.take().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = grace.get(&format!("{USERS}?limit={limit}{from}")).await.json();
            assert!(ids(&page).len() == limit || page["cursor"].is_null(), "{page}");
            found.extend(ids(&page));
            cursor = page["cursor"].as_str().map(ToOwned::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((found, cursor), (expected.clone(), None), "{limit}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_ends_every_session_at_the_next_request_and_a_reinstatement_lets_in_again() {
    // A stage with a client secret, with which what the sessions had at the provider is revoked.
    let with_secret = |options: &mut _| sample::authenticate_client(options);
    let world = World::start_with(PROGRAM, Vec::new(), with_secret).await;
    let mut grace = world.signed_in("grace").await;
    let mut browsers = Vec::new();
    for _ in 0..3 {
        browsers.push(world.signed_in("ada").await);
    }
    let id = user_id(&mut browsers[0]).await;
    assert_eq!(grace.get(&path(&id)).await.json()["sessions"], 3);
    let suspended = administer(&mut grace, &id, json!({ "suspended": true })).await;
    assert_eq!(suspended.status, 200, "{suspended:?}");
    assert_eq!(suspended.json()["standing"], "suspended");
    assert!(suspended.json()["suspended_since"].is_string());
    assert_eq!(suspended.json()["sessions"], 0);
    for browser in &mut browsers {
        assert_eq!(browser.get("/auth/me").await.status, 401);
    }
    let refused = come_back(&world, &mut world.browser(), "ada").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let again = administer(&mut grace, &id, json!({ "suspended": true })).await;
    assert_eq!(again.header("etag"), suspended.header("etag"), "what is so already is not written");
    let back = administer(&mut grace, &id, json!({ "suspended": false })).await;
    assert_eq!(back.json()["standing"], "active");
    world.signed_in("ada").await;
    let told: Vec<String> =
        audited(&mut grace, &id).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(told, ["user-suspended", "user-reinstated"]);
    let lines = world.cloud.logs.lines();
    assert!(!lines.iter().any(|line| line.line.contains("left to expire")), "{lines:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_role_counts_from_the_next_sign_in_and_a_taken_one_from_the_next_request() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    let body = json!({ "granted_roles": ["recruiter", "admin", "admin"], "plan": "plus", "verified": true });
    let granted = administer(&mut grace, &id, body).await;
    assert_eq!(granted.json()["granted_roles"], json!(["admin", "recruiter"]), "{granted:?}");
    assert_eq!(
        (&granted.json()["plan"], &granted.json()["verified"]),
        (&json!("plus"), &json!(true))
    );
    assert_eq!(ada.get("/auth/me").await.status, 401, "no session goes on with other rights");
    ada.sign_in("ada").await;
    assert_eq!(ada.get(ADMIN_ROUTE).await.status, 200);
    let me = ada.get("/users/me").await.json();
    assert_eq!((&me["plan"], &me["verified"]), (&json!("plus"), &json!(true)));

    // What gives nobody other rights ends no session.
    let plan = administer(&mut grace, &id, json!({ "plan": "free" })).await;
    assert_eq!((plan.status, &plan.json()["sessions"]), (200, &json!(1)));
    assert_eq!(ada.get(ADMIN_ROUTE).await.status, 200);
    let taken = administer(&mut grace, &id, json!({ "granted_roles": [] })).await;
    assert_eq!(taken.json()["roles"], json!([]));
    assert_eq!(ada.get(ADMIN_ROUTE).await.status, 401);
    let mut told = audited(&mut grace, &id).await;
    // Entries of one moment have no order.
    told[..3].sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("plan-changed", json!({ "plan": "plus" })),
        ("roles-granted", json!({ "roles": "admin recruiter" })),
        ("verification-changed", json!({ "verified": "true" })),
        ("plan-changed", json!({ "plan": "free" })),
        ("roles-granted", json!({ "roles": "" })),
    ];
    assert_eq!(told, expected.map(|(action, details)| (action.to_owned(), details)));
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_and_wrong_changes_are_refused_and_change_nothing() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let mut ada = world.signed_in("ada").await;
    let (id, own) = (user_id(&mut ada).await, user_id(&mut grace).await);
    let before = grace.get(&path(&id)).await;
    let tag = before.header("etag").to_owned();
    for (body, pointer, code) in [
        (json!({ "granted_roles": ["root"] }), "/granted_roles/0", "unknown-role"),
        (json!({ "granted_roles": ["admin", ""] }), "/granted_roles/1", "unknown-role"),
        (json!({ "granted_roles": "admin" }), "/granted_roles", "invalid"),
        (json!({ "suspended": "yes" }), "/suspended", "invalid"),
        (json!({ "plan": "gold" }), "/plan", "unknown-plan"),
        (json!({ "verified": 1 }), "/verified", "invalid"),
        (json!({ "roles": ["admin"] }), "/roles", "invalid"),
        (json!({ "provider_roles": ["admin"] }), "/provider_roles", "invalid"),
        (json!({ "email": "eve@rollcall.example" }), "/email", "invalid"),
        (json!({ "standing": "active" }), "/standing", "invalid"),
        (json!([["admin"], true]), "", "invalid"),
        (json!("x"), "", "invalid"),
        // The good part of a bad change is not made.
        (json!({ "suspended": true, "plan": "gold" }), "/plan", "unknown-plan"),
    ] {
        let refused = patch(&mut grace, &id, body, &tag).await;
        assert_problem(&refused, 422, "invalid-value");
        let error = &refused.json()["errors"][0];
        let found = (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap());
        assert_eq!(found, (pointer, code), "{refused:?}");
    }
    let suspend = json!({ "suspended": true });
    assert_problem(&patch(&mut grace, &id, suspend.clone(), "").await, 428, "if-match-required");
    assert_problem(
        &patch(&mut grace, &id, suspend.clone(), "\"99\"").await,
        412,
        "version-changed",
    );
    assert_problem(&administer(&mut grace, &own, suspend.clone()).await, 409, "own-account");
    let nobody = "usr_00000000000070008000000000000000";
    assert_problem(&patch(&mut grace, nobody, suspend.clone(), "*").await, 404, "not-found");
    let forbidden = patch(&mut ada, &id, suspend, "*").await;
    assert_problem(&forbidden, 403, "forbidden");
    let after = grace.get(&path(&id)).await;
    assert_eq!((after.json(), after.header("etag")), (before.json(), before.header("etag")));
    // Granted by oneself is no way up for who is not an administrator, and no way down for who is.
    let granted = administer(&mut grace, &own, json!({ "granted_roles": ["recruiter"] })).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    grace.sign_in("grace").await;
    let demoted = administer(&mut grace, &own, json!({ "granted_roles": [] })).await;
    assert_problem(&demoted, 409, "own-account");
    assert_eq!(audited(&mut grace, &id).await, []);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_10_nobody_who_signs_in_while_they_are_suspended_stays_signed_in() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    for _round in 0..4 {
        let tag = grace.get(&path(&id)).await.header("etag").to_owned();
        let signing_in = (0..6).map(|_| {
            let (world, mut browser) = (&world, world.browser());
            async move {
                come_back(world, &mut browser, "ada").await;
                browser
            }
        });
        let suspending = patch(&mut grace, &id, json!({ "suspended": true }), &tag);
        let (browsers, suspended) = join(join_all(signing_in), suspending).await;
        assert_eq!(suspended.status, 200, "sign-ins refuse no change of the desk: {suspended:?}");
        for mut browser in browsers {
            assert_eq!(browser.get("/auth/me").await.status, 401);
        }
        assert_eq!(grace.get(&path(&id)).await.json()["sessions"], 0);
        let back = administer(&mut grace, &id, json!({ "suspended": false })).await;
        assert_eq!(back.status, 200, "{back:?}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_ends_the_sessions_that_a_change_left_when_it_died_half_way() {
    let world = world().await;
    let mut grace = world.signed_in("grace").await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    for (attribute, value, body) in [
        (
            "granted_roles",
            json!({ "L": [{ "S": "recruiter" }] }),
            json!({ "granted_roles": ["recruiter"] }),
        ),
        (
            "standing",
            json!({ "M": { "is": { "S": "suspended" }, "since": { "S": "2026-01-01T00:00:00Z" } } }),
            json!({ "suspended": true }),
        ),
    ] {
        ada.sign_in("ada").await;
        // As it is when the program died after what it stored.
        let order = json!({
            "TableName": "rollcall-dev-users",
            "Key": { "pk": { "S": format!("user#{id}") }, "sk": { "S": "profile" } },
            "UpdateExpression": "SET #attribute = :value",
            "ExpressionAttributeNames": { "#attribute": attribute },
            "ExpressionAttributeValues": { ":value": value },
        });
        world.dynamodb("UpdateItem", &order).await;
        assert_eq!(ada.get("/auth/me").await.status, 200);
        let repeated = administer(&mut grace, &id, body).await;
        assert_eq!(
            (repeated.status, &repeated.json()["sessions"]),
            (200, &json!(0)),
            "{repeated:?}"
        );
        assert_eq!(ada.get("/auth/me").await.status, 401);
    }
    assert_eq!(audited(&mut grace, &id).await, []);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_ways_to_sign_in_are_shown_the_first_one_first() {
    let world =
        World::start_with(PROGRAM, vec![twin(1, "ada@rollcall.example", true)], |_| {}).await;
    let mut grace = world.signed_in("grace").await;
    let mut ada = world.signed_in("ada").await;
    let id = user_id(&mut ada).await;
    let mut browser = world.browser();
    come_back(&world, &mut browser, "member-1").await;
    browser.sign_in("ada").await;
    let shown = grace.get(&path(&id)).await.json();
    let subjects: Vec<&str> = shown["identities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|identity| identity["subject"].as_str().unwrap())
        .collect();
    assert_eq!(subjects.len(), 2, "{shown}");
    assert_eq!(subjects[1], member(1).subject);
    world.finish(Outcome::Clean).await;
}
