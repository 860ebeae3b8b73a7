//! The account of somebody who has just signed up at the provider. Their first sign-in would make it
//! too; made here, it is there even for those who close the page.

use rollcall_domain::id::UserId;
use rollcall_domain::random::Random;
use rollcall_domain::time::Timestamp;
use rollcall_domain::user::{AddressTaken, Identity, User};
use rollcall_store::users::UserJoiner;
use rollcall_store::{PortError, PortErrorClass};
use serde::{Deserialize, Serialize};

/// How often an account is stored at most, when others come first.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// Somebody who has signed up, as the provider vouches for them. Not printable: it is personal.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Newcomer {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) email: Option<String>,
    pub(crate) email_verified: bool,
    pub(crate) given_name: String,
    pub(crate) family_name: String,
}

impl From<Newcomer> for Identity {
    /// Groups are not known before the first sign-in, so there are no roles.
    fn from(newcomer: Newcomer) -> Self {
        let Newcomer { issuer, subject, email, email_verified, given_name, family_name } = newcomer;
        Self { issuer, subject, email, email_verified, given_name, family_name, roles: Vec::new() }
    }
}

/// What became of a newcomer.
#[derive(Debug)]
pub(crate) enum Welcome {
    /// Their account is made.
    Made(UserId),
    /// They had one.
    Known,
    /// Somebody has an account with their address; their first sign-in leads on from there.
    AddressTaken,
}

/// Makes the account of `newcomer` unless there is one. An account that exists is left alone: only a
/// sign-in tells the groups, and this must not take them away.
pub(crate) async fn welcome(
    users: &UserJoiner,
    newcomer: Newcomer,
    (now, trace_id): (Timestamp, &str),
    random: &dyn Random,
) -> Result<Welcome, PortError> {
    let identity = Identity::from(newcomer);
    let mut attempt = 1;
    loop {
        if users.find_by_identity(&identity.issuer, &identity.subject).await?.is_some() {
            return Ok(Welcome::Known);
        }
        let owner = match identity.verified_email() {
            Some(address) => users.owner(&address).await?,
            None => None,
        };
        let joined = match User::join(identity.clone(), owner.as_ref(), now, random) {
            Ok(joined) => joined,
            Err(AddressTaken { .. }) => return Ok(Welcome::AddressTaken),
        };
        match users.join(&joined, trace_id).await {
            Ok(()) => return Ok(Welcome::Made(joined.user.id)),
            Err(error)
                if error.class == PortErrorClass::Conflict && attempt < STORE_ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
