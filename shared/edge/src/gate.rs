//! Who gets through to a handler. Each kind of route has a gate of its own, which finds out who
//! calls, by one credential, and hands the handler exactly what that kind of route promises.

use rollcall_domain::role::Role;
use rollcall_domain::scope::Scope;
use rollcall_domain::session::Session;
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::declaration::{Access, Wrapper};
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::Capability;
use rollcall_store::sessions::SessionReader;
use rollcall_store::users::UserReader;

use crate::bearer::{self, Tokens};
use crate::caller::{Caller, Credential, Operator, Principal, Sender};
use crate::problem::{
    Challenge, FORBIDDEN, INSUFFICIENT_SCOPE, Problem, SESSION_REQUIRED, UNAUTHENTICATED,
    USER_REQUIRED,
};
use crate::request::{Context, HttpRequest};
use crate::session::{ORIGINS, SESSION_COOKIE, Sessions};

const CSRF_GRANTS: &[Grant] = &[Grant::secret(SecretName::CsrfKey)];

/// What knowing sessions needs.
pub(crate) const SESSION_READING: Wrapper =
    Wrapper { grants: &[SessionReader::GRANTS], settings: &[] };
/// What knowing sessions, and that a page of ours sent the request, needs.
pub(crate) const SESSION_CHANGING: Wrapper =
    Wrapper { grants: &[SessionReader::GRANTS, CSRF_GRANTS], settings: &[&ORIGINS] };
/// What knowing callers needs.
pub(crate) const READING: Wrapper =
    Wrapper { grants: &[SessionReader::GRANTS, UserReader::GRANTS], settings: bearer::SETTINGS };
/// What knowing callers, and that a page of ours sent a browser's request, needs.
pub(crate) const CHANGING: Wrapper = Wrapper {
    grants: &[SessionReader::GRANTS, CSRF_GRANTS, UserReader::GRANTS],
    settings: &[
        &ORIGINS,
        &bearer::OIDC_ISSUER,
        &bearer::OIDC_CLIENT_ID,
        &bearer::OIDC_PROFILE,
        &bearer::OIDC_AUDIENCE,
        &bearer::OIDC_MACHINE_CLIENT_IDS,
    ],
};

/// Lets requests through to the handlers of one kind of route.
pub(crate) trait Gate: Sized + 'static {
    /// Whom handlers get to know.
    type Who: 'static;
    /// Whether everybody it lets through has a name.
    const NAMES_ALL: bool;
    /// Whether a request that changes nothing may be handled while it is being counted.
    const OVERLAPS: bool;

    /// The gate of the function that starts.
    fn new(startup: &Startup) -> Result<Self, StartupError>;

    /// Who sent the request, if they may.
    async fn admit(&self, request: &HttpRequest, context: &Context) -> Result<Self::Who, Problem>;

    /// To whom limits and keys belong; `None` for somebody without a name.
    fn name(who: &Self::Who) -> Option<&str>;
}

/// The gate of routes that everybody may call, and that know nobody.
pub(crate) struct Open;

impl Gate for Open {
    type Who = ();
    const NAMES_ALL: bool = false;
    const OVERLAPS: bool = false;

    fn new(_startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self)
    }

    async fn admit(&self, _request: &HttpRequest, _context: &Context) -> Result<(), Problem> {
        Ok(())
    }

    fn name(_who: &()) -> Option<&str> {
        None
    }
}

/// The gate of routes that everybody may call, and that show more to users.
pub(crate) struct Visitors(Credentials);

impl Gate for Visitors {
    type Who = Option<Caller>;
    const NAMES_ALL: bool = false;
    const OVERLAPS: bool = true;

    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Credentials::new(startup).map(Self)
    }

    /// A session that is no more is nobody's. A token that is not good is refused.
    async fn admit(
        &self,
        request: &HttpRequest,
        context: &Context,
    ) -> Result<Option<Caller>, Problem> {
        match self.0.sender(request, context).await {
            Ok(Sender::User(caller)) => Ok(Some(self.0.used(caller, context).await?)),
            Ok(Sender::Machine(_)) => Ok(None),
            Err(problem) if problem.kind == &UNAUTHENTICATED => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    fn name(who: &Option<Caller>) -> Option<&str> {
        who.as_ref().map(Principal::name)
    }
}

/// The gate of routes for users.
pub(crate) struct Users {
    credentials: Credentials,
    role: Option<Role>,
}

impl Gate for Users {
    type Who = Caller;
    const NAMES_ALL: bool = true;
    const OVERLAPS: bool = true;

    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let role = match startup.function().access {
            Access::User => None,
            Access::Role(role) => Some(role),
            Access::Internal | Access::Public | Access::Session | Access::Operator { .. } => {
                return Err(misplaced("a handler for users"));
            }
        };
        Ok(Self { credentials: Credentials::new(startup)?, role })
    }

    async fn admit(&self, request: &HttpRequest, context: &Context) -> Result<Caller, Problem> {
        match self.credentials.sender(request, context).await? {
            Sender::User(caller) => {
                if let Some(role) = self.role {
                    demand(&caller, role)?;
                }
                self.credentials.used(caller, context).await
            }
            Sender::Machine(_) => Err(Problem::new(&USER_REQUIRED)),
        }
    }

    fn name(who: &Caller) -> Option<&str> {
        Some(who.name())
    }
}

/// The gate of routes that are about a browser's session.
pub(crate) struct Browsers(Sessions);

impl Gate for Browsers {
    type Who = Session;
    const NAMES_ALL: bool = true;
    const OVERLAPS: bool = true;

    fn new(startup: &Startup) -> Result<Self, StartupError> {
        if startup.function().access != Access::Session {
            return Err(misplaced("a handler for sessions"));
        }
        Sessions::new(startup).map(Self)
    }

    /// A token is not even looked at: it has no session.
    async fn admit(&self, request: &HttpRequest, context: &Context) -> Result<Session, Problem> {
        if request.has_header("authorization") {
            return Err(Problem::new(&SESSION_REQUIRED));
        }
        let session = self.0.find(request, context).await?;
        self.0.used(session, context).await
    }

    fn name(who: &Session) -> Option<&str> {
        Some(who.name())
    }
}

/// The gate of routes for operators, be they people or machines.
pub(crate) struct Operators {
    credentials: Credentials,
    role: Role,
    scope: Scope,
}

impl Gate for Operators {
    type Who = Operator;
    const NAMES_ALL: bool = true;
    const OVERLAPS: bool = true;

    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let Access::Operator { role, scope } = startup.function().access else {
            return Err(misplaced("a handler for operators"));
        };
        Ok(Self { credentials: Credentials::new(startup)?, role, scope })
    }

    async fn admit(&self, request: &HttpRequest, context: &Context) -> Result<Operator, Problem> {
        match self.credentials.sender(request, context).await? {
            Sender::User(caller) => {
                demand(&caller, self.role)?;
                self.credentials.used(caller, context).await.map(Operator::User)
            }
            Sender::Machine(machine) if machine.scopes.contains(&self.scope) => {
                Ok(Operator::Machine(machine))
            }
            Sender::Machine(_) => {
                let challenge = Challenge::InsufficientScope(self.scope);
                Err(Problem::new(&INSUFFICIENT_SCOPE).with_challenge(challenge))
            }
        }
    }

    fn name(who: &Operator) -> Option<&str> {
        Some(who.name())
    }
}

fn demand(caller: &Caller, role: Role) -> Result<(), Problem> {
    let may = caller.roles.iter().any(|held| held.covers(role));
    if may { Ok(()) } else { Err(Problem::new(&FORBIDDEN)) }
}

fn misplaced(what: &'static str) -> StartupError {
    StartupError::Part { what, source: "the function's access is for others".into() }
}

/// Who sent a request, by whichever credential it carries.
struct Credentials {
    sessions: Sessions,
    tokens: Tokens,
}

impl Credentials {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { sessions: Sessions::new(startup)?, tokens: Tokens::new(startup)? })
    }

    /// A request with a token is about its token; one that names a caller by a session as well is
    /// refused, since whichever counted, somebody would be surprised. No page of another site can
    /// make a browser send a token, so nothing has to prove which page sent it.
    async fn sender(&self, request: &HttpRequest, context: &Context) -> Result<Sender, Problem> {
        let Some(token) = bearer::presented(request)? else {
            let session = self.sessions.find(request, context).await?;
            return Ok(Sender::User(Caller {
                user: session.user.clone(),
                roles: session.roles.clone(),
                credential: Credential::Session(session),
            }));
        };
        let sender = self.tokens.sender(&token, context).await?;
        if request.cookie(SESSION_COOKIE).is_some() {
            return Err(bearer::ambiguous());
        }
        Ok(sender)
    }

    /// The caller after the use of their session, if they came with one.
    async fn used(&self, caller: Caller, context: &Context) -> Result<Caller, Problem> {
        let credential = match caller.credential {
            Credential::Session(session) => {
                Credential::Session(self.sessions.used(session, context).await?)
            }
            token @ Credential::Token { .. } => token,
        };
        Ok(Caller { credential, ..caller })
    }
}
