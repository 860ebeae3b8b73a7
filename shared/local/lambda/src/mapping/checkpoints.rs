//! How far each lane of each shard has been processed; survives a restart.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rollcall_local_kit::Snapshot;
use rollcall_local_kit::snapshot::SnapshotError;

use super::record;

/// Per shard, per lane: the sequence number up to which everything in the lane is done.
type Positions = BTreeMap<String, Vec<Option<String>>>;

pub(super) struct Checkpoints {
    snapshot: Snapshot,
    positions: Mutex<Positions>,
}

impl Checkpoints {
    pub(super) fn load(snapshot: Snapshot) -> Result<Self, SnapshotError> {
        let positions = snapshot.load()?.unwrap_or_default();
        Ok(Self { snapshot, positions: Mutex::new(positions) })
    }

    /// Where each of `lanes` lanes of a shard goes on. When the number of lanes has changed, keys
    /// have moved between them, and all go on where the slowest was.
    pub(super) fn resume(&self, shard: &str, lanes: usize) -> Vec<Option<String>> {
        let mut positions = self.lock();
        let saved = positions.entry(shard.to_owned()).or_default();
        if saved.len() != lanes {
            let slowest = saved
                .iter()
                .min_by(|one, other| match (one, other) {
                    (Some(one), Some(other)) => record::compare_sequences(one, other),
                    (one, other) => one.cmp(other),
                })
                .cloned()
                .flatten();
            *saved = vec![slowest; lanes];
        }
        saved.clone()
    }

    /// Remembers a position; it is written out with the next [`Checkpoints::save`].
    pub(super) fn note(&self, shard: &str, lane: usize, sequence: Option<&str>) {
        let mut positions = self.lock();
        if let Some(position) = positions.get_mut(shard).and_then(|lanes| lanes.get_mut(lane)) {
            *position = sequence.map(str::to_owned);
        }
    }

    /// Writes all positions out. A failure costs only duplicates after a restart.
    pub(super) fn save(&self) {
        let positions = self.lock();
        if let Err(error) = self.snapshot.save(&*positions) {
            tracing::error!(%error, "a checkpoint was not saved");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
