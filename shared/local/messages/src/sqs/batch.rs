//! What all batch actions share: the rules for the whole, and a result for each entry.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{object, settings_of};
use crate::queues::error::QueueError;
use crate::wire::{Call, Fault};

const ENTRIES_MAX: usize = 10;
const ENTRY_ID_CHARS_MAX: usize = 80;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch<T> {
    #[serde(default = "Vec::new")]
    entries: Vec<T>,
}

/// One entry of a batch.
pub(super) trait Entry {
    /// Its id, which is unique in the batch.
    fn id(&self) -> &str;
}

/// The entries of a batch, once the rules for batches as a whole hold.
pub(super) fn entries<T>(call: &Call, queue: &str) -> Result<Vec<T>, Fault>
where
    T: Entry + for<'de> Deserialize<'de>,
{
    settings_of(call, queue)?;
    let Batch { entries } = call.input::<Batch<T>>()?;
    if entries.is_empty() {
        return Err(QueueError::EmptyBatch.into());
    }
    if entries.len() > ENTRIES_MAX {
        return Err(QueueError::TooManyEntries(entries.len()).into());
    }
    let mut seen = BTreeSet::new();
    for id in entries.iter().map(Entry::id) {
        let valid = (1..=ENTRY_ID_CHARS_MAX).contains(&id.len())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !valid {
            return Err(QueueError::EntryId.into());
        }
        if !seen.insert(id) {
            return Err(QueueError::EntryIdsNotDistinct(id.to_owned()).into());
        }
    }
    Ok(entries)
}

/// Performs each entry of a batch on its own; absent lists are left out, as SQS does.
pub(super) fn each<T: Entry>(
    entries: &[T],
    mut act: impl FnMut(&T) -> Result<Map<String, Value>, QueueError>,
) -> Value {
    let mut successful = Vec::new();
    let mut failed = Vec::new();
    for entry in entries {
        match act(entry) {
            Ok(mut output) => {
                output.insert("Id".to_owned(), entry.id().into());
                successful.push(Value::Object(output));
            }
            Err(error) => failed.push(json!({
                "Id": entry.id(),
                "SenderFault": true,
                "Code": error.codes().query,
                "Message": error.to_string(),
            })),
        }
    }
    Value::Object(object([
        ("Successful", (!successful.is_empty()).then(|| successful.into())),
        ("Failed", (!failed.is_empty()).then(|| failed.into())),
    ]))
}
