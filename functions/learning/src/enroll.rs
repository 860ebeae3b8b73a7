//! Enrols the caller in a pathway or a course. The first time wins: enrolling again changes nothing
//! and answers what is stored. Nothing is sent to the CRM here; the table's stream takes care.

use rollcall_domain::enrollment::{Target, enroll};
use rollcall_domain::limits::ENROLLMENT_SOURCE_CHARACTERS_MAX;
use rollcall_domain::text;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::enrollments::EnrollmentWriter;
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::{TargetInput, exists};
use crate::view::EnrollmentView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "enroll",
    purpose: "Enrols the caller in a pathway or a course.",
    triggers: &[Trigger::Http(Route { method: Method::Put, path: "/enrollments/{kind}/{slug}" })],
    grants: &[CatalogReader::GRANTS, EnrollmentWriter::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<EnrollmentView>),
        problems: &[&NOT_FOUND, &INVALID, &CONFLICT],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// How often a write is tried again when somebody else wrote the same enrolment in between.
const ATTEMPTS_MAX: u32 = 5;

struct Ports {
    catalog: CatalogReader,
    enrollments: EnrollmentWriter,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { catalog: startup.capability()?, enrollments: startup.capability()? })
    }
}

#[derive(Debug)]
struct Input {
    target: Target,
    source: Option<String>,
}

/// Where an enrolment comes from; the body may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The page or campaign, for statistics.
    source: Option<String>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let TargetInput(target) = TargetInput::from_request(request)?;
        let body: Body = if request.has_body() { request.json()? } else { Body::default() };
        let check = |source: String| {
            text::normalize_required(&source, ENROLLMENT_SOURCE_CHARACTERS_MAX)
                .map_err(|error| Problem::invalid("/source", "invalid-text", &error))
        };
        Ok(Self { target, source: body.source.map(check).transpose()? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, EnrollError> {
    let catalog = ports.catalog.load(context.now).await?;
    if !exists(&catalog, &input.target) {
        return Err(EnrollError::NotFound);
    }
    for _attempt in 0..ATTEMPTS_MAX {
        let existing = ports.enrollments.find(&caller.user, &input.target).await?;
        let source = input.source.as_deref();
        let changed = enroll(existing.as_ref(), &input.target, source, context.now);
        if let (Some(enrollment), None) = (&existing, &changed) {
            return Ok(Response::json(200, &EnrollmentView::from(enrollment)));
        }
        let Some(enrollment) = changed else { continue };
        match ports.enrollments.store(&caller.user, &enrollment, &context.trace_id).await {
            Ok(()) => return Ok(Response::json(200, &EnrollmentView::from(&enrollment))),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(EnrollError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum EnrollError {
    #[error("no such pathway or course")]
    NotFound,
    #[error("too many writers of one enrolment")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<EnrollError> for Problem {
    fn from(error: EnrollError) -> Self {
        match error {
            EnrollError::NotFound => Self::new(&NOT_FOUND),
            EnrollError::Contended => Self::new(&CONFLICT),
            EnrollError::Port(error) => Self::port(&error),
        }
    }
}
