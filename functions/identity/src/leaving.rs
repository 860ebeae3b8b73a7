//! What asking to be erased and calling that off have in common.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::random::Random;
use rollcall_domain::standing::StandingRefusal;
use rollcall_domain::user::User;
use rollcall_edge::problem::{CONFLICT, UNAUTHENTICATED};
use rollcall_edge::{Caller, Context, Problem};
use rollcall_runtime::declaration::ProblemKind;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::users::StandingWriter;
use rollcall_store::{PortError, PortErrorClass};

/// How often a change is stored at most, when others change the account at the same moment.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// Nothing to call off.
pub(crate) static NOT_LEAVING: ProblemKind = ProblemKind {
    code: "not-leaving",
    status: 409,
    title: "The account is not going to be erased.",
    advice: "Nothing is to be done.",
};

/// The accounts, and what an entry in the audit log needs.
pub(crate) struct Accounts {
    writer: StandingWriter,
    random: Arc<dyn Random>,
}

/// Why an account does not come to stand otherwise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeavingError {
    #[error("the account is gone")]
    Gone,
    #[error(transparent)]
    Refused(#[from] StandingRefusal),
    #[error("others changed the account again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl Accounts {
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { writer: startup.capability()?, random: startup.random() })
    }

    /// Stores what `decide` makes of the caller's account, with an entry in the audit log; an account
    /// that `decide` leaves as it is, is not stored.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        context: &Context,
        action: Action,
        decide: impl Fn(User) -> Result<User, StandingRefusal>,
    ) -> Result<User, LeavingError> {
        for _attempt in 0..STORE_ATTEMPTS_MAX {
            let before = self.writer.find(&caller.user).await?.ok_or(LeavingError::Gone)?;
            let after = decide(before.clone())?;
            if after == before {
                return Ok(after);
            }
            let (actor, subject) = (caller.user.clone(), caller.user.clone());
            let what = (Actor::User(actor), action.clone(), Subject::User(subject));
            let entry = Entry::new(what, &context.trace_id, context.now, self.random.as_ref());
            match self.writer.store(&after, &entry).await {
                Ok(()) => return Ok(after),
                Err(error) if error.class == PortErrorClass::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LeavingError::Contended)
    }
}

impl From<LeavingError> for Problem {
    fn from(error: LeavingError) -> Self {
        match error {
            LeavingError::Gone
            | LeavingError::Refused(StandingRefusal::Suspended | StandingRefusal::TooLate) => {
                Self::new(&UNAUTHENTICATED)
            }
            LeavingError::Refused(StandingRefusal::NotLeaving) => Self::new(&NOT_LEAVING),
            LeavingError::Refused(StandingRefusal::NotSuspended | StandingRefusal::Leaving)
            | LeavingError::Contended => Self::new(&CONFLICT),
            LeavingError::Port(error) => Self::port(&error),
        }
    }
}
