//! Shows the holder's name on a certificate, or hides it: their consent, and its withdrawal. What is
//! shown is their name as it is when they want it shown for the first time, and the same ever after,
//! so that a certificate cannot become somebody else's (fault C4: the page showed the viewer's name).
//!
//! Hiding it takes it from the page and from every credential that is handed out from then on; those
//! that were handed out before cannot be taken back. Wanting what is so already changes nothing.

use rollcall_domain::certificate::NamelessHolder;
use rollcall_domain::id::CertificateId;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND, UNAUTHENTICATED};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::certificates::{CertificateNamer, Held};
use rollcall_store::users::UserReader;
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::certificate_view::{CertificateView, certificate};

/// How often a change is stored at most, when the certificate changes at the same moment.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "certificate-name",
    purpose: "Shows the caller's name on a certificate of theirs, or hides it.",
    triggers: &[Trigger::Http(Route { method: Method::Put, path: "/certificates/{id}/name" })],
    grants: &[CertificateNamer::GRANTS, UserReader::GRANTS],
    operation: Operation {
        request: Some(schema::<Choice>),
        success_status: 200,
        response: Some(schema::<CertificateView>),
        problems: &[&NOT_FOUND, &NAME_MISSING, &CONFLICT, &INVALID, &UNAUTHENTICATED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// There is no name to show.
static NAME_MISSING: ProblemKind = ProblemKind {
    code: "name-missing",
    status: 409,
    title: "The account has no name.",
    advice: "Enter a given or a family name in the profile first.",
};

struct Ports {
    certificates: CertificateNamer,
    users: UserReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { certificates: startup.capability()?, users: startup.capability()? })
    }
}

/// Whether the holder's name is shown.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CertificateName")]
struct Choice {
    /// Whether it is.
    shown: bool,
}

struct Input {
    id: CertificateId,
    choice: Choice,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = certificate(request)?;
        if !request.has_body() {
            return Err(Problem::invalid("/shown", "missing", &"must be true or false"));
        }
        Ok(Self { id, choice: request.json()? })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, CertificateNameError> {
    let user = ports.users.find(&caller.user).await?.ok_or(CertificateNameError::Gone)?;
    for _attempt in 0..STORE_ATTEMPTS_MAX {
        let held = ports.certificates.find(&input.id).await?;
        // Somebody else's is public, but no business of the caller's.
        let held = held.filter(|held| held.user == caller.user);
        let held = held.ok_or(CertificateNameError::NotFound)?;
        let Some(certificate) = held.certificate.show_name(&user, input.choice.shown)? else {
            return Ok(Response::json(200, &CertificateView::from(&held.certificate)));
        };
        let changed = Held { certificate, ..held };
        match ports.certificates.store(&changed, (context.now, &context.trace_id)).await {
            Ok(()) => return Ok(Response::json(200, &CertificateView::from(&changed.certificate))),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CertificateNameError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum CertificateNameError {
    #[error("the caller has no such certificate")]
    NotFound,
    #[error("the account is gone")]
    Gone,
    #[error(transparent)]
    Nameless(#[from] NamelessHolder),
    #[error("the certificate changed again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CertificateNameError> for Problem {
    fn from(error: CertificateNameError) -> Self {
        match error {
            CertificateNameError::NotFound => Self::new(&NOT_FOUND),
            CertificateNameError::Gone => Self::new(&UNAUTHENTICATED),
            CertificateNameError::Nameless(_) => Self::new(&NAME_MISSING),
            CertificateNameError::Contended => Self::new(&CONFLICT),
            CertificateNameError::Port(error) => Self::port(&error),
        }
    }
}
