//! Begins the sign-in of somebody who has no account yet: the browser goes to the provider's sign-up
//! form and comes back, like after any sign-in, to `auth-callback` (`departure.rs`). While the flag
//! `sign-up` is closed, they read so.
//!
//! Whoever comes with an invitation finds their address filled in, and the invitation is remembered
//! with the sign-in; it is accepted when they come back with that address verified. Whoever comes with
//! one that has expired is offered a new one. That link does what asking for an account does
//! (`auth-claim`), for the invited address alone, and so at most once in ten minutes.

use std::sync::Arc;

use rollcall_domain::flag::SIGN_UP;
use rollcall_domain::id::ClaimId;
use rollcall_domain::invitation::{InvitationHash, InvitationRefusal};
use rollcall_domain::random::Random;
use rollcall_domain::secret::Secret;
use rollcall_edge::{Context, Flags, FromRequest, HttpRequest, Problem, Response};
use rollcall_oidc::Entrance;
use rollcall_runtime::declaration::{Operation, Parameter, RateClass};
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::invitations::{ClaimWriter, InvitationReader};
use rollcall_store::{Capability, PortError};

use crate::departure::{self, Departure, Guest, REDIRECT_URL};
use crate::page;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-signup",
    purpose: "Sends somebody who is new to the identity provider's sign-up form.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/signup" })],
    rate: RateClass::Credential,
    grants: &[departure::GRANTS, Flags::GRANTS, InvitationReader::GRANTS, ClaimWriter::GRANTS],
    settings: departure::SETTINGS,
    operation: Operation {
        query: &[
            REDIRECT_URL,
            Parameter { name: "invitation", description: "The token of an invitation." },
            Parameter {
                name: "renew",
                description: "true to have a new invitation sent in place of one that has expired.",
            },
        ],
        success_status: 302,
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::public(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::PUBLIC
};

struct Ports {
    departure: Departure,
    flags: Flags,
    invitations: InvitationReader,
    claims: ClaimWriter,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            departure: Departure::new(startup)?,
            flags: Flags::new(startup)?,
            invitations: startup.capability()?,
            claims: startup.capability()?,
            random: startup.random(),
        })
    }
}

struct Input {
    redirect_url: Option<String>,
    invitation: Option<Secret>,
    renew: bool,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self {
            redirect_url: request.query_parameter("redirect_url"),
            invitation: request.query_parameter("invitation").map(Secret::new),
            renew: request.query_parameter("renew").as_deref() == Some("true"),
        })
    }
}

async fn handle(ports: &Ports, context: &Context, input: Input) -> Result<Response, Problem> {
    // Whoever is invited can come later: an invitation is not used up here.
    if !ports.flags.is_open(&SIGN_UP, None, context.now).await {
        return Ok(page::sign_up_closed());
    }
    let asked = input.redirect_url.as_deref();
    let guest = match &input.invitation {
        None => None,
        Some(token) => match welcome(ports, context, token, input.renew).await {
            Ok(Welcome::Guest(guest)) => Some(guest),
            Ok(Welcome::Page(page)) => return Ok(page),
            Err(error) => return Ok(page::of_port(&error)),
        },
    };
    Ok(ports.departure.begin(Entrance::SignUp, asked, guest.as_ref(), context).await)
}

/// What becomes of somebody with an invitation.
enum Welcome {
    /// They sign up.
    Guest(Guest),
    /// They read why they cannot.
    Page(Response),
}

async fn welcome(
    ports: &Ports,
    context: &Context,
    token: &Secret,
    renew: bool,
) -> Result<Welcome, PortError> {
    let hash = InvitationHash::of(token);
    let Some(invitation) = ports.invitations.find(&hash).await? else {
        tracing::info!("an invitation is not known");
        return Ok(Welcome::Page(page::no_invitation()));
    };
    let refusal = match invitation.open(context.now) {
        Ok(address) => {
            return Ok(Welcome::Guest(Guest { invitation: hash, address: address.clone() }));
        }
        Err(refusal) => refusal,
    };
    tracing::info!(error = %refusal, "an invitation is refused");
    Ok(Welcome::Page(match (refusal, &invitation.address) {
        (InvitationRefusal::Expired, Some(address)) if renew => {
            let id = ClaimId::new(context.now, ports.random.as_ref());
            ports.claims.write(&id, address, context.now, &context.trace_id).await?;
            page::invitation_renewed()
        }
        (InvitationRefusal::Expired, Some(_)) => {
            // Characters of base64url stand in a query as they are (RFC 3986 §2.3), and a token
            // that was found has no others.
            let path = format!("/auth/signup?invitation={}&renew=true", token.expose());
            page::expired_invitation(&path)
        }
        (InvitationRefusal::Used | InvitationRefusal::Expired, _) => page::no_invitation(),
    }))
}
