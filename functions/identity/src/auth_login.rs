//! Begins the sign-in of somebody who has an account at the provider (`departure.rs`).
//!
//! A browser in which an identity waits to be linked has to sign in another way than a moment ago, so
//! the provider is asked not to take what it remembers.

use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_oidc::Entrance;
use rollcall_runtime::declaration::{Operation, RateClass};
use rollcall_runtime::{Function, Method, Route, Trigger};

use crate::departure::{self, Departure, REDIRECT_URL};
use crate::site::LINK_COOKIE;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-login",
    purpose: "Begins a sign-in and sends the browser to the identity provider.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/login" })],
    rate: RateClass::Credential,
    grants: &[departure::GRANTS],
    settings: departure::SETTINGS,
    operation: Operation { query: &[REDIRECT_URL], success_status: 302, ..Operation::EMPTY },
    start: |startup| rollcall_edge::public(startup, Departure::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Input {
    redirect_url: Option<String>,
    entrance: Entrance,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let entrance = match request.cookie(LINK_COOKIE) {
            Some(_) => Entrance::SignInAnew,
            None => Entrance::SignIn,
        };
        Ok(Self { redirect_url: request.query_parameter("redirect_url"), entrance })
    }
}

async fn handle(
    departure: &Departure,
    context: &Context,
    input: Input,
) -> Result<Response, Problem> {
    let asked = input.redirect_url.as_deref();
    Ok(departure.begin(input.entrance, asked, None, context).await)
}
