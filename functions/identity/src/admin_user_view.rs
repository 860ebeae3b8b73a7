//! How administrators see users: what they need to help somebody, and nothing of what users say about
//! themselves.

use rollcall_domain::role::Role;
use rollcall_domain::standing::Standing;
use rollcall_domain::user::User;
use rollcall_edge::Response;
use rollcall_edge::condition::entity_tag;
use rollcall_store::users::LinkedIdentity;
use schemars::JsonSchema;
use serde::Serialize;

/// A user in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedUser")]
pub(crate) struct ListedView {
    /// The user.
    user_id: String,
    /// The name by which others find the user, once chosen.
    username: Option<String>,
    /// The verified e-mail address, if there is one.
    email: Option<String>,
    /// Given name; may be empty.
    given_name: String,
    /// Family name; may be empty.
    family_name: String,
    /// What the user may do: what the provider says and what was granted.
    roles: Vec<&'static str>,
    /// `active`, `suspended` or `leaving`.
    standing: &'static str,
    /// When the account was made (RFC 3339, UTC).
    joined_at: String,
    /// When the user last signed in (RFC 3339, UTC).
    last_seen_at: String,
}

/// All that administrators see of a user.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AdministeredUser")]
pub(crate) struct UserView {
    #[serde(flatten)]
    listed: ListedView,
    /// Since when the account is suspended (RFC 3339, UTC); null when it is not.
    suspended_since: Option<String>,
    /// When the account is erased (RFC 3339, UTC); null when its user did not ask for that.
    erase_at: Option<String>,
    /// Roles from the provider's groups, at the last sign-in.
    provider_roles: Vec<&'static str>,
    /// Roles that an administrator granted.
    granted_roles: Vec<&'static str>,
    /// What the user pays for: `free` or `plus`.
    plan: &'static str,
    /// Whether the organisation vouches for who the user is.
    verified: bool,
    /// The identities that sign in as the user, the one that the account was made for first.
    identities: Vec<IdentityView>,
    /// How many live sessions the user has; a hundred are not counted further.
    sessions: usize,
}

/// A way to sign in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LinkedIdentity")]
struct IdentityView {
    /// The provider.
    issuer: String,
    /// The person at that provider.
    subject: String,
    /// Since when (RFC 3339, UTC).
    linked_at: String,
}

/// A user with the entity tag that a change by an administrator has to name.
pub(crate) fn answer(user: &User, identities: Vec<LinkedIdentity>, sessions: usize) -> Response {
    let view = UserView::new(user, identities, sessions);
    Response::json(200, &view).with_header("etag", &entity_tag(user.desk_version))
}

impl From<&User> for ListedView {
    fn from(user: &User) -> Self {
        Self {
            user_id: user.id.to_string(),
            username: user.username.as_ref().map(ToString::to_string),
            email: user.email.clone(),
            given_name: user.given_name.clone(),
            family_name: user.family_name.clone(),
            roles: names(&user.roles()),
            standing: user.standing.as_str(),
            joined_at: user.joined_at.to_string(),
            last_seen_at: user.last_seen_at.to_string(),
        }
    }
}

impl UserView {
    fn new(user: &User, identities: Vec<LinkedIdentity>, sessions: usize) -> Self {
        let suspended_since = match user.standing {
            Standing::Suspended { since, .. } => Some(since.to_string()),
            Standing::Active | Standing::Leaving { .. } => None,
        };
        Self {
            listed: user.into(),
            suspended_since,
            erase_at: user.standing.erase_at().map(|at| at.to_string()),
            provider_roles: names(&user.provider_roles),
            granted_roles: names(&user.granted_roles),
            plan: user.plan.as_str(),
            verified: user.verified,
            identities: identities.into_iter().map(IdentityView::from).collect(),
            sessions,
        }
    }
}

impl From<LinkedIdentity> for IdentityView {
    fn from(identity: LinkedIdentity) -> Self {
        let LinkedIdentity { issuer, subject, linked_at } = identity;
        Self { issuer, subject, linked_at: linked_at.to_string() }
    }
}

fn names(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.as_str()).collect()
}
