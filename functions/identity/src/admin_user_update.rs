//! Changes what an administrator decides about a user: granted roles, suspension, plan, and whether
//! the organisation vouches for them; for the version that the administrator saw.
//!
//! What was changed is stored together with its entries in the audit log, and only then the user's
//! sessions end: nobody who signs in between gets old rights, and a session that begins at the same
//! moment looks once more (`account::is_unchanged`). When this program dies between the two, a
//! repetition finds nothing to change and ends the sessions all the same.

use std::sync::Arc;

use futures::future::try_join;
use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::desk::{Administered, DeskEdit, DeskRefusal};
use rollcall_domain::id::UserId;
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_domain::user::{Plan, User};
use rollcall_edge::condition::{IfMatch, PRECONDITION_FAILED, PRECONDITION_REQUIRED};
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::sessions::{EverySessionEnder, SessionLister};
use rollcall_store::users::{UserAdministrator, UserDesk};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin_user_view::{self, UserView};
use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream::{self, Upstream};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "admin-user-update",
    purpose: "Changes what an administrator decides about a user.",
    triggers: &[Trigger::Http(Route { method: Method::Patch, path: "/admin/users/{id}" })],
    access: Access::Role(Role::Admin),
    grants: &[
        UserAdministrator::GRANTS,
        UserDesk::GRANTS,
        SessionLister::GRANTS,
        EverySessionEnder::GRANTS,
        upstream::GRANTS,
    ],
    settings: &[
        &OIDC_ISSUER,
        &OIDC_CLIENT_ID,
        &OIDC_REDIRECT_URI,
        &OIDC_PROFILE,
        &OIDC_CLIENT_AUTHENTICATION,
    ],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 200,
        response: Some(schema::<UserView>),
        problems: &[
            &NOT_FOUND,
            &ONESELF,
            &CONFLICT,
            &PRECONDITION_FAILED,
            &INVALID,
            &PRECONDITION_REQUIRED,
        ],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// The administrator would lock themselves out.
static ONESELF: ProblemKind = ProblemKind {
    code: "own-account",
    status: 409,
    title: "You cannot suspend yourself or take your own roles away.",
    advice: "Ask another administrator.",
};

/// How often a change is decided anew when the user signs in or is changed at the same moment.
const ATTEMPTS_MAX: u32 = 5;

struct Ports {
    users: UserAdministrator,
    desk: UserDesk,
    sessions: SessionLister,
    every_session: EverySessionEnder,
    upstream: Upstream,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            users: startup.capability()?,
            desk: startup.capability()?,
            sessions: startup.capability()?,
            every_session: startup.capability()?,
            upstream: Upstream::new(startup)?,
            random: startup.random(),
        })
    }
}

/// What is left out stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UserDeskPatch")]
struct Body {
    /// The granted roles, all of them: `admin`, `instructor`, `recruiter`. Those that the provider
    /// gives are not changed here.
    #[serde(default)]
    granted_roles: Option<Vec<String>>,
    /// Whether the account is suspended.
    #[serde(default)]
    suspended: Option<bool>,
    /// What the user pays for: `free` or `plus`.
    #[serde(default)]
    plan: Option<String>,
    /// Whether the organisation vouches for who the user is.
    #[serde(default)]
    verified: Option<bool>,
}

struct Input {
    id: UserId,
    if_match: IfMatch,
    edit: DeskEdit,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = request.path_parameter("id").parse();
        let id = id.map_err(|_error| Problem::new(&NOT_FOUND))?;
        let if_match = IfMatch::from_request(request)?;
        // The parser would take an array for an object whose members come without their names.
        if request.body().trim_ascii_start().starts_with(b"[") {
            return Err(Problem::invalid("", "invalid", &"must be an object"));
        }
        let body = request.json::<Body>()?;
        let edit = DeskEdit {
            granted_roles: body.granted_roles.map(roles).transpose()?,
            suspended: body.suspended,
            plan: body.plan.map(|plan| plan_of(&plan)).transpose()?,
            verified: body.verified,
        };
        Ok(Self { id, if_match, edit })
    }
}

fn roles(names: Vec<String>) -> Result<Vec<Role>, Problem> {
    let role = |(index, name): (usize, String)| {
        let pointer = format!("/granted_roles/{index}");
        name.parse::<Role>().map_err(|error| Problem::invalid(pointer, "unknown-role", &error))
    };
    names.into_iter().enumerate().map(role).collect()
}

fn plan_of(name: &str) -> Result<Plan, Problem> {
    let known = [Plan::Free, Plan::Plus].into_iter().find(|plan| plan.as_str() == name);
    known.ok_or_else(|| Problem::invalid("/plan", "unknown-plan", &"must be free or plus"))
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, AdminUserUpdateError> {
    let Input { id, if_match, edit } = input;
    let administered = store(ports, caller, context, (&id, &if_match, &edit)).await?;
    let Administered { user, rights_changed, .. } = administered;
    let sessions = ports.sessions.list(&id, context.now).await?;
    let is_current = |roles: &[Role]| !user.standing.is_suspended() && roles == user.roles();
    if rights_changed || sessions.iter().any(|session| !is_current(&session.roles)) {
        let ended = ports.every_session.end_all(&id, context.now).await?;
        tracing::info!(user.id = %id, sessions = ended.len(), "what a user may do has changed");
        ports.upstream.revoke(ended, context.now).await;
    }
    let (identities, sessions) =
        try_join(ports.desk.identities(&user), ports.sessions.list(&id, context.now)).await?;
    Ok(admin_user_view::answer(&user, identities, sessions.len()))
}

/// Reads, decides and stores.
async fn store(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    (id, if_match, edit): (&UserId, &IfMatch, &DeskEdit),
) -> Result<Administered, AdminUserUpdateError> {
    let (now, trace_id) = (context.now, context.trace_id.as_str());
    for _attempt in 0..ATTEMPTS_MAX {
        let user = ports.users.find(id).await?.ok_or(AdminUserUpdateError::NotFound)?;
        if_match.check(user.desk_version).map_err(AdminUserUpdateError::Condition)?;
        let administered = user.administer(&caller.user, edit, now)?;
        if administered.actions.is_empty() {
            return Ok(administered);
        }
        let entries: Vec<Entry> = administered
            .actions
            .iter()
            .map(|action| {
                let told =
                    (Actor::User(caller.user.clone()), action.clone(), Subject::User(id.clone()));
                Entry::new(told, trace_id, now, &*ports.random)
            })
            .collect();
        match ports.users.store(&administered.user, &entries, now, trace_id).await {
            Ok(()) => {
                tell(&administered.user, &administered.actions, caller);
                return Ok(administered);
            }
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AdminUserUpdateError::Contended)
}

fn tell(user: &User, actions: &[Action], caller: &Caller) {
    for action in actions {
        let (user, action) = (&user.id, action.name());
        tracing::info!(user.id = %user, operator = %caller.user, action, "a user was changed");
    }
}

#[derive(Debug, thiserror::Error)]
enum AdminUserUpdateError {
    #[error("no such user")]
    NotFound,
    #[error("the request is about another version")]
    Condition(Problem),
    #[error(transparent)]
    Refused(#[from] DeskRefusal),
    #[error("too many changes of one user")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AdminUserUpdateError> for Problem {
    fn from(error: AdminUserUpdateError) -> Self {
        match error {
            AdminUserUpdateError::NotFound => Self::new(&NOT_FOUND),
            AdminUserUpdateError::Condition(problem) => problem,
            AdminUserUpdateError::Refused(DeskRefusal::Oneself) => Self::new(&ONESELF),
            AdminUserUpdateError::Refused(DeskRefusal::Standing(_))
            | AdminUserUpdateError::Contended => Self::new(&CONFLICT),
            AdminUserUpdateError::Port(error) => Self::port(&error),
        }
    }
}
