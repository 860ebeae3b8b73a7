//! The account that a route of administrators names by its id.

use rollcall_domain::id::UserId;
use rollcall_domain::user::User;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{FromRequest, HttpRequest, Problem};
use rollcall_runtime::declaration::ProblemKind;
use rollcall_store::PortError;
use rollcall_store::users::UserDesk;

/// There is an account, of another id.
pub(crate) static ACCOUNT_MERGED: ProblemKind = ProblemKind {
    code: "account-merged",
    status: 410,
    title: "The account was merged into another one.",
    advice: "The detail is the id of the other one.",
};

/// The `id` of a path, for routes that need nothing else. What cannot be one is not found.
pub(crate) struct AccountInput(pub(crate) UserId);

impl FromRequest for AccountInput {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        account_id(request).map(Self)
    }
}

/// The `id` of a path. What cannot be one is not found, as what does not exist.
pub(crate) fn account_id(request: &HttpRequest) -> Result<UserId, Problem> {
    request.path_parameter("id").parse().map_err(|_invalid| Problem::new(&NOT_FOUND))
}

/// The account, or where it went.
pub(crate) async fn account(users: &UserDesk, id: &UserId) -> Result<User, NoAccount> {
    match users.find(id).await? {
        Some(user) => Ok(user),
        None => Err(users.merged_into(id).await?.map_or(NoAccount::NotFound, NoAccount::Merged)),
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAccount {
    #[error("no such user")]
    NotFound,
    #[error("the account was merged into {0}")]
    Merged(UserId),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<NoAccount> for Problem {
    fn from(error: NoAccount) -> Self {
        match error {
            NoAccount::NotFound => Self::new(&NOT_FOUND),
            NoAccount::Merged(into) => Self::new(&ACCOUNT_MERGED).with_detail(into),
            NoAccount::Port(error) => Self::port(&error),
        }
    }
}
