//! Finding people: completely, in order, and by nothing that they do not show.

use futures::future::join_all;
use rollcall_domain::flag::{Flag, Rollout, USER_SEARCH, Visitor};
use rollcall_tests::{Answer, Browser, Outcome, World, eventually, member};
use serde_json::{Value, json};

use crate::desk::{administer, user_id};
use crate::profile::edit;
use crate::{PROGRAM, world};

async fn search(browser: &mut Browser, query: &str) -> Answer {
    let answer = browser.get(&format!("/users?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer
}

fn names(page: &Value) -> Vec<String> {
    let users = page["users"].as_array().unwrap().iter();
    users.map(|user| user["username"].as_str().unwrap().to_owned()).collect()
}

/// Everybody a question finds, page by page; every page but the last is full.
async fn all(browser: &mut Browser, query: &str, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = search(browser, &format!("{query}&limit={limit}{cursor}")).await.json();
        let names = names(&page);
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return [found, names].concat(),
        }
        assert_eq!(names.len(), limit, "{query}: a page that is not the last is full");
        found.extend(names);
    }
}

async fn change(browser: &mut Browser, patch: Value) {
    let answer = edit(browser, patch).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

const MEMBERS: usize = 12;

/// A world in which a dozen members have names `sea_00`…, every second one knows Rust, and every
/// third one dances.
async fn peopled() -> (World, Vec<Browser>) {
    let members = (0..MEMBERS).map(member).collect();
    let world = World::start_with(PROGRAM, members, |_| {}).await;
    let mut browsers = Vec::new();
    for number in 0..MEMBERS {
        let mut browser = world.signed_in(&format!("member-{number}")).await;
        let skills = if number % 2 == 0 { json!(["Rust", "Knots"]) } else { json!(["Knots"]) };
        let categories = if number % 3 == 0 { json!(["Dancer"]) } else { json!([]) };
        let name = format!("sea_{number:02}");
        let patch = json!({ "username": name, "skills": skills, "categories": categories });
        change(&mut browser, patch).await;
        browsers.push(browser);
    }
    (world, browsers)
}

fn expected(holds: impl Fn(usize) -> bool) -> Vec<String> {
    (0..MEMBERS).filter(|number| holds(*number)).map(|number| format!("sea_{number:02}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_completely_and_in_order_whatever_is_asked() {
    let (world, mut browsers) = peopled().await;
    let lin = &mut browsers[0];
    for limit in [1, 5, 12, 100] {
        assert_eq!(all(lin, "query=SEA_", limit).await, expected(|_| true));
        assert_eq!(all(lin, "skill=rust", limit).await, expected(|number| number % 2 == 0));
        assert_eq!(all(lin, "category=DANCER", limit).await, expected(|number| number % 3 == 0));
        let both = expected(|number| number % 6 == 0);
        assert_eq!(all(lin, "skill=Rust&category=dancer", limit).await, both);
        assert_eq!(all(lin, "query=sea_0&skill=rust&category=dancer", limit).await, both[..2]);
    }
    for nobody in ["query=a", "query=sea_000", "skill=rus", "category=rust"] {
        assert_eq!(all(lin, nobody, 5).await, Vec::<String>::new(), "{nobody}");
    }
    let page = search(lin, "query=sea&limit=5").await.json();
    let cursor = page["cursor"].as_str().unwrap();
    for other in ["query=se", "skill=rust", "query=sea&skill=rust"] {
        let answer = lin.get(&format!("/users?{other}&cursor={cursor}")).await;
        assert_eq!(answer.json()["errors"][0]["code"], "invalid-cursor", "{other}: {answer:?}");
    }
    for (query, pointer) in [
        ("", "query:query"),
        ("query=a-b", "query:query"),
        ("query=", "query:query"),
        ("query=*", "query:query"),
        ("skill=", "query:skill"),
        ("category=%00", "query:category"),
        ("query=a&limit=0", "query:limit"),
    ] {
        let answer = lin.get(&format!("/users?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{query}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_found_by_what_they_do_not_show() {
    let (world, mut browsers) = peopled().await;
    let mut lin = world.signed_in("lin").await;
    let rust = |hidden: usize| expected(|number| number % 2 == 0 && number != hidden);
    let own = &mut browsers[4];

    change(own, json!({ "visibility": { "skills": "private" } })).await;
    assert_eq!(all(&mut lin, "skill=rust", 5).await, rust(4));
    assert_eq!(all(&mut lin, "query=sea_04", 5).await, ["sea_04"]);
    let shown = search(&mut lin, "query=sea_04").await.json();
    assert_eq!(shown["users"][0]["skills"], json!([]), "{shown}");

    change(own, json!({ "visibility": { "profile": "private", "skills": "members" } })).await;
    assert_eq!(all(&mut lin, "skill=rust", 5).await, rust(4));
    assert_eq!(all(&mut lin, "query=sea_04", 5).await, Vec::<String>::new());
    assert_eq!(all(own, "query=sea_04", 5).await, Vec::<String>::new(), "not even by themselves");

    change(own, json!({ "visibility": { "profile": null } })).await;
    assert_eq!(all(&mut lin, "skill=rust", 5).await, rust(99));
    let found = search(&mut lin, "query=sea_04").await.text;
    for private in ["@", "usr_", "visibility"] {
        assert!(!found.contains(private), "{private}: {found}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_follows_the_largest_change_and_any_number_at_once() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    let tags = |prefix: &str, count: usize| -> Vec<String> {
        (0..count).map(|number| format!("{prefix} {number}")).collect()
    };
    let patch =
        |prefix: &str| json!({ "skills": tags(prefix, 30), "categories": tags(prefix, 10) });
    change(&mut ada, json!({ "username": "ada_l" })).await;
    change(&mut ada, patch("old")).await;
    let renamed = json!({ "username": "ada_k" });
    let mut everything = patch("new");
    everything["username"] = renamed["username"].clone();
    change(&mut ada, everything).await;
    for (query, found) in [
        ("query=ada_l", false),
        ("query=ada_k", true),
        ("skill=old%200", false),
        ("skill=OLD%2029", false),
        ("category=old%209", false),
        ("skill=New%200", true),
        ("skill=new%2029", true),
        ("category=new%209", true),
    ] {
        let names = all(&mut lin, query, 5).await;
        assert_eq!(names, if found { vec!["ada_k"] } else { Vec::new() }, "{query}");
    }

    // Changes that pass each other: those whose version is out of date are refused, and the index
    // says what the last one left.
    let changes = (0..12).map(|number| {
        let mut ada = ada.clone();
        async move { edit(&mut ada, json!({ "skills": [format!("skill {number}")] })).await.status }
    });
    let statuses = join_all(changes).await;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409 | 412)), "{statuses:?}");
    assert!(statuses.contains(&200));
    let last = ada.get("/users/me").await.json()["skills"][0].as_str().unwrap().to_owned();
    for number in 0..12 {
        let skill = format!("skill {number}");
        let names = all(&mut lin, &format!("skill=skill%20{number}"), 5).await;
        assert_eq!(names, if skill == last { vec!["ada_k"] } else { Vec::new() }, "{skill}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_members_is_the_same_share_every_time() {
    let (world, browsers) = peopled().await;
    let mut grace = world.signed_in("grace").await;
    let flag: &Flag = &USER_SEARCH;
    let set = json!({ "value": "40%" });
    let answer = grace.put(&format!("/admin/flags/{}", flag.name), Some(set)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let rollout: Rollout = "40%".parse().unwrap();
    for mut browser in browsers {
        let me = browser.get("/auth/me").await.json();
        let user = me["user_id"].as_str().unwrap().parse().unwrap();
        let open = rollout.admits(flag, Some(Visitor { user: &user, roles: &[] }));
        let expected = if open { 200 } else { 403 };
        eventually("the flag is seen", async || {
            let answer = browser.get("/users?query=sea").await;
            (answer.status == expected).then_some(())
        })
        .await;
    }
    assert_eq!(grace.get("/users?query=sea").await.status, 200, "our own people come first");
    world.finish(Outcome::Clean).await;
}

/// Whether members and others see somebody of this name, wherever people are shown; `connected` is
/// connected to them.
async fn is_shown(connected: &mut Browser, nobody: &mut Browser, name: &str) -> bool {
    let path = format!("/users/{name}");
    let public = nobody.get(&path).await.status;
    assert_eq!(connected.get(&path).await.status, public, "members and others see the same");
    let found = names(&search(connected, &format!("query={name}")).await.json());
    let listed = connected.get("/users/me/connections").await.json();
    let shown = !listed["connections"][0]["user"].is_null();
    assert_eq!((public == 200, found.len() == 1), (shown, shown), "{name}: {listed}");
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_or_about_to_leave_is_shown_to_nobody() {
    let world = world().await;
    let (mut ada, mut lin) = (world.signed_in("ada").await, world.signed_in("lin").await);
    let (mut grace, mut nobody) = (world.signed_in("grace").await, world.browser());
    change(&mut lin, json!({ "username": "lin_sees" })).await;
    let public = json!({ "profile": "public" });
    change(&mut ada, json!({ "username": "ada_here", "visibility": public })).await;
    for (browser, name) in [(&mut lin, "ada_here"), (&mut ada, "lin_sees")] {
        let answer = browser.put(&format!("/users/{name}/connect"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert!(is_shown(&mut lin, &mut nobody, "ada_here").await);

    let id = user_id(&mut ada).await;
    for (suspended, shown) in [(true, false), (false, true)] {
        let answer = administer(&mut grace, &id, json!({ "suspended": suspended })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(is_shown(&mut lin, &mut nobody, "ada_here").await, shown);
    }
    let mut ada = world.signed_in("ada").await;
    assert_eq!(ada.delete("/users/me").await.status, 202);
    assert!(!is_shown(&mut lin, &mut nobody, "ada_here").await);
    let refused = grace.put("/users/ada_here/connect", None).await;
    assert_eq!(refused.status, 404, "nobody connects to who is about to leave: {refused:?}");
    assert_eq!(ada.get("/users/me").await.json()["username"], "ada_here", "but to oneself");
    assert_eq!(ada.post("/users/me/restore", None).await.status, 200);
    assert!(is_shown(&mut lin, &mut nobody, "ada_here").await);
    world.finish(Outcome::Clean).await;
}
