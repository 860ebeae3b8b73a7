//! Routes that an operator has closed for a while (`rollcall close`): they answer 503 and when to come
//! back, whoever asks, within [`VALUES_KEPT_SECONDS`](crate::flags::VALUES_KEPT_SECONDS).

use rollcall_domain::flag::Flag;
use rollcall_domain::route_group;
use rollcall_domain::time::Timestamp;
use rollcall_runtime::{Startup, StartupError};

use crate::flags::Flags;
use crate::problem::{CLOSED, Problem};

/// When callers of a closed route come back, in seconds: somebody is at work on what is wrong.
const RETRY_AFTER_SECONDS: u32 = 60;

/// The doors of one function's routes.
pub(crate) struct Doors {
    /// The group, and its value; `None` where the routes stay open.
    group: Option<(&'static Flag, Flags)>,
}

impl Doors {
    /// The doors of the function that starts.
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        let mut groups =
            startup.function().routes().filter_map(|route| route_group::of(route.path));
        let group = match groups.next() {
            Some(group) => Some((group, Flags::new(startup)?)),
            None => None,
        };
        Ok(Self { group })
    }

    /// 503 while the group is closed.
    pub(crate) async fn pass(&self, now: Timestamp) -> Result<(), Problem> {
        match &self.group {
            Some((group, flags)) if !flags.is_open(group, None, now).await => {
                Err(Problem::new(&CLOSED).with_retry_after(RETRY_AFTER_SECONDS))
            }
            Some(_) | None => Ok(()),
        }
    }
}
