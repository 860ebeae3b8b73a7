//! The account of somebody whom the provider vouches for.

use futures::future::try_join;
use rollcall_domain::id::UserId;
use rollcall_domain::random::Random;
use rollcall_domain::session::SessionHash;
use rollcall_domain::standing::Closed;
use rollcall_domain::time::Timestamp;
use rollcall_domain::user::{AddressChange, AddressTaken, Identity, SignedIn, User};
use rollcall_edge::Context;
use rollcall_oidc::IdClaims;
use rollcall_runtime::metrics::{self, Metric};
use rollcall_store::users::{IdentityLinker, UserDirectory};
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

/// Somebody who is signing in.
pub(crate) struct Account {
    /// The account.
    pub(crate) user: User,
    /// Whether they may do something else than when they last signed in.
    pub(crate) roles_changed: bool,
}

/// Why an identity that the provider vouches for signs nobody in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error(transparent)]
    Closed(#[from] Closed),
    #[error(transparent)]
    AddressTaken(#[from] AddressTaken),
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Makes the account of `identity`, or renews what the provider tells about it; `Conflict` when
/// other sign-ins of the same person came first again and again.
pub(crate) async fn sign_in(
    users: &UserDirectory,
    identity: &Identity,
    context: &Context,
    random: &dyn Random,
) -> Result<Account, AccountError> {
    let (now, trace_id) = (context.now, context.trace_id.as_str());
    let mut attempt = 1;
    loop {
        let (known, owner) = look_up(users, identity).await?;
        let (signed_in, roles_changed, stored) = if let Some(known) = known {
            let signed_in = known.clone().sign_in(identity.clone(), owner.as_ref(), now)?;
            if attempt > 1 && is_told_already(&known, &signed_in) {
                return Ok(Account { user: known, roles_changed: false });
            }
            let stored = users.update(&signed_in, trace_id).await;
            let roles_changed = signed_in.user.roles() != known.roles();
            (signed_in, roles_changed, stored)
        } else {
            let signed_in = User::join(identity.clone(), owner.as_ref(), now, random)?;
            let stored = users.join(&signed_in, trace_id).await;
            (signed_in, false, stored)
        };
        match stored {
            Ok(()) => {
                tell(&signed_in, now);
                return Ok(Account { user: signed_in.user, roles_changed });
            }
            Err(error)
                if error.class == PortErrorClass::Conflict && attempt < STORE_ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Renews what the provider tells about `user`; `None` when there is no such account any more, it is
/// closed, or the provider speaks of somebody else.
pub(crate) async fn renew(
    users: &UserDirectory,
    user: &UserId,
    identity: &Identity,
    (now, trace_id): (Timestamp, &str),
) -> Result<Option<User>, PortError> {
    let mut attempt = 1;
    loop {
        let (known, owner) = look_up(users, identity).await?;
        let Some(known) = known.filter(|known| known.id == *user) else {
            return Ok(None);
        };
        let Ok(renewed) = known.clone().sign_in(identity.clone(), owner.as_ref(), now) else {
            return Ok(None);
        };
        if is_told_already(&known, &renewed) {
            return Ok(Some(known));
        }
        match users.update(&renewed, trace_id).await {
            Ok(()) => {
                tell(&renewed, now);
                return Ok(Some(renewed.user));
            }
            Err(error)
                if error.class == PortErrorClass::Conflict && attempt < STORE_ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes the identity that waits in this browser, if there is one, `user`'s, who has just signed in;
/// whether nothing waits any more. An identity that waits for somebody else goes on waiting.
pub(crate) async fn link(
    links: &IdentityLinker,
    user: &UserId,
    waiting: &SessionHash,
    context: &Context,
) -> Result<bool, PortError> {
    let mut attempt = 1;
    loop {
        let Some(link) = links.pending(waiting).await? else { return Ok(true) };
        if links.owner(&link).await?.is_some() {
            return Ok(true);
        }
        let Some(known) = links.find(user).await? else { return Ok(false) };
        let linked = match known.link(&link, context.now) {
            Ok(linked) => linked,
            Err(refusal) => {
                tracing::info!(user.id = %user, %refusal, "an identity is not linked");
                return Ok(false);
            }
        };
        match links.link(&linked, &link, context.now, &context.trace_id).await {
            Ok(()) => {
                tracing::info!(user.id = %user, identities = linked.identities, "an identity is linked");
                return Ok(true);
            }
            Err(error)
                if error.class == PortErrorClass::Conflict && attempt < STORE_ATTEMPTS_MAX =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether somebody for whom a session has just begun may still have it.
///
/// Whoever suspends a user, or changes their roles, stores that first and ends the sessions then. A
/// session that begins after that end is seen by nobody else, so whoever begins one looks once more.
pub(crate) async fn is_unchanged(
    users: &UserDirectory,
    user: &User,
    context: &Context,
) -> Result<bool, PortError> {
    let now = users.find(&user.id).await?;
    Ok(now.is_some_and(|now| {
        now.standing.check_open(context.now).is_ok() && now.roles() == user.roles()
    }))
}

/// The user that an identity names, and whose its verified address is.
///
/// A first sign-in writes the identity and its address in one transaction, which may fall between
/// the two reads: so an identity without a user, whose address has an owner, is read once more.
async fn look_up(
    users: &UserDirectory,
    identity: &Identity,
) -> Result<(Option<User>, Option<UserId>), PortError> {
    let address = identity.verified_email();
    let owner = async {
        match &address {
            Some(address) => users.owner(address).await,
            None => Ok(None),
        }
    };
    let known = || users.find_by_identity(&identity.issuer, &identity.subject);
    let (user, owner) = try_join(known(), owner).await?;
    match (user, owner) {
        (None, Some(owner)) => Ok((known().await?, Some(owner))),
        read => Ok(read),
    }
}

/// Whether what is known already says all that the provider says now.
fn is_told_already(known: &User, signed_in: &SignedIn) -> bool {
    let User { last_seen_at, version, .. } = *known;
    let user = User { last_seen_at, version, ..signed_in.user.clone() };
    let address_stays = match &signed_in.address {
        AddressChange::Kept | AddressChange::Refused => true,
        AddressChange::Claimed { .. } => false,
    };
    address_stays && user == *known
}

/// An operator has to know of addresses that two users have at the provider.
fn tell(signed_in: &SignedIn, now: Timestamp) {
    if signed_in.address == AddressChange::Refused {
        let user = &signed_in.user.id;
        tracing::warn!(user.id = %user, "the provider's address is another user's, the old one stays");
        metrics::emit(now, &[(Metric::AddressesRefused, 1.0)]);
    }
}
