//! Every route, without a credential, with a wrong one, and with a stranger's.

use rollcall_cli::{catalogue, sample};
use rollcall_runtime::declaration::{Access, Method};
use rollcall_tests::{Browser, Outcome, World};
use serde_json::json;

use crate::bearer::{access_token, call, issued_later, machine_token, made_up};
use crate::desk::{administer, user_id};
use crate::world;

/// The path of a route with something plausible in place of each parameter.
pub(crate) fn example(path: &str) -> String {
    path.replace("{kind}", "course")
        .replace("{slug}", "first-steps")
        .replace("{quiz}", "check")
        .replace("{task}", "check")
        .replace("{import}", "learn")
        .replace("{fingerprint}", "0123456789abcdef")
        .replace("{id}", "dlt_00000000000070008000000000000000")
}

#[tokio::test(flavor = "multi_thread")]
async fn s_01_every_route_is_closed_unless_its_declaration_opens_it() {
    let world = world().await;
    let mut nobody = world.browser();
    let mut forger = world.browser();
    forger.cookies.insert("__Host-rollcall_session".to_owned(), "x".repeat(43));
    let mut ada = world.signed_in("ada").await;
    let (mut suspended, tokens_of_suspended) = suspended(&world).await;
    let callers = Callers {
        suspended: tokens_of_suspended,
        member: access_token(&world, "ada").await,
        stranger: made_up(&world, "nobody-we-know", json!({}), json!({})).await,
        machine: machine_token(&world).await,
        weak_machine: {
            let claims = json!({ "client_id": sample::MONITOR_ID, "scope": "openid" });
            made_up(&world, sample::MONITOR_ID, json!({}), claims).await
        },
    };
    let mut checked = 0;
    for function in catalogue::functions() {
        for route in function.routes() {
            let (method, path) = (route.method.as_str(), example(route.path));
            if function.access.is_closed() {
                for browser in [&mut nobody, &mut forger, &mut suspended] {
                    let answer = browser.change(method, &path, None).await;
                    assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
                    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"Rollcall\"");
                    assert_eq!(answer.json()["code"], "unauthenticated");
                }
                checked += 1;
            }
            if matches!(function.access, Access::Role(_) | Access::Operator { .. }) {
                let answer = ada.change(method, &path, None).await;
                assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
            }
            for (who, token, expected) in callers.expected(function.access) {
                let answer = call(&world, method, &path, token).await;
                let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
                match expected {
                    Some(expected) => assert_eq!(code, expected, "{who}: {method} {path}"),
                    None => assert!(
                        !matches!(answer.status, 400 | 401 | 403 | 500..),
                        "{who}: {method} {path}: {answer:?}"
                    ),
                }
            }
        }
    }
    assert!(checked >= 9, "only {checked} routes need a caller who is known");
    world.finish(Outcome::Clean).await;
}

/// Somebody whom an administrator has suspended: their browser of before, a token of before, and one
/// that the provider issued afterwards.
async fn suspended(world: &World) -> (Browser, [String; 2]) {
    let mut lin = world.signed_in("lin").await;
    let id = user_id(&mut lin).await;
    let before = access_token(world, "lin").await;
    assert_eq!(call(world, "GET", "/users/me", &before).await.status, 200);
    let mut grace = world.signed_in("grace").await;
    let answer = administer(&mut grace, &id, json!({ "suspended": true })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let after = issued_later(world, "lin").await;
    (lin, [before, after])
}

/// The tokens that the walk over all routes presents.
struct Callers {
    /// Of before the suspension, and of afterwards.
    suspended: [String; 2],
    member: String,
    stranger: String,
    machine: String,
    weak_machine: String,
}

impl Callers {
    /// Each token, and the problem that a route with this access answers with; `None` where the
    /// caller gets in.
    fn expected(&self, access: Access) -> Vec<(&'static str, &str, Option<&'static str>)> {
        let all = |codes: [Option<&'static str>; 7]| {
            let callers = [
                ("a wrong token", "x.y.z"),
                ("a stranger", self.stranger.as_str()),
                ("a member", self.member.as_str()),
                ("a machine", self.machine.as_str()),
                ("a machine without the scope", self.weak_machine.as_str()),
                ("somebody suspended, as before", self.suspended[0].as_str()),
                ("somebody suspended, anew", self.suspended[1].as_str()),
            ];
            callers.into_iter().zip(codes).map(|((who, token), code)| (who, token, code)).collect()
        };
        let (wrong, stranger) = (Some("invalid-token"), Some("account-required"));
        let people_only = Some("user-required");
        let (old, new) = (Some("invalid-token"), Some("account-closed"));
        match access {
            Access::Internal | Access::Public => Vec::new(),
            Access::Session => all([Some("session-required"); 7]),
            Access::User => all([wrong, stranger, None, people_only, people_only, old, new]),
            Access::Role(_) => {
                let member = Some("forbidden");
                all([wrong, stranger, member, people_only, people_only, old, new])
            }
            Access::Operator { .. } => {
                let weak = Some("insufficient-scope");
                all([wrong, stranger, Some("forbidden"), None, weak, old, new])
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_17_nothing_changes_unless_a_page_of_ours_asks_with_its_own_token() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    let own = ada.get("/auth/csrf").await.json()["token"].as_str().unwrap().to_owned();
    let strangers = lin.get("/auth/csrf").await.json()["token"].as_str().unwrap().to_owned();
    let ours = ada.api.clone();
    let evil = "https://evil.example".to_owned();
    let url = format!("{ours}/enrollments/course/first-steps");
    let (origin, token) = ("origin", "x-csrf-token");
    let refused: [&[(&str, &str)]; 8] = [
        &[],
        &[(origin, &ours)],
        &[(token, &own)],
        &[(origin, &ours), (token, &strangers)],
        &[(origin, &evil), (token, &own)],
        &[(origin, "null"), (token, &own)],
        &[("sec-fetch-site", "cross-site"), (token, &own)],
        &[(origin, &ours), (token, "")],
    ];
    for headers in refused {
        let answer = ada.send("PUT", &url, None, headers).await;
        assert_eq!(answer.status, 403, "{headers:?}: {answer:?}");
        assert_eq!(answer.json()["code"], "csrf-refused");
    }
    assert_eq!(ada.get("/enrollments").await.json()["enrollments"], json!([]));
    let accepted: [&[(&str, &str)]; 2] =
        [&[(origin, &ours), (token, &own)], &[("sec-fetch-site", "same-origin"), (token, &own)]];
    for headers in accepted {
        assert_eq!(ada.send("PUT", &url, None, headers).await.status, 200, "{headers:?}");
    }
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_or_changes_what_is_anothers() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let mut lin = world.signed_in("lin").await;
    assert_eq!(ada.put("/enrollments/course/first-steps", None).await.status, 200);
    assert_eq!(lin.get("/enrollments").await.json()["enrollments"], json!([]));
    assert_eq!(lin.delete("/enrollments/course/first-steps").await.status, 404);
    let list = ada.get("/enrollments").await.json();
    assert_eq!(list["enrollments"].as_array().unwrap().len(), 1);
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_answered_with_the_field_and_changes_nothing() {
    let world = world().await;
    let mut ada = world.signed_in("ada").await;
    let long = "x".repeat(70_000);
    let event = |name: &str, module: &str| json!({ "event_name": name, "module_slug": module });
    let good = event("learning_module_started", "follow-a-change");
    let many = vec![good.clone(); 51];
    let track = "/events/track";
    let cases = [
        ("POST", track, json!({}), 422, ""),
        ("POST", track, json!({ "events": [] }), 422, "/events"),
        ("POST", track, json!({ "events": many }), 422, "/events"),
        (
            "POST",
            track,
            json!({ "events": [good, event("learning_module_started", "nowhere")] }),
            422,
            "/events/1/module_slug",
        ),
        (
            "POST",
            track,
            json!({ "events": [event("other", "follow-a-change")] }),
            422,
            "/events/0/event_name",
        ),
        (
            "POST",
            track,
            json!({ "events": [event("learning_module_started", "__proto__")] }),
            422,
            "/events/0/module_slug",
        ),
        ("POST", track, json!({ "events": [], "user_id": "usr_1" }), 422, "/user_id"),
        ("POST", track, json!({ "events": long }), 413, ""),
        ("PUT", "/enrollments/course/first-steps", json!({ "source": "" }), 422, "/source"),
        ("PUT", "/enrollments/course/first-steps", json!({ "source": "a\u{7}b" }), 422, "/source"),
        ("PUT", "/enrollments/course/First-Steps", json!({}), 404, ""),
        ("PUT", "/enrollments/module/first-steps", json!({}), 404, ""),
    ];
    for (method, path, body, status, pointer) in cases {
        let shown: String = body.to_string().chars().take(80).collect();
        let answer = ada.change(method, path, Some(body)).await;
        assert_eq!(answer.status, status, "{method} {path} {shown}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{shown}");
        let named = answer.json()["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
        assert_eq!(named, pointer, "{method} {path} {shown}: {answer:?}");
    }
    let url = format!("{}{track}", ada.api);
    let token = ada.get("/auth/csrf").await.json()["token"].as_str().unwrap().to_owned();
    let api = ada.api.clone();
    for (body, content_type, status) in
        [("{", "application/json", 400), ("a=b", "application/x-www-form-urlencoded", 415)]
    {
        let headers =
            [("origin", api.as_str()), ("x-csrf-token", &token), ("content-type", content_type)];
        let answer = ada.send("POST", &url, Some(body.to_owned()), &headers).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(ada.get("/enrollments").await.json()["enrollments"], json!([]));
    let course = ada.get("/courses/first-steps/status").await.json();
    assert_eq!(course["course_status"], "not_started");
    world.finish(Outcome::Clean).await;
}

#[test]
fn no_function_changes_anything_by_get() {
    for function in catalogue::functions() {
        let gets = function.routes().any(|route| route.method == Method::Get);
        let others = function.routes().any(|route| route.method != Method::Get);
        assert!(!(gets && others), "{} answers GET and others by one handler", function.name);
    }
}
