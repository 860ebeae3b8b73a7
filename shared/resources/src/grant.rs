//! Grants: what a function may do to which resource, action by action.

use crate::queue::Queue;
use crate::secret::SecretName;
use crate::table::Table;

/// One resource of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A table.
    Table(Table),
    /// A table's index, by name.
    Index(Table, &'static str),
    /// A table's stream.
    Stream(Table),
    /// A queue.
    Queue(Queue),
    /// A secret.
    Secret(SecretName),
    /// The identity at the mail service that our mail comes from.
    Mail,
}

/// IAM actions on one resource. There is no way to say "all".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// On what.
    pub resource: Resource,
    /// IAM actions such as `dynamodb:GetItem`, one by one.
    pub actions: &'static [&'static str],
}

impl Grant {
    /// Actions on a table.
    pub const fn table(table: Table, actions: &'static [&'static str]) -> Self {
        Self { resource: Resource::Table(table), actions }
    }

    /// Queries of an index.
    pub const fn index(table: Table, index: &'static str) -> Self {
        Self { resource: Resource::Index(table, index), actions: &["dynamodb:Query"] }
    }

    /// Reading a table's stream by hand.
    pub const fn stream(table: Table) -> Self {
        Self {
            resource: Resource::Stream(table),
            actions: &[
                "dynamodb:DescribeStream",
                "dynamodb:GetRecords",
                "dynamodb:GetShardIterator",
            ],
        }
    }

    /// Sending to a queue.
    pub const fn send(queue: Queue) -> Self {
        Self { resource: Resource::Queue(queue), actions: &["sqs:GetQueueUrl", "sqs:SendMessage"] }
    }

    /// Sending mail.
    pub const fn mail() -> Self {
        Self { resource: Resource::Mail, actions: &["ses:SendEmail"] }
    }

    /// Reading a secret.
    pub const fn secret(secret: SecretName) -> Self {
        Self { resource: Resource::Secret(secret), actions: &["secretsmanager:GetSecretValue"] }
    }
}

impl Resource {
    /// The resource's ARN. Streams and secrets end in `*`, since AWS adds a label of its own, and so
    /// does the mail identity, whose name differs by deployment and stands in the deployment alone.
    pub fn arn(self, stage: &str, region: &str, account: &str) -> String {
        let dynamodb = |table: Table, rest: &str| {
            let name = table.full_name(stage);
            format!("arn:aws:dynamodb:{region}:{account}:table/{name}{rest}")
        };
        match self {
            Self::Table(table) => dynamodb(table, ""),
            Self::Index(table, index) => dynamodb(table, &format!("/index/{index}")),
            Self::Stream(table) => dynamodb(table, "/stream/*"),
            Self::Queue(queue) => {
                format!("arn:aws:sqs:{region}:{account}:{}", queue.full_name(stage))
            }
            Self::Secret(secret) => {
                let name = secret.full_name(stage);
                format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-*")
            }
            Self::Mail => format!("arn:aws:ses:{region}:{account}:identity/*"),
        }
    }
}
