//! What every sign-in begins with: what must come back is kept, bound to this browser by a cookie, and
//! the browser goes to the provider (OpenID Connect Core §3.1.2.1) with PKCE (RFC 7636), `state` and
//! `nonce`. The verifier stays on the server.
//!
//! A page to return to that is not ours is not followed: the person lands on the landing page
//! instead, since a link somebody else wrote must not keep anybody from signing in.

use std::sync::Arc;

use rollcall_domain::invitation::InvitationHash;
use rollcall_domain::limits::LOGIN_SECONDS;
use rollcall_domain::login::Login;
use rollcall_domain::mail::Address;
use rollcall_domain::random::Random;
use rollcall_domain::text;
use rollcall_edge::session::ORIGINS;
use rollcall_edge::{Context, Response};
use rollcall_oidc::{Client, Entrance, OidcError, code_challenge};
use rollcall_resources::Grant;
use rollcall_runtime::declaration::Parameter;
use rollcall_runtime::{Setting, Startup, StartupError};
use rollcall_store::logins::LoginStarter;
use rollcall_store::{Capability, PortError};

use crate::page;
use crate::provider::public_client;
use crate::settings::{LANDING_PATH, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI};
use crate::site::{LOGIN_COOKIE, landing_path};

/// What it may do.
pub(crate) const GRANTS: &[Grant] = LoginStarter::GRANTS;

/// What it reads of the environment.
pub(crate) const SETTINGS: &[&Setting] =
    &[&ORIGINS, &LANDING_PATH, &OIDC_ISSUER, &OIDC_CLIENT_ID, &OIDC_REDIRECT_URI, &OIDC_PROFILE];

/// The query parameter that names the page to return to.
pub(crate) const REDIRECT_URL: Parameter = Parameter {
    name: "redirect_url",
    description: "Where to go afterwards: a path on the site, or the URL of a page of ours.",
};

/// Somebody who was invited.
pub(crate) struct Guest {
    /// The invitation.
    pub(crate) invitation: InvitationHash,
    /// Whom it invites.
    pub(crate) address: Address,
}

/// What beginning a sign-in needs.
pub(crate) struct Departure {
    logins: LoginStarter,
    provider: Client,
    random: Arc<dyn Random>,
    origins: Vec<String>,
    landing_path: String,
}

impl Departure {
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        let origins = startup.setting(&ORIGINS)?.split(' ');
        Ok(Self {
            logins: startup.capability()?,
            provider: public_client(startup)?,
            random: startup.random(),
            origins: origins.map(ToOwned::to_owned).collect(),
            landing_path: landing_path(startup)?,
        })
    }

    /// Sends the browser to `entrance`, to come back to the page `asked` for. The provider is told
    /// the address of a guest, so that nobody has to type it.
    pub(crate) async fn begin(
        &self,
        entrance: Entrance,
        asked: Option<&str>,
        guest: Option<&Guest>,
        context: &Context,
    ) -> Response {
        let begun = self.leave(entrance, asked, guest, context).await;
        begun.unwrap_or_else(|error| error.page())
    }

    async fn leave(
        &self,
        entrance: Entrance,
        asked: Option<&str>,
        guest: Option<&Guest>,
        context: &Context,
    ) -> Result<Response, DepartureError> {
        let (mut login, browser) =
            Login::begin(self.return_path(asked), context.now, self.random.as_ref());
        let challenge = code_challenge(&login.code_verifier);
        let (state, nonce) = (&login.state, &login.nonce);
        let url = self.provider.authorization_url(entrance, state, nonce, &challenge, context.now);
        let mut url = url.await?;
        if let Some(Guest { invitation, address }) = guest {
            url.query_pairs_mut().append_pair("login_hint", address.as_str());
            login.invitation = Some(invitation.clone());
        }
        self.logins.start(&login, &context.trace_id).await?;
        Ok(Response::redirect(302, url.as_str()).with_cookie(LOGIN_COOKIE, &browser, LOGIN_SECONDS))
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

#[derive(Debug, thiserror::Error)]
enum DepartureError {
    #[error(transparent)]
    Provider(#[from] OidcError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl DepartureError {
    fn page(&self) -> Response {
        match self {
            Self::Provider(error) => page::of_provider(error),
            Self::Port(error) => page::of_port(error),
        }
    }
}
