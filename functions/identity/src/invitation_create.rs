//! Invites a person whom an operator knows: their address gets a mail with a link, and whoever reads
//! it makes their account by it, as after asking for one (`auth-claim`).
//!
//! The invitation, its mail and what the audit log is told are one transaction under the version of
//! what the address was written before. An address is written to at most once in ten minutes and five
//! times a day, whoever asks; inviting it again within ten minutes answers the invitation that is out,
//! so a repetition of a request whose process died before its answer was kept invites nobody twice.
//! Operators may know who has an account, so they are told.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Entry, Subject};
use rollcall_domain::id::{InvitationId, MailId};
use rollcall_domain::invitation::{Correspondence, Invitation, Sent};
use rollcall_domain::limits::NAME_CHARACTERS_MAX;
use rollcall_domain::mail::{Address, Letter, Mail};
use rollcall_domain::random::Random;
use rollcall_domain::text;
use rollcall_edge::problem::{CONFLICT, INVALID};
use rollcall_edge::{Context, FromRequest, HttpRequest, Operator, Principal, Problem, Response};
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::declaration::{Idempotency, Operation, ProblemKind};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_secrets::SecretReader;
use rollcall_store::invitations::{NewInvitation, PersonInviter};
use rollcall_store::users::UserReader;
use rollcall_store::vault::Keyring;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::invitation_view::InvitationView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "invitation-create",
    purpose: "Invites a person to make an account.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/admin/invitations" })],
    idempotency: Idempotency::Optional,
    grants: &[PersonInviter::GRANTS, UserReader::GRANTS, &[Grant::secret(SecretName::TokenKey)]],
    operation: Operation {
        request: Some(schema::<Body>),
        success_status: 201,
        response: Some(schema::<InvitationView>),
        problems: &[&ACCOUNT_EXISTS, &WRITTEN_LATELY, &CONFLICT, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED
};

/// There is nobody to invite.
static ACCOUNT_EXISTS: ProblemKind = ProblemKind {
    code: "account-exists",
    status: 409,
    title: "A user has this address.",
    advice: "Look the user up at /admin/users.",
};

/// The reader of the address is left in peace for a while.
static WRITTEN_LATELY: ProblemKind = ProblemKind {
    code: "written-lately",
    status: 409,
    title: "The address was written to a moment ago, or often enough for a day.",
    advice: "Try again after ten minutes, or tomorrow.",
};

/// How often an invitation is decided anew when others write to the address at the same moment.
const ATTEMPTS_MAX: u32 = 5;

struct Ports {
    users: UserReader,
    invitations: PersonInviter,
    token_key: SecretReader,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            users: startup.capability()?,
            invitations: startup.capability()?,
            token_key: startup.secret(SecretName::TokenKey)?,
            random: startup.random(),
        })
    }
}

/// Who is invited.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewInvitation")]
struct Body {
    /// The e-mail address.
    email: String,
    /// How the mail addresses its reader, 1 to 100 characters.
    name: Option<String>,
}

struct Input {
    address: Address,
    name: Option<String>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let Body { email, name } = request.json()?;
        let address = Address::parse(&email)
            .map_err(|error| Problem::invalid("/email", "invalid-email", &error))?;
        let name = name.map(|name| text::normalize_required(&name, NAME_CHARACTERS_MAX));
        let name =
            name.transpose().map_err(|error| Problem::invalid("/name", "invalid-text", &error))?;
        Ok(Self { address, name })
    }
}

async fn handle(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    input: Input,
) -> Result<Response, InvitationCreateError> {
    let Input { address, name } = input;
    let now = context.now;
    for _attempt in 0..ATTEMPTS_MAX {
        if ports.users.find_by_email(address.as_str()).await?.is_some() {
            return Err(InvitationCreateError::AccountExists);
        }
        let before = ports.invitations.correspondence(&address).await?;
        if let Some(sent) = fresh(ports, &before, context).await? {
            return Ok(Response::json(201, &InvitationView::of(sent, now)));
        }
        let new = invite(ports, operator, context, (&address, name.as_deref(), &before)).await?;
        if let Some(sent) = new {
            tracing::info!(invitation = %sent.id, operator = operator.name(), "a person is invited");
            return Ok(Response::json(201, &InvitationView::of(sent, now)));
        }
    }
    Err(InvitationCreateError::Contended)
}

/// The invitation that is out, if an operator sent it a moment ago.
async fn fresh(
    ports: &Ports,
    before: &Correspondence,
    context: &Context,
) -> Result<Option<Sent>, PortError> {
    let sent = match &before.invitation {
        Some(out) => ports.invitations.sent(out).await?,
        None => None,
    };
    Ok(sent.filter(|sent| sent.is_fresh(context.now)))
}

/// Invites the address; `None` when somebody else wrote to it in between.
async fn invite(
    ports: &Ports,
    operator: &Operator,
    context: &Context,
    (address, name, before): (&Address, Option<&str>, &Correspondence),
) -> Result<Option<Sent>, InvitationCreateError> {
    let (now, random) = (context.now, ports.random.as_ref());
    let (invitation, token) = Invitation::make(address.clone(), now, random);
    let next = before.answer(Some(&invitation.hash), now);
    let next = next.ok_or(InvitationCreateError::WrittenLately)?;
    let mail_id = MailId::new(now, random);
    let keyring = Keyring::parse(&ports.token_key.read(now).await?).map_err(PortError::from)?;
    let token = keyring.seal(&token, mail_id.as_str(), random).map_err(PortError::from)?;
    let name = name.map(ToOwned::to_owned);
    let letter = Letter::Invitation { token, name: name.clone() };
    let mail = Mail { id: mail_id, to: address.clone(), letter, created_at: now };
    let actor = operator.actor();
    let sent = Sent {
        id: InvitationId::new(now, random),
        hash: invitation.hash.clone(),
        invited_by: actor.to_string(),
        created_at: now,
        name,
        kept: Some(invitation),
    };
    let told = (actor, Action::PersonInvited, Subject::Invitation(sent.id.clone()));
    let entry = Entry::new(told, &context.trace_id, now, random);
    let new =
        NewInvitation { before, next: &next, sent: &sent, address, mail: &mail, entry: &entry };
    let stored = ports.invitations.invite(&new).await?;
    Ok(stored.then_some(sent))
}

#[derive(Debug, thiserror::Error)]
enum InvitationCreateError {
    #[error("a user has this address")]
    AccountExists,
    #[error("the address was written to lately")]
    WrittenLately,
    #[error("others wrote to the address again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<InvitationCreateError> for Problem {
    fn from(error: InvitationCreateError) -> Self {
        match error {
            InvitationCreateError::AccountExists => Self::new(&ACCOUNT_EXISTS),
            InvitationCreateError::WrittenLately => Self::new(&WRITTEN_LATELY),
            InvitationCreateError::Contended => Self::new(&CONFLICT),
            InvitationCreateError::Port(error) => Self::port(&error),
        }
    }
}
