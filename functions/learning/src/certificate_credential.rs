//! Hands out a certificate as an Open Badges 3.0 credential, which programs of others verify by
//! themselves: JSON-LD with a proof by `eddsa-rdfc-2022`, or a VC-JWT to whoever accepts
//! `application/vc+jwt`.
//!
//! It is made anew for each request from what is stored, so it always shows the name that its holder
//! wants shown now. A revoked certificate is handed out as well: its status list says that it counts
//! no more, and one that was handed out before says nothing else.

use rollcall_credentials::badge;
use rollcall_domain::id::CertificateId;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::certificates::CertificateFinder;
use rollcall_store::{Capability, PortError};

use crate::certificate_view::certificate;
use crate::signing::{self, Form, Signer, SigningError};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "certificate-credential",
    purpose: "Hands out a certificate as a signed Open Badges 3.0 credential.",
    triggers: &[Trigger::Http(Route {
        method: Method::Get,
        path: "/certificates/{id}/credential",
    })],
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

struct Input {
    id: CertificateId,
    form: Form,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self { id: certificate(request)?, form: Form::of(request) })
    }
}

async fn handle(
    ports: &Ports,
    context: &Context,
    input: Input,
) -> Result<Response, CertificateCredentialError> {
    let found = ports.certificates.find(&input.id).await?;
    let certificate = found.ok_or(CertificateCredentialError::NotFound)?;
    let credential = badge::credential(&ports.signer.issuer, &certificate);
    let valid_from = Some(certificate.earned.earned_at);
    let signed = ports.signer.answer(credential, valid_from, input.form, context.now).await?;
    Ok(signed.shared())
}

#[derive(Debug, thiserror::Error)]
enum CertificateCredentialError {
    #[error("no such certificate")]
    NotFound,
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CertificateCredentialError> for Problem {
    fn from(error: CertificateCredentialError) -> Self {
        match error {
            CertificateCredentialError::NotFound => Self::new(&NOT_FOUND),
            CertificateCredentialError::Signing(error) => error.into(),
            CertificateCredentialError::Port(error) => Self::port(&error),
        }
    }
}
