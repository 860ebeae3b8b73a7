//! Publishes a status list: which credentials count no more (W3C Bitstring Status List 1.0), itself a
//! signed credential in the same two forms. The first is there from the beginning, each other
//! one since a certificate has a place in it.

use rollcall_credentials::status_list;
use rollcall_edge::problem::{INTERNAL, NOT_FOUND};
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::certificates::StatusListReader;
use rollcall_store::{Capability, PortError};

use crate::signing::{self, Form, Signer, SigningError};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "credential-status",
    purpose: "Publishes which credentials are revoked.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/credentials/status/{list}" })],
    grants: &[StatusListReader::GRANTS, signing::GRANTS],
    settings: signing::SETTINGS,
    operation: Operation { success_status: 200, problems: &[&NOT_FOUND], ..Operation::EMPTY },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

/// How long others may rely on a list, in seconds.
const CACHE_SECONDS: u32 = status_list::TTL_MILLISECONDS / 1_000;

struct Ports {
    lists: StatusListReader,
    signer: Signer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { lists: startup.capability()?, signer: Signer::new(startup)? })
    }
}

struct Input {
    list: u32,
    form: Form,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let text = request.path_parameter("list");
        let list = text.parse().ok().filter(|list: &u32| list.to_string() == text);
        let list = list.ok_or_else(|| Problem::new(&NOT_FOUND))?;
        Ok(Self { list, form: Form::of(request) })
    }
}

async fn handle(
    ports: &Ports,
    context: &Context,
    input: Input,
) -> Result<Response, CredentialStatusError> {
    let found = ports.lists.find(input.list).await?;
    let list = found.ok_or(CredentialStatusError::NotFound)?;
    let since = list.changed_at;
    let issuer = &ports.signer.issuer;
    let credential = status_list::credential(issuer, input.list, &list.revoked, since)?;
    let signed = ports.signer.answer(credential, since, input.form, context.now).await?;
    Ok(signed.cacheable(CACHE_SECONDS).shared())
}

#[derive(Debug, thiserror::Error)]
enum CredentialStatusError {
    #[error("no such list")]
    NotFound,
    #[error("the list could not be compressed")]
    Compression(#[from] std::io::Error),
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CredentialStatusError> for Problem {
    fn from(error: CredentialStatusError) -> Self {
        match error {
            CredentialStatusError::NotFound => Self::new(&NOT_FOUND),
            CredentialStatusError::Compression(error) => {
                tracing::error!(%error, "a status list cannot be made");
                Self::new(&INTERNAL)
            }
            CredentialStatusError::Signing(error) => error.into(),
            CredentialStatusError::Port(error) => Self::port(&error),
        }
    }
}
