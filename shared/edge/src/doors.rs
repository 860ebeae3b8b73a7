//! Routes that an operator has closed for a while (`rollcall close`): they answer 503 and when to come
//! back, whoever asks, within [`VALUES_KEPT_SECONDS`](crate::flags::VALUES_KEPT_SECONDS).

use rollcall_domain::flag::Flag;
use rollcall_domain::route_group;
use rollcall_domain::time::Timestamp;
use rollcall_runtime::{Startup, StartupError};

use crate::flags::Flags;
use crate::problem::{CLOSED, Problem, UNAVAILABLE};

/// When callers of a closed route come back, in seconds: somebody is at work on what is wrong.
const RETRY_AFTER_SECONDS: u32 = 60;

/// When callers come back whose group's value could not be read yet: a reading is tried as often.
const UNREAD_RETRY_AFTER_SECONDS: u32 = 10;

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

    /// 503 while the group is closed, and while nobody knows whether it is: a group is closed when
    /// something must stop at once.
    pub(crate) async fn pass(&self, now: Timestamp) -> Result<(), Problem> {
        let Some((group, flags)) = &self.group else { return Ok(()) };
        match flags.rollout(group, now).await {
            Some(rollout) if rollout.admits(group, None) => Ok(()),
            Some(_closed) => Err(Problem::new(&CLOSED).with_retry_after(RETRY_AFTER_SECONDS)),
            None => Err(Problem::new(&UNAVAILABLE).with_retry_after(UNREAD_RETRY_AFTER_SECONDS)),
        }
    }
}
