//! Takes the caller out of a pathway or a course. The enrolment stays as history, and leaving twice
//! is leaving once.

use rollcall_domain::enrollment::{NotEnrolled, withdraw};
use rollcall_edge::problem::{CONFLICT, NOT_FOUND};
use rollcall_edge::{Caller, Context, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::enrollments::{EnrollmentWriter, Stored};
use rollcall_store::{Capability, PortError, PortErrorClass};

use crate::target::TargetInput;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "unenroll",
    purpose: "Takes the caller out of a pathway or a course.",
    triggers: &[Trigger::Http(Route {
        method: Method::Delete,
        path: "/enrollments/{kind}/{slug}",
    })],
    grants: &[EnrollmentWriter::GRANTS],
    operation: Operation { problems: &[&NOT_FOUND, &CONFLICT], ..Operation::EMPTY },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// How often a write is tried again when somebody else wrote the same enrolment in between.
const ATTEMPTS_MAX: u32 = 5;

struct Ports {
    enrollments: EnrollmentWriter,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { enrollments: startup.capability()? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    TargetInput(target): TargetInput,
) -> Result<Response, UnenrollError> {
    for _attempt in 0..ATTEMPTS_MAX {
        let existing = ports.enrollments.find(&caller.user, &target).await?;
        let Some(left) = withdraw(existing.as_ref(), context.now)? else {
            return Ok(Response::no_content());
        };
        let (user, before) = (&caller.user, existing.as_ref());
        match ports.enrollments.store(user, before, &left, 0, &context.trace_id).await {
            // Leaving takes no place, so there is always one for it.
            Ok(Stored::Done | Stored::Full) => return Ok(Response::no_content()),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(UnenrollError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum UnenrollError {
    #[error(transparent)]
    NotEnrolled(#[from] NotEnrolled),
    #[error("too many writers of one enrolment")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<UnenrollError> for Problem {
    fn from(error: UnenrollError) -> Self {
        match error {
            UnenrollError::NotEnrolled(NotEnrolled) => Self::new(&NOT_FOUND),
            UnenrollError::Contended => Self::new(&CONFLICT),
            UnenrollError::Port(error) => Self::port(&error),
        }
    }
}
