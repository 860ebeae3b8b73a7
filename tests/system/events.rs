//! Every function has one sample event, and takes it.

use rollcall_cli::catalogue;
use rollcall_local::lambda::Outcome as Invoked;
use rollcall_tests::Outcome;
use serde_json::Value;

use crate::tidy::root;
use crate::world;

#[tokio::test(flavor = "multi_thread")]
async fn every_function_takes_its_sample_event() {
    let world = world().await;
    for function in catalogue::functions() {
        let path = root().join(format!("events/{}.json", function.name));
        let event =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let invocation =
            world.cloud.lambda.invoke(function.name, event.into(), None).await.unwrap();
        let Invoked::Response(body) = &invocation.outcome else {
            panic!("{}: {invocation:?}", function.name);
        };
        let body: Value = serde_json::from_slice(body).unwrap();
        if function.routes().next().is_some() {
            let status = body["statusCode"].as_u64().unwrap_or_default();
            assert!((200..500).contains(&status), "{}: {body}", function.name);
        }
    }
    world.finish(Outcome::Troubled).await;
}
