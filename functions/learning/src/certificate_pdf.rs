//! Draws a certificate as a PDF, to print it. It is drawn from what is stored now: whose name it shows is
//! what the holder wants now, and one that is revoked says so.

use rollcall_credentials::Issuer;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, Problem, Response};
use rollcall_print::pdf;
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::certificates::CertificateFinder;
use rollcall_store::{Capability, PortError};

use crate::certificate_sheet::{SheetError, drawn};
use crate::certificate_view::CertificateInput;
use crate::{settings, signing};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "certificate-pdf",
    purpose: "Draws a certificate as a PDF.",
    triggers: &[Trigger::Http(Route {
        method: Method::Get,
        path: "/certificates/{id}/certificate.pdf",
    })],
    grants: &[CertificateFinder::GRANTS],
    settings: &[&settings::CREDENTIALS_URL, &settings::ISSUER_NAME],
    operation: Operation { success_status: 200, problems: &[&NOT_FOUND], ..Operation::EMPTY },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    certificates: CertificateFinder,
    issuer: Issuer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { certificates: startup.capability()?, issuer: signing::issuer(startup)? })
    }
}

async fn handle(
    ports: &Ports,
    _context: &Context,
    CertificateInput(id): CertificateInput,
) -> Result<Response, CertificatePdfError> {
    let found = ports.certificates.find(&id).await?;
    let certificate = found.ok_or(CertificatePdfError::NotFound)?;
    let file = drawn(&ports.issuer, &certificate, pdf::draw)?;
    let name = format!("inline; filename=\"certificate-{}.pdf\"", certificate.earned.name.slug);
    Ok(Response::bytes(200, "application/pdf", &file).with_header("content-disposition", &name))
}

#[derive(Debug, thiserror::Error)]
enum CertificatePdfError {
    #[error("no such certificate")]
    NotFound,
    #[error(transparent)]
    Sheet(#[from] SheetError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CertificatePdfError> for Problem {
    fn from(error: CertificatePdfError) -> Self {
        match error {
            CertificatePdfError::NotFound => Self::new(&NOT_FOUND),
            CertificatePdfError::Sheet(error) => error.into(),
            CertificatePdfError::Port(error) => Self::port(&error),
        }
    }
}
