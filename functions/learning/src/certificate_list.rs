//! Lists the caller's certificates, the one that was earned last first, whatever they are enrolled in
//! (fault C10). Certificates are awarded behind the stream of progress (`award`), so a new one is there
//! within moments.

use std::cmp::Reverse;

use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::certificates::CertificateLister;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::certificate_view::CertificateView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "certificate-list",
    purpose: "Lists the caller's certificates.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/certificates" })],
    grants: &[CertificateLister::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    certificates: CertificateLister,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { certificates: startup.capability()? })
    }
}

/// The caller's certificates.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Certificates")]
struct Output {
    /// The last earned first.
    certificates: Vec<CertificateView>,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    _context: &Context,
    _input: NoInput,
) -> Result<Response, CertificateListError> {
    let mut certificates = ports.certificates.all(&caller.user).await?;
    certificates.sort_by_key(|certificate| Reverse(certificate.earned.earned_at));
    let certificates = certificates.iter().map(CertificateView::from).collect();
    Ok(Response::json(200, &Output { certificates }))
}

#[derive(Debug, thiserror::Error)]
enum CertificateListError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CertificateListError> for Problem {
    fn from(error: CertificateListError) -> Self {
        match error {
            CertificateListError::Port(error) => Self::port(&error),
        }
    }
}
