//! Begins a sign-in: keeps what must come back, binds it to this browser by a cookie, and sends the
//! browser to the provider (OpenID Connect Core §3.1.2.1) with PKCE (RFC 7636), `state` and `nonce`.
//! The verifier stays on the server.
//!
//! A page to return to that is not ours is not followed: the person lands on the landing page
//! instead, since a link somebody else wrote must not keep anybody from signing in.

use std::sync::Arc;

use rollcall_domain::limits::LOGIN_SECONDS;
use rollcall_domain::login::Login;
use rollcall_domain::random::Random;
use rollcall_domain::text;
use rollcall_edge::session::ORIGINS;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_oidc::{Client, OidcError, code_challenge};
use rollcall_runtime::declaration::{Operation, Parameter, RateClass};
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::logins::LoginStarter;
use rollcall_store::{Capability, PortError};

use crate::page;
use crate::provider::public_client;
use crate::settings::{LANDING_PATH, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI};
use crate::site::{LOGIN_COOKIE, landing_path};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-login",
    purpose: "Begins a sign-in and sends the browser to the identity provider.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/login" })],
    rate: RateClass::Credential,
    grants: &[LoginStarter::GRANTS],
    settings: &[
        &ORIGINS,
        &LANDING_PATH,
        &OIDC_ISSUER,
        &OIDC_CLIENT_ID,
        &OIDC_REDIRECT_URI,
        &OIDC_PROFILE,
    ],
    operation: Operation {
        query: &[Parameter {
            name: "redirect_url",
            description: "Where to go afterwards: a path on the site, or the URL of a page of ours.",
        }],
        success_status: 302,
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    logins: LoginStarter,
    provider: Client,
    random: Arc<dyn Random>,
    origins: Vec<String>,
    landing_path: String,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let origins = startup.setting(&ORIGINS)?.split(' ');
        Ok(Self {
            logins: startup.capability()?,
            provider: public_client(startup)?,
            random: startup.random(),
            origins: origins.map(ToOwned::to_owned).collect(),
            landing_path: landing_path(startup)?,
        })
    }

    fn return_path(&self, asked: Option<&str>) -> String {
        let asked = asked.map(|url| text::return_path(url, &self.origins));
        match asked {
            Some(Ok(path)) => return path,
            Some(Err(error)) => tracing::info!(%error, "a page to return to is not one of ours"),
            None => {}
        }
        self.landing_path.clone()
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
    let begun = begin(ports, context, &input).await;
    Ok(begun.unwrap_or_else(|error| error.page()))
}

async fn begin(ports: &Ports, context: &Context, input: &Input) -> Result<Response, LoginError> {
    let return_path = ports.return_path(input.redirect_url.as_deref());
    let (login, browser) = Login::begin(return_path, context.now, ports.random.as_ref());
    let challenge = code_challenge(&login.code_verifier);
    let url = ports
        .provider
        .authorization_url(&login.state, &login.nonce, &challenge, context.now)
        .await?;
    ports.logins.start(&login, &context.trace_id).await?;
    Ok(Response::redirect(302, url.as_str()).with_cookie(LOGIN_COOKIE, &browser, LOGIN_SECONDS))
}

#[derive(Debug, thiserror::Error)]
enum LoginError {
    #[error(transparent)]
    Provider(#[from] OidcError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl LoginError {
    fn page(&self) -> Response {
        match self {
            Self::Provider(error) => page::of_provider(error),
            Self::Port(error) => page::of_port(error),
        }
    }
}
