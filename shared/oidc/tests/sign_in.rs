//! Whole sign-ins against the local identity provider, good and sabotaged.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, header};
use reqwest::redirect::Policy;
use rollcall_domain::secret::Secret;
use rollcall_domain::time::Timestamp;
use rollcall_local_kit::{LocalClock, Server, Shutdown};
use rollcall_local_provider as local;
use rollcall_oidc::{
    AccessSettings, AccessVerifier, Client, Endpoint, Entrance, ErrorClass, IdClaims, OidcError,
    ProviderProfile, Settings, TokenRefusal, Tokens, code_challenge,
};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use url::Url;

const CALLBACK: &str = "http://localhost:3000/auth/callback";
const NONCE: &str = "nonce-of-this-sign-in";

struct World {
    base: String,
    clock: LocalClock,
    shutdown: Shutdown,
    browser: reqwest::Client,
    client: Client,
    access: AccessVerifier,
    verifier: Secret,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

fn provider_options(base_url: String, profile: ProviderProfile) -> local::Options {
    let client = |client_id: &str, client_secret: Option<&str>| local::Client {
        client_id: client_id.to_owned(),
        client_secret: client_secret.map(str::to_owned),
        redirect_uris: vec![CALLBACK.to_owned()],
        logout_uris: vec!["http://localhost:3000/".to_owned()],
        scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
    };
    local::Options {
        folder: None,
        clock: LocalClock::new(),
        base_url,
        pool_id: "us-east-1_local".to_owned(),
        profile: match profile {
            ProviderProfile::Cognito => local::Profile::Cognito,
            ProviderProfile::Generic => local::Profile::Generic,
        },
        users: vec![local::User {
            username: "ada".to_owned(),
            password: "Correct-horse-1".to_owned(),
            subject: "3b9d2f7e-0d5c-4f7a-9a55-3f3b8a3a5f10".to_owned(),
            email: "ada@example.org".to_owned(),
            email_verified: true,
            given_name: "Ada".to_owned(),
            family_name: "Lovelace".to_owned(),
            groups: vec!["admin".to_owned()],
        }],
        clients: vec![client("web", None), client("backend", Some("s3cret/+ :%"))],
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

async fn world_of(profile: ProviderProfile, client_id: &str, client_secret: Option<&str>) -> World {
    let server = Server::bind(0).await.unwrap();
    let options = provider_options(server.base_url(), profile);
    let (base, clock, shutdown) = (server.base_url(), options.clock.clone(), Shutdown::new());
    let provider = local::Provider::open(options).unwrap();
    let settings = Settings {
        issuer: provider.issuer(),
        client_id: client_id.to_owned(),
        client_secret: client_secret.map(Secret::new),
        redirect_uri: CALLBACK.to_owned(),
        profile,
        scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
    };
    let access = AccessSettings {
        issuer: provider.issuer(),
        profile,
        audience: (profile == ProviderProfile::Generic).then(|| base.clone()),
        client_ids: vec![client_id.to_owned()],
    };
    server.serve(provider.router(), shutdown.clone());
    World {
        base,
        clock,
        shutdown,
        browser: browser(),
        client: Client::new(settings).unwrap(),
        access: AccessVerifier::new(access).unwrap(),
        verifier: Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    }
}

async fn world() -> World {
    world_of(ProviderProfile::Cognito, "web", None).await
}

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl World {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn authorization_url(&self) -> Url {
        let challenge = code_challenge(&self.verifier);
        let entrance = Entrance::SignIn;
        let url = self.client.authorization_url(entrance, "state-1", NONCE, &challenge, self.now());
        url.await.unwrap()
    }

    async fn control(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_emulator/{path}", self.base);
        let response = self.browser.post(url).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null)
    }

    async fn order(&self, kind: &str, endpoint: &str, count: u32) {
        let order = json!({"kind": kind, "endpoint": endpoint, "count": count});
        self.control("break-next", order).await;
    }

    /// Signs Ada in without the form and gives the code.
    async fn code(&self) -> String {
        let url = self.authorization_url().await;
        let asked = json!({"authorize_url": url.as_str(), "username": "ada"});
        let answer = self.control("login-as", asked).await;
        query(&Url::parse(answer["callback_url"].as_str().unwrap()).unwrap(), "code").unwrap()
    }

    async fn tokens(&self) -> Tokens {
        self.exchange(&self.code().await).await.unwrap()
    }

    async fn exchange(&self, code: &str) -> Result<Tokens, OidcError> {
        self.client.exchange(code, &self.verifier, self.now()).await
    }

    async fn verify(&self, tokens: &Tokens) -> Result<IdClaims, OidcError> {
        let Tokens { id_token, access_token, .. } = tokens;
        self.client.verify_id_token(id_token, Some(NONCE), access_token, self.now()).await
    }

    /// A whole sign-in from code to claims.
    async fn sign_in(&self) -> Result<IdClaims, OidcError> {
        let code = self.code().await;
        let tokens = self.exchange(&code).await?;
        self.verify(&tokens).await
    }
}

#[tokio::test]
async fn a_person_signs_in_with_the_form_under_every_profile_and_kind_of_client() {
    for (profile, client_id, secret) in [
        (ProviderProfile::Cognito, "web", None),
        (ProviderProfile::Cognito, "backend", Some("s3cret/+ :%")),
        (ProviderProfile::Generic, "web", None),
        (ProviderProfile::Generic, "backend", Some("s3cret/+ :%")),
    ] {
        let world = world_of(profile, client_id, secret).await;
        let url = world.authorization_url().await;
        let to_login = world.browser.get(url.clone()).send().await.unwrap();
        let login = url.join(to_login.headers()[header::LOCATION].to_str().unwrap()).unwrap();
        let form = [("username", "ada"), ("password", "Correct-horse-1")];
        let back = world.browser.post(login).form(&form).send().await.unwrap();
        assert_eq!(back.status(), StatusCode::FOUND);
        let callback = Url::parse(back.headers()[header::LOCATION].to_str().unwrap()).unwrap();
        assert!(callback.as_str().starts_with(CALLBACK));
        assert_eq!(query(&callback, "state").as_deref(), Some("state-1"));
        let iss = query(&callback, "iss");
        world.client.check_callback_issuer(iss.as_deref(), world.now()).await.unwrap();

        let code = query(&callback, "code").unwrap();
        let tokens = world.exchange(&code).await.unwrap();
        assert_eq!(tokens.expires_in_seconds, Some(3600));
        let claims = world.verify(&tokens).await.unwrap();
        assert_eq!(claims.subject, "3b9d2f7e-0d5c-4f7a-9a55-3f3b8a3a5f10");
        assert_eq!(claims.email.as_deref(), Some("ada@example.org"));
        assert!(claims.email_verified);
        assert_eq!(claims.groups, ["admin"]);

        let again = world.exchange(&code).await;
        assert!(matches!(again, Err(OidcError::GrantRefused)), "a code works once");
        world.client.revoke(tokens.refresh_token.as_ref().unwrap(), world.now()).await.unwrap();
        let leave = world.client.logout_url("http://localhost:3000/", world.now()).await.unwrap();
        let left = world.browser.get(leave).send().await.unwrap();
        assert_eq!(left.headers()[header::LOCATION], "http://localhost:3000/");
    }
}

#[tokio::test]
async fn a_strict_provider_must_name_itself_in_the_callback() {
    let world = world_of(ProviderProfile::Generic, "web", None).await;
    for iss in [None, Some("https://evil.example")] {
        let refused = world.client.check_callback_issuer(iss, world.now()).await;
        assert!(matches!(refused, Err(OidcError::WrongCallbackIssuer)), "{iss:?}");
    }
}

#[tokio::test]
async fn every_sabotaged_id_token_is_refused() {
    use TokenRefusal as Refusal;
    let world = world().await;
    assert!(world.sign_in().await.is_ok());
    for (kind, expected) in [
        ("wrong_issuer", Refusal::WrongIssuer),
        ("wrong_audience", Refusal::WrongAudience),
        ("missing_azp", Refusal::MissingAuthorizedParty),
        ("alg_none", Refusal::UnsupportedAlgorithm),
        ("hs256_with_public_key", Refusal::UnsupportedAlgorithm),
        ("wrong_signature", Refusal::WrongSignature),
        ("expired", Refusal::Expired),
        ("future_iat", Refusal::IssuedInFuture),
        ("unknown_kid", Refusal::UnknownKey),
        ("missing_nonce", Refusal::MissingNonce),
        ("wrong_nonce", Refusal::WrongNonce),
        ("wrong_token_use", Refusal::WrongTokenUse),
        ("wrong_at_hash", Refusal::WrongAccessTokenHash),
        ("missing_subject", Refusal::UnusableSubject),
    ] {
        world.order(kind, "token", 1).await;
        match world.sign_in().await {
            Err(OidcError::Token(refusal)) => assert_eq!(refusal, expected, "{kind}"),
            Err(other) => panic!("{kind}: {other}"),
            Ok(_) => panic!("{kind} is believed"),
        }
    }
    assert!(world.sign_in().await.is_ok());
}

#[tokio::test]
async fn every_sabotaged_call_is_refused_and_named() {
    use ErrorClass::{ProviderMisbehaving, ProviderUnavailable};
    let world = world().await;
    world.authorization_url().await;
    for (kind, class) in [
        ("500", ProviderUnavailable),
        ("drop_reply", ProviderUnavailable),
        ("redirect", ProviderMisbehaving),
        ("not_json", ProviderMisbehaving),
        ("oversized", ProviderMisbehaving),
    ] {
        world.order(kind, "token", 1).await;
        let error = world.sign_in().await.err().unwrap();
        assert_eq!(error.class(), class, "{kind}: {error}");
        let text = format!("{error:?} {error}");
        assert!(!text.contains("html") && !text.contains("http://"), "{text}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_the_bound() {
    let world = world().await;
    world.order("oversized", "discovery", 1).await;
    let url = world.client.authorization_url(Entrance::SignIn, "s", "n", "c", world.now()).await;
    assert!(matches!(url, Err(OidcError::TooLarge { bytes_max: 1_048_576, .. })));
}

#[tokio::test]
async fn a_call_without_an_answer_ends_after_five_seconds() {
    let world = world().await;
    world.order("timeout", "discovery", 1).await;
    let url = world.client.authorization_url(Entrance::SignIn, "s", "n", "c", world.now()).await;
    let expected = OidcError::class(&url.err().unwrap());
    assert_eq!(expected, ErrorClass::ProviderUnavailable);
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_refused() {
    let world = world().await;
    world.order("wrong_discovery_issuer", "discovery", 1).await;
    let url = world.client.authorization_url(Entrance::SignIn, "s", "n", "c", world.now()).await;
    assert!(matches!(url, Err(OidcError::WrongDiscoveryIssuer)));
}

#[tokio::test]
async fn a_wrong_verifier_or_secret_is_told_apart() {
    let world = world().await;
    let code = world.code().await;
    let verifier = Secret::new("a-verifier-that-was-not-used-for-the-challenge");
    let refused = world.client.exchange(&code, &verifier, world.now()).await.err().unwrap();
    assert_eq!(refused.class(), ErrorClass::Caller);
    for profile in [ProviderProfile::Cognito, ProviderProfile::Generic] {
        let world = world_of(profile, "backend", Some("wrong")).await;
        let refused = world.exchange("any").await.err().unwrap();
        assert_eq!(refused.class(), ErrorClass::Misconfigured);
    }
}

#[tokio::test]
async fn somebody_new_is_sent_to_the_sign_up_form() {
    for profile in [ProviderProfile::Cognito, ProviderProfile::Generic] {
        let world = world_of(profile, "web", None).await;
        let challenge = code_challenge(&world.verifier);
        let now = world.now();
        let url = world.client.authorization_url(Entrance::SignUp, "s", NONCE, &challenge, now);
        let mut response = world.browser.get(url.await.unwrap()).send().await.unwrap();
        if response.status() == StatusCode::FOUND {
            let path = response.headers()[header::LOCATION].to_str().unwrap();
            let url = format!("{}{path}", world.base);
            response = world.browser.get(url).send().await.unwrap();
        }
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.text().await.unwrap().contains("<h1>Sign up</h1>"), "{profile:?}");
    }
}

#[tokio::test]
async fn twenty_that_redeem_one_code_give_one_sign_in() {
    let world = world().await;
    let code = world.code().await;
    let answers = futures::future::join_all((0..20).map(|_| world.exchange(&code))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
}

#[tokio::test]
async fn new_keys_of_the_provider_are_picked_up_without_losing_anybody() {
    let world = world().await;
    assert!(world.sign_in().await.is_ok());
    let before = world.tokens().await;
    world.control("rotate-keys", json!({})).await;
    let after = world.tokens().await;
    let (old, new) = futures::join!(world.verify(&before), world.verify(&after));
    assert!(old.is_ok() && new.is_ok());
    // A made-up key costs the provider no second question within the minute.
    world.order("unknown_kid", "token", 1).await;
    world.order("500", "jwks", 1).await;
    let refused = world.sign_in().await;
    assert!(matches!(refused, Err(OidcError::Token(TokenRefusal::UnknownKey))));
    world.clock.advance(Duration::from_secs(61));
    world.order("unknown_kid", "token", 1).await;
    let asked = world.sign_in().await;
    assert!(matches!(asked, Err(OidcError::Busy { endpoint: Endpoint::Jwks, .. })));
}

#[tokio::test]
async fn two_keys_of_one_name_do_not_lock_anybody_out() {
    let world = world().await;
    world.order("duplicate_kid", "jwks", 1).await;
    assert!(world.sign_in().await.is_ok());
}

#[tokio::test]
async fn known_keys_bridge_an_outage_of_the_provider_for_a_day() {
    let world = world().await;
    assert!(world.sign_in().await.is_ok());
    for (hours, bridged) in [(2, true), (23, false)] {
        world.clock.advance(Duration::from_secs(hours * 3600));
        let tokens = world.tokens().await;
        world.order("500", "jwks", 1).await;
        let verdict = world.verify(&tokens).await;
        assert_eq!(verdict.is_ok(), bridged, "{hours} h later");
    }
}

#[tokio::test]
async fn a_refresh_says_again_who_it_is_until_the_token_is_revoked() {
    for (profile, client_id, secret) in [
        (ProviderProfile::Cognito, "web", None),
        (ProviderProfile::Generic, "backend", Some("s3cret/+ :%")),
    ] {
        let world = world_of(profile, client_id, secret).await;
        let first = world.tokens().await.refresh_token.unwrap();
        let refreshed = world.client.refresh(&first, world.now()).await.unwrap();
        let (id_token, access_token) = (refreshed.id_token.unwrap(), refreshed.access_token);
        let claims = world
            .client
            .verify_id_token(&id_token, None, &access_token, world.now())
            .await
            .unwrap();
        assert_eq!(claims.subject, "3b9d2f7e-0d5c-4f7a-9a55-3f3b8a3a5f10");
        let second = refreshed.refresh_token.unwrap();
        world.client.revoke(&second, world.now()).await.unwrap();
        let refused = world.client.refresh(&second, world.now()).await;
        assert!(matches!(refused, Err(OidcError::GrantRefused)), "{profile:?}");
    }
}

#[tokio::test]
async fn an_access_token_is_believed_and_every_sabotaged_one_is_not() {
    use TokenRefusal as Refusal;
    for profile in [ProviderProfile::Cognito, ProviderProfile::Generic] {
        let world = world_of(profile, "web", None).await;
        let tokens = world.tokens().await;
        let verify = async |token: &Secret| world.access.verify(token, world.now()).await;
        let claims = verify(&tokens.access_token).await.unwrap();
        assert_eq!(claims.subject, "3b9d2f7e-0d5c-4f7a-9a55-3f3b8a3a5f10");
        assert_eq!(claims.groups, ["admin"]);
        assert!(matches!(verify(&tokens.id_token).await, Err(OidcError::Token(_))), "{profile:?}");
    }
    let world = world().await;
    for (kind, expected) in [
        ("wrong_issuer", Refusal::WrongIssuer),
        ("wrong_audience", Refusal::WrongAuthorizedParty),
        ("alg_none", Refusal::UnsupportedAlgorithm),
        ("hs256_with_public_key", Refusal::UnsupportedAlgorithm),
        ("wrong_signature", Refusal::WrongSignature),
        ("expired", Refusal::Expired),
        ("future_iat", Refusal::IssuedInFuture),
        ("unknown_kid", Refusal::UnknownKey),
        ("wrong_token_use", Refusal::WrongTokenUse),
        ("missing_subject", Refusal::UnusableSubject),
    ] {
        world.order(kind, "token", 1).await;
        let token = world.tokens().await.access_token;
        match world.access.verify(&token, world.now()).await {
            Err(OidcError::Token(refusal)) => assert_eq!(refusal, expected, "{kind}"),
            Err(other) => panic!("{kind}: {other}"),
            Ok(_) => panic!("{kind} is believed"),
        }
    }
}
