//! The provider over HTTP, as a browser and a client see it.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::cognito::{
    CognitoEventUserPoolsPostConfirmation, CognitoEventUserPoolsPreTokenGenV2,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use http::{StatusCode, header};
use reqwest::Response;
use reqwest::redirect::Policy;
use rollcall_local_kit::{LocalClock, Server, Shutdown};
use rollcall_local_provider::{
    Client, OpenError, Options, Profile, Provider, Trigger, TriggerError, Triggers, User,
};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use url::Url;

/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "http://localhost:3000/auth/callback";

struct World {
    base: String,
    clock: LocalClock,
    shutdown: Shutdown,
    http: reqwest::Client,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

fn options(base_url: String, profile: Profile, folder: Option<&Path>) -> Options {
    let client = |client_id: &str, client_secret: Option<&str>| Client {
        client_id: client_id.to_owned(),
        client_secret: client_secret.map(str::to_owned),
        redirect_uris: vec![CALLBACK.to_owned()],
        logout_uris: vec!["http://localhost:3000/".to_owned()],
        scopes: ["openid", "email", "profile", "rollcall/read"].map(str::to_owned).to_vec(),
    };
    Options {
        folder: folder.map(Path::to_owned),
        clock: LocalClock::new(),
        base_url,
        pool_id: "us-east-1_local".to_owned(),
        profile,
        users: vec![User {
            username: "ada".to_owned(),
            password: "Correct-horse-1".to_owned(),
            subject: "3b9d2f7e-0d5c-4f7a-9a55-3f3b8a3a5f10".to_owned(),
            email: "ada@example.org".to_owned(),
            email_verified: true,
            given_name: "Ada".to_owned(),
            family_name: "Lovelace".to_owned(),
            groups: vec!["admin".to_owned()],
        }],
        clients: vec![
            client("web", None),
            client("backend", Some("s3cret/+")),
            Client {
                client_id: "machine".to_owned(),
                client_secret: Some("m4chine".to_owned()),
                redirect_uris: Vec::new(),
                logout_uris: Vec::new(),
                scopes: vec!["rollcall/operate".to_owned()],
            },
            Client {
                client_id: "secretive".to_owned(),
                client_secret: Some("s".to_owned()),
                redirect_uris: vec![CALLBACK.to_owned()],
                logout_uris: Vec::new(),
                scopes: vec!["openid".to_owned()],
            },
        ],
        claims_in_id_tokens: true,
        triggers: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is its own browser")]
fn browser() -> reqwest::Client {
    let tls =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(Policy::none())
        .build()
        .unwrap()
}

async fn world_in(profile: Profile, folder: Option<&Path>) -> World {
    open(folder, profile, None).await
}

async fn world_with(profile: Profile, functions: &Arc<Functions>) -> World {
    let functions: Arc<Functions> = Arc::clone(functions);
    open(None, profile, Some(functions)).await
}

async fn open(
    folder: Option<&Path>,
    profile: Profile,
    triggers: Option<Arc<dyn Triggers>>,
) -> World {
    let server = Server::bind(0).await.unwrap();
    let options = Options { triggers, ..options(server.base_url(), profile, folder) };
    let (base, clock, shutdown) = (server.base_url(), options.clock.clone(), Shutdown::new());
    server.serve(Provider::open(options).unwrap().router(), shutdown.clone());
    World { base, clock, shutdown, http: browser() }
}

async fn world(profile: Profile) -> World {
    world_in(profile, None).await
}

fn authorize_pairs(client_id: &str) -> Vec<(&str, &str)> {
    vec![
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", CALLBACK),
        ("state", "st-1"),
        ("nonce", "n-1"),
        ("scope", "openid email profile"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

fn location(response: &Response) -> String {
    assert_eq!(response.status(), StatusCode::FOUND);
    response.headers()[header::LOCATION].to_str().unwrap().to_owned()
}

fn query(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// What a token says, signature aside.
fn claims(token: &Value) -> Value {
    let part = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

impl World {
    async fn get(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        self.http.get(format!("{}{path}", self.base)).query(pairs).send().await.unwrap()
    }

    async fn form(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        self.http.post(format!("{}{path}", self.base)).form(pairs).send().await.unwrap()
    }

    async fn control(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_emulator/{path}", self.base);
        let response = self.http.post(url).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null)
    }

    async fn code(&self, client_id: &str) -> String {
        let pairs = authorize_pairs(client_id);
        let url =
            Url::parse_with_params(&format!("{}/oauth2/authorize", self.base), pairs).unwrap();
        let answer = self
            .control("login-as", json!({"authorize_url": url.as_str(), "username": "ada"}))
            .await;
        query(answer["callback_url"].as_str().unwrap(), "code").unwrap()
    }

    async fn redeem(&self, code: &str) -> (StatusCode, Value) {
        let pairs = redeem_pairs(code);
        let response = self.form("/oauth2/token", &pairs).await;
        (response.status(), response.json().await.unwrap())
    }

    async fn tokens(&self) -> Value {
        let (status, tokens) = self.redeem(&self.code("web").await).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }

    async fn refresh(&self, token: &Value) -> (StatusCode, Value) {
        let token = token.as_str().unwrap();
        let pairs =
            [("grant_type", "refresh_token"), ("client_id", "web"), ("refresh_token", token)];
        let response = self.form("/oauth2/token", &pairs).await;
        (response.status(), response.json().await.unwrap())
    }

    async fn user_info(&self, token: &str) -> Response {
        let url = format!("{}/oauth2/userInfo", self.base);
        self.http.get(url).bearer_auth(token).send().await.unwrap()
    }

    async fn kids(&self) -> Vec<Value> {
        let keys: Value =
            self.get("/us-east-1_local/.well-known/jwks.json", &[]).await.json().await.unwrap();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
    }
}

fn redeem_pairs(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

#[tokio::test]
async fn a_person_signs_in_by_the_form_and_is_not_asked_again_for_an_hour() {
    let world = world(Profile::Cognito).await;
    let pairs = authorize_pairs("web");
    let login = location(&world.get("/oauth2/authorize", &pairs).await);
    assert!(login.starts_with("/login?"));
    let page = world.get(&login, &[]).await.text().await.unwrap();
    assert!(page.contains("name=\"username\"") && page.contains("name=\"password\""));

    let credentials = [("username", "ADA@example.org"), ("password", "Correct-horse-1")];
    let response = world.form(&login, &credentials).await;
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"));
    let callback = location(&response);
    assert_eq!(query(&callback, "state").as_deref(), Some("st-1"));
    assert_eq!(query(&callback, "iss"), None);

    let (_, tokens) = world.redeem(&query(&callback, "code").unwrap()).await;
    let id = claims(&tokens["id_token"]);
    let issuer = format!("{}/us-east-1_local", world.base);
    for (name, expected) in [
        ("iss", json!(issuer)),
        ("sub", json!("3b9d2f7e-0d5c-4f7a-9a55-3f3b8a3a5f10")),
        ("aud", json!("web")),
        ("token_use", json!("id")),
        ("nonce", json!("n-1")),
        ("email_verified", json!(true)),
        ("cognito:username", json!("ada")),
        ("cognito:groups", json!(["admin"])),
    ] {
        assert_eq!(id[name], expected, "{name}");
    }
    let access = claims(&tokens["access_token"]);
    assert_eq!((&access["aud"], &access["client_id"]), (&Value::Null, &json!("web")));
    let info = world.user_info(tokens["access_token"].as_str().unwrap()).await;
    assert_eq!(info.json::<Value>().await.unwrap()["email_verified"], "true");
    let id_token = tokens["id_token"].as_str().unwrap();
    assert_eq!(world.user_info(id_token).await.status(), StatusCode::UNAUTHORIZED);

    let again = |seconds| {
        world.clock.advance(Duration::from_secs(seconds));
        let url = format!("{}/oauth2/authorize", world.base);
        world.http.get(url).query(&pairs).header(header::COOKIE, &cookie).send()
    };
    assert!(query(&location(&again(3590).await.unwrap()), "code").is_some());
    assert!(location(&again(20).await.unwrap()).starts_with("/login?"));
}

#[tokio::test]
async fn a_wrong_password_is_told_on_the_page_and_nothing_is_reflected_unescaped() {
    let world = world(Profile::Cognito).await;
    let hostile = "\"><script>alert(1)</script>";
    let mut pairs = authorize_pairs("web");
    pairs.extend([("login_hint", hostile), ("x", hostile)]);
    let login = location(&world.get("/oauth2/authorize", &pairs).await);
    let raw = format!("{login}&y=<script>\"'");
    for path in [&login, &raw] {
        let first = world.get(path, &[]).await;
        let failed = world.form(path, &[("username", hostile), ("password", "no")]).await;
        assert_eq!(failed.status(), StatusCode::BAD_REQUEST);
        assert!(failed.headers().get(header::SET_COOKIE).is_none());
        let failed = failed.text().await.unwrap();
        assert!(failed.contains("role=\"alert\">Incorrect username or password."));
        for page in [first.text().await.unwrap(), failed] {
            assert!(page.contains("value=\"&quot;&gt;&lt;script&gt;"), "{page}");
            assert!(!page.contains("<script"), "{page}");
        }
    }
}

/// A refusal that goes to a page and not to the client.
const PAGE: &str = "";

/// A parameter, its value, and the error at Cognito and at a strict provider.
const BAD_AUTHORIZATION_REQUESTS: &[(&str, Option<&str>, &str, &str)] = &[
    ("client_id", Some("nobody"), PAGE, PAGE),
    ("redirect_uri", Some("http://localhost:3000/auth/callback/"), PAGE, PAGE),
    ("redirect_uri", None, PAGE, PAGE),
    ("response_type", None, "invalid_request", "invalid_request"),
    ("response_type", Some("token"), "unauthorized_client", "unsupported_response_type"),
    ("response_type", Some("id_token"), "invalid_request", "unsupported_response_type"),
    ("code_challenge_method", None, "invalid_request", "invalid_request"),
    ("code_challenge_method", Some("plain"), "invalid_request", "invalid_request"),
    ("code_challenge", Some("short"), "invalid_request", "invalid_request"),
    ("scope", Some("email"), "invalid_scope", "invalid_scope"),
    ("scope", Some("openid \"x"), "invalid_scope", "invalid_scope"),
    ("prompt", Some("none"), "login_required", "login_required"),
];

#[tokio::test]
async fn a_bad_authorization_request_is_refused_as_the_profile_does() {
    let cognito = world(Profile::Cognito).await;
    let generic = world(Profile::Generic).await;
    for (name, value, at_cognito, at_generic) in BAD_AUTHORIZATION_REQUESTS {
        for (world, expected) in [(&cognito, *at_cognito), (&generic, *at_generic)] {
            let mut pairs = authorize_pairs("web");
            pairs.retain(|(key, _)| key != name);
            pairs.extend(value.map(|value| (*name, value)));
            let response = world.get("/oauth2/authorize", &pairs).await;
            if expected == PAGE {
                assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{name}");
                assert!(response.headers().get(header::LOCATION).is_none());
                continue;
            }
            let callback = location(&response);
            assert!(callback.starts_with(CALLBACK), "{name}: {callback}");
            assert_eq!(query(&callback, "error").as_deref(), Some(expected), "{name} {value:?}");
            assert_eq!(query(&callback, "state").as_deref(), Some("st-1"));
        }
    }
}

/// Status and error code of a refusal.
type Refused = (u16, &'static str);

/// A parameter, its value, and the refusal at Cognito and at a strict provider.
const BAD_TOKEN_REQUESTS: &[(&str, Option<&str>, Refused, Refused)] = &[
    ("grant_type", None, (400, "invalid_request"), (400, "invalid_request")),
    (
        "grant_type",
        Some("password"),
        (400, "unsupported_grant_type"),
        (400, "unsupported_grant_type"),
    ),
    ("client_id", Some("nobody"), (400, "invalid_client"), (401, "invalid_client")),
    ("client_secret", Some("guess"), (400, "invalid_client"), (401, "invalid_client")),
    ("client_id", Some("backend"), (400, "invalid_client"), (401, "invalid_client")),
    ("code", Some("unknown"), (400, "invalid_grant"), (400, "invalid_grant")),
    (
        "redirect_uri",
        Some("http://localhost:3000/"),
        (400, "unauthorized_client"),
        (400, "invalid_grant"),
    ),
    ("redirect_uri", None, (400, "invalid_request"), (400, "invalid_request")),
    ("code_verifier", None, (400, "invalid_grant"), (400, "invalid_grant")),
    ("code_verifier", Some(CHALLENGE), (400, "invalid_grant"), (400, "invalid_grant")),
];

#[tokio::test]
async fn a_bad_token_request_is_refused_as_the_profile_does() {
    let cognito = world(Profile::Cognito).await;
    let generic = world(Profile::Generic).await;
    for (name, value, at_cognito, at_generic) in BAD_TOKEN_REQUESTS {
        for (world, expected) in [(&cognito, *at_cognito), (&generic, *at_generic)] {
            let code = world.code("web").await;
            let mut pairs = redeem_pairs(&code);
            pairs.retain(|(key, _)| key != name);
            pairs.extend(value.map(|value| (*name, value)));
            let response = world.form("/oauth2/token", &pairs).await;
            let status = response.status().as_u16();
            let body: Value = response.json().await.unwrap();
            assert_eq!((status, body["error"].as_str().unwrap()), expected, "{name} {value:?}");
        }
    }
    let world = cognito;
    assert_eq!(world.get("/oauth2/token", &[]).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    let late = world.code("web").await;
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(world.redeem(&late).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn of_twenty_that_redeem_one_code_exactly_one_succeeds() {
    let world = world(Profile::Cognito).await;
    let code = world.code("web").await;
    let attempts = (0..20).map(|_| world.redeem(&code));
    let answers = futures::future::join_all(attempts).await;
    let won = answers.iter().filter(|(status, _)| *status == StatusCode::OK).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_confidential_client_proves_itself_by_header_or_body() {
    let world = world(Profile::Cognito).await;
    for by_header in [true, false] {
        let code = world.code("backend").await;
        let mut pairs = redeem_pairs(&code);
        pairs.retain(|(key, _)| *key != "client_id");
        let mut request = world.http.post(format!("{}/oauth2/token", world.base));
        if by_header {
            request = request.basic_auth("backend", Some("s3cret%2F%2B"));
        } else {
            pairs.extend([("client_id", "backend"), ("client_secret", "s3cret/+")]);
        }
        assert_eq!(request.form(&pairs).send().await.unwrap().status(), StatusCode::OK);
    }
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "backend"),
        ("client_secret", "s3cret/+"),
    ];
    let tokens: Value = world.form("/oauth2/token", &pairs).await.json().await.unwrap();
    assert_eq!(claims(&tokens["access_token"])["scope"], "rollcall/read");
    assert!(tokens.get("id_token").is_none() && tokens.get("refresh_token").is_none());
}

#[tokio::test]
async fn a_machine_gets_the_scopes_of_its_resource_servers_and_nothing_of_people() {
    let refused = |error: &'static str| Err(error);
    for profile in [Profile::Cognito, Profile::Generic] {
        let world = world(profile).await;
        for (client_id, secret, scope, expected) in [
            ("machine", Some("m4chine"), None, Ok("rollcall/operate")),
            ("machine", Some("m4chine"), Some("rollcall/operate"), Ok("rollcall/operate")),
            ("machine", Some("m4chine"), Some("openid"), refused("invalid_scope")),
            ("machine", Some("m4chine"), Some("rollcall/other"), refused("invalid_scope")),
            ("machine", Some("guess"), None, refused("invalid_client")),
            ("machine", None, None, refused("invalid_client")),
            ("secretive", Some("s"), None, refused("unauthorized_client")),
            ("web", None, None, refused("unauthorized_client")),
        ] {
            let mut pairs = vec![("grant_type", "client_credentials"), ("client_id", client_id)];
            pairs.extend(secret.map(|secret| ("client_secret", secret)));
            pairs.extend(scope.map(|scope| ("scope", scope)));
            let answer: Value = world.form("/oauth2/token", &pairs).await.json().await.unwrap();
            match expected {
                Err(error) => assert_eq!(answer["error"], error, "{client_id} {scope:?}"),
                Ok(scope) => {
                    let claims = claims(&answer["access_token"]);
                    assert_eq!(
                        (&claims["scope"], &claims["sub"]),
                        (&json!(scope), &json!("machine"))
                    );
                    // RFC 9068 demands an audience; Cognito names none.
                    assert_eq!(claims["aud"].is_string(), profile == Profile::Generic);
                    assert_eq!(claims["token_use"].is_string(), profile == Profile::Cognito);
                }
            }
        }
        let page = world.get("/oauth2/authorize", &authorize_pairs("machine")).await;
        assert_eq!(page.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn an_access_token_of_a_strict_provider_is_one_of_rfc_9068() {
    let world = world(Profile::Generic).await;
    let tokens = world.tokens().await;
    let token = tokens["access_token"].as_str().unwrap();
    let header = token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("RS256")));
    let claims = claims(&tokens["access_token"]);
    assert_eq!(claims["aud"], json!(world.base));
    for name in ["iss", "exp", "sub", "client_id", "iat", "jti", "auth_time", "scope"] {
        assert!(claims.get(name).is_some(), "{name}");
    }
    assert_eq!(claims.get("token_use"), None);
}

#[tokio::test]
async fn a_person_who_turns_back_at_a_form_is_sent_back_with_access_denied() {
    for profile in [Profile::Cognito, Profile::Generic] {
        let world = world(profile).await;
        let login = location(&world.get("/oauth2/authorize", &authorize_pairs("web")).await);
        for path in [login.clone(), login.replace("/login?", "/signup?")] {
            let callback = location(&world.form(&path, &[("cancel", "yes")]).await);
            assert_eq!(query(&callback, "error").as_deref(), Some("access_denied"));
            assert_eq!(query(&callback, "state").as_deref(), Some("st-1"));
            assert_eq!(query(&callback, "iss").is_some(), profile == Profile::Generic);
            assert_eq!(query(&callback, "code"), None);
        }
    }
}

/// An address, a password, and what the page says.
const BAD_SIGN_UPS: &[(&str, &str, &str)] = &[
    ("", "Correct-horse-1", "Invalid email address"),
    ("nobody", "Correct-horse-1", "Invalid email address"),
    ("@example.org", "Correct-horse-1", "Invalid email address"),
    ("a@b..org", "Correct-horse-1", "Invalid email address"),
    ("a b@example.org", "Correct-horse-1", "Invalid email address"),
    ("new@example.org", "Short-pass1", "did not conform"),
    ("new@example.org", "correct-horse-1", "did not conform"),
    ("new@example.org", "CORRECT-HORSE-1", "did not conform"),
    ("new@example.org", "Correct-horse-x", "did not conform"),
    ("new@example.org", "Correcthorse12", "did not conform"),
    ("ADA@example.org", "Correct-horse-1", "already exists"),
];

#[tokio::test]
async fn a_new_person_signs_up_confirms_the_address_and_stays_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_in(Profile::Cognito, Some(folder.path())).await;
    let login = location(&world.get("/oauth2/authorize", &authorize_pairs("web")).await);
    let sign_up = login.replace("/login?", "/signup?");
    let form = world.get(&sign_up, &[]).await.text().await.unwrap();
    assert!(form.contains("name=\"email\"") && form.contains("name=\"password\""));
    for (email, password, expected) in BAD_SIGN_UPS {
        let response = world.form(&sign_up, &[("email", email), ("password", password)]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{email} {password}");
        let page = response.text().await.unwrap();
        assert!(page.contains(expected), "{email} {password}: {page}");
    }

    let person = [("email", "new@example.org"), ("password", "Correct-horse-1")];
    let page = world.form(&sign_up, &person).await.text().await.unwrap();
    let (username, code) = (between(&page, "value=\"", "\""), between(&page, "<code>", "</code>"));
    let again = world.form(&sign_up, &person).await.text().await.unwrap();
    assert!(again.contains("already exists"));
    // Who is not confirmed is not signed in, but led on to the code.
    let credentials = [("username", "new@example.org"), ("password", "Correct-horse-1")];
    let page = world.form(&login, &credentials).await.text().await.unwrap();
    assert_eq!(between(&page, "<code>", "</code>"), code);
    let listed = async |world: &World| {
        let users: Value = world.get("/_emulator/users", &[]).await.json().await.unwrap();
        users.to_string().contains("new@example.org")
    };
    assert!(!listed(&world).await);

    let confirm = login.replace("/login?", "/confirmUser?");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for (name, given) in [(username, wrong), (username, ""), ("ada", ""), ("nobody", code)] {
        let refused = world.form(&confirm, &[("username", name), ("code", given)]).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{name} {given}");
    }
    let confirmed = world.form(&confirm, &[("username", username), ("code", code)]).await;
    let (_, tokens) = world.redeem(&query(&location(&confirmed), "code").unwrap()).await;
    let id = claims(&tokens["id_token"]);
    assert_eq!((&id["email"], &id["email_verified"]), (&json!("new@example.org"), &json!(true)));
    assert_eq!((&id["cognito:username"], id.get("given_name")), (&id["sub"], None));
    let twice = world.form(&confirm, &[("username", username), ("code", code)]).await;
    assert_eq!(twice.status(), StatusCode::BAD_REQUEST);
    drop(world);

    let world = world_in(Profile::Cognito, Some(folder.path())).await;
    assert!(listed(&world).await);
    let callback = location(&world.form(&login, &credentials).await);
    assert!(query(&callback, "code").is_some());
}

#[tokio::test]
async fn a_strict_provider_shows_the_sign_up_form_to_who_asks_for_it() {
    let mut pairs = authorize_pairs("web");
    pairs.push(("prompt", "create"));
    let generic = world(Profile::Generic).await;
    assert!(location(&generic.get("/oauth2/authorize", &pairs).await).starts_with("/signup?"));
    let cognito = world(Profile::Cognito).await;
    let callback = location(&cognito.get("/oauth2/authorize", &pairs).await);
    assert_eq!(query(&callback, "error").as_deref(), Some("invalid_request"));
}

/// Functions that answer what the test says, and remember what they were asked.
#[derive(Default)]
struct Functions {
    asked: Mutex<Vec<Value>>,
    answers: Mutex<BTreeMap<&'static str, Answer>>,
}

type Answer = fn(Value) -> Result<Value, TriggerError>;

impl Triggers for Functions {
    fn invoke(
        &self,
        trigger: Trigger,
        event: Value,
    ) -> Option<BoxFuture<'_, Result<Value, TriggerError>>> {
        let name = match trigger {
            Trigger::PostConfirmation => "post-confirmation",
            Trigger::PreTokenGeneration => "pre-token-generation",
        };
        let answer = *self.answers.lock().unwrap().get(name)?;
        self.asked.lock().unwrap().push(event.clone());
        Some(Box::pin(async move { answer(event) }))
    }
}

impl Functions {
    fn answer(&self, name: &'static str, answer: Answer) {
        self.answers.lock().unwrap().insert(name, answer);
    }

    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[tokio::test]
async fn a_function_changes_groups_and_claims_and_nothing_that_is_the_pools() {
    let functions = Arc::new(Functions::default());
    let world = world_with(Profile::Cognito, &functions).await;
    let unchanged: Answer = Ok;
    let changed: Answer = |mut event| {
        event["response"]["claimsAndScopeOverrideDetails"] = json!({
            "groupOverrideDetails": { "groupsToOverride": ["recruiter"] },
            "idTokenGeneration": {
                "claimsToAddOrOverride": { "own": ["admin"], "sub": "x", "cognito:username": "x" },
                "claimsToSuppress": ["email", "aud", "iss"],
            },
        });
        Ok(event)
    };
    let suppressed: Answer = |mut event| {
        event["response"] = json!({ "claimsAndScopeOverrideDetails": {} });
        Ok(event)
    };
    for (answer, groups, own) in [
        (unchanged, json!(["admin"]), Value::Null),
        (changed, json!(["recruiter"]), json!(["admin"])),
        (suppressed, Value::Null, Value::Null),
    ] {
        functions.answer("pre-token-generation", answer);
        let first = world.tokens().await;
        let (_, second) = world.refresh(&first["refresh_token"]).await;
        let sources = ["TokenGeneration_HostedAuth", "TokenGeneration_RefreshTokens"];
        for ((tokens, event), source) in [first, second].iter().zip(functions.asked()).zip(sources)
        {
            let (id, access) = (claims(&tokens["id_token"]), claims(&tokens["access_token"]));
            assert_eq!((&id["cognito:groups"], &access["cognito:groups"]), (&groups, &groups));
            assert_eq!((&id["own"], access.get("own")), (&own, None));
            assert_eq!((&id["cognito:username"], &id["aud"]), (&json!("ada"), &json!("web")));
            assert_eq!(id["sub"], "3b9d2f7e-0d5c-4f7a-9a55-3f3b8a3a5f10");
            assert_eq!((&event["triggerSource"], &event["version"]), (&json!(source), &json!("2")));
            let parsed: CognitoEventUserPoolsPreTokenGenV2 = serde_json::from_value(event).unwrap();
            assert_eq!(parsed.request.group_configuration.groups_to_override, ["admin"]);
            assert_eq!(parsed.request.user_attributes["email_verified"], "true");
        }
    }
}

#[tokio::test]
async fn a_function_that_fails_or_does_not_give_its_event_back_keeps_people_out() {
    let functions = Arc::new(Functions::default());
    let world = world_with(Profile::Cognito, &functions).await;
    let fails: Answer = |_| Err(TriggerError::Failed("no".to_owned()));
    let nothing: Answer = |_| Ok(Value::Null);
    let another: Answer = |mut event| {
        event["userName"] = json!("grace");
        Ok(event)
    };
    for (answer, reason) in [
        (fails, "PreTokenGeneration failed with error no."),
        (nothing, "PreTokenGeneration failed with error Unrecognizable lambda output."),
        (another, "PreTokenGeneration failed with error Unrecognizable lambda output."),
    ] {
        functions.answer("pre-token-generation", answer);
        let (status, answer) = world.redeem(&world.code("web").await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["error_description"], reason);
    }
}

#[tokio::test]
async fn a_confirmation_is_told_once_and_a_failure_is_shown_although_the_account_stands() {
    for fails in [false, true] {
        let functions = Arc::new(Functions::default());
        let answer: Answer =
            if fails { |_| Err(TriggerError::Failed("no".to_owned())) } else { Ok };
        functions.answer("post-confirmation", answer);
        let world = world_with(Profile::Cognito, &functions).await;
        let login = location(&world.get("/oauth2/authorize", &authorize_pairs("web")).await);
        let person = [("email", "new@example.org"), ("password", "Correct-horse-1")];
        let page = world.form(&login.replace("/login?", "/signup?"), &person).await;
        let page = page.text().await.unwrap();
        let pairs = [
            ("username", between(&page, "value=\"", "\"")),
            ("code", between(&page, "<code>", "</code>")),
        ];
        let confirm = login.replace("/login?", "/confirmUser?");
        let confirmed = world.form(&confirm, &pairs).await;
        assert_eq!(confirmed.status() == StatusCode::FOUND, !fails);
        assert_eq!(world.form(&confirm, &pairs).await.status(), StatusCode::BAD_REQUEST);
        let asked = functions.asked();
        let [event] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!(event["triggerSource"], "PostConfirmation_ConfirmSignUp");
        let parsed: CognitoEventUserPoolsPostConfirmation =
            serde_json::from_value(event.clone()).unwrap();
        let attributes = parsed.request.user_attributes;
        assert_eq!(attributes["sub"], pairs[0].1);
        assert_eq!(attributes["email"], "new@example.org");
        if fails {
            let page = confirmed.text().await.unwrap();
            assert!(page.contains("PostConfirmation failed with error no."), "{page}");
        }
        let person = [("username", "new@example.org"), ("password", "Correct-horse-1")];
        assert_eq!(world.form(&login, &person).await.status(), StatusCode::FOUND);
    }
}

#[tokio::test]
async fn a_strict_provider_calls_no_functions() {
    let functions = Arc::new(Functions::default());
    let answer: Answer = |_| Err(TriggerError::Failed("no".to_owned()));
    functions.answer("pre-token-generation", answer);
    let world = world_with(Profile::Generic, &functions).await;
    world.tokens().await;
    assert!(functions.asked().is_empty());
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0
}

#[tokio::test]
async fn what_one_client_was_given_is_worth_nothing_to_another() {
    let world = world(Profile::Cognito).await;
    let tokens = world.tokens().await;
    let code = world.code("web").await;
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let refresh = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    for mut pairs in [redeem_pairs(&code), refresh] {
        pairs.retain(|(name, _)| *name != "client_id");
        pairs.extend([("client_id", "backend"), ("client_secret", "s3cret/+")]);
        let answer: Value = world.form("/oauth2/token", &pairs).await.json().await.unwrap();
        assert_eq!(answer["error"], "invalid_grant");
    }
    assert_eq!(world.redeem(&code).await.0, StatusCode::OK);
    assert_eq!(world.refresh(&tokens["refresh_token"]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_replaced_refresh_token_works_only_within_its_grace() {
    for profile in [Profile::Cognito, Profile::Generic] {
        let world = world(profile).await;
        world.control("rotation", json!({"enabled": true, "grace_seconds": 30})).await;
        let first = world.tokens().await;
        let (_, second) = world.refresh(&first["refresh_token"]).await;
        let (before, after) = (claims(&first["id_token"]), claims(&second["id_token"]));
        assert_eq!(before["auth_time"], after["auth_time"]);
        assert_eq!(after.get("nonce"), None);
        assert_eq!(world.refresh(&first["refresh_token"]).await.0, StatusCode::OK);
        world.clock.advance(Duration::from_secs(31));
        assert_eq!(world.refresh(&first["refresh_token"]).await.1["error"], "invalid_grant");
        // Only the strict provider ends the whole family at a replay (RFC 9700 §4.14.2).
        let family = world.refresh(&second["refresh_token"]).await.0;
        assert_eq!(family == StatusCode::OK, profile == Profile::Cognito);
    }
    let world = world(Profile::Cognito).await;
    world.control("rotation", json!({"enabled": false, "grace_seconds": 0})).await;
    let tokens = world.tokens().await;
    let (status, answer) = world.refresh(&tokens["refresh_token"]).await;
    assert_eq!((status, answer.get("refresh_token")), (StatusCode::OK, None));
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_access_tokens_here() {
    let world = world(Profile::Cognito).await;
    let tokens = world.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let revoke = async |token: Option<&str>, client_id: &str| {
        let mut pairs = vec![("client_id", client_id)];
        pairs.extend(token.map(|token| ("token", token)));
        world.form("/oauth2/revoke", &pairs).await.status().as_u16()
    };
    assert_eq!(revoke(None, "web").await, 400);
    assert_eq!(revoke(Some(access), "web").await, 400);
    assert_eq!(revoke(Some("unknown"), "web").await, 200);
    assert_eq!(revoke(Some("unknown"), "nobody").await, 401);
    assert_eq!(world.user_info(access).await.status(), StatusCode::OK);
    for _ in 0..2 {
        assert_eq!(revoke(tokens["refresh_token"].as_str(), "web").await, 200);
    }
    assert_eq!(world.user_info(access).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.refresh(&tokens["refresh_token"]).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn sign_out_returns_only_to_a_registered_address() {
    for (profile, name) in
        [(Profile::Cognito, "logout_uri"), (Profile::Generic, "post_logout_redirect_uri")]
    {
        let world = world(profile).await;
        let leave =
            async |uri: &str| world.get("/logout", &[("client_id", "web"), (name, uri)]).await;
        let good = leave("http://localhost:3000/").await;
        assert_eq!(location(&good), "http://localhost:3000/");
        assert!(good.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
        assert_eq!(leave("http://localhost:3000/x").await.status(), StatusCode::BAD_REQUEST);
        let nameless = world.get("/logout", &[]).await.status();
        assert_eq!(nameless == StatusCode::BAD_REQUEST, profile == Profile::Cognito);
    }
}

#[tokio::test]
async fn a_strict_provider_knows_the_client_by_an_id_token_when_it_signs_out() {
    let world = world(Profile::Generic).await;
    let tokens = world.tokens().await;
    // RP-Initiated Logout 1.0 §2: a hint that has expired is good.
    world.clock.advance(Duration::from_hours(2));
    let (hint, access) =
        (tokens["id_token"].as_str().unwrap(), tokens["access_token"].as_str().unwrap());
    let home = "http://localhost:3000/";
    let (ok, sent, refused) = (200, 302, 400);
    for (pairs, expected) in [
        (vec![("id_token_hint", hint), ("post_logout_redirect_uri", home)], sent),
        (
            vec![
                ("id_token_hint", hint),
                ("client_id", "web"),
                ("post_logout_redirect_uri", home),
                ("state", "s"),
            ],
            sent,
        ),
        (
            vec![
                ("id_token_hint", hint),
                ("client_id", "backend"),
                ("post_logout_redirect_uri", home),
            ],
            refused,
        ),
        (vec![("id_token_hint", access), ("post_logout_redirect_uri", home)], refused),
        (vec![("id_token_hint", "no.to.ken"), ("post_logout_redirect_uri", home)], refused),
        (vec![("post_logout_redirect_uri", home)], refused),
        (vec![("id_token_hint", hint)], ok),
        (vec![], ok),
    ] {
        for response in [world.get("/logout", &pairs).await, world.form("/logout", &pairs).await] {
            assert_eq!(response.status().as_u16(), expected, "{pairs:?}");
            if expected == sent {
                let state = query(&location(&response), "state");
                assert_eq!(state.is_some(), pairs.len() == 4);
            }
        }
    }
    let cognito = self::world(Profile::Cognito).await;
    let pairs = [("client_id", "web"), ("logout_uri", home)];
    assert_eq!(cognito.form("/logout", &pairs).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn in_an_outage_nothing_answers_but_the_controls() {
    let world = world(Profile::Cognito).await;
    world.control("outage", json!({})).await;
    for path in ["/us-east-1_local/.well-known/jwks.json", "/login", "/logout"] {
        assert_eq!(world.get(path, &[]).await.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let url = format!("{}/_emulator/outage", world.base);
    assert!(world.http.delete(url).send().await.unwrap().status().is_success());
    assert_eq!(world.kids().await.len(), 2);
}

#[tokio::test]
async fn keys_that_leaked_are_replaced_at_once() {
    let world = world(Profile::Cognito).await;
    let old = world.kids().await;
    let tokens = world.tokens().await;
    world.control("rotate-keys", json!({"keep_old": false})).await;
    let new = world.kids().await;
    assert!(new.len() == 2 && old.iter().all(|kid| !new.contains(kid)));
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(world.user_info(access).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn old_keys_stay_published_for_an_hour_after_rotation() {
    let world = world(Profile::Cognito).await;
    let old = world.kids().await;
    let tokens = world.tokens().await;
    world.control("rotate-keys", json!({})).await;
    let both = world.kids().await;
    assert_eq!(both.len(), 4);
    assert!(old.iter().all(|kid| both.contains(kid)));
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(world.user_info(access).await.status(), StatusCode::OK);
    world.clock.advance(Duration::from_hours(1));
    let new = world.kids().await;
    assert_eq!(new.len(), 2);
    assert!(old.iter().all(|kid| !new.contains(kid)));
}

#[tokio::test]
async fn keys_and_refresh_tokens_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = world_in(Profile::Cognito, Some(folder.path())).await;
    let (kids, tokens) = (first.kids().await, first.tokens().await);
    drop(first);
    let second = world_in(Profile::Cognito, Some(folder.path())).await;
    assert_eq!(second.kids().await, kids);
    assert_eq!(second.refresh(&tokens["refresh_token"]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn discovery_names_what_the_profile_names() {
    for (profile, strict) in [(Profile::Cognito, false), (Profile::Generic, true)] {
        let world = world(profile).await;
        let path = "/us-east-1_local/.well-known/openid-configuration";
        let document: Value = world.get(path, &[]).await.json().await.unwrap();
        assert_eq!(document["issuer"], format!("{}/us-east-1_local", world.base));
        for name in [
            "code_challenge_methods_supported",
            "authorization_response_iss_parameter_supported",
            "prompt_values_supported",
        ] {
            assert_eq!(document.get(name).is_some(), strict, "{name}");
        }
        let metadata = "/.well-known/oauth-authorization-server/us-east-1_local";
        let metadata = world.get(metadata, &[]).await;
        assert_eq!(metadata.status() == StatusCode::OK, strict);
        if strict {
            assert_eq!(metadata.json::<Value>().await.unwrap(), document);
        }
        let users: Value = world.get("/_emulator/users", &[]).await.json().await.unwrap();
        assert_eq!(users["users"][0]["username"], "ada");
        assert!(!users.to_string().contains("Correct-horse-1"));
    }
}

#[test]
fn a_url_that_no_provider_accepts_is_refused_at_the_start() {
    for (url, accepted) in [
        ("https://app.example/callback", true),
        ("http://localhost:3000/callback", true),
        ("http://127.0.0.1:3000/callback", true),
        ("rollcall-app:/callback", true),
        ("http://app.example/callback", false),
        ("https://app.example/callback#part", false),
        ("/callback", false),
    ] {
        let mut options = options("http://localhost:1".to_owned(), Profile::Cognito, None);
        options.clients[0].redirect_uris = vec![url.to_owned()];
        let refused = matches!(Provider::open(options), Err(OpenError::UnusableUrl { .. }));
        assert_eq!(refused, !accepted, "{url}");
    }
}
