//! Draws a certificate as a PNG, to share it, with its signed credential in it: whoever has the picture
//! can verify it (Open Badges 3.0 §5.3.1). It is drawn from what is stored now, as the PDF is.

use rollcall_credentials::badge;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, Problem, Response};
use rollcall_print::png;
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::certificates::CertificateFinder;
use rollcall_store::{Capability, PortError};

use crate::certificate_sheet::{SheetError, drawn};
use crate::certificate_view::CertificateInput;
use crate::signing::{self, Signer, SigningError};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "certificate-image",
    purpose: "Draws a certificate as a PNG with its signed credential in it.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/certificates/{id}/image.png" })],
    grants: &[CertificateFinder::GRANTS, signing::GRANTS],
    settings: signing::SETTINGS,
    operation: Operation { success_status: 200, problems: &[&NOT_FOUND], ..Operation::EMPTY },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    certificates: CertificateFinder,
    signer: Signer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { certificates: startup.capability()?, signer: Signer::new(startup)? })
    }
}

async fn handle(
    ports: &Ports,
    context: &Context,
    CertificateInput(id): CertificateInput,
) -> Result<Response, CertificateImageError> {
    let found = ports.certificates.find(&id).await?;
    let certificate = found.ok_or(CertificateImageError::NotFound)?;
    let credential = badge::credential(&ports.signer.issuer, &certificate);
    let signed = ports.signer.proven(credential, context.now).await?.to_string();
    let file = drawn(&ports.signer.issuer, &certificate, |sheet| png::draw(sheet, &signed))?;
    Ok(Response::bytes(200, "image/png", &file).shared())
}

#[derive(Debug, thiserror::Error)]
enum CertificateImageError {
    #[error("no such certificate")]
    NotFound,
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Sheet(#[from] SheetError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CertificateImageError> for Problem {
    fn from(error: CertificateImageError) -> Self {
        match error {
            CertificateImageError::NotFound => Self::new(&NOT_FOUND),
            CertificateImageError::Signing(error) => error.into(),
            CertificateImageError::Sheet(error) => error.into(),
            CertificateImageError::Port(error) => Self::port(&error),
        }
    }
}
