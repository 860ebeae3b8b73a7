//! Schedules follow the local cloud's clock.

use std::time::Duration;

use rollcall_local_lambda::{Schedule, Schedules};
use serde_json::json;

use crate::support::{Cloud, eventually, json_of};

fn start(cloud: &Cloud) -> Schedules {
    Schedules::start(
        cloud.lambda.clone(),
        cloud.clock.clone(),
        cloud.shutdown.clone(),
        vec![Schedule { function: "sample".to_owned(), every: Duration::from_hours(1) }],
    )
}

#[tokio::test]
async fn a_clock_that_jumps_fires_a_schedule_once() {
    let cloud = Cloud::new();
    let _schedules = start(&cloud);
    for fired in 1..=2 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(cloud.logs.reports().len(), fired - 1, "nothing is due");
        cloud.clock.advance(Duration::from_hours(5));
        eventually("the schedule fires", || (cloud.logs.reports().len() >= fired).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn a_schedule_can_be_fired_by_hand() {
    let cloud = Cloud::new();
    let fired = start(&cloud).fire("sample").await.unwrap();
    let mut event = json_of(fired.outcome);
    for volatile in ["id", "time"] {
        assert!(event[volatile].is_string());
        event[volatile] = json!(null);
    }
    assert_eq!(
        event,
        json!({
            "version": "0",
            "id": null,
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "000000000000",
            "time": null,
            "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:000000000000:rule/rollcall-dev-sample"],
            "detail": {},
        })
    );
}
