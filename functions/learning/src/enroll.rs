//! Enrols the caller in a pathway or a course, where its terms allow. The first time wins: enrolling
//! again changes nothing and answers what is stored. Nothing is sent to the CRM here; the table's stream takes care.

use rollcall_domain::enrollment::{Target, TermsRefusal, admit, enroll};
use rollcall_domain::learning::Learner;
use rollcall_domain::limits::ENROLLMENT_SOURCE_CHARACTERS_MAX;
use rollcall_domain::text;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::enrollments::{EnrollmentWriter, Stored};
use rollcall_store::learner::LearnerReader;
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::problem::{ENROLLMENT_CLOSED, NO_PLACE_LEFT, PREREQUISITES_MISSING, terms_refused};
use crate::target::{TargetInput, terms};
use crate::view::EnrollmentView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "enroll",
    purpose: "Enrols the caller in a pathway or a course.",
    triggers: &[Trigger::Http(Route { method: Method::Put, path: "/enrollments/{kind}/{slug}" })],
    grants: &[CatalogReader::GRANTS, EnrollmentWriter::GRANTS, LearnerReader::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<EnrollmentView>),
        problems: &[
            &NOT_FOUND,
            &INVALID,
            &CONFLICT,
            &PREREQUISITES_MISSING,
            &ENROLLMENT_CLOSED,
            &NO_PLACE_LEFT,
        ],
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
    learners: LearnerReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let (catalog, enrollments) = (startup.capability()?, startup.capability()?);
        Ok(Self { catalog, enrollments, learners: startup.capability()? })
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
    let terms = terms(&catalog, &input.target).ok_or(EnrollError::NotFound)?;
    let (user, target, now) = (&caller.user, &input.target, context.now);
    for _attempt in 0..ATTEMPTS_MAX {
        let existing = ports.enrollments.find(user, target).await?;
        let source = input.source.as_deref();
        let changed = enroll(existing.as_ref(), target, terms, source, now);
        if let (Some(enrollment), None) = (&existing, &changed) {
            return Ok(Response::json(200, &EnrollmentView::from(enrollment)));
        }
        let Some(enrollment) = changed else { continue };
        let learner = match terms.prerequisites.as_slice() {
            [] => Learner::default(),
            _ => ports.learners.load(user).await?,
        };
        admit(terms, &catalog, &learner, now)?;
        let (before, capacity) = (existing.as_ref(), terms.capacity.unwrap_or(0));
        let storing =
            ports.enrollments.store(user, before, &enrollment, capacity, &context.trace_id);
        match storing.await {
            Ok(Stored::Done) => {
                return Ok(Response::json(200, &EnrollmentView::from(&enrollment)));
            }
            Ok(Stored::Full) => return Err(EnrollError::Full),
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
    #[error(transparent)]
    Terms(#[from] TermsRefusal),
    #[error("all places are taken")]
    Full,
    #[error("too many writers of one enrolment")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<EnrollError> for Problem {
    fn from(error: EnrollError) -> Self {
        match error {
            EnrollError::NotFound => Self::new(&NOT_FOUND),
            EnrollError::Terms(refusal) => terms_refused(&refusal),
            EnrollError::Full => Self::new(&NO_PLACE_LEFT),
            EnrollError::Contended => Self::new(&CONFLICT),
            EnrollError::Port(error) => Self::port(&error),
        }
    }
}
