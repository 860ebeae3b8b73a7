//! The account of somebody whom the provider vouches for.

use rollcall_domain::id::UserId;
use rollcall_domain::random::Random;
use rollcall_domain::user::{Identity, User};
use rollcall_edge::Context;
use rollcall_oidc::IdClaims;
use rollcall_store::users::UserDirectory;
use rollcall_store::{PortError, PortErrorClass};

/// How often an account is stored at most, when other sign-ins of the same person come first.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// Who a believed id token is about. Groups that are no roles of ours mean nothing here.
pub(crate) fn identity(claims: IdClaims) -> Identity {
    let groups = claims.groups.iter();
    Identity {
        issuer: claims.issuer,
        subject: claims.subject,
        email: claims.email,
        email_verified: claims.email_verified,
        given_name: claims.given_name.unwrap_or_default(),
        family_name: claims.family_name.unwrap_or_default(),
        roles: groups.filter_map(|group| group.parse().ok()).collect(),
    }
}

/// Somebody who has signed in.
pub(crate) struct SignedIn {
    /// The account.
    pub(crate) user: User,
    /// Whether they may do something else than when they last signed in.
    pub(crate) roles_changed: bool,
}

/// Makes the account of `identity`, or renews what the provider tells about it; `Conflict` when
/// other sign-ins of the same person came first again and again.
pub(crate) async fn sign_in(
    users: &UserDirectory,
    identity: &Identity,
    context: &Context,
    random: &dyn Random,
) -> Result<SignedIn, PortError> {
    let (now, trace_id) = (context.now, context.trace_id.as_str());
    let mut attempt = 1;
    loop {
        let known = users.find_by_identity(&identity.issuer, &identity.subject).await?;
        let (user, roles_changed, stored) = if let Some(known) = known {
            let user = known.clone().sign_in(identity.clone(), now);
            if attempt > 1 && is_told_already(&known, &user) {
                return Ok(SignedIn { user: known, roles_changed: false });
            }
            let stored = users.update(&user, trace_id).await;
            let roles_changed = user.roles != known.roles;
            (user, roles_changed, stored)
        } else {
            let user = User::join(identity.clone(), now, random);
            let stored = users.join(&user, trace_id).await;
            (user, false, stored)
        };
        match stored {
            Ok(()) => return Ok(SignedIn { user, roles_changed }),
            Err(error)
                if error.class == PortErrorClass::Conflict && attempt < STORE_ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Renews what the provider tells about `user`; `None` when there is no such account any more, or the
/// provider speaks of somebody else.
pub(crate) async fn renew(
    users: &UserDirectory,
    user: &UserId,
    identity: &Identity,
    context: &Context,
) -> Result<Option<User>, PortError> {
    let mut attempt = 1;
    loop {
        let known = users.find_by_identity(&identity.issuer, &identity.subject).await?;
        let Some(known) = known.filter(|known| known.id == *user) else {
            return Ok(None);
        };
        let renewed = known.clone().sign_in(identity.clone(), context.now);
        if is_told_already(&known, &renewed) {
            return Ok(Some(known));
        }
        match users.update(&renewed, &context.trace_id).await {
            Ok(()) => return Ok(Some(renewed)),
            Err(error)
                if error.class == PortErrorClass::Conflict && attempt < STORE_ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether what is known already says all that the provider says now.
fn is_told_already(known: &User, user: &User) -> bool {
    let User { last_seen_at, version, .. } = *known;
    let user = User { last_seen_at, version, ..user.clone() };
    user == *known
}
