//! HubSpot opened by an installation of our app, with access tokens that end.

use rollcall_cli::sample;
use rollcall_functions_crm::settings as crm;
use rollcall_local::hubspot::Installation;
use rollcall_resources::SecretName;
use rollcall_tests::{Outcome, World, eventually, member};
use serde_json::json;

use crate::PROGRAM;

const CLIENT_ID: &str = "our-app";
const REFRESH_TOKEN: &str = "a-refresh-token-for-local-use-only";
/// So short that a token is replaced two seconds after it was made: the client leaves a minute of it.
const LIFE_SECONDS: u64 = 62;
const PEOPLE: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_with_access_tokens_of_an_installation() {
    let world = World::start_with(PROGRAM, (0..PEOPLE).map(member).collect(), |options| {
        sample::widen_rate_limits(options);
        sample::set(options, &crm::HUBSPOT_CREDENTIAL, "oauth");
        sample::set(options, &crm::HUBSPOT_CLIENT_ID, CLIENT_ID);
        for (name, value) in &mut options.secrets {
            if *name == SecretName::HubSpotToken {
                REFRESH_TOKEN.clone_into(value);
            }
        }
        // Nothing but what the installation gets opens the account.
        options.hubspot.0.clear();
    })
    .await;
    world.cloud.hubspot.install(Installation {
        client_id: CLIENT_ID.to_owned(),
        client_secret: sample::HUBSPOT_CLIENT_SECRET.to_owned(),
        refresh_token: REFRESH_TOKEN.to_owned(),
        life_seconds: LIFE_SECONDS,
    });
    let refreshes = || {
        let calls = world.cloud.hubspot.calls();
        calls.iter().filter(|call| call.path.starts_with("/oauth/")).count()
    };
    let names: Vec<String> = (0..PEOPLE).map(|number| format!("member-{number}")).collect();
    let people = names.iter().map(|name| world.signed_in(name));
    for mut browser in futures::future::join_all(people).await {
        let id = browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
        world.contact_with(&id, &[("lastname", "Sample")]).await;
    }
    let first = refreshes();
    assert!(first >= 1);

    // So are comparisons with the portal.
    let mut grace = world.signed_in("grace").await;
    let begun = grace.post("/admin/crm/reconciliations", Some(json!({ "policy": "report" }))).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let path = format!("/admin/crm/reconciliations/{}", begun.json()["id"].as_str().unwrap());
    eventually("the comparison is done", async || {
        world.cloud.lambda.invoke("crm-reconcile", "{}".into(), None).await.unwrap();
        let run = grace.get(&path).await.json();
        (run["status"] == "done").then_some(())
    })
    .await;

    // The drain and the search for an address are opened likewise, and an old token is replaced in time.
    let claimed = crate::claim::claim(&world, "nobody@elsewhere.example").await;
    assert_eq!(claimed.status, 202);
    let mut browser = world.signed_in("ada").await;
    let id = browser.get("/auth/me").await.json()["user_id"].as_str().unwrap().to_owned();
    world.contact_with(&id, &[("firstname", "Ada")]).await;
    eventually("a token was replaced before its end", async || {
        let answer = browser.put("/enrollments/course/first-steps", None).await;
        assert_eq!(answer.status, 200);
        assert!(browser.delete("/enrollments/course/first-steps").await.status < 300);
        world.cloud.lambda.invoke("crm-drain", "{}".into(), None).await.unwrap();
        (refreshes() > first + 1).then_some(())
    })
    .await;
    let calls = world.cloud.hubspot.calls();
    assert!(calls.iter().any(|call| call.path.ends_with("/batch/upsert")));
    assert!(calls.iter().any(|call| call.path.contains("/send/batch")));
    world.finish(Outcome::Clean).await;
}
