//! Revokes a certificate: its page says so at the next request, and its status list to every program
//! that verifies it. There is no way back, since others may have acted on it, and no second
//! certificate for the same. Revoking again changes nothing.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::id::CertificateId;
use rollcall_domain::limits::REVOCATION_REASON_CHARACTERS_MAX;
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_domain::text::normalize_required;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::certificates::{CertificateRevoker, Held};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::certificate_view::{CertificateView, certificate};

/// How often a change is stored at most, when the certificate changes at the same moment.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "certificate-revoke",
    purpose: "Revokes a certificate, for good.",
    triggers: &[Trigger::Http(Route {
        method: Method::Post,
        path: "/admin/certificates/{id}/revoke",
    })],
    access: Access::Role(Role::Instructor),
    grants: &[CertificateRevoker::GRANTS],
    operation: Operation {
        request: Some(schema::<Reason>),
        success_status: 200,
        response: Some(schema::<CertificateView>),
        problems: &[&NOT_FOUND, &CONFLICT, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    certificates: CertificateRevoker,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { certificates: startup.capability()?, random: startup.random() })
    }
}

/// Why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CertificateRevocation")]
struct Reason {
    /// Why, for those who decide about certificates; the holder's export has it, the public does not.
    reason: String,
}

struct Input {
    id: CertificateId,
    reason: String,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = certificate(request)?;
        let Reason { reason } = request.json()?;
        let reason = normalize_required(&reason, REVOCATION_REASON_CHARACTERS_MAX);
        let reason = reason.map_err(|error| Problem::invalid("/reason", "invalid", &error))?;
        Ok(Self { id, reason })
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, CertificateRevokeError> {
    for _attempt in 0..STORE_ATTEMPTS_MAX {
        let held = ports.certificates.find(&input.id).await?;
        let held = held.ok_or(CertificateRevokeError::NotFound)?;
        let Some(certificate) = held.certificate.revoke(&input.reason, context.now) else {
            return Ok(Response::json(200, &CertificateView::from(&held.certificate)));
        };
        let action = Action::CertificateRevoked { user: held.user.clone() };
        let subject = Subject::Certificate(input.id.clone());
        let told = (Actor::User(caller.user.clone()), action, subject);
        let entry = Entry::new(told, &context.trace_id, context.now, ports.random.as_ref());
        let changed = Held { certificate, ..held };
        let written = (context.now, context.trace_id.as_str());
        match ports.certificates.revoke(&changed, &entry, written).await {
            Ok(()) => {
                tracing::info!(certificate = %input.id, "a certificate is revoked");
                return Ok(Response::json(200, &CertificateView::from(&changed.certificate)));
            }
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CertificateRevokeError::Contended)
}

#[derive(Debug, thiserror::Error)]
enum CertificateRevokeError {
    #[error("no such certificate")]
    NotFound,
    #[error("the certificate changed again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CertificateRevokeError> for Problem {
    fn from(error: CertificateRevokeError) -> Self {
        match error {
            CertificateRevokeError::NotFound => Self::new(&NOT_FOUND),
            CertificateRevokeError::Contended => Self::new(&CONFLICT),
            CertificateRevokeError::Port(error) => Self::port(&error),
        }
    }
}
