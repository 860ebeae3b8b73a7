//! What asking to be erased, being erased at somebody's order and calling it off have in common.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::id::{MailId, UserId};
use rollcall_domain::mail::{Address, Letter, Mail};
use rollcall_domain::random::Random;
use rollcall_domain::standing::StandingRefusal;
use rollcall_domain::user::User;
use rollcall_edge::problem::{CONFLICT, UNAUTHENTICATED};
use rollcall_edge::{Caller, Context, Problem};
use rollcall_runtime::declaration::ProblemKind;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::users::{ErasureArranger, StandingWriter};
use rollcall_store::{Capability, PortError, PortErrorClass};

/// How often a change is stored at most, when others change the account at the same moment.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// Nothing to call off.
pub(crate) static NOT_LEAVING: ProblemKind = ProblemKind {
    code: "not-leaving",
    status: 409,
    title: "The account is not going to be erased.",
    advice: "Nothing is to be done.",
};

/// Reads accounts, and stores how they stand.
pub(crate) trait Standings: Capability {
    /// A user, strongly consistent.
    async fn find(&self, user: &UserId) -> Result<Option<User>, PortError>;

    /// Stores a changed user together with an entry in the audit log; `Conflict`, and nothing is
    /// stored, when somebody else changed the user in between.
    async fn store(&self, user: &User, entry: &Entry, random: &dyn Random)
    -> Result<(), PortError>;
}

impl Standings for StandingWriter {
    async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        self.find(user).await
    }

    async fn store(
        &self,
        user: &User,
        entry: &Entry,
        _random: &dyn Random,
    ) -> Result<(), PortError> {
        self.store(user, entry).await
    }
}

impl Standings for ErasureArranger {
    async fn find(&self, user: &UserId) -> Result<Option<User>, PortError> {
        self.find(user).await
    }

    /// Whoever is to be erased and can call it off reads so in a mail, since it may be somebody else
    /// who asked.
    async fn store(
        &self,
        user: &User,
        entry: &Entry,
        random: &dyn Random,
    ) -> Result<(), PortError> {
        let address = user.email.as_deref().and_then(|email| Address::parse(email).ok());
        let is_open = user.standing.check_open(entry.at).is_ok();
        let letter = if entry.action == Action::ErasureAsked {
            Letter::ErasureAsked
        } else {
            Letter::ErasureOrdered
        };
        let mail = address.filter(|_| is_open).map(|to| Mail {
            id: MailId::new(entry.at, random),
            to,
            letter,
            created_at: entry.at,
        });
        self.store(user, mail.as_ref(), entry).await
    }
}

/// The accounts, and what an entry in the audit log needs.
pub(crate) struct Accounts<Writer> {
    writer: Writer,
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

impl<Writer: Standings> Accounts<Writer> {
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { writer: startup.capability()?, random: startup.random() })
    }

    /// Stores what `decide` makes of the caller's own account, as [`Accounts::change_of`] does.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        context: &Context,
        action: Action,
        decide: impl Fn(User) -> Result<User, StandingRefusal>,
    ) -> Result<User, LeavingError> {
        self.change_of(&caller.user, caller, context, (action, decide)).await
    }

    /// Stores what `decide` makes of a user's account, with an entry in the audit log that the caller
    /// did it; an account that `decide` leaves as it is, is not stored.
    pub(crate) async fn change_of(
        &self,
        user: &UserId,
        caller: &Caller,
        context: &Context,
        (action, decide): (Action, impl Fn(User) -> Result<User, StandingRefusal>),
    ) -> Result<User, LeavingError> {
        for _attempt in 0..STORE_ATTEMPTS_MAX {
            let before = self.writer.find(user).await?.ok_or(LeavingError::Gone)?;
            let after = decide(before.clone())?;
            if after == before {
                return Ok(after);
            }
            let (actor, subject) = (caller.user.clone(), user.clone());
            let what = (Actor::User(actor), action.clone(), Subject::User(subject));
            let entry = Entry::new(what, &context.trace_id, context.now, self.random.as_ref());
            match self.writer.store(&after, &entry, self.random.as_ref()).await {
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
