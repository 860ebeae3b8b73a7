//! Lambda: processes, their environment, their ends, and their number.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use http::HeaderMap;
use rollcall_local_kit::Principal;
use rollcall_local_lambda::{CrashPoint, InvokeError, Outcome};
use serde_json::{Value, json};

use crate::support::{Cloud, eventually, json_of, touch};

fn principal(cloud: &Cloud, access_key_id: &str) -> Option<Principal> {
    let credential = format!("AWS4-HMAC-SHA256 Credential={access_key_id}/20261121/x");
    let mut headers = HeaderMap::new();
    headers.insert("authorization", credential.parse().unwrap());
    cloud.iam.principal(&headers)
}

/// Starts `count` invocations that wait for the file `release`.
fn hold(
    cloud: &Cloud,
    function: &str,
    count: usize,
) -> Vec<tokio::task::JoinHandle<Result<Outcome, InvokeError>>> {
    (0..count)
        .map(|_| {
            let (lambda, function) = (cloud.lambda.clone(), function.to_owned());
            tokio::spawn(async move {
                let payload = json!({ "do": "hold" }).to_string().into();
                let invocation = lambda.invoke(&function, payload, None).await?;
                Ok(invocation.outcome)
            })
        })
        .collect()
}

async fn held(cloud: &Cloud, count: usize) -> Vec<String> {
    eventually("all invocations run", || {
        Some(cloud.journal()).filter(|journal| journal.len() >= count)
    })
    .await
}

fn is_process(id: &str) -> bool {
    Path::new("/proc").join(id).exists()
}

#[tokio::test]
async fn an_event_reaches_the_program_with_its_context() {
    let cloud = Cloud::new();
    cloud.clock.advance(Duration::from_hours(240));
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let before = cloud.clock.now_ms();
    let invocation = cloud
        .lambda
        .invoke("sample", json!({ "do": "context" }).to_string().into(), Some(trace.to_owned()))
        .await
        .unwrap();
    let context = json_of(invocation.outcome);
    assert_eq!(context["request_id"], json!(invocation.request_id));
    assert_eq!(context["trace"], json!(trace));
    assert_eq!(
        context["arn"],
        json!("arn:aws:lambda:us-east-1:000000000000:function:rollcall-dev-sample")
    );
    let deadline_ms = context["deadline_ms"].as_i64().unwrap();
    assert!((before + 60_000..=cloud.clock.now_ms() + 60_000).contains(&deadline_ms));
    let reports = cloud.logs.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].request_id, invocation.request_id);
    assert_eq!((reports[0].cold_start, reports[0].outcome.as_str()), (true, "success"));
}

#[tokio::test]
async fn a_process_sees_its_declared_environment_and_lambdas_own_and_nothing_else() {
    let cloud = Cloud::without_function(4);
    let mut spec = cloud.spec("sample");
    spec.environment.insert("AWS_REGION".to_owned(), "eu-west-1".to_owned());
    cloud.lambda.add(spec);
    let environment = cloud.answer(json!({ "do": "environment" })).await;
    let names: Vec<&String> = environment.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_INITIALIZATION_TYPE",
            "AWS_LAMBDA_LOG_GROUP_NAME",
            "AWS_LAMBDA_LOG_STREAM_NAME",
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "JOURNAL",
            "LANG",
            "OUTAGE",
            "PATH",
            "RELEASE",
            "TZ",
            "_HANDLER",
            "_X_AMZN_TRACE_ID",
        ]
    );
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "rollcall-dev-sample");
    assert_eq!(environment["AWS_REGION"], "us-east-1");
    let key = environment["AWS_ACCESS_KEY_ID"].as_str().unwrap();
    assert!(key.starts_with("ASIA") && key.len() > 30, "{key}");
    let function = Principal::Function("sample".to_owned());
    assert_eq!(principal(&cloud, key), Some(function));
    cloud.lambda.stop().await;
    assert_eq!(principal(&cloud, key), None);
}

#[tokio::test]
async fn parallel_invocations_use_separate_processes_and_credentials() {
    let cloud = Cloud::new();
    let running = hold(&cloud, "sample", 50);
    held(&cloud, 50).await;
    touch(&cloud.path("release"));
    let mut processes = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for invocation in running {
        let answer = json_of(invocation.await.unwrap().unwrap());
        processes.insert(answer["process"].to_string());
        keys.insert(answer["key"].to_string());
    }
    assert_eq!((processes.len(), keys.len()), (50, 50));
    let again = cloud.answer(json!({ "do": "hold" })).await;
    assert!(processes.contains(&again["process"].to_string()), "a warm process is used again");
}

#[tokio::test]
async fn only_reserved_concurrency_throttles() {
    let cloud = Cloud::without_function(8);
    let mut spec = cloud.spec("sample");
    spec.reserved_concurrency = Some(2);
    cloud.lambda.add(spec);
    let running = hold(&cloud, "sample", 2);
    held(&cloud, 2).await;
    let throttled = InvokeError::Throttled("sample".to_owned());
    assert_eq!(cloud.invoke(json!({})).await, Err(throttled));
    touch(&cloud.path("release"));
    for invocation in running {
        invocation.await.unwrap().unwrap();
    }
    assert_eq!(cloud.answer(json!([1])).await, json!([1]));
    let unknown = InvokeError::UnknownFunction("other".to_owned());
    assert_eq!(cloud.invoke_function("other", json!({})).await, Err(unknown));
}

#[tokio::test]
async fn invocations_beyond_the_most_processes_wait_and_idle_processes_make_room() {
    let cloud = Cloud::without_function(2);
    for name in ["one", "two", "three"] {
        cloud.lambda.add(cloud.spec(name));
    }
    let idle = cloud.invoke_function("one", json!({ "do": "environment" })).await;
    let key = json_of(idle.unwrap())["AWS_ACCESS_KEY_ID"].as_str().unwrap().to_owned();
    let mut running = hold(&cloud, "two", 2);
    held(&cloud, 2).await;
    assert_eq!(principal(&cloud, &key), None, "the idle process has ended");
    running.extend(hold(&cloud, "three", 3));
    touch(&cloud.path("release"));
    for invocation in running {
        json_of(invocation.await.unwrap().unwrap());
    }
    assert_eq!(held(&cloud, 5).await.len(), 5);
}

/// What a failing invocation answers, and whether the next one is a cold start.
async fn check_failure(event: Value, error_type: &str, message: &str, ends_the_process: bool) {
    let cloud = Cloud::without_function(4);
    let mut spec = cloud.spec("sample");
    spec.timeout = Duration::from_millis(1500);
    cloud.lambda.add(spec);
    cloud.answer(json!("warm up")).await;
    let failed = cloud.lambda.invoke("sample", event.to_string().into(), None).await.unwrap();
    let expected = Outcome::FunctionError {
        error_type: error_type.to_owned(),
        message: message.replace("{id}", &failed.request_id),
    };
    assert_eq!(failed.outcome, expected, "{event}");
    cloud.answer(json!("again")).await;
    let cold_starts: Vec<bool> = cloud.logs.reports().iter().map(|r| r.cold_start).collect();
    assert_eq!(cold_starts, [true, false, ends_the_process], "{event}");
}

#[tokio::test]
async fn failures_are_reported_as_lambda_does() {
    check_failure(json!({ "do": "fail" }), "SampleError", "told to fail", false).await;
    check_failure(
        json!({ "do": "hold" }),
        "Sandbox.Timedout",
        "RequestId: {id} Error: Task timed out after 1.50 seconds",
        true,
    )
    .await;
    check_failure(
        json!({ "do": "exit" }),
        "Runtime.ExitError",
        "RequestId: {id} Error: Runtime exited with error: exit status 3",
        true,
    )
    .await;
}

#[tokio::test]
async fn a_panic_is_a_function_error_and_an_answer_has_a_size_limit() {
    let cloud = Cloud::new();
    for (event, expected) in [
        ("panic", "told to panic"),
        ("large", "Response payload size exceeded maximum allowed payload size (6291556 bytes)."),
    ] {
        match cloud.invoke(json!({ "do": event })).await.unwrap() {
            Outcome::FunctionError { message, .. } => assert!(message.contains(expected)),
            Outcome::Response(_) => panic!("{event} was answered"),
        }
    }
    let payload = vec![b' '; 6_291_557];
    let refused = cloud.lambda.invoke("sample", payload.into(), None).await;
    assert_eq!(refused, Err(InvokeError::PayloadTooLarge(6_291_557)));
}

#[tokio::test]
async fn a_program_that_does_not_start_is_a_function_error() {
    let cloud = Cloud::without_function(4);
    let mut spec = cloud.spec("sample");
    spec.environment.insert("FAIL_INIT".to_owned(), "1".to_owned());
    cloud.lambda.add(spec);
    let Ok(Outcome::FunctionError { error_type, message }) = cloud.invoke(json!({})).await else {
        panic!("it started");
    };
    assert_eq!(error_type, "Runtime.ExitError");
    assert!(message.ends_with("exit status 1"), "{message}");
    eventually("the cause is logged", || {
        let lines = cloud.logs.lines();
        lines.into_iter().find(|line| line.line.contains("told not to start"))
    })
    .await;
    let mut spec = cloud.spec("sample");
    spec.program = "/does/not/exist".into();
    cloud.lambda.add(spec);
    let Ok(Outcome::FunctionError { error_type, .. }) = cloud.invoke(json!({})).await else {
        panic!("it started");
    };
    assert_eq!(error_type, "Runtime.InvalidEntrypoint");
}

#[tokio::test]
async fn processes_can_be_made_to_crash_at_the_worst_moments() {
    let cloud = Cloud::new();
    let is_exit = |outcome: &Outcome| matches!(outcome, Outcome::FunctionError { error_type, .. } if error_type == "Runtime.ExitError");
    let running = hold(&cloud, "sample", 3);
    held(&cloud, 3).await;
    assert_eq!(cloud.lambda.kill_running("sample"), 3);
    for invocation in running {
        assert!(is_exit(&invocation.await.unwrap().unwrap()));
    }
    assert_eq!(cloud.lambda.kill_running("sample"), 0);
    touch(&cloud.path("release"));
    for (point, journal) in [(CrashPoint::BeforeDelivery, 3), (CrashPoint::AfterResponse, 4)] {
        cloud.lambda.crash_next("sample", 1, point).unwrap();
        assert!(is_exit(&cloud.invoke(json!({ "do": "hold" })).await.unwrap()));
        assert_eq!(cloud.journal().len(), journal, "{point:?}");
    }
    json_of(cloud.invoke(json!({ "do": "hold" })).await.unwrap());
}

#[tokio::test]
async fn stopping_leaves_no_process_behind() {
    let cloud = Cloud::new();
    let running = hold(&cloud, "sample", 5);
    let processes = held(&cloud, 5).await;
    assert!(processes.iter().all(|id| is_process(id)));
    cloud.lambda.stop().await;
    assert!(!processes.iter().any(|id| is_process(id)));
    for invocation in running {
        assert_eq!(invocation.await.unwrap(), Err(InvokeError::Stopped));
    }
    assert_eq!(cloud.invoke(json!({})).await, Err(InvokeError::Stopped));
}

#[tokio::test]
async fn the_shutdown_of_the_cloud_ends_every_process() {
    let cloud = Cloud::new();
    let running = hold(&cloud, "sample", 1);
    let processes = held(&cloud, 1).await;
    cloud.shutdown.begin();
    for invocation in running {
        assert_eq!(invocation.await.unwrap(), Err(InvokeError::Stopped));
    }
    assert!(!is_process(&processes[0]));
}

#[tokio::test]
async fn a_replaced_function_is_used_from_the_next_invocation_on() {
    let cloud = Cloud::new();
    cloud.answer(json!({})).await;
    let mut spec = cloud.spec("sample");
    spec.environment.insert("EDITION".to_owned(), "2".to_owned());
    cloud.lambda.add(spec);
    let environment = cloud.answer(json!({ "do": "environment" })).await;
    assert_eq!(environment["EDITION"], "2");
}
