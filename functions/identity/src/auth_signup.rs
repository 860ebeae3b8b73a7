//! Begins the sign-in of somebody who has no account yet: the browser goes to the provider's sign-up
//! form and comes back, like after any sign-in, to `auth-callback` (`departure.rs`). While the flag
//! `sign-up` is closed, they read so.

use rollcall_domain::flag::SIGN_UP;
use rollcall_edge::{Context, Flags, FromRequest, HttpRequest, Problem, Response};
use rollcall_oidc::Entrance;
use rollcall_runtime::declaration::{Operation, RateClass};
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};

use crate::departure::{self, Departure, REDIRECT_URL};
use crate::page;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-signup",
    purpose: "Sends somebody who is new to the identity provider's sign-up form.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/signup" })],
    rate: RateClass::Credential,
    grants: &[departure::GRANTS, Flags::GRANTS],
    settings: departure::SETTINGS,
    operation: Operation { query: &[REDIRECT_URL], success_status: 302, ..Operation::EMPTY },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    departure: Departure,
    flags: Flags,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { departure: Departure::new(startup)?, flags: Flags::new(startup)? })
    }
}

struct Input {
    redirect_url: Option<String>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self { redirect_url: request.query_parameter("redirect_url") })
    }
}

async fn handle(ports: &Ports, context: &Context, input: Input) -> Result<Response, Problem> {
    if !ports.flags.is_open(&SIGN_UP, None, context.now).await {
        return Ok(page::sign_up_closed());
    }
    let departure = &ports.departure;
    Ok(departure.begin(Entrance::SignUp, input.redirect_url.as_deref(), context).await)
}
