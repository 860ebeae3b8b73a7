//! Publishes who issues credentials, with every key that credentials were ever signed with, and each
//! key by itself.

use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};

use crate::signing::{self, Signer, SigningError};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "credential-issuer",
    purpose: "Publishes who issues credentials, and the keys to verify them with.",
    triggers: &[
        Trigger::Http(Route { method: Method::Get, path: "/credentials/issuer" }),
        Trigger::Http(Route { method: Method::Get, path: "/credentials/keys/{key}" }),
    ],
    grants: &[signing::GRANTS],
    settings: signing::SETTINGS,
    operation: Operation { success_status: 200, problems: &[&NOT_FOUND], ..Operation::EMPTY },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

/// How long others may rely on what they have read, in seconds: a new key signs later than that.
const CACHE_SECONDS: u32 = 300;

struct Ports {
    signer: Signer,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { signer: Signer::new(startup)? })
    }
}

enum Input {
    Issuer,
    Key(String),
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(match request.path_parameter("key") {
            "" => Self::Issuer,
            key => Self::Key(key.to_owned()),
        })
    }
}

async fn handle(
    ports: &Ports,
    context: &Context,
    input: Input,
) -> Result<Response, CredentialIssuerError> {
    let issuer = &ports.signer.issuer;
    let keys = ports.signer.published(context.now).await?;
    let document = match input {
        Input::Issuer => issuer.document(&keys),
        Input::Key(id) => {
            let key = keys.iter().find(|key| key.id() == id);
            let key = key.ok_or(CredentialIssuerError::NotFound)?;
            key.jwk(&issuer.key_url(key))
        }
    };
    Ok(Response::json(200, &document).cacheable(CACHE_SECONDS).shared())
}

#[derive(Debug, thiserror::Error)]
enum CredentialIssuerError {
    #[error("no such key")]
    NotFound,
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl From<CredentialIssuerError> for Problem {
    fn from(error: CredentialIssuerError) -> Self {
        match error {
            CredentialIssuerError::NotFound => Self::new(&NOT_FOUND),
            CredentialIssuerError::Signing(error) => error.into(),
        }
    }
}
