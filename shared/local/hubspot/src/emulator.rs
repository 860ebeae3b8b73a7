//! The portal behind a lock, with the clock, the snapshot and the views that tests need.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_local_kit::snapshot::SnapshotError;
use rollcall_local_kit::{LocalClock, Snapshot};
use serde::{Deserialize, Serialize};

use crate::calls::{Call, Violation};
use crate::portal::Portal;
use crate::settings::Settings;
use crate::standard::object_type;

/// How long changes are collected before they are saved.
const SAVE_DELAY: Duration = Duration::from_millis(100);

/// What a token may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scopes {
    /// Everything.
    All,
    /// What these scopes, such as `crm.objects.contacts.write`, allow.
    List(BTreeSet<String>),
}

/// A bearer token that the local HubSpot accepts. Values that begin with `oauth` count as OAuth
/// access tokens, all others as private-app or service-key tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What follows `Bearer `.
    pub value: String,
    /// What it may do.
    pub scopes: Scopes,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// How to start a local HubSpot.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where state is kept from one start to the next; in memory only when absent.
    pub folder: Option<PathBuf>,
    /// The clock of the local cloud.
    pub clock: LocalClock,
    /// Where it will be served, for links in answers.
    pub base_url: String,
    /// Accepted tokens; they are not part of the state.
    pub tokens: Vec<Token>,
    /// Settings of the account; they are not part of the state.
    pub settings: Settings,
}

/// A contact as it is at this moment, without search lag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Record id.
    pub id: String,
    /// Every property that has a value, computed ones included.
    pub properties: BTreeMap<String, String>,
    /// Whether it is in the recycle bin.
    pub archived: bool,
}

struct Shared {
    portal: Mutex<Portal>,
    clock: LocalClock,
    initial: Settings,
    snapshot: Option<Snapshot>,
    unsaved: AtomicBool,
    scheduled: AtomicBool,
    saving: tokio::sync::Mutex<()>,
}

/// A running local HubSpot. Cloning shares it.
#[derive(Clone)]
pub struct HubSpot {
    shared: Arc<Shared>,
}

impl fmt::Debug for HubSpot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HubSpot").finish_non_exhaustive()
    }
}

impl HubSpot {
    /// Starts with the state that the folder holds.
    ///
    /// # Errors
    ///
    /// When the saved state cannot be read.
    pub fn open(options: Options) -> Result<Self, SnapshotError> {
        let snapshot =
            options.folder.map(|folder| Snapshot::new(Some(folder.as_path()), "hubspot"));
        let saved = snapshot.as_ref().map(Snapshot::load).transpose()?.flatten();
        let initial = options.settings.clone();
        let portal = Portal::new(options.settings, options.base_url, options.tokens, saved);
        Ok(Self {
            shared: Arc::new(Shared {
                portal: Mutex::new(portal),
                clock: options.clock,
                initial,
                snapshot,
                unsaved: AtomicBool::new(false),
                scheduled: AtomicBool::new(false),
                saving: tokio::sync::Mutex::new(()),
            }),
        })
    }

    /// HubSpot's API and, under `/_emulator/`, the controls.
    pub fn router(&self) -> axum::Router {
        crate::http::router(self.clone())
    }

    /// Every call so far, oldest first, as many as `calls_kept` allows.
    pub fn calls(&self) -> Vec<Call> {
        self.portal().log.calls(0).cloned().collect()
    }

    /// What callers did that no well-behaved client does.
    pub fn violations(&self) -> Vec<Violation> {
        self.portal().log.violations().iter().cloned().collect()
    }

    /// Every contact, archived ones included, in the order of their ids.
    pub fn contacts(&self) -> Vec<Contact> {
        let Some(kind) = object_type("contacts") else {
            return Vec::new();
        };
        let mut portal = self.portal();
        let holding = portal.holding(kind);
        let contact = |record: &Arc<crate::records::Record>| {
            let names = holding.schema.properties.keys();
            let properties =
                names.filter_map(|name| Some((name.clone(), record.value(kind, name)?))).collect();
            Contact {
                id: record.id.to_string(),
                properties,
                archived: record.archived_at.is_some(),
            }
        };
        holding.table.all().map(contact).collect()
    }

    /// Every custom event, in the order in which they came.
    pub fn events(&self) -> Vec<crate::Occurred> {
        self.portal().events.all()
    }

    /// The most accepted calls of one app in any window of 10 seconds so far.
    pub fn peak_calls_in_10_s(&self) -> usize {
        self.portal().limits.peak()
    }

    /// Saves what is not saved yet.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub async fn flush(&self) -> Result<(), SnapshotError> {
        let Some(snapshot) = self.shared.snapshot.clone() else {
            return Ok(());
        };
        let _one_at_a_time = self.shared.saving.lock().await;
        if !self.shared.unsaved.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        // Records are shared with the portal, so it is locked for a moment only.
        let saved = self.portal().saved();
        let written = tokio::task::spawn_blocking(move || snapshot.save(&saved)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                self.shared.unsaved.store(true, Ordering::SeqCst);
                Err(error)
            }
            Err(_stopping) => {
                self.shared.unsaved.store(true, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    pub(crate) fn portal(&self) -> MutexGuard<'_, Portal> {
        self.shared.portal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clock(&self) -> &LocalClock {
        &self.shared.clock
    }

    pub(crate) fn initial_settings(&self) -> &Settings {
        &self.shared.initial
    }

    /// Notes a change, which is then saved together with others that follow at once.
    pub(crate) fn changed(&self) {
        if self.shared.snapshot.is_none() {
            return;
        }
        self.shared.unsaved.store(true, Ordering::SeqCst);
        if self.shared.scheduled.swap(true, Ordering::SeqCst) {
            return;
        }
        let hubspot = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SAVE_DELAY).await;
            hubspot.shared.scheduled.store(false, Ordering::SeqCst);
            if let Err(error) = hubspot.flush().await {
                tracing::error!(%error, "the local HubSpot's state could not be saved");
            }
        });
    }
}
