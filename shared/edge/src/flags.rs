//! Feature flags in functions: each instance reads all values at once and keeps them for a few
//! seconds, so that a change is seen everywhere within [`VALUES_KEPT_SECONDS`].
//!
//! The smallest example is `functions/identity/src/auth_signup.rs`:
//!
//! ```text
//! flags: Flags::new(startup)?,
//! if !ports.flags.is_open(&SIGN_UP, None, context.now).await {
//! ```

use rollcall_domain::flag::{Flag, Rollout, Visitor};
use rollcall_domain::time::{Timestamp, after_seconds};
use rollcall_resources::Grant;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::Capability;
use rollcall_store::flags::{FlagReader, SetValues};
use tokio::sync::Mutex;

use crate::caller::Caller;

/// How old the values may be that an instance goes by: the bound within which all instances agree.
/// Also how long it waits after a reading that failed.
pub const VALUES_KEPT_SECONDS: i64 = 10;

/// Asks whether features are open.
pub struct Flags {
    reader: FlagReader,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What was last read; `None` before the first reading that succeeded.
    values: Option<SetValues>,
    due_at: Timestamp,
}

impl Flags {
    /// What asking needs.
    pub const GRANTS: &'static [Grant] = FlagReader::GRANTS;

    /// The flags, for the function that starts.
    pub fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { reader: startup.capability()?, known: Mutex::default() })
    }

    /// Whether the feature behind `flag` is open for a caller; `None` is somebody unknown.
    pub async fn is_open(&self, flag: &Flag, caller: Option<&Caller>, now: Timestamp) -> bool {
        let visitor = caller.map(|caller| Visitor { user: &caller.user, roles: &caller.roles });
        self.rollout(flag, now).await.unwrap_or(flag.default).admits(flag, visitor)
    }

    /// The value of a flag: what is set, or its default. While the store does not answer it is what
    /// was last read, since somebody may have closed a feature for a reason; `None` where nothing was
    /// read yet.
    pub(crate) async fn rollout(&self, flag: &Flag, now: Timestamp) -> Option<Rollout> {
        let mut known = self.known.lock().await;
        if now >= known.due_at {
            match self.reader.load().await {
                Ok(values) => known.values = Some(values),
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the flags stay as they were");
                }
            }
            known.due_at = after_seconds(now, VALUES_KEPT_SECONDS);
        }
        let values = known.values.as_ref()?;
        let set = values.get(flag.name).and_then(|set| set.rollout);
        Some(set.unwrap_or(flag.default))
    }
}
