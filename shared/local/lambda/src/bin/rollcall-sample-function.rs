//! A function whose events say how it is to behave: what the tests of the local Lambda run.
//!
//! A plain event is a command: `{"do": "hold", …}`; what is no command is answered as it is, or with
//! what `ANSWER` says. An event with `Records` is a batch; each handled batch is appended to the file
//! that `JOURNAL` names, and an item whose text is `fail`, `poison`, `exit` or `hold` fails, fails the
//! whole batch, ends the process, or waits until the file that `RELEASE` names exists. While the file that `OUTAGE` names exists, every batch fails.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

fn main() -> Result<(), Error> {
    if variable("FAIL_INIT").is_some() {
        return Err("the program was told not to start".into());
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(lambda_runtime::run(service_fn(handle)))
}

#[expect(clippy::disallowed_methods, reason = "the program shows its environment to the tests")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let (event, context) = event.into_parts();
    if let Some(records) = event.get("Records").and_then(Value::as_array) {
        return batch(records).await;
    }
    match event.get("do").and_then(Value::as_str) {
        Some("hold") => {
            journal(&std::process::id().to_string())?;
            hold().await;
            Ok(process())
        }
        Some("large") => Ok(Value::String("x".repeat(7_000_000))),
        Some("fail") => Err(failure("SampleError", "told to fail")),
        Some("panic") => panicking(),
        Some("exit") => std::process::exit(3),
        Some("context") => Ok(json!({
            "request_id": context.request_id,
            "deadline_ms": context.deadline,
            "arn": context.invoked_function_arn,
            "trace": context.xray_trace_id,
        })),
        Some("environment") => Ok(environment()),
        _ => configured_answer(event).await,
    }
}

/// What `ANSWER` says, if it says something; else the event itself.
async fn configured_answer(event: Value) -> Result<Value, Diagnostic> {
    match variable("ANSWER").as_deref() {
        None => Ok(event),
        Some("hold") => {
            hold().await;
            Ok(event)
        }
        Some(answer) => {
            serde_json::from_str(answer).map_err(|error| failure("AnswerError", &error.to_string()))
        }
    }
}

#[expect(clippy::panic, reason = "the tests need a function that panics")]
fn panicking() -> Result<Value, Diagnostic> {
    panic!("told to panic")
}

fn process() -> Value {
    json!({ "process": std::process::id(), "key": variable("AWS_ACCESS_KEY_ID") })
}

#[expect(clippy::disallowed_methods, reason = "the program shows its environment to the tests")]
fn environment() -> Value {
    std::env::vars().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect()
}

fn failure(error_type: &str, message: &str) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: message.to_owned() }
}

async fn batch(records: &[Value]) -> Result<Value, Diagnostic> {
    let items: Vec<(&str, &str)> = records.iter().map(item).collect();
    let names: Vec<&str> = items.iter().map(|(id, _)| *id).collect();
    journal(&names.join(" "))?;
    if items.iter().any(|(_, text)| *text == "hold") {
        hold().await;
    }
    if variable("OUTAGE").is_some_and(|path| Path::new(&path).exists()) {
        return Err(failure("Outage", "the outage file exists"));
    }
    if items.iter().any(|(_, text)| *text == "exit") {
        std::process::exit(3);
    }
    if items.iter().any(|(_, text)| *text == "poison") {
        return Err(failure("Poison", "a record is poison"));
    }
    let failures: Vec<Value> = items
        .iter()
        .rev()
        .filter(|(_, text)| *text == "fail")
        .map(|(id, _)| json!({ "itemIdentifier": id }))
        .collect();
    Ok(json!({ "batchItemFailures": failures }))
}

/// Waits until the file that `RELEASE` names exists.
async fn hold() {
    let Some(path) = variable("RELEASE") else {
        return;
    };
    while !Path::new(&path).exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn journal(line: &str) -> Result<(), Diagnostic> {
    let Some(path) = variable("JOURNAL") else {
        return Ok(());
    };
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut journal| journal.write_all(format!("{line}\n").as_bytes()))
        .map_err(|error| failure("JournalError", &error.to_string()))
}

/// The identifier and the text of a stream record or a queue message.
fn item(record: &Value) -> (&str, &str) {
    let text = |pointer| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if record.get("messageId").is_some() {
        (text("/messageId"), text("/body"))
    } else {
        (text("/dynamodb/SequenceNumber"), text("/dynamodb/NewImage/text/S"))
    }
}
