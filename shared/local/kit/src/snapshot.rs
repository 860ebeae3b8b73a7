//! State of an emulator that survives a restart: one JSON file, written whole and renamed.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a snapshot could not be read or written. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file exists and is not what this version wrote.
    #[error("{path} is damaged; start with RESET=1 to forget the local data")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The folder cannot be used.
    #[error("{path} cannot be used; check its permissions and the free disk space")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// Where one emulator keeps its state; in memory only when there is no folder.
#[derive(Clone, Debug)]
pub struct Snapshot {
    path: Option<PathBuf>,
}

impl Snapshot {
    /// State in `{folder}/{name}.json`, or nowhere.
    pub fn new(folder: Option<&Path>, name: &str) -> Self {
        Self { path: folder.map(|folder| folder.join(format!("{name}.json"))) }
    }

    /// What was saved last; `None` for a first start.
    pub fn load<T: DeserializeOwned>(&self) -> Result<Option<T>, SnapshotError> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| SnapshotError::Damaged { path: path.clone(), source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SnapshotError::Unusable { path: path.clone(), source }),
        }
    }

    /// Replaces what was saved. A reader sees the old state or the new one, never a part.
    pub fn save<T: Serialize>(&self, state: &T) -> Result<(), SnapshotError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let unusable = |source| SnapshotError::Unusable { path: path.clone(), source };
        let bytes = serde_json::to_vec(state)
            .map_err(|source| SnapshotError::Damaged { path: path.clone(), source })?;
        let draft = path.with_extension("json.draft");
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(unusable)?;
        }
        std::fs::write(&draft, bytes).map_err(unusable)?;
        std::fs::rename(&draft, path).map_err(unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_survives_and_damage_is_named() {
        let folder = std::env::temp_dir().join(format!("rollcall-snapshot-{}", std::process::id()));
        let snapshot = Snapshot::new(Some(&folder), "queues");
        assert!(matches!(snapshot.load::<Vec<u8>>(), Ok(None)));
        snapshot.save(&vec![1_u8, 2]).unwrap();
        assert_eq!(snapshot.load::<Vec<u8>>().unwrap(), Some(vec![1, 2]));
        std::fs::write(folder.join("queues.json"), "{").unwrap();
        assert!(matches!(snapshot.load::<Vec<u8>>(), Err(SnapshotError::Damaged { .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
