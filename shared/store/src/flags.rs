//! The values of feature flags in the table `catalog`, under `flags` / `{name}`.
//!
//! They stand beside the catalogue and not beside the sessions: whoever may set a flag may write to
//! the table, and must not be able to write a session.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_domain::audit::Entry;
use rollcall_domain::flag::{Flag, Rollout};
use rollcall_domain::port::PortError;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::tables::{Tables, capability};
use crate::update::Applied;

const FLAGS: &str = "flags";
/// Values that one reading takes: more than there will be flags.
const VALUES_MAX: usize = 500;

#[derive(Debug, Serialize, Deserialize)]
struct ValueItem {
    pk: String,
    sk: String,
    value: String,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

/// A value that somebody has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetValue {
    /// The value; `None` when this program does not know it, as after a step back to an older one.
    pub rollout: Option<Rollout>,
    /// Counts the changes.
    pub version: u64,
    /// When it was set.
    pub set_at: Timestamp,
}

/// The values that somebody has set, by the flags' names.
pub type SetValues = BTreeMap<String, SetValue>;

async fn load(tables: &Tables) -> Result<SetValues, PortError> {
    let items: Vec<ValueItem> = tables.query(Table::Catalog, FLAGS, "", VALUES_MAX).await?;
    let values = items.into_iter().map(|item| {
        let rollout = item.value.parse().ok();
        (item.sk, SetValue { rollout, version: item.version, set_at: item.updated_at })
    });
    Ok(values.collect())
}

capability! {
    /// Reads the values of flags.
    FlagReader, Grant::table(Table::Catalog, &["dynamodb:Query"])
}

impl FlagReader {
    /// All values that are set, strongly consistent.
    pub async fn load(&self) -> Result<SetValues, PortError> {
        load(&self.tables).await
    }
}

capability! {
    /// Sets the values of flags.
    FlagWriter,
    Grant::table(Table::Catalog, &["dynamodb:PutItem", "dynamodb:Query"]),
    audit::APPEND,
}

impl FlagWriter {
    /// All values that are set, strongly consistent.
    pub async fn load(&self) -> Result<SetValues, PortError> {
        load(&self.tables).await
    }

    /// Sets a value in place of the one of version `before` (0: none), and writes the audit entry
    /// that tells of it. `false`, and nothing is written, when somebody else was faster.
    pub async fn set(
        &self,
        flag: &Flag,
        rollout: Rollout,
        before: u64,
        entry: &Entry,
    ) -> Result<bool, PortError> {
        let item = ValueItem {
            pk: FLAGS.to_owned(),
            sk: flag.name.to_owned(),
            value: rollout.to_string(),
            version: before + 1,
            updated_at: entry.at,
            trace_id: entry.trace_id.clone(),
        };
        let parts = vec![
            self.tables.put_version_part(Table::Catalog, &item, item.version)?,
            audit::part(&self.tables, entry)?,
        ];
        Ok(self.tables.commit("set a flag", parts).await? == Applied::All)
    }
}
