//! Finishes a sign-in: the browser comes back from the provider (OpenID Connect Core §3.1.2.5) and
//! leaves with a session, on the page it asked for.
//!
//! The sign-in is taken out of the table before anything else is looked at, so of any number of
//! callers with one `state` one goes on, and a failure later means to begin again. The id of the
//! session is always new, and a session the browser had before ends; when the person may do something
//! else than before, all their sessions do. Of the provider's tokens only the refresh token is kept,
//! sealed. A suspended user gets a page and no session.
//!
//! So does whoever comes with an address that is another account's: their identity waits in this
//! browser until the account's owner signs in here as well, and is theirs then. An invitation that the
//! sign-in began with is accepted when the provider vouches for the invited address. Nothing is sent to
//! the CRM here; the table's stream takes care.

use std::sync::Arc;

use rollcall_domain::limits::{LINKING_SECONDS, SESSION_ABSOLUTE_SECONDS};
use rollcall_domain::linking::PendingLink;
use rollcall_domain::login::{Login, LoginRefusal};
use rollcall_domain::mail::Address;
use rollcall_domain::random::Random;
use rollcall_domain::secret::Secret;
use rollcall_domain::session::{Session, SessionHash};
use rollcall_domain::user::Identity;
use rollcall_edge::session::SESSION_COOKIE;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_oidc::OidcError;
use rollcall_runtime::declaration::{Operation, Parameter, RateClass};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::invitations::InvitationAccepter;
use rollcall_store::logins::LoginFinisher;
use rollcall_store::sessions::{EverySessionEnder, SessionEnder, SessionStarter};
use rollcall_store::users::{IdentityLinker, LinkKeeper, UserDirectory};
use rollcall_store::{Capability, PortError};

use crate::account::{self, AccountError};
use crate::answer::{Answer, AnswerError};
use crate::page;
use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
    SITE_URL,
};
use crate::site::{LINK_COOKIE, LOGIN_COOKIE, Site};
use crate::upstream::{self, Upstream};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-callback",
    purpose: "Finishes a sign-in that comes back from the identity provider.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/callback" })],
    rate: RateClass::Credential,
    grants: &[
        LoginFinisher::GRANTS,
        UserDirectory::GRANTS,
        InvitationAccepter::GRANTS,
        LinkKeeper::GRANTS,
        IdentityLinker::GRANTS,
        SessionStarter::GRANTS,
        SessionEnder::GRANTS,
        EverySessionEnder::GRANTS,
        upstream::GRANTS,
    ],
    settings: &[
        &SITE_URL,
        &OIDC_ISSUER,
        &OIDC_CLIENT_ID,
        &OIDC_REDIRECT_URI,
        &OIDC_PROFILE,
        &OIDC_CLIENT_AUTHENTICATION,
    ],
    operation: Operation {
        query: &[
            Parameter {
                name: "code",
                description: "What the provider gives for its tokens, once.",
            },
            Parameter { name: "state", description: "Which sign-in comes back." },
            Parameter { name: "iss", description: "Which provider answers (RFC 9207)." },
            Parameter {
                name: "error",
                description: "Why the provider signed nobody in, instead of a code.",
            },
        ],
        success_status: 303,
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    logins: LoginFinisher,
    upstream: Upstream,
    users: UserDirectory,
    invitations: InvitationAccepter,
    link_keeper: LinkKeeper,
    links: IdentityLinker,
    session_starter: SessionStarter,
    session_ender: SessionEnder,
    every_session_ender: EverySessionEnder,
    site: Site,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            logins: startup.capability()?,
            upstream: Upstream::new(startup)?,
            users: startup.capability()?,
            invitations: startup.capability()?,
            link_keeper: startup.capability()?,
            links: startup.capability()?,
            session_starter: startup.capability()?,
            session_ender: startup.capability()?,
            every_session_ender: startup.capability()?,
            site: Site::new(startup)?,
            random: startup.random(),
        })
    }
}

struct Input {
    answer: Result<Answer, AnswerError>,
    browser: String,
    old_session: Option<SessionHash>,
    waiting: Option<SessionHash>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let old_session = request.cookie(SESSION_COOKIE);
        Ok(Self {
            answer: Answer::read(|name| request.query_parameter(name)),
            browser: request.cookie(LOGIN_COOKIE).unwrap_or_default(),
            old_session: old_session.map(|id| SessionHash::of(&id)),
            waiting: request.cookie(LINK_COOKIE).map(|cookie| SessionHash::of(&cookie)),
        })
    }
}

async fn handle(ports: &Ports, context: &Context, input: Input) -> Result<Response, Problem> {
    let finished = finish(ports, context, input).await;
    Ok(finished.unwrap_or_else(|error| error.page()))
}

async fn finish(ports: &Ports, context: &Context, input: Input) -> Result<Response, CallbackError> {
    let answer = input.answer?;
    let login = ports.logins.take(&answer.state).await?;
    let login = login.ok_or(CallbackError::UnknownLogin)?;
    login.check(&input.browser, context.now)?;
    let (identity, refresh_token) = identify(ports, context, &answer, &login).await?;
    let (now, random) = (context.now, ports.random.as_ref());
    let account = match account::sign_in(&ports.users, &identity, context, random).await {
        Err(AccountError::AddressTaken(taken)) => {
            let (link, cookie) = PendingLink::begin(&identity, &taken, now, random);
            ports.link_keeper.keep(&link, &context.trace_id).await?;
            let page = page::of_account(&AccountError::AddressTaken(taken));
            return Ok(page.with_cookie(LINK_COOKIE, &cookie, LINKING_SECONDS));
        }
        account => account?,
    };
    let user = account.user;
    let link_is_over = match &input.waiting {
        Some(waiting) => account::link(&ports.links, &user.id, waiting, context).await?,
        None => false,
    };
    let mut ended = Vec::new();
    if let Some(old_session) = input.old_session {
        ended.extend(ports.session_ender.end_by_cookie(&old_session).await?);
    }
    if account.roles_changed {
        ended.extend(ports.every_session_ender.end_all(&user.id, now).await?);
    }
    let (session, cookie) = Session::begin(user.id.clone(), user.roles(), now, random);
    let sealed = match &refresh_token {
        Some(token) => {
            let names = (&session.user, &session.id);
            Some(ports.upstream.seal(token, names, now, random).await?)
        }
        None => None,
    };
    ports.session_starter.start(&session, sealed.as_ref(), &context.trace_id).await?;
    if !account::is_unchanged(&ports.users, &user, context).await? {
        ended.extend(ports.session_ender.end(&session.user, &session.id, now).await?);
        ports.upstream.revoke(ended, now).await;
        return Err(CallbackError::Overtaken);
    }
    tracing::info!(user.id = %session.user, "signed in");
    accept_invitation(ports, context, &login, &identity).await;
    ports.upstream.revoke(ended, now).await;
    let response = Response::redirect(303, &ports.site.page(&login.return_path))
        .with_cookie(SESSION_COOKIE, &cookie, SESSION_ABSOLUTE_SECONDS)
        .with_cookie(LOGIN_COOKIE, "", 0);
    Ok(if link_is_over { response.with_cookie(LINK_COOKIE, "", 0) } else { response })
}

/// Accepts the invitation that the sign-in began with. Somebody else's stays open, and so does one that
/// cannot be accepted now: nobody is kept from signing in by it.
async fn accept_invitation(ports: &Ports, context: &Context, login: &Login, identity: &Identity) {
    let address = identity.verified_email().and_then(|email| Address::parse(&email).ok());
    let (Some(invitation), Some(address)) = (&login.invitation, address) else { return };
    match ports.invitations.accept(invitation, &address, context.now).await {
        Ok(true) => tracing::info!("an invitation is accepted"),
        Ok(false) => tracing::info!("an invitation stays as it is"),
        Err(error) => tracing::warn!(error = chain(&error), "an invitation is left open"),
    }
}

/// Who comes back, after every check of OpenID Connect Core §3.1.3.7, and what the provider can be
/// asked again with.
async fn identify(
    ports: &Ports,
    context: &Context,
    answer: &Answer,
    login: &Login,
) -> Result<(Identity, Option<Secret>), CallbackError> {
    let now = context.now;
    let provider = ports.upstream.provider.get(now).await?;
    provider.check_callback_issuer(answer.issuer.as_deref(), now).await?;
    let code = answer.code.expose();
    let tokens = provider.exchange(code, &login.code_verifier, now).await?;
    let (id_token, access_token) = (&tokens.id_token, &tokens.access_token);
    let nonce = Some(login.nonce.as_str());
    let claims = provider.verify_id_token(id_token, nonce, access_token, now).await?;
    let claims = provider.complete(claims, access_token, now).await?;
    Ok((account::identity(claims), tokens.refresh_token))
}

#[derive(Debug, thiserror::Error)]
enum CallbackError {
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("no such sign-in is in flight")]
    UnknownLogin,
    #[error(transparent)]
    Login(#[from] LoginRefusal),
    #[error(transparent)]
    Provider(#[from] OidcError),
    #[error("no account to sign in with: {0}")]
    Account(#[from] AccountError),
    #[error("what the user may do changed meanwhile")]
    Overtaken,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl CallbackError {
    fn page(&self) -> Response {
        match self {
            Self::Answer(error) => error.page(),
            Self::UnknownLogin | Self::Login(_) | Self::Overtaken => {
                tracing::info!(error = %self, "a sign-in is refused");
                page::begin_again()
            }
            Self::Provider(error) => page::of_provider(error),
            Self::Account(error) => page::of_account(error),
            Self::Port(error) => page::of_port(error),
        }
    }
}
