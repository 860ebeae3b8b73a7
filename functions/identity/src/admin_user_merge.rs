//! Merges two accounts of one person: the one that the path names survives, and whoever signed in as
//! the other signs in as the survivor from then on.
//!
//! Identities, name, address, roles and profile are merged by one transaction under the versions of
//! both accounts, so of any number of merges at once one has an effect, and the others find it done.
//! The other account's sessions end, and `user-merge` moves the rest: what was learned, connections,
//! pieces of work. A repetition answers how far that is; a dry run answers what the survivor would be.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::id::UserId;
use rollcall_domain::merge::{self, AddressTransfer, MergeRefusal, Merged};
use rollcall_domain::random::Random;
use rollcall_domain::role::Role;
use rollcall_domain::user::User;
use rollcall_edge::condition::{IfMatch, PRECONDITION_FAILED, PRECONDITION_REQUIRED};
use rollcall_edge::problem::{CONFLICT, INVALID, NOT_FOUND};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::sessions::EverySessionEnder;
use rollcall_store::users::{AccountMerger, LinkedIdentity, Merge};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin_user_view::ListedView;
use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream::{self, Upstream};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "admin-user-merge",
    purpose: "Merges an account into another of the same person.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/admin/users/{id}/merge" })],
    access: Access::Role(Role::Admin),
    grants: &[AccountMerger::GRANTS, EverySessionEnder::GRANTS, upstream::GRANTS],
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
        problems: &[
            &NOT_FOUND,
            &NOT_MERGEABLE,
            &MERGED_ELSEWHERE,
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

/// The two accounts stay two.
static NOT_MERGEABLE: ProblemKind = ProblemKind {
    code: "not-mergeable",
    status: 409,
    title: "These accounts cannot be merged.",
    advice: "The detail says why: settle that first, or ask another administrator.",
};

/// The account is a part of another one already.
static MERGED_ELSEWHERE: ProblemKind = ProblemKind {
    code: "merged-elsewhere",
    status: 409,
    title: "The account was merged into another one.",
    advice: "Look the person up at /admin/users.",
};

/// How often a merge is decided anew when one of the two accounts changes at the same moment.
const ATTEMPTS_MAX: u32 = 5;

struct Ports {
    accounts: AccountMerger,
    sessions: EverySessionEnder,
    upstream: Upstream,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            accounts: startup.capability()?,
            sessions: startup.capability()?,
            upstream: Upstream::new(startup)?,
            random: startup.random(),
        })
    }
}

/// Which account is merged into the one that the path names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UserMerge")]
struct Body {
    /// The id of the account that ends.
    from: String,
    /// Whether nothing is done, and only told what the survivor would be.
    #[serde(default)]
    dry_run: bool,
}

struct Input {
    into: UserId,
    from: UserId,
    dry_run: bool,
    if_match: IfMatch,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let into = request.path_parameter("id").parse();
        let into = into.map_err(|_error| Problem::new(&NOT_FOUND))?;
        let if_match = IfMatch::from_request(request)?;
        let Body { from, dry_run } = request.json()?;
        let from = from.parse::<UserId>();
        let from = from.map_err(|error| Problem::invalid("/from", "invalid-id", &error))?;
        Ok(Self { into, from, dry_run, if_match })
    }
}

/// A merge.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MergedUser")]
struct Output {
    /// The survivor.
    user_id: String,
    /// The account that ended.
    from: String,
    /// `merging` until all that the account had is the survivor's, then `merged`; `would-merge` in a
    /// dry run.
    status: &'static str,
    /// What the survivor would be; in a dry run alone.
    outlook: Option<Outlook>,
}

/// What the survivor of a merge would be.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MergeOutlook")]
struct Outlook {
    /// The survivor.
    survivor: ListedView,
    /// How many identities would sign in as the survivor.
    identities: u32,
    /// What becomes of the other account's address: `none` if it has none, `released` where the survivor
    /// has an address, `taken` where it becomes the survivor's.
    address: &'static str,
    /// Whether the survivor's sessions would end, too, since they may do something else from then on.
    rights_change: bool,
}

impl Outlook {
    fn new(survivor: &User, merged: &Merged) -> Self {
        Self {
            survivor: ListedView::from(&merged.user),
            identities: merged.user.identities,
            address: match merged.address {
                AddressTransfer::None => "none",
                AddressTransfer::Released(_) => "released",
                AddressTransfer::Taken(_) => "taken",
            },
            rights_change: merged.user.roles() != survivor.roles(),
        }
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, AdminUserMergeError> {
    let (into, from) = (input.into.clone(), input.from.clone());
    let now = context.now;
    if input.dry_run {
        let outlook = Some(outlook(ports, caller, context, &input).await?);
        let status = "would-merge";
        let output = Output { user_id: into.into(), from: from.into(), status, outlook };
        return Ok(Response::json(202, &output));
    }
    let done = merge(ports, caller, context, &input).await?;
    // What a request that died leaves of sessions, `user-merge` ends.
    if done.is_new {
        let mut ended = ports.sessions.end_all(&from, now).await?;
        if done.rights_changed {
            ended.extend(ports.sessions.end_all(&into, now).await?);
        }
        ports.upstream.revoke(ended, now).await;
    }
    let status = if done.is_finished { "merged" } else { "merging" };
    let output = Output { user_id: into.into(), from: from.into(), status, outlook: None };
    Ok(Response::json(202, &output))
}

/// What a merge has come to.
struct Done {
    /// Whether this request merged.
    is_new: bool,
    is_finished: bool,
    rights_changed: bool,
}

/// Reads, decides and stores.
async fn merge(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { into, from, if_match, .. }: &Input,
) -> Result<Done, AdminUserMergeError> {
    for _attempt in 0..ATTEMPTS_MAX {
        let survivor = ports.accounts.find(into).await?.ok_or(AdminUserMergeError::NotFound)?;
        let Some(other) = ports.accounts.find(from).await? else {
            let tombstone = ports.accounts.tombstone(from).await?;
            let tombstone = tombstone.ok_or(AdminUserMergeError::UnknownUser)?;
            if tombstone.into != *into {
                return Err(AdminUserMergeError::Elsewhere);
            }
            let is_finished = tombstone.is_finished;
            return Ok(Done { is_new: false, is_finished, rights_changed: false });
        };
        if_match.check(survivor.desk_version).map_err(AdminUserMergeError::Condition)?;
        if let Some(done) = store(ports, caller, context, (&survivor, &other)).await? {
            tracing::info!(user.id = %into, operator = %caller.user, "an account was merged");
            return Ok(done);
        }
    }
    Err(AdminUserMergeError::Contended)
}

/// What a merge would come to, as the accounts are now.
async fn outlook(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { into, from, if_match, .. }: &Input,
) -> Result<Outlook, AdminUserMergeError> {
    let survivor = ports.accounts.find(into).await?.ok_or(AdminUserMergeError::NotFound)?;
    let other = ports.accounts.find(from).await?.ok_or(AdminUserMergeError::UnknownUser)?;
    if_match.check(survivor.desk_version).map_err(AdminUserMergeError::Condition)?;
    let (merged, _) = decide(ports, caller, context, (&survivor, &other)).await?;
    Ok(Outlook::new(&survivor, &merged))
}

/// What becomes of two accounts as they were read, and who signs in as the one that ends.
async fn decide(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    (survivor, other): (&User, &User),
) -> Result<(Merged, Vec<LinkedIdentity>), AdminUserMergeError> {
    let identities = ports.accounts.identities(other).await?;
    let claim = ports.accounts.claim(other).await?;
    let count = u32::try_from(identities.len()).unwrap_or(u32::MAX);
    let had = (count, claim.as_ref());
    let merged = merge::accounts(survivor, other, had, &caller.user, context.now)?;
    Ok((merged, identities))
}

/// Merges two accounts as they were read; `None` when one of them changed in between.
async fn store(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    (survivor, other): (&User, &User),
) -> Result<Option<Done>, AdminUserMergeError> {
    let (merged, identities) = decide(ports, caller, context, (survivor, other)).await?;
    let entry = |action: Action, subject: &UserId| {
        let told = (Actor::User(caller.user.clone()), action, Subject::User(subject.clone()));
        Entry::new(told, &context.trace_id, context.now, ports.random.as_ref())
    };
    let entries = [
        entry(Action::AccountAbsorbed { from: other.id.clone() }, &survivor.id),
        entry(Action::MergedInto { into: survivor.id.clone() }, &other.id),
    ];
    let order = Merge {
        from: other,
        identities: &identities,
        merged: &merged,
        entries: &entries,
        trace_id: &context.trace_id,
    };
    match ports.accounts.merge(&order, ports.random.as_ref()).await {
        Ok(()) => {
            let rights_changed = merged.user.roles() != survivor.roles();
            Ok(Some(Done { is_new: true, is_finished: false, rights_changed }))
        }
        Err(error) if error.class == PortErrorClass::Conflict => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, thiserror::Error)]
enum AdminUserMergeError {
    #[error("no such user")]
    NotFound,
    #[error("no such user to merge")]
    UnknownUser,
    #[error("the account was merged into another one")]
    Elsewhere,
    #[error("the request is about another version")]
    Condition(Problem),
    #[error(transparent)]
    Refused(#[from] MergeRefusal),
    #[error("too many changes of the accounts")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<AdminUserMergeError> for Problem {
    fn from(error: AdminUserMergeError) -> Self {
        match error {
            AdminUserMergeError::NotFound => Self::new(&NOT_FOUND),
            AdminUserMergeError::UnknownUser => {
                Self::invalid("/from", "unknown-user", &"is nobody's id")
            }
            AdminUserMergeError::Elsewhere => Self::new(&MERGED_ELSEWHERE),
            AdminUserMergeError::Condition(problem) => problem,
            AdminUserMergeError::Refused(MergeRefusal::SameAccount) => {
                Self::invalid("/from", "same-account", &MergeRefusal::SameAccount)
            }
            AdminUserMergeError::Refused(
                refusal @ (MergeRefusal::Oneself
                | MergeRefusal::NotInUse
                | MergeRefusal::TooManyIdentities),
            ) => Self::new(&NOT_MERGEABLE).with_detail(refusal.to_string()),
            AdminUserMergeError::Contended => Self::new(&CONFLICT),
            AdminUserMergeError::Port(error) => Self::port(&error),
        }
    }
}
