//! Profiles and usernames: who may change them, who sees what of them, and that the CRM hears of it.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::future::{join, join_all};
use rollcall_domain::profile::age;
use rollcall_domain::session::SessionHash;
use rollcall_domain::time::{Clock, after_seconds, date};
use rollcall_tests::{Answer, Browser, Outcome, World, member};
use serde_json::{Value, json};

use crate::{PROGRAM, world};

/// Members who claim one name at once.
const MEMBERS: usize = 1_000;
/// Sign-ins under way at a time.
const SIGN_INS_AT_A_TIME: usize = 8;
/// Claims under way at a time: as many as a function keeps processes, since starting more for each
/// claim would take longer than all claims.
const CLAIMS_AT_A_TIME: usize = 12;
const ME: &str = "/users/me";
const BIRTH_DATE: &str = "1900-01-01";

/// The headers of a change that a page of ours sends.
struct Page {
    origin: String,
    token: String,
}

impl Page {
    async fn of(browser: &mut Browser) -> Self {
        let token = browser.get("/auth/csrf").await.json()["token"].as_str().unwrap().to_owned();
        Self { origin: browser.api.clone(), token }
    }

    /// `PATCH /users/me` with more headers.
    async fn patch(&self, browser: &mut Browser, body: &str, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("origin", self.origin.as_str()), ("x-csrf-token", &self.token)];
        headers.extend(more);
        let url = format!("{}{ME}", browser.api);
        browser.send("PATCH", &url, Some(body.to_owned()), &headers).await
    }
}

/// Changes the profile as it is now.
pub(crate) async fn edit(browser: &mut Browser, patch: Value) -> Answer {
    let page = Page::of(browser).await;
    let tag = browser.get(ME).await.header("etag").to_owned();
    let merge_patch = ("content-type", "application/merge-patch+json");
    page.patch(browser, &patch.to_string(), &[("if-match", &tag), merge_patch]).await
}

#[track_caller]
fn assert_ok(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c_09_a_thousand_members_claim_one_name_at_once_and_one_gets_it() {
    let members = (0..MEMBERS).map(member).collect();
    let world = World::start_with(PROGRAM, members, |_| {}).await;
    let ready: Vec<(Browser, Page, String)> = futures::stream::iter(0..MEMBERS)
        .map(|number| {
            let mut browser = world.browser();
            async move {
                browser.sign_in(&format!("member-{number}")).await;
                let tag = browser.get(ME).await.header("etag").to_owned();
                let page = Page { origin: browser.api.clone(), token: browser.csrf() };
                (browser, page, tag)
            }
        })
        .buffered(SIGN_INS_AT_A_TIME)
        .collect()
        .await;
    let claiming = ready.into_iter().enumerate().map(|(number, (mut browser, page, tag))| {
        // One name, whatever its letter case.
        let name = if number % 2 == 0 { "the_one" } else { "The_One" };
        let body = json!({ "username": name, "about": "mine" }).to_string();
        async move {
            let answer = page.patch(&mut browser, &body, &[("if-match", &tag)]).await;
            (browser, answer)
        }
    });
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    let claimed = futures::stream::iter(claiming).buffer_unordered(CLAIMS_AT_A_TIME);
    for (browser, answer) in claimed.collect::<Vec<_>>().await {
        if answer.status == 200 {
            winners.push(answer.json());
        } else {
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (409, Some("username-taken"))
            );
            assert_eq!(answer.json()["errors"][0]["pointer"], "/username");
            losers.push(browser);
        }
    }
    assert_eq!((winners.len(), losers.len()), (1, MEMBERS - 1));
    let shown = losers[0].get("/users/THE_ONE").await;
    assert_ok(&shown);
    assert_eq!(shown.json()["given_name"], winners[0]["given_name"]);
    let before = losers[0].get(ME).await.json();
    assert_eq!((&before["username"], &before["about"]), (&Value::Null, &json!("")));
    assert_ok(&edit(&mut losers[0], json!({ "username": "the_other" })).await);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_held_after_a_renaming_and_the_next_renaming_has_to_wait() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let lin = world.signed_in("lin").await;
    let mut nobody = world.browser();
    assert_eq!(nobody.get("/users/ada").await.status, 404);
    assert_eq!(edit(&mut ada, json!({ "username": " Ada " })).await.json()["username"], "ada");
    let renamed = edit(&mut ada, json!({ "username": "countess" })).await;
    assert_ok(&renamed);
    assert!(renamed.json()["username_renamable_from"].is_string());
    assert_eq!(nobody.get("/users/ada").await.status, 404);
    assert_eq!(nobody.get("/users/countess").await.json()["username"], "countess");
    for (browser, wanted, code) in [
        (&lin, "ada", "username-taken"),
        (&lin, "Countess", "username-taken"),
        (&ada, "lovelace", "username-renamed-lately"),
    ] {
        let mut browser = browser.clone();
        let before = browser.get(ME).await;
        let answer = edit(&mut browser, json!({ "username": wanted, "about": "x" })).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (409, Some(code)), "{wanted}");
        let after = browser.get(ME).await;
        assert_eq!((after.json(), after.header("etag")), (before.json(), before.header("etag")));
    }
    let same = edit(&mut ada, json!({ "username": "COUNTESS" })).await;
    assert_eq!(same.header("etag"), renamed.header("etag"), "what changes nothing is not written");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_its_sender_based_on_an_older_version_is_refused() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let page = Page::of(&mut ada).await;
    let first = ada.get(ME).await.header("etag").to_owned();
    let body = |about: &str| json!({ "about": about }).to_string();
    let second = page.patch(&mut ada, &body("one"), &[("if-match", &first)]).await;
    assert_ok(&second);
    let second = second.header("etag").to_owned();
    assert_ne!(first, second);
    let weak = format!("W/{second}");
    let bare = second.trim_matches('"').to_owned();
    let refused: [(Option<&str>, u16, &str); 6] = [
        (None, 428, "if-match-required"),
        (Some(""), 428, "if-match-required"),
        (Some(&first), 412, "version-changed"),
        (Some(&weak), 412, "version-changed"),
        (Some(&bare), 412, "version-changed"),
        (Some("\"999\", \"0\""), 412, "version-changed"),
    ];
    for (if_match, status, code) in refused {
        let headers: Vec<_> = if_match.map(|tags| ("if-match", tags)).into_iter().collect();
        let answer = page.patch(&mut ada, &body("lost"), &headers).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)));
        let now = ada.get(ME).await;
        assert_eq!((now.json()["about"].as_str(), now.header("etag")), (Some("one"), &*second));
    }

    let racing = (0..24).map(|number| {
        let (mut ada, page, second) = (ada.clone(), &page, &second);
        async move {
            let body = json!({ "about": format!("racer {number}") }).to_string();
            page.patch(&mut ada, &body, &[("if-match", second)]).await
        }
    });
    let answers = join_all(racing).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|answer| answer.status == 412), "{lost:?}");
    assert_eq!(ada.get(ME).await.json(), won[0].json());
    assert_ok(&page.patch(&mut ada, &body("any"), &[("if-match", "*")]).await);

    // To sign in changes the account and not what its user may edit.
    let tag = ada.get(ME).await.header("etag").to_owned();
    let signing_in = (0..3).map(|_| world.signed_in("ada"));
    let editing = async {
        let (mut ada, page) = (ada.clone(), &page);
        page.patch(&mut ada, &body("meanwhile"), &[("if-match", &tag)]).await
    };
    let (_, edited) = join(join_all(signing_in), editing).await;
    assert_ok(&edited);
    assert_eq!(ada.get(ME).await.header("etag"), edited.header("etag"));
    world.finish(Outcome::Clean).await;
}

/// Of each field where it stands in an answer, and a value that it has nowhere else.
fn canaries() -> BTreeMap<&'static str, (&'static str, Value)> {
    let today = date(rollcall_runtime::system::SystemClock.now());
    let age = age(BIRTH_DATE.parse().unwrap(), today);
    BTreeMap::from([
        ("given_name", ("/given_name", json!("Canarygiven"))),
        ("family_name", ("/family_name", json!("Canaryfamily"))),
        ("about", ("/about", json!("canary-about"))),
        ("avatar_url", ("/avatar_url", json!("https://canary-avatar.example/a.png"))),
        ("categories", ("/categories", json!(["canary-category"]))),
        ("skills", ("/skills", json!(["canary-skill"]))),
        ("languages", ("/languages", json!(["canary-language"]))),
        ("age", ("/age", json!(age))),
        ("height_cm", ("/physical/height_cm", json!(187))),
        ("hair_colour", ("/physical/hair_colour", json!("canary-hair"))),
        ("eye_colour", ("/physical/eye_colour", json!("canary-eyes"))),
        ("phone", ("/contacts/phone", json!("+49301234567"))),
        ("website", ("/contacts/website", json!("https://canary-website.example/"))),
        ("city", ("/contacts/city", json!("Canarycity"))),
        ("country", ("/contacts/country", json!("AQ"))),
    ])
}

/// What an answer shows of a field.
fn shown_of<'answer>(answer: &'answer Value, pointer: &str) -> &'answer Value {
    answer.pointer(pointer).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn c_07_nobody_sees_more_of_a_profile_than_its_user_allows() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    let mut nobody = world.browser();
    let mut forger = world.browser();
    forger.cookies.insert("__Host-rollcall_session".to_owned(), "x".repeat(43));
    let canaries = canaries();
    let mut full =
        json!({ "username": "ada", "birth_date": BIRTH_DATE, "physical": {}, "contacts": {} });
    for (field, (pointer, canary)) in canaries.iter().filter(|(field, _)| **field != "age") {
        let (parent, _) = pointer.rsplit_once('/').unwrap();
        full.pointer_mut(parent).unwrap()[field] = canary.clone();
    }
    assert_ok(&edit(&mut ada, full).await);
    let me = ada.get(ME).await.json();
    let secret =
        [me["user_id"].as_str().unwrap(), me["email"].as_str().unwrap(), "joined_at", BIRTH_DATE];
    let levels = ["private", "members", "public"];
    let mut looks = 0;
    for field in canaries.keys() {
        for (whole, own) in (0..9).map(|case| (case / 3, case % 3)) {
            let mut visibility: BTreeMap<&str, &str> =
                canaries.keys().map(|other| (*other, "private")).collect();
            visibility.extend([("profile", levels[whole]), (*field, levels[own])]);
            assert_ok(&edit(&mut ada, json!({ "visibility": visibility })).await);
            for (browser, is_member) in
                [(&mut nobody, false), (&mut forger, false), (&mut lin, true), (&mut ada, true)]
            {
                let may_see = |level: usize| level == 2 || (level == 1 && is_member);
                let shown = browser.get("/users/ada").await;
                let case = format!("{field}: {own} in {whole}, member: {is_member}: {shown:?}");
                let found = if may_see(whole) { 200 } else { 404 };
                assert_eq!(shown.status, found, "{case}");
                for (other, (pointer, canary)) in &canaries {
                    let visible = other == field && may_see(whole.min(own));
                    let answer = shown.json();
                    assert_eq!(shown_of(&answer, pointer) == canary, visible, "{other} of {case}");
                    // Two letters stand in a request's id as well.
                    let text = canary.get(0).unwrap_or(canary).as_str();
                    if let Some(text) = text.filter(|text| text.len() > 2) {
                        assert_eq!(shown.text.contains(text), visible, "{other} of {case}");
                    }
                }
                for word in secret {
                    assert!(!shown.text.contains(word), "{word} of {case}");
                }
                let tag = shown.header("etag");
                assert!(!tag.contains('.'), "a version would count sign-ins: {tag} of {case}");
                assert_eq!(shown.header("cache-control"), "no-store", "{case}");
                looks += 1;
            }
        }
    }
    assert_eq!(looks, 15 * 9 * 4);
    let hidden = nobody.get("/users/ada").await.json();
    assert_ok(&edit(&mut ada, json!({ "visibility": { "profile": "private" } })).await);
    let (mut hidden_now, mut missing) =
        (nobody.get("/users/ada").await.json(), nobody.get("/users/nobody_here").await.json());
    for answer in [&mut hidden_now, &mut missing] {
        answer["instance"] = Value::Null;
    }
    assert_ne!(hidden, hidden_now);
    assert_eq!(hidden_now, missing, "hidden and missing look alike");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_profile_shows_is_for_members() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut nobody = world.browser();
    assert_ok(&edit(&mut ada, json!({ "username": "ada", "about": "Hello" })).await);
    let public = json!({
        "username": "ada", "given_name": null, "family_name": null, "about": null,
        "avatar_url": null, "categories": [], "skills": [], "languages": [], "age": null,
        "physical": { "height_cm": null, "hair_colour": null, "eye_colour": null },
        "contacts": { "phone": null, "website": null, "city": null, "country": null },
    });
    assert_eq!(nobody.get("/users/ada").await.json(), public);
    let mut lin = world.signed_in("lin").await;
    let seen = lin.get("/users/ada").await.json();
    assert_eq!((&seen["given_name"], &seen["about"]), (&json!("Ada"), &json!("Hello")));
    assert_eq!(lin.get("/users/a-d-a").await.status, 404);

    // A session is used by looking, too, and one that has ended is nobody's.
    let before = "2026-01-01T00:00:00Z";
    set_last_use(&world, &lin, before).await;
    assert_eq!(lin.get("/users/ada").await.json(), public);
    let recently = after_seconds(rollcall_runtime::system::SystemClock.now(), -3_600).to_string();
    set_last_use(&world, &lin, &recently).await;
    assert_eq!(lin.get("/users/ada").await.json(), seen);
    let order = json!({ "TableName": "rollcall-dev-edge", "Key": session_key(&lin) });
    let stored = world.dynamodb("GetItem", &order).await;
    assert!(stored["Item"]["last_used_at"]["S"].as_str().unwrap() > recently.as_str());
    world.finish(Outcome::Clean).await;
}

fn session_key(browser: &Browser) -> Value {
    let hash = SessionHash::of(&browser.cookies["__Host-rollcall_session"]);
    json!({ "pk": { "S": format!("session#{}", hash.as_str()) }, "sk": { "S": "session" } })
}

async fn set_last_use(world: &World, browser: &Browser, last_used_at: &str) {
    let order = json!({
        "TableName": "rollcall-dev-edge",
        "Key": session_key(browser),
        "UpdateExpression": "SET last_used_at = :used",
        "ExpressionAttributeValues": { ":used": { "S": last_used_at } },
    });
    world.dynamodb("UpdateItem", &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_reaches_the_crm_and_signing_in_again_takes_nothing_back() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let user_id = ada.get(ME).await.json()["user_id"].as_str().unwrap().to_owned();
    world
        .contact_with(
            &user_id,
            &[("firstname", "Ada"), ("lastname", "Okafor"), ("rollcall_username", "")],
        )
        .await;
    let patch = json!({ "username": "ada", "given_name": "Augusta", "family_name": "<b>King</b>" });
    assert_ok(&edit(&mut ada, patch).await);
    let edited = [("firstname", "Augusta"), ("lastname", "<b>King</b>")];
    world.contact_with(&user_id, &[edited[0], edited[1], ("rollcall_username", "ada")]).await;
    assert_ok(&edit(&mut ada, json!({ "username": "countess", "family_name": null })).await);
    let renamed = [("firstname", "Augusta"), ("lastname", ""), ("rollcall_username", "countess")];
    world.contact_with(&user_id, &renamed).await;

    // The provider still says Ada Okafor.
    ada.sign_in("ada").await;
    let me = ada.get(ME).await.json();
    assert_eq!((&me["given_name"], &me["family_name"]), (&json!("Augusta"), &json!("")));
    assert_eq!(ada.get("/auth/me").await.json()["given_name"], "Augusta");
    // Once a later change has arrived, the sign-in before it has been seen.
    assert_ok(&edit(&mut ada, json!({ "given_name": "A. A." })).await);
    let last = [("firstname", "A. A."), ("lastname", ""), ("rollcall_username", "countess")];
    world.contact_with(&user_id, &last).await;
    world.finish(Outcome::Clean).await;
}

/// Patches that are refused, which field is named, and why.
fn wrong_patches() -> Vec<(Value, &'static str, &'static str)> {
    let long_url = format!("https://a.example/{}", "a".repeat(2_031));
    assert_eq!(long_url.len(), 2_049);
    vec![
        (json!({ "about": "a\u{0}b" }), "/about", "control-character"),
        (json!({ "about": "a\u{1b}[31mb" }), "/about", "control-character"),
        (json!({ "about": "x".repeat(2_001) }), "/about", "too-long"),
        (json!({ "given_name": "" }), "/given_name", "empty"),
        (json!({ "family_name": "a\r\nSet-Cookie: b" }), "/family_name", "control-character"),
        (json!({ "avatar_url": long_url }), "/avatar_url", "too-long"),
        (json!({ "avatar_url": "javascript:alert(1)" }), "/avatar_url", "invalid-url"),
        (json!({ "avatar_url": "data:text/html,x" }), "/avatar_url", "invalid-url"),
        (json!({ "avatar_url": "http://a.example/" }), "/avatar_url", "invalid-url"),
        (json!({ "avatar_url": "https://u:p@a.example/" }), "/avatar_url", "invalid-url"),
        (json!({ "skills": ["ok", "a\u{7}"] }), "/skills/1", "control-character"),
        (json!({ "skills": ["Dance", "DANCE"] }), "/skills/1", "duplicate"),
        (json!({ "categories": vec!["x"; 11] }), "/categories", "too-many"),
        (json!({ "languages": ["x".repeat(51)] }), "/languages/0", "too-long"),
        (json!({ "username": "a" }), "/username", "invalid-username"),
        (json!({ "username": "\u{212a}im" }), "/username", "invalid-username"),
        (json!({ "username": "_Admin_" }), "/username", "reserved-username"),
        (json!({ "username": null }), "/username", "not-removable"),
        (json!({ "username": 7 }), "/username", "invalid"),
        (json!({ "skills": "Dance" }), "/skills", "invalid"),
        (json!({ "skills": [null] }), "/skills/0", "invalid"),
        (json!({ "visibility": { "about": "all" } }), "/visibility/about", "unknown-visibility"),
        (json!({ "visibility": { "email": "public" } }), "/visibility/email", "unknown-field"),
        (json!({ "email": "eve@rollcall.example" }), "/email", "invalid"),
        (json!({ "roles": ["admin"] }), "/roles", "invalid"),
        (json!({ "granted_roles": ["admin"] }), "/granted_roles", "invalid"),
        (json!({ "plan": "plus" }), "/plan", "invalid"),
        (json!({ "verified": true }), "/verified", "invalid"),
        (json!({ "standing": { "is": "active" } }), "/standing", "invalid"),
        (json!({ "profile_version": 1 }), "/profile_version", "invalid"),
        (json!({ "user_id": "usr_1" }), "/user_id", "invalid"),
        (json!({ "version": 1 }), "/version", "invalid"),
        (json!({ "__proto__": {} }), "/__proto__", "invalid"),
        (json!([]), "", "invalid"),
        (json!(["eve"]), "", "invalid"),
        (json!(null), "", "invalid"),
        (json!("about"), "", "invalid"),
        // The good part of a bad change is not made.
        (
            json!({ "physical": { "height_cm": 187, "eye_colour": "" } }),
            "/physical/eye_colour",
            "empty",
        ),
        (json!({ "given_name": "Eve", "about": "a\tb" }), "/about", "control-character"),
    ]
}

/// Patches of facts and contacts that are refused, which field is named, and why.
fn wrong_facts() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({ "birth_date": "2126-01-01" }), "/birth_date", "invalid-date"),
        (json!({ "birth_date": "31.01.1990" }), "/birth_date", "invalid-date"),
        (json!({ "birth_date": 19_900_131 }), "/birth_date", "invalid"),
        (json!({ "age": 30 }), "/age", "invalid"),
        (json!({ "physical": { "height_cm": 49 } }), "/physical/height_cm", "out-of-range"),
        (json!({ "physical": { "height_cm": -1 } }), "/physical/height_cm", "invalid"),
        (json!({ "physical": { "height_cm": 187.5 } }), "/physical/height_cm", "invalid"),
        (
            json!({ "physical": { "hair_colour": "a\u{0}" } }),
            "/physical/hair_colour",
            "control-character",
        ),
        (
            json!({ "physical": { "eye_colour": "x".repeat(51) } }),
            "/physical/eye_colour",
            "too-long",
        ),
        (json!({ "physical": { "weight_kg": 70 } }), "/physical/weight_kg", "invalid"),
        (json!({ "physical": [187] }), "/physical", "invalid"),
        (json!({ "physical": "tall" }), "/physical", "invalid"),
        (json!({ "contacts": { "phone": "030 1234567" } }), "/contacts/phone", "invalid-phone"),
        (json!({ "contacts": { "phone": "+49;ext=1" } }), "/contacts/phone", "invalid-phone"),
        (
            json!({ "contacts": { "website": "javascript:alert(1)" } }),
            "/contacts/website",
            "invalid-url",
        ),
        (json!({ "contacts": { "city": "" } }), "/contacts/city", "empty"),
        (json!({ "contacts": { "country": "ZZ" } }), "/contacts/country", "unknown-country"),
        (json!({ "contacts": { "email": "a@b.example" } }), "/contacts/email", "invalid"),
        (
            json!({ "visibility": { "birth_date": "public" } }),
            "/visibility/birth_date",
            "unknown-field",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn c_06_hostile_and_wrong_changes_are_refused_by_field_and_change_nothing() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    assert_ok(&edit(&mut ada, json!({ "username": "ada", "skills": ["Dance"] })).await);
    let before = ada.get(ME).await;
    for (patch, pointer, code) in wrong_patches().into_iter().chain(wrong_facts()) {
        let shown: String = patch.to_string().chars().take(80).collect();
        let answer = edit(&mut ada, patch).await;
        assert_eq!(answer.status, 422, "{shown}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let error = &answer.json()["errors"][0];
        let found = (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap());
        assert_eq!(found, (pointer, code), "{shown}: {answer:?}");
        let after = ada.get(ME).await;
        assert_eq!(
            (after.text.as_str(), after.header("etag")),
            (&*before.text, before.header("etag"))
        );
    }
    let both = edit(&mut ada, json!({ "about": "\u{7}", "username": "-", "skills": [""] })).await;
    assert_eq!(both.json()["errors"].as_array().unwrap().len(), 3, "{both:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_one_json_object_that_says_so() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let before = ada.get(ME).await;
    let page = Page::of(&mut ada).await;
    for (body, content_type, status) in [
        ("{", "application/json", 400),
        ("", "application/json", 400),
        ("{} {}", "application/merge-patch+json", 400),
        ("{\"about\":\"a\",\"about\":\"b\"}", "application/json", 422),
        ("{\"about\":\"a\"}", "text/plain", 415),
        ("about=a", "application/x-www-form-urlencoded", 415),
        ("{}", "application/json; charset=utf-8", 200),
    ] {
        let headers = [("if-match", before.header("etag")), ("content-type", content_type)];
        let answer = page.patch(&mut ada, body, &headers).await;
        assert_eq!(answer.status, status, "{body} {content_type}: {answer:?}");
    }
    assert_eq!(ada.get(ME).await.text, before.text);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_kept_as_given_and_what_a_change_does_not_name_stays() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let markup = "<script>alert('1')</script> & \"{{7*7}}\" ' OR 1=1 -- ${jndi:ldap://x} \u{1f3ad}";
    let patch = json!({
        "username": "ada",
        "about": format!("  {markup} "),
        "given_name": "e\u{301}lan",
        "skills": [markup.chars().take(50).collect::<String>()],
        "avatar_url": "HTTPS://A.example/\u{e9}.png",
        "visibility": { "about": "public", "skills": "private" },
    });
    let saved = edit(&mut ada, patch).await;
    assert_ok(&saved);
    assert_eq!(saved.json()["about"], markup);
    assert_eq!(saved.json()["given_name"], "élan");
    assert_eq!(saved.json()["avatar_url"], "https://a.example/%C3%A9.png");
    let again = ada.get(ME).await;
    assert_eq!((&again.json(), again.header("etag")), (&saved.json(), saved.header("etag")));
    let shown = world.browser().get("/users/ada").await;
    assert_eq!(shown.json()["about"], markup);
    assert_eq!(shown.header("content-type"), "application/json");
    assert_eq!(shown.header("x-content-type-options"), "nosniff");

    let later =
        edit(&mut ada, json!({ "visibility": { "about": null }, "avatar_url": null })).await;
    let mut expected = saved.json();
    expected["visibility"]["about"] = json!("members");
    expected["avatar_url"] = Value::Null;
    assert_eq!(later.json(), expected, "c_19: siblings of a nested member stay");

    let facts = json!({
        "birth_date": "1990-01-31",
        "physical": { "height_cm": 187, "hair_colour": " Brown " },
        "contacts": { "phone": "+49301234567", "website": "https://a.example", "country": "de" },
    });
    assert_ok(&edit(&mut ada, facts).await);
    let changed = json!({ "physical": { "hair_colour": null }, "contacts": { "city": "Bonn" } });
    let changed = edit(&mut ada, changed).await.json();
    let physical = json!({ "height_cm": 187, "hair_colour": null, "eye_colour": null });
    let contacts = json!({
        "phone": "+49301234567", "website": "https://a.example/", "city": "Bonn", "country": "DE",
    });
    assert_eq!((&changed["physical"], &changed["contacts"]), (&physical, &contacts), "c_19");
    assert_eq!(changed["birth_date"], "1990-01-31");
    assert!(changed["age"].as_u64().unwrap() >= 36, "{changed}");
    assert_eq!(changed["visibility"]["age"], "private");
    let none = json!({ "birth_date": null, "physical": null, "contacts": null });
    assert_eq!(edit(&mut ada, none).await.json(), expected);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_from_before_there_were_profiles_has_an_empty_one() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let me = ada.get(ME).await.json();
    let order = json!({
        "TableName": "rollcall-dev-users",
        "Key": {
            "pk": { "S": format!("user#{}", me["user_id"].as_str().unwrap()) },
            "sk": { "S": "profile" },
        },
        "UpdateExpression": "REMOVE username, renamed_at, given_name_is_own, family_name_is_own, \
            about, avatar_url, categories, skills, languages, visibility, granted_roles, \
            standing, #plan, verified, profile_version, identities, birth_date, physical, contacts",
        "ExpressionAttributeNames": { "#plan": "plan" },
    });
    world.dynamodb("UpdateItem", &order).await;
    assert_eq!(ada.get(ME).await.json(), me);
    assert_ok(&edit(&mut ada, json!({ "username": "ada" })).await);
    world.finish(Outcome::Clean).await;
}
