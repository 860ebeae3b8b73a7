//! `cdk/functions.json`: what CDK deploys.

use std::collections::BTreeMap;

use rollcall_resources::{Queue, Resource, SecretName, Table, table};
use rollcall_runtime::Function;
use rollcall_runtime::declaration::{CORS, Trigger};
use rollcall_runtime::metrics::{self, Metric};
use serde_json::{Value, json};

use crate::catalogue::CONTEXTS;

pub(super) fn functions() -> Value {
    let mut functions: Vec<(&str, &Function)> = CONTEXTS
        .iter()
        .flat_map(|(context, functions)| functions.iter().map(|function| (*context, *function)))
        .collect();
    functions.sort_by_key(|(_, function)| function.name);
    let mut settings = BTreeMap::new();
    for (_, function) in &functions {
        for setting in function.all_settings() {
            settings.insert(setting.name, setting.description);
        }
    }
    let settings = settings.into_iter();
    json!({
        "generated_by": "rollcall generate",
        "functions": functions.iter().map(|(context, f)| one(context, f)).collect::<Vec<_>>(),
        "cors": {
            "methods": CORS.methods,
            "request_headers": CORS.request_headers,
            "response_headers": CORS.response_headers,
            "max_age_seconds": CORS.max_age_seconds,
        },
        "tables": Table::ALL.map(of_table),
        "queues": Queue::ALL.map(of_queue),
        "metrics": {
            "namespace": metrics::NAMESPACE,
            "dimension": metrics::DIMENSION,
            "all": Metric::ALL
                .iter()
                .map(|metric| json!({ "name": metric.name(), "unit": metric.unit() }))
                .collect::<Vec<_>>(),
        },
        "secrets": SecretName::ALL.map(SecretName::name),
        "settings": settings
            .map(|(name, description)| json!({ "name": name, "description": description }))
            .collect::<Vec<_>>(),
    })
}

fn one(context: &str, function: &Function) -> Value {
    let statements = function.role_grants().into_iter();
    let settings = function.all_settings().into_iter();
    json!({
        "name": function.name,
        "context": context,
        "purpose": function.purpose,
        "access": function.access.label(),
        "triggers": function.triggers.iter().map(of_trigger).collect::<Vec<_>>(),
        "statements": statements
            .map(|(resource, actions)| json!({ "actions": actions, "resource": of_resource(resource) }))
            .collect::<Vec<_>>(),
        "settings": settings.map(|setting| setting.name).collect::<Vec<_>>(),
        "memory_mb": function.memory_mb,
        "timeout_seconds": function.timeout_seconds,
        "reserved_concurrency": function.reserved_concurrency,
    })
}

fn of_trigger(trigger: &Trigger) -> Value {
    match trigger {
        Trigger::Http(route) => {
            json!({ "kind": "http", "method": route.method, "path": route.path })
        }
        Trigger::Stream(stream) => json!({
            "kind": "stream",
            "table": stream.table.name(),
            "batch_size": stream.batch_size,
            "batch_window_seconds": stream.batch_window_seconds,
            "parallelization_factor": stream.parallelization_factor,
            "retry_attempts_max": stream.retry_attempts_max,
            "record_age_seconds_max": stream.record_age_seconds_max,
            "failure_queue": stream.failure_queue.name(),
        }),
        Trigger::Queue(queue) => {
            json!({ "kind": "queue", "queue": queue.queue.name(), "batch_size": queue.batch_size })
        }
        Trigger::Schedule { every_minutes } => {
            json!({ "kind": "schedule", "every_minutes": every_minutes })
        }
        Trigger::Cognito(trigger) => json!({ "kind": "cognito", "trigger": trigger.name() }),
    }
}

fn of_resource(resource: Resource) -> Value {
    match resource {
        Resource::Table(table) => json!({ "kind": "table", "table": table.name() }),
        Resource::Index(table, index) => {
            json!({ "kind": "index", "table": table.name(), "index": index })
        }
        Resource::Stream(table) => json!({ "kind": "stream", "table": table.name() }),
        Resource::Queue(queue) => json!({ "kind": "queue", "queue": queue.name() }),
        Resource::Secret(secret) => json!({ "kind": "secret", "secret": secret.name() }),
        Resource::Mail => json!({ "kind": "mail" }),
    }
}

fn of_table(table: Table) -> Value {
    let indexes = table.indexes().iter();
    json!({
        "name": table.name(),
        "partition_key": table::PARTITION_KEY,
        "sort_key": table::SORT_KEY,
        "stream": table.has_stream(),
        "time_to_live": table.expires().then_some(table::EXPIRES_AT),
        "indexes": indexes
            .map(|index| json!({
                "name": index.name,
                "partition_key": index.partition_key,
                "sort_key": index.sort_key,
            }))
            .collect::<Vec<_>>(),
    })
}

fn of_queue(queue: Queue) -> Value {
    json!({
        "name": queue.name(),
        "visibility_timeout_seconds": queue.visibility_timeout_seconds(),
        "retention_seconds": queue.retention_seconds(),
        "redrive": queue.redrive().map(|redrive| json!({
            "dead_letter_queue": redrive.dead_letter_queue.name(),
            "receives_max": redrive.receives_max,
        })),
    })
}
