//! Recording events of the caller, as the routes do that take them: decided on the learner's record as
//! it is, and anew when it changed in between.

use rollcall_domain::catalog::Catalog;
use rollcall_domain::learning::Learner;
use rollcall_domain::limits::{EVENTS_PER_REQUEST_MAX, TRANSACTION_ITEMS_MAX};
use rollcall_domain::progress::{Changes, EventRefusal};
use rollcall_edge::problem::CONFLICT;
use rollcall_edge::{Caller, Context, Problem};
use rollcall_resources::Grant;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::learner::{LearnerRecorder, Write};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::Serialize;

use crate::event::{self, TargetView};

/// The permissions to record events.
pub(crate) const GRANTS: [&[Grant]; 2] = [CatalogReader::GRANTS, LearnerRecorder::GRANTS];

/// How often a write is tried again when the learner's progress changed in between.
const ATTEMPTS_MAX: u32 = 20;

/// Records events.
pub(crate) struct Recorder {
    catalog: CatalogReader,
    learners: LearnerRecorder,
}

impl Recorder {
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()?, learners: startup.capability()? })
    }

    /// Stores what `decide` makes of the caller's record and the catalogue, in one transaction, and
    /// hands on what else it says.
    pub(crate) async fn record<T>(
        &self,
        caller: &Caller,
        context: &Context,
        decide: impl Fn(&Learner, &Catalog) -> Result<(Changes, T), RecordingError>,
    ) -> Result<(Recorded, T), RecordingError> {
        let catalog = self.catalog.load(context.now).await?;
        for _attempt in 0..ATTEMPTS_MAX {
            let before = self.learners.load(&caller.user).await?;
            let (changes, told) = decide(&before, &catalog)?;
            // One item of the transaction is the learner itself.
            if changes.len() >= TRANSACTION_ITEMS_MAX {
                return Err(RecordingError::TooManyChanges);
            }
            let recorded = Recorded::new(&changes);
            if changes.is_empty() {
                return Ok((recorded, told));
            }
            let (user, trace_id) = (&caller.user, context.trace_id.as_str());
            let write = Write { user, before: &before, now: context.now, trace_id };
            match self.learners.store(write, &changes).await {
                Ok(()) => return Ok((recorded, told)),
                Err(error) if error.class == PortErrorClass::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RecordingError::Contended)
    }
}

/// The events of a request, of which there must be one to fifty.
pub(crate) fn bounded<T>(events: Vec<T>) -> Result<Vec<T>, Problem> {
    if events.is_empty() || events.len() > EVENTS_PER_REQUEST_MAX {
        let detail = format!("must hold 1 to {EVENTS_PER_REQUEST_MAX} events");
        return Err(Problem::invalid("/events", "invalid-length", &detail));
    }
    Ok(events)
}

/// What events changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Recorded {
    /// The modules whose progress changed.
    modules: Vec<String>,
    /// The courses and pathways that the caller is enrolled in since now.
    enrolled: Vec<TargetView>,
    /// The courses and pathways that are complete since now.
    completed: Vec<TargetView>,
}

impl Recorded {
    fn new(changes: &Changes) -> Self {
        let enrolled = changes.enrollments.iter().map(|enrollment| &enrollment.target);
        let completed = changes.completions.iter().map(|completion| &completion.target);
        Self {
            modules: changes.modules.iter().map(|module| module.module.to_string()).collect(),
            enrolled: enrolled.map(TargetView::from).collect(),
            completed: completed.map(TargetView::from).collect(),
        }
    }
}

/// Why nothing is recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    #[error("event {0} is refused: {1}")]
    Refused(usize, EventRefusal),
    #[error("the events change more than one transaction can hold")]
    TooManyChanges,
    #[error("too many writers of one learner's progress")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<RecordingError> for Problem {
    fn from(error: RecordingError) -> Self {
        match error {
            RecordingError::Refused(index, refusal) => {
                let (field, code) = event::told(&refusal);
                Self::invalid(format!("/events/{index}{field}"), code, &refusal)
            }
            RecordingError::TooManyChanges => {
                Self::invalid("/events", "too-many-changes", &"send fewer events at once")
            }
            RecordingError::Contended => Self::new(&CONFLICT),
            RecordingError::Port(error) => Self::port(&error),
        }
    }
}
