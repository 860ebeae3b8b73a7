//! Takes the wish of somebody for an account: a person whom the CRM knows, or who has one already and
//! forgot.
//!
//! The answer, and the work until it is given, are the same whatever is known about the address
//! (fault S8): one item is written, and nothing is looked up. What follows is decided behind the
//! table's stream (`claim-answer`) and told to the reader of the address alone. A repetition has no
//! effect of its own, since an address is answered at most once in ten minutes.

use std::sync::Arc;

use rollcall_domain::id::ClaimId;
use rollcall_domain::mail::Address;
use rollcall_domain::random::Random;
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Operation, RateClass};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::invitations::ClaimWriter;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-claim",
    purpose: "Takes the wish of somebody for an account.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/auth/claim" })],
    rate: RateClass::Credential,
    grants: &[ClaimWriter::GRANTS],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 202,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    claims: ClaimWriter,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { claims: startup.capability()?, random: startup.random() })
    }
}

/// Who wants an account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The e-mail address that the answer goes to.
    email: String,
}

#[derive(Debug)]
struct Input {
    address: Address,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let Body { email } = request.json()?;
        let address = Address::parse(&email)
            .map_err(|error| Problem::invalid("/email", "invalid-email", &error))?;
        Ok(Self { address })
    }
}

/// That the wish is taken, which says nothing about the address.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// `accepted`.
    status: &'static str,
}

async fn handle(
    ports: &Ports,
    context: &Context,
    input: Input,
) -> Result<Response, AuthClaimError> {
    let id = ClaimId::new(context.now, ports.random.as_ref());
    ports.claims.write(&id, &input.address, context.now, &context.trace_id).await?;
    tracing::info!(claim_id = id.as_str(), "a claim is taken");
    Ok(Response::json(202, &Output { status: "accepted" }))
}

#[derive(Debug, thiserror::Error)]
enum AuthClaimError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AuthClaimError> for Problem {
    fn from(error: AuthClaimError) -> Self {
        match error {
            AuthClaimError::Port(error) => Self::port(&error),
        }
    }
}
