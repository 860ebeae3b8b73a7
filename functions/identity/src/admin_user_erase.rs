//! Has a user erased who asked for it in another way than by signing in, such as by letter: at once,
//! or after the seven days that [`crate::user_delete`] gives, in which the user may call it off.
//!
//! The order, its entry in the audit log and the mail that tells the user are one transaction. Ordered
//! again it changes nothing; ordered at once it brings forward what was to come. [`crate::user_erase`]
//! carries it out. From the moment of an order at once nobody signs in with the account, and its sessions
//! end here; when this program dies before that, a repetition or `user-erase` ends them.

use std::collections::BTreeMap;

use rollcall_domain::audit::Action;
use rollcall_domain::id::UserId;
use rollcall_domain::role::Role;
use rollcall_domain::standing::StandingRefusal;
use rollcall_domain::user::User;
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, ProblemKind, RateClass};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::personal::{Holding, PersonalReader};
use rollcall_store::sessions::{EverySessionEnder, SessionLister};
use rollcall_store::users::{ErasureArranger, UserDesk};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin_account::{ACCOUNT_MERGED, NoAccount, account, account_id};
use crate::leaving::{Accounts, LeavingError};
use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream::{self, Upstream};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "admin-user-erase",
    purpose: "Has a user erased who asked for it in another way than by signing in.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/admin/users/{id}/erasure" })],
    access: Access::Role(Role::Admin),
    rate: RateClass::Credential,
    grants: &[
        ErasureArranger::GRANTS,
        UserDesk::GRANTS,
        PersonalReader::GRANTS,
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
        success_status: 202,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND, &ACCOUNT_MERGED, &OWN_ACCOUNT, &CONFLICT, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// The administrator would erase themselves, which is a mistake more often than a wish.
static OWN_ACCOUNT: ProblemKind = ProblemKind {
    code: "own-erasure",
    status: 409,
    title: "You cannot order the erasure of your own account.",
    advice: "Leave by DELETE /users/me, or ask another administrator.",
};

struct Ports {
    accounts: Accounts<ErasureArranger>,
    users: UserDesk,
    personal: PersonalReader,
    sessions: SessionLister,
    every_session: EverySessionEnder,
    upstream: Upstream,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            accounts: Accounts::new(startup)?,
            users: startup.capability()?,
            personal: startup.capability()?,
            sessions: startup.capability()?,
            every_session: startup.capability()?,
            upstream: Upstream::new(startup)?,
        })
    }
}

/// How a user is erased.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ErasureOrder")]
struct Body {
    /// Whether that begins at once; else in seven days, until which the user may call it off.
    #[serde(default)]
    at_once: bool,
    /// Whether nothing is done, and only told what would go.
    #[serde(default)]
    dry_run: bool,
}

struct Input {
    id: UserId,
    order: Body,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let id = account_id(request)?;
        let order = if request.has_body() { request.json()? } else { Body::default() };
        Ok(Self { id, order })
    }
}

/// An account that is going to be erased.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OrderedErasure")]
struct Output {
    /// The user.
    user_id: String,
    /// When everything is erased (RFC 3339, UTC).
    erase_at: Option<String>,
    /// Whether nothing was done.
    dry_run: bool,
    /// How many items each table keeps of the user, by its name; in a dry run alone.
    held: Option<BTreeMap<&'static str, usize>>,
}

impl Output {
    fn new(user: &User, held: Option<BTreeMap<&'static str, usize>>) -> Self {
        Self {
            user_id: user.id.to_string(),
            erase_at: user.standing.erase_at().map(|at| at.to_string()),
            dry_run: held.is_some(),
            held,
        }
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { id, order: Body { at_once, dry_run } }: Input,
) -> Result<Response, AdminUserEraseError> {
    if id == caller.user {
        return Err(AdminUserEraseError::Oneself);
    }
    let user = account(&ports.users, &id).await?;
    let leave = |user: User| -> Result<User, StandingRefusal> {
        if at_once {
            return Ok(user.expel_at_once(context.now));
        }
        Ok(user.clone().expel(context.now).unwrap_or(user))
    };
    if dry_run {
        let holdings = ports.personal.everything(&id).await?.into_iter();
        let held = holdings.map(|Holding { table, items }| (table.name(), items.len())).collect();
        let output = Output::new(&leave(user).map_err(LeavingError::Refused)?, Some(held));
        return Ok(Response::json(202, &output));
    }
    let action = Action::ErasureOrdered { at_once };
    let user = ports.accounts.change_of(&id, caller, context, (action, leave)).await?;
    let is_over = at_once || user.standing.erase_at().is_some_and(|at| at <= context.now);
    if is_over && !ports.sessions.list(&id, context.now).await?.is_empty() {
        let ended = ports.every_session.end_all(&id, context.now).await?;
        ports.upstream.revoke(ended, context.now).await;
    }
    tracing::info!(user.id = %id, operator = %caller.user, at_once, "a user is to be erased");
    Ok(Response::json(202, &Output::new(&user, None)))
}

#[derive(Debug, thiserror::Error)]
enum AdminUserEraseError {
    #[error("nobody orders their own erasure")]
    Oneself,
    #[error(transparent)]
    Account(#[from] NoAccount),
    #[error(transparent)]
    Leaving(#[from] LeavingError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AdminUserEraseError> for Problem {
    fn from(error: AdminUserEraseError) -> Self {
        match error {
            AdminUserEraseError::Oneself => Self::new(&OWN_ACCOUNT),
            // Gone between two reads: somebody else's order was carried out.
            AdminUserEraseError::Leaving(LeavingError::Gone) => Self::new(&NOT_FOUND),
            AdminUserEraseError::Account(error) => error.into(),
            AdminUserEraseError::Leaving(LeavingError::Refused(_) | LeavingError::Contended) => {
                Self::new(&CONFLICT)
            }
            AdminUserEraseError::Leaving(LeavingError::Port(error))
            | AdminUserEraseError::Port(error) => Self::port(&error),
        }
    }
}
