//! Lists the caller's enrolments, newest first; what the caller left is left out.

use std::cmp::Reverse;

use rollcall_domain::enrollment::Enrollment;
use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::enrollments::EnrollmentReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::view::EnrollmentView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "enrollment-list",
    purpose: "Lists the caller's enrolments.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/enrollments" })],
    grants: &[EnrollmentReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    enrollments: EnrollmentReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { enrollments: startup.capability()? })
    }
}

/// The caller's enrolments.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Newest first.
    enrollments: Vec<EnrollmentView>,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    _context: &Context,
    _input: NoInput,
) -> Result<Response, EnrollmentListError> {
    let mut enrollments = ports.enrollments.all(&caller.user).await?;
    enrollments.retain(Enrollment::is_active);
    enrollments.sort_by_key(|enrollment| Reverse(enrollment.enrolled_at));
    let enrollments = enrollments.iter().map(EnrollmentView::from).collect();
    Ok(Response::json(200, &Output { enrollments }))
}

#[derive(Debug, thiserror::Error)]
enum EnrollmentListError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<EnrollmentListError> for Problem {
    fn from(error: EnrollmentListError) -> Self {
        match error {
            EnrollmentListError::Port(error) => Self::port(&error),
        }
    }
}
