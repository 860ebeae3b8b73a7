//! Faults on demand: what a client must survive on AWS and a laptop never produces by itself.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::error::{ApiError, StreamError};
use crate::stream;

const PROVISIONED_MESSAGE: &str = "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.";
const ON_DEMAND_MESSAGE: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly.";
const CONFLICT_MESSAGE: &str = "Transaction is ongoing for the item";

/// What a request meets instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `ProvisionedThroughputExceededException`. A batch keeps its first item of the table and
    /// returns the others as unprocessed; a transaction is cancelled for this reason.
    ProvisionedThroughputExceeded,
    /// `ThrottlingException`, as a table on demand answers. Batches and transactions as above.
    Throttling,
    /// Another transaction holds the item: a transaction is cancelled with `TransactionConflict`,
    /// a single write gets `TransactionConflictException`.
    TransactionConflict,
}

impl Fault {
    pub(crate) fn error(self) -> ApiError {
        match self {
            Self::ProvisionedThroughputExceeded => {
                ApiError::service("ProvisionedThroughputExceededException", PROVISIONED_MESSAGE)
            }
            Self::Throttling => ApiError::throttling(ON_DEMAND_MESSAGE),
            Self::TransactionConflict => {
                ApiError::service("TransactionConflictException", CONFLICT_MESSAGE)
            }
        }
    }

    /// The cancellation of a transaction with parts on `tables`, of which the first on `table` met
    /// the fault.
    pub(crate) fn cancellation(self, tables: &[&str], table: &str) -> ApiError {
        let (code, message) = match self {
            Self::ProvisionedThroughputExceeded => {
                ("ProvisionedThroughputExceeded", PROVISIONED_MESSAGE)
            }
            Self::Throttling => ("ThrottlingError", ON_DEMAND_MESSAGE),
            Self::TransactionConflict => ("TransactionConflict", CONFLICT_MESSAGE),
        };
        let hit = tables.iter().position(|other| *other == table);
        let reasons: Vec<Value> = (0..tables.len())
            .map(|part| {
                if hit == Some(part) {
                    json!({ "Code": code, "Message": message })
                } else {
                    json!({ "Code": "None" })
                }
            })
            .collect();
        ApiError::transaction_canceled(&reasons)
    }
}

#[derive(Debug)]
struct Planned {
    action: String,
    table: String,
    fault: Fault,
    remaining: u32,
}

/// A request that is to be held, as the front meets it.
#[derive(Debug)]
struct PlannedHold {
    action: String,
    text: String,
    arrive: oneshot::Sender<()>,
    given_up: oneshot::Receiver<()>,
}

/// A request that takes no effect and gets no answer while this value lives, and is refused as an
/// internal error afterwards: who asked can be killed in between.
#[derive(Debug)]
pub struct Held {
    arrived: oneshot::Receiver<()>,
    _until_dropped: oneshot::Sender<()>,
}

impl Held {
    /// Completes when the request is there; whether it came at all.
    pub async fn arrived(&mut self) -> bool {
        (&mut self.arrived).await.is_ok()
    }
}

/// The faults of one local cloud. Cloning shares them.
#[derive(Clone)]
pub struct Faults {
    planned: Arc<Mutex<Vec<Planned>>>,
    holds: Arc<Mutex<Vec<PlannedHold>>>,
    engine: Engine,
}

impl Faults {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { planned: Arc::default(), holds: Arc::default(), engine }
    }

    /// Makes the next `count` requests of `action` (such as `PutItem` or `TransactWriteItems`)
    /// that touch `table` meet `fault`. `GetRecords` also covers [`crate::DynamoDb::read_stream`].
    pub fn fail_next(&self, action: &str, table: &str, fault: Fault, count: u32) {
        self.with(|planned| {
            planned.push(Planned {
                action: action.to_owned(),
                table: table.to_owned(),
                fault,
                remaining: count,
            });
        });
    }

    /// Holds the next request of `action` whose body contains `text`.
    pub fn hold_next(&self, action: &str, text: &str) -> Held {
        let (arrive, arrived) = oneshot::channel();
        let (until_dropped, given_up) = oneshot::channel();
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).push(PlannedHold {
            action: action.to_owned(),
            text: text.to_owned(),
            arrive,
            given_up,
        });
        Held { arrived, _until_dropped: until_dropped }
    }

    /// Waits for as long as this request is held; whether it was.
    pub(crate) async fn hold(&self, action: &str, body: &[u8]) -> bool {
        let Some(hold) = self.take_hold(action, body) else {
            return false;
        };
        if hold.arrive.send(()).is_ok() {
            // It never sends; the error says that who watched has dropped it.
            drop(hold.given_up.await);
        }
        true
    }

    fn take_hold(&self, action: &str, body: &[u8]) -> Option<PlannedHold> {
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.is_empty() {
            return None;
        }
        let body = String::from_utf8_lossy(body);
        let due =
            holds.iter().position(|hold| hold.action == action && body.contains(&hold.text))?;
        Some(holds.remove(due))
    }

    /// Forgets the faults that have not happened yet.
    pub fn clear(&self) {
        self.with(Vec::clear);
    }

    /// Removes the records of a table's stream that come before a sequence number, as retention
    /// does after 24 hours: readers that have not seen them get `TrimmedDataAccessException`.
    ///
    /// # Errors
    /// The sequence number is malformed, or the database cannot be written.
    pub fn trim_stream(&self, table: &str, before_sequence: &str) -> Result<(), StreamError> {
        let before = stream::parse_sequence(before_sequence)?;
        self.engine.trim_stream(table, before.saturating_sub(1))
    }

    /// The fault that a request on `tables` meets now, and the table it is about.
    pub(crate) fn take(&self, action: &str, tables: &[&str]) -> Option<(Fault, String)> {
        self.with(|planned| {
            let due = planned.iter_mut().find(|planned| {
                planned.remaining > 0
                    && planned.action == action
                    && tables.contains(&planned.table.as_str())
            })?;
            due.remaining -= 1;
            let taken = (due.fault, due.table.clone());
            planned.retain(|planned| planned.remaining > 0);
            Some(taken)
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<Planned>) -> T) -> T {
        change(&mut self.planned.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_list().entries(planned.iter()).finish()
    }
}

/// Leaves one item of a batch's part on `table`, and returns the rest in the same shape, as
/// `UnprocessedItems` and `UnprocessedKeys` have it; `None` when there was no more than one.
pub(crate) fn split_batch(request: &mut Value, table: &str) -> Option<Map<String, Value>> {
    let part = request.get_mut("RequestItems")?.get_mut(table)?;
    let mut rest = part.clone();
    take_after_first(part, &mut rest)?;
    Some(Map::from_iter([(table.to_owned(), rest)]))
}

fn take_after_first(part: &mut Value, rest: &mut Value) -> Option<()> {
    let (part, rest) = match part {
        Value::Object(_) => (part.get_mut("Keys")?, rest.get_mut("Keys")?),
        _ => (part, rest),
    };
    let part = part.as_array_mut().filter(|items| items.len() > 1)?;
    *rest = Value::Array(part.split_off(1));
    Some(())
}
