//! The operator's commands, as processes of their own against the API.

use rollcall_local::Addresses;
use rollcall_tests::{Outcome, World};
use serde_json::Value;
use tokio::process::Command;

use crate::bearer::{access_token, machine_token};
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
