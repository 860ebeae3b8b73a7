//! Signing in at a provider that somebody else wrote: npm's `oidc-provider` runs in the place of the
//! local one.

use std::process::Stdio;

use rollcall_cli::sample;
use rollcall_functions_identity::settings as identity;
use rollcall_local::Addresses;
use rollcall_tests::{Outcome, PATIENCE, World};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use url::Url;

use crate::PROGRAM;
use crate::sign_in::{PASSWORD, check};
use crate::tidy::root;

/// A running provider; it ends with this value.
struct Peer {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    issuer: String,
}

impl Peer {
    async fn start() -> Self {
        let folder = root().join("tests/peer");
        assert!(
            folder.join("node_modules").is_dir(),
            "the provider is not installed: run `npm ci` in tests/peer, or `make test`"
        );
        let mut child = Command::new("node")
            .arg("provider.js")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let issuer = next_line(&mut output).await;
        Self { child, output, issuer }
    }

    /// Makes our client known.
    async fn register(&mut self, client: &Value) {
        let line = format!("{client}\n");
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
        assert_eq!(next_line(&mut self.output).await, "ready");
    }
}

async fn next_line(output: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = tokio::time::timeout(PATIENCE, output.next_line()).await;
    line.expect("the provider answers").unwrap().expect("the provider runs")
}

/// A local cloud that signs people in at `peer`, as a client with or without a secret.
async fn world_at(peer: &mut Peer, has_secret: bool) -> World {
    let world = World::start_with(PROGRAM, Vec::new(), |options| {
        sample::set(options, &identity::OIDC_ISSUER, &peer.issuer);
        sample::set(options, &identity::OIDC_PROFILE, "generic");
        if has_secret {
            sample::authenticate_client(options);
        }
    })
    .await;
    let api = Addresses::url(world.cloud.addresses.api);
    let mut client = json!({
        "client_id": sample::CLIENT_ID,
        "token_endpoint_auth_method": "none",
        "redirect_uris": [format!("{api}/auth/callback")],
        "post_logout_redirect_uris": [api],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    });
    if has_secret {
        client["token_endpoint_auth_method"] = json!("client_secret_basic");
        client["client_secret"] = json!(sample::CLIENT_SECRET);
    }
    peer.register(&client).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_out_at_a_provider_that_somebody_else_wrote() {
    for has_secret in [false, true] {
        let mut peer = Peer::start().await;
        let world = world_at(&mut peer, has_secret).await;
        check(&world).await;

        // It promises to name itself (RFC 9207), so a callback that does not is not from it.
        let mut browser = world.browser();
        let honest = browser.fill_in_form("/auth/login", "ada", PASSWORD).await;
        let mut url = Url::parse(&honest).unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert!(pairs.contains(&("iss".to_owned(), peer.issuer.clone())), "{honest}");
        let rest = pairs.iter().filter(|(name, _)| name != "iss");
        url.query_pairs_mut().clear().extend_pairs(rest);
        let answer = browser.send("GET", url.as_str(), None, &[]).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        world.finish(Outcome::Clean).await;
    }
}

/// What HubSpot's own client for Node found and did in the local HubSpot, and at our webhook.
async fn hubspot_client(world: &World, user_id: &str) -> Value {
    let addresses = &world.cloud.addresses;
    let hubspot = Addresses::url(addresses.hubspot);
    let child = Command::new("node")
        .arg("hubspot.js")
        .current_dir(root().join("tests/peer"))
        .env("HUBSPOT_URL", hubspot)
        .env("HUBSPOT_TOKEN", sample::HUBSPOT_TOKEN)
        .env("CLIENT_SECRET", sample::HUBSPOT_CLIENT_SECRET)
        .env("WEBHOOK_URL", format!("{}/webhooks/hubspot", Addresses::url(addresses.api)))
        .env("USER_ID", user_id)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, child).await.expect("the client ends").unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&told)
        .unwrap_or_else(|_| panic!("{told}{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn hubspots_own_client_works_with_the_local_hubspot_and_reads_what_the_sync_wrote() {
    let world = crate::world().await;
    assert_eq!(world.hubspot("POST", "/_emulator/lag", Some(json!({ "ms": 0 }))).await.status, 200);
    let mut ada = world.signed_in("ada").await;
    let ada_id = ada.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    let contact = world.contact_with(&ada_id, &[("firstname", "Ada")]).await;
    let found = hubspot_client(&world, &ada_id).await;

    assert_eq!(found["contact"]["id"], *contact.id);
    let properties = &found["contact"]["properties"];
    assert_eq!(properties["email"], "ada@rollcall.example");
    assert_eq!(properties["rollcall_user_id"], *ada_id);
    assert_eq!(found["upserted"]["one"], found["made"]);
    assert_eq!(found["found"], 2);
    assert_eq!(found["refused"], json!({ "status": 409, "category": "CONFLICT" }));
    let survivor = &found["survivor"];
    assert_eq!(survivor["id"], found["merged"]);
    assert_eq!(survivor["properties"]["email"], "peer@elsewhere.example");
    assert_eq!(survivor["properties"]["hs_additional_emails"], "other@elsewhere.example");

    // What its helper signs is a signature to us.
    assert_eq!(found["webhook"], 204);
    rollcall_tests::eventually("the change is noted", async || {
        let all = world.dynamodb("Scan", &json!({ "TableName": "rollcall-dev-crm" })).await;
        all["Items"].to_string().contains("drift#firstname").then_some(())
    })
    .await;
    world.finish(Outcome::Clean).await;
}
