//! The account of somebody whom the provider vouches for.

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

/// Makes the account of `identity`, or renews what the provider tells about it; `Conflict` when
/// other sign-ins of the same person came first again and again.
pub(crate) async fn sign_in(
    users: &UserDirectory,
    identity: &Identity,
    context: &Context,
    random: &dyn Random,
) -> Result<User, PortError> {
    let (now, trace_id) = (context.now, context.trace_id.as_str());
    let mut attempt = 1;
    loop {
        let known = users.find_by_identity(&identity.issuer, &identity.subject).await?;
        let (user, stored) = if let Some(known) = known {
            let user = known.clone().sign_in(identity.clone(), now);
            if attempt > 1 && is_told_already(&known, &user) {
                return Ok(known);
            }
            let stored = users.update(&user, trace_id).await;
            (user, stored)
        } else {
            let user = User::join(identity.clone(), now, random);
            let stored = users.join(&user, trace_id).await;
            (user, stored)
        };
        match stored {
            Ok(()) => return Ok(user),
            Err(error)
                if error.class == PortErrorClass::Conflict && attempt < STORE_ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the sign-in that came first, a moment ago, said all that this one says.
fn is_told_already(known: &User, user: &User) -> bool {
    let User { last_seen_at, version, .. } = *known;
    let user = User { last_seen_at, version, ..user.clone() };
    user == *known
}
