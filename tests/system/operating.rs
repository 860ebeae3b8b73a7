//! The operator's commands, as processes of their own against the API.

use rollcall_local::Addresses;
use rollcall_tests::{Outcome, World};
use serde_json::Value;
use tokio::process::Command;

use crate::bearer::{access_token, machine_token};
use crate::dead_letters::{id, settled};
use crate::idempotency::world_with_dead_letters;
use crate::{PROGRAM, world};

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    /// What it printed, line by line as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        assert!(self.success, "{self:?}");
        self.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs `rollcall` with `arguments` over the API of `world`, with a token.
pub(crate) async fn rollcall(world: &World, token: &str, arguments: &[&str]) -> Said {
    let url = Addresses::url(world.cloud.addresses.api);
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("ROLLCALL_URL", url).env("ROLLCALL_TOKEN", token);
    let output = command.output().await.unwrap();
    Said {
        success: output.status.success(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_shows_what_the_api_answers_and_tells_why_it_refuses() {
    let world = world().await;
    let machine = machine_token(&world).await;
    let said = rollcall(&world, &machine, &["crm", "status", "--json"]).await;
    let [status] = said.json().try_into().unwrap();
    assert_eq!(status["dead_letters"]["open"], 0);
    let said = rollcall(&world, &machine, &["crm", "status"]).await;
    assert!(said.success && said.output.contains("dead letters  0\n"), "{said:?}");

    world.signed_in("ada").await;
    let member = access_token(&world, "ada").await;
    for (token, reason) in [(member.as_str(), "(403 forbidden)"), ("x", "(401 invalid-token)")] {
        let said = rollcall(&world, token, &["crm", "status"]).await;
        assert!(!said.success && said.errors.contains(reason), "{said:?}");
        assert_eq!(said.errors.trim_end().lines().count(), 1, "{said:?}");
    }
    let arguments = ["crm", "status", "--url", "http://rollcall.example"];
    let said = rollcall(&world, &machine, &arguments).await;
    assert!(!said.success && said.errors.contains("no token is sent there"), "{said:?}");
    world.finish(Outcome::Clean).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_works_at_the_desk_from_the_shell() {
    let (world, grace, letters) = world_with_dead_letters().await;
    let token = machine_token(&world).await;
    let desk = async |arguments: &[&str]| {
        let arguments = [&["crm", "dead-letters"], arguments].concat();
        rollcall(&world, &token, &arguments).await
    };
    assert_eq!(desk(&["list", "--json"]).await.json(), letters);
    assert!(desk(&["list"]).await.output.ends_with("3 letters\n"));
    assert_eq!(desk(&["list", "--facet", "identity", "--json"]).await.json(), [] as [Value; 0]);
    let wrong = desk(&["list", "--status", "gone"]).await;
    assert!(!wrong.success && wrong.errors.contains("query:status"), "{wrong:?}");
    let [group] = desk(&["groups", "--json"]).await.json().try_into().unwrap();
    assert_eq!(group["count"], 3);
    let cause = group["fingerprint"].as_str().unwrap();

    let first = id(&letters[0]);
    let [shown] = desk(&["show", first, "--json"]).await.json().try_into().unwrap();
    assert_eq!(shown, letters[0]);
    let user = letters[0]["user_id"].as_str().unwrap();
    let stands = rollcall(&world, &token, &["crm", "user", user, "--json"]).await;
    assert_eq!(stands.json()[0]["facets"]["learning"]["dead_letter"], first);

    // What only looks changes nothing.
    let left_out = ["--leave-out", "rollcall_enrolled_courses"];
    for look in [
        vec!["dry-run", first],
        vec!["replay", first, "--dry-run"],
        vec!["replay", "--fingerprint", cause, "--dry-run"],
        vec!["edit", first, left_out[0], left_out[1], "--dry-run"],
        vec!["discard", first, "--reason", "over", "--dry-run"],
    ] {
        let said = desk(&look).await;
        assert!(said.success && !said.output.is_empty(), "{look:?}: {said:?}");
    }
    assert_eq!(desk(&["list", "--json"]).await.json(), letters);

    let said = desk(&["edit", first, left_out[0], left_out[1], "--json"]).await;
    assert_eq!(said.json()[0]["status"], "replaying");
    settled(&grace, first, "resolved").await;
    let second = id(&letters[1]);
    let said = desk(&["discard", second, "--reason", "over", "--json"]).await;
    assert_eq!(said.json()[0]["discarded"]["reason"], "over");
    let again = desk(&["replay", second]).await;
    assert!(!again.success && again.errors.contains("1 of the letters"), "{again:?}");

    // The cause is still there, and then it is not.
    let refused = desk(&["replay", "--fingerprint", cause]).await;
    assert!(!refused.success && refused.errors.contains("canary-refused"), "{refused:?}");
    world.mend_hubspot().await;
    let replayed = desk(&["replay", "--fingerprint", cause]).await;
    assert!(replayed.success, "{replayed:?}");
    assert_eq!(replayed.output, "sent again: 1\n");
    settled(&grace, id(&letters[2]), "resolved").await;
    world.finish(Outcome::Troubled).await;
}
