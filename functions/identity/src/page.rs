//! What a person reads when a sign-in does not work.
//!
//! Browsers come here by navigation, so nobody gets JSON; every page offers to sign in again. The
//! words are ours: a text of the provider's could say anything, in our name.

use rollcall_domain::port::PortError;
use rollcall_domain::standing::Closed;
use rollcall_edge::{Problem, Response};
use rollcall_oidc::{ErrorClass, OidcError};
use rollcall_runtime::invocation::chain;

use crate::account::AccountError;

/// How long a browser waits before it tries a provider again that was away.
const RETRY_AFTER_SECONDS: &str = "30";

/// The sign-in cannot be finished; a new one can.
pub(crate) fn begin_again() -> Response {
    Response::page(
        400,
        "This sign-in is no longer valid",
        "It was finished already, took longer than ten minutes, or was begun in another browser \
         or tab. Please sign in again.",
    )
}

/// Newcomers are not sent to the sign-up form at the moment.
pub(crate) fn sign_up_closed() -> Response {
    Response::page(
        403,
        "New accounts are not open right now",
        "Please come back later. If you have an account already, you can sign in as always.",
    )
}

/// The page for a failure of the provider, which is logged here.
pub(crate) fn of_provider(error: &OidcError) -> Response {
    let (class, text) = (error.class(), chain(error));
    match class {
        ErrorClass::Caller => {
            tracing::info!(?class, error = text, "a sign-in is refused");
            begin_again()
        }
        ErrorClass::ProviderUnavailable => {
            tracing::error!(?class, error = text, "the identity provider does not answer");
            away()
        }
        ErrorClass::ProviderMisbehaving | ErrorClass::Misconfigured => {
            tracing::error!(?class, error = text, "the identity provider cannot be used");
            broken()
        }
    }
}

/// The page for somebody whom the provider signed in and we do not.
pub(crate) fn of_account(error: &AccountError) -> Response {
    match error {
        AccountError::Closed(Closed::Suspended) => {
            tracing::info!(%error, "nobody is signed in");
            Response::page(
                403,
                "Your account is suspended",
                "You cannot sign in with it at the moment. If you think that this is a mistake, \
                 please write to us.",
            )
        }
        AccountError::Closed(Closed::Erasing) => {
            tracing::info!(%error, "nobody is signed in");
            Response::page(
                403,
                "Your account is being deleted",
                "You asked us to delete it, and the time to change your mind is over. You can join \
                 again tomorrow.",
            )
        }
        AccountError::AddressTaken(_) => {
            tracing::info!(%error, "nobody is signed in");
            Response::page(
                409,
                "You already have an account",
                "There is an account with your e-mail address already. Please sign in the way you \
                 did before, in this browser and within ten minutes; from then on, both ways lead \
                 to your account.",
            )
        }
        AccountError::Port(error) => of_port(error),
    }
}

/// The page for somebody who comes with an invitation that was accepted, or that nobody knows.
pub(crate) fn no_invitation() -> Response {
    Response::page_with_link(
        410,
        (
            "This invitation cannot be used any more",
            "It was used already, or a newer one has taken its place. If you have an account, sign \
             in. If not, you can sign up without an invitation.",
        ),
        ("/auth/signup", "Sign up"),
    )
}

/// The page for somebody who comes too late; the link sends a new invitation.
pub(crate) fn expired_invitation(renewal_path: &str) -> Response {
    Response::page_with_link(
        410,
        (
            "This invitation has expired",
            "It was good for seven days. We can send a new one to the same address.",
        ),
        (renewal_path, "Send me a new invitation"),
    )
}

/// The page after a new invitation was asked for.
pub(crate) fn invitation_renewed() -> Response {
    Response::page_with_link(
        202,
        (
            "Please look into your mail",
            "A new invitation is on its way, unless one was sent in the last ten minutes. Only the \
             newest one can be used.",
        ),
        ("/auth/login", "Sign in"),
    )
}

/// The page for a failure of a service of ours, which is logged on the way.
pub(crate) fn of_port(error: &PortError) -> Response {
    match Problem::port(error).retry_after_seconds {
        Some(_) => away(),
        None => broken(),
    }
}

fn away() -> Response {
    Response::page(
        503,
        "You cannot sign in right now",
        "A service that signing in needs does not answer. Please try again in a minute.",
    )
    .with_header("retry-after", RETRY_AFTER_SECONDS)
}

fn broken() -> Response {
    Response::page(
        500,
        "You cannot sign in right now",
        "Something went wrong on our side and has been reported. Please try again later.",
    )
}
