//! Which permissions a request needs, as AWS documents them.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>
//!
//! Transactions need the action of each of their parts; batches are actions of their own; a query
//! of an index needs the index and not the table.

use serde_json::Value;

use crate::stream;

/// The prefix of every table ARN.
const TABLES_ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/";

/// One permission that a request needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Such as `dynamodb:GetItem`.
    pub(crate) action: String,
    /// The ARN.
    pub(crate) resource: String,
    /// The table it is about; empty when it is about none.
    pub(crate) table: String,
}

impl Access {
    fn to_table(operation: &str, table: &str) -> Self {
        Self {
            action: format!("dynamodb:{operation}"),
            resource: table_arn(table),
            table: table.to_owned(),
        }
    }

    fn to_everything(operation: &str) -> Self {
        Self {
            action: format!("dynamodb:{operation}"),
            resource: "*".to_owned(),
            table: String::new(),
        }
    }

    fn to_stream(operation: &str, arn: &str) -> Self {
        Self {
            action: format!("dynamodb:{operation}"),
            resource: arn.to_owned(),
            table: stream::table_of(arn).unwrap_or_default().to_owned(),
        }
    }
}

/// The ARN of a table.
pub(crate) fn table_arn(table: &str) -> String {
    format!("{TABLES_ARN}{table}")
}

/// What `operation` needs, in the order of the request's parts; `None` for an operation this
/// emulator does not know.
pub(crate) fn needed(operation: &str, request: &Value) -> Option<Vec<Access>> {
    let one = |access| Some(vec![access]);
    match operation {
        "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "CreateTable" | "DescribeTable"
        | "UpdateTable" | "DeleteTable" | "UpdateTimeToLive" | "DescribeTimeToLive" => {
            one(Access::to_table(operation, text(request, "TableName")))
        }
        "Query" | "Scan" => {
            let mut access = Access::to_table(operation, text(request, "TableName"));
            if let Some(index) = request.get("IndexName").and_then(Value::as_str) {
                access.resource = format!("{}/index/{index}", access.resource);
            }
            one(access)
        }
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = request.get("RequestItems").and_then(Value::as_object);
            let tables = tables.into_iter().flatten();
            Some(tables.map(|(table, _)| Access::to_table(operation, table)).collect())
        }
        "TransactGetItems" | "TransactWriteItems" => Some(parts(request)),
        "ListTables" | "ListStreams" => one(Access::to_everything(operation)),
        "DescribeStream" | "GetShardIterator" => {
            one(Access::to_stream(operation, text(request, "StreamArn")))
        }
        "GetRecords" => {
            let iterator = text(request, "ShardIterator");
            let arn = iterator.split('|').next().unwrap_or_default();
            one(Access::to_stream(operation, arn))
        }
        _ => None,
    }
}

/// The parts of a transaction: each is an object with one member, named after its action.
fn parts(request: &Value) -> Vec<Access> {
    let items = request.get("TransactItems").and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flatten()
        .map(|(kind, part)| {
            let operation = match kind.as_str() {
                "ConditionCheck" => "ConditionCheckItem".to_owned(),
                kind => format!("{kind}Item"),
            };
            Access::to_table(&operation, text(part, "TableName"))
        })
        .collect()
}

fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object.get(member).and_then(Value::as_str).unwrap_or_default()
}
