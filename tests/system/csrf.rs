//! Who may change something in a person's name: a page of ours that knows their session's token, and
//! nobody else, whatever they send.

use rollcall_resources::Table;
use rollcall_tests::{Answer, Browser, Outcome, World};
use serde_json::json;

use crate::bearer::{access_token, call};
use crate::world;

const FORM: &str = "application/x-www-form-urlencoded";
const CHANGE: &str = "/enrollments/course/first-steps";

/// The token of a browser's session.
async fn token(browser: &mut Browser) -> String {
    browser.get("/auth/csrf").await.json()["token"].as_str().unwrap().to_owned()
}

/// Moves a session on to its next epoch, after which its tokens from before count no more.
async fn next_epoch(world: &World, browser: &Browser) {
    let cookie = &browser.cookies["__Host-rollcall_session"];
    let hash = rollcall_domain::session::SessionHash::of(cookie);
    let update = json!({
        "TableName": Table::Edge.full_name("dev"),
        "Key": { "pk": { "S": format!("session#{}", hash.as_str()) }, "sk": { "S": "session" } },
        "UpdateExpression": "SET epoch = epoch + :one",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeValues": { ":one": { "N": "1" } },
    });
    world.dynamodb("UpdateItem", &update).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c_02_only_a_page_of_ours_that_knows_the_sessions_token_changes_something() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let own = token(&mut ada).await;
    let others = token(&mut world.signed_in("lin").await).await;
    let own_elsewhere = token(&mut world.signed_in("ada").await).await;
    let ours = ada.api.clone();
    let near = format!("{ours}.evil.example");
    let (origin, site, header) = ("origin", "sec-fetch-site", "x-csrf-token");
    let refused: [(&str, &[(&str, &str)]); 16] = [
        ("the cookie alone", &[]),
        ("the origin alone", &[(origin, &ours)]),
        ("the token alone", &[(header, &own)]),
        ("another person's token", &[(origin, &ours), (header, &others)]),
        (
            "the token of the same person's other session",
            &[(origin, &ours), (header, &own_elsewhere)],
        ),
        ("a foreign origin", &[(origin, "https://evil.example"), (header, &own)]),
        ("an origin that only begins like ours", &[(origin, &near), (header, &own)]),
        ("no origin that a page can have", &[(origin, "null"), (header, &own)]),
        ("a foreign site", &[(site, "cross-site"), (header, &own)]),
        ("no site", &[(site, "none"), (header, &own)]),
        (
            "a foreign origin that says it is ours",
            &[(origin, "https://evil.example"), (site, "same-origin"), (header, &own)],
        ),
        ("an empty token", &[(origin, &ours), (header, "")]),
        ("a token that is cut off", &[(origin, &ours), (header, &own[1..])]),
        ("a token with more", &[(origin, &ours), (header, &format!("{own}A"))]),
        ("two tokens", &[(origin, &ours), (header, &own), (header, &others)]),
        ("the token in a cookie", &[(origin, &ours), ("cookie", &format!("csrf-token={own}"))]),
    ];
    for (how, headers) in refused {
        let url = format!("{ours}{CHANGE}");
        check(&ada.send("PUT", &url, None, headers).await, how);
    }
    for path in [format!("{CHANGE}?csrf_token={own}"), format!("{CHANGE}?x-csrf-token={own}")] {
        check(&ada.send("PUT", &format!("{ours}{path}"), None, &[(origin, &ours)]).await, &path);
    }
    assert_eq!(ada.get("/enrollments").await.json()["enrollments"], json!([]));
    next_epoch(&world, &ada).await;
    let stale = [(origin, ours.as_str()), (header, own.as_str())];
    check(&ada.send("PUT", &format!("{ours}{CHANGE}"), None, &stale).await, "an old epoch");
    let fresh = token(&mut ada).await;
    let fresh = [(origin, ours.as_str()), (header, fresh.as_str())];
    let done = ada.send("PUT", &format!("{ours}{CHANGE}"), None, &fresh).await;
    assert_eq!(done.status, 200, "{done:?}");
    world.finish(Outcome::Clean).await;
}

#[track_caller]
fn check(answer: &Answer, how: &str) {
    // The gateway hands one value of a header that came twice on as one with a comma.
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (403, &json!("csrf-refused")),
        "{how}: {answer:?}"
    );
}

/// The value of a hidden field in a page.
fn hidden(page: &Answer, name: &str) -> String {
    let after = page.text.split(&format!("name=\"{name}\"")).nth(1).unwrap_or_default();
    let value = after.split("value=\"").nth(1).unwrap_or_default();
    value.split('"').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_17_following_a_link_signs_nobody_out_and_the_form_behind_it_does() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let page = ada.get("/auth/logout").await;
    assert_eq!((page.status, page.header("cache-control")), (200, "no-store"), "{page:?}");
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(page.header("content-security-policy").contains("default-src 'none'"), "{page:?}");
    assert!(!page.text.contains("<script"), "{page:?}");
    assert_eq!(ada.get("/auth/me").await.status, 200, "nobody is signed out by looking");
    let field = hidden(&page, "csrf_token");
    assert!(!field.is_empty(), "{page:?}");
    let (url, ours) = (format!("{}/auth/logout", ada.api), ada.api.clone());
    let form = [("content-type", FORM), ("origin", ours.as_str())];
    for (body, how) in [
        (String::new(), "no field"),
        ("csrf_token=x".to_owned(), "a wrong field"),
        (format!("csrf_token={field}&csrf_token={field}"), "two fields"),
    ] {
        check(&ada.send("POST", &url, Some(body), &form).await, how);
    }
    let foreign = [("content-type", FORM), ("origin", "https://evil.example")];
    let own = format!("csrf_token={field}");
    check(&ada.send("POST", &url, Some(own.clone()), &foreign).await, "a foreign page");
    let elsewhere = format!("{ours}{CHANGE}");
    let answer = ada.send("PUT", &elsewhere, Some(own.clone()), &form).await;
    assert_eq!(answer.status, 415, "other routes take no forms: {answer:?}");
    let done = ada.send("POST", &url, Some(own), &form).await;
    assert_eq!(done.status, 303, "{done:?}");
    assert!(done.header("location").starts_with("http"), "{done:?}");
    assert!(ada.cookies.is_empty());
    assert_eq!(ada.get("/auth/me").await.status, 401);
    let page = ada.get("/auth/logout").await;
    assert!(page.status == 200 && !page.text.contains("<form"), "{page:?}");
    world.signed_in("lin").await;
    let token = access_token(&world, "lin").await;
    let page = call(&world, "GET", "/auth/logout", &token).await;
    assert_eq!((page.status, &page.json()["code"]), (403, &json!("session-required")), "{page:?}");
    world.finish(Outcome::Clean).await;
}
