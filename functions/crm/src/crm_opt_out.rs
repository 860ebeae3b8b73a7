//! Lets the caller out of the CRM, or back in.
//!
//! Who is out has no contact: it is archived, however long the CRM is away, and nothing is sent about
//! them until they are in again. Then everything is sent anew, and the CRM makes a contact of it; what
//! happened meanwhile is in their state, and milestones of that time are told to nobody. Only who was
//! erased from the CRM for good cannot come back: that was to last.
//!
//! Wanting what is so already changes nothing, so a repetition has no second effect.

use std::sync::Arc;

use rollcall_crm::pending::{Dirty, Reason, token};
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::facet::Facet;
use rollcall_domain::random::Random;
use rollcall_domain::user::User;
use rollcall_edge::problem::{CONFLICT, INVALID, UNAUTHENTICATED};
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_resources::{Grant, Queue};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{ConsentWriter, OptIn, PendingMarker};
use rollcall_store::{Capability, PortError, PortErrorClass};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::waiting::Waiting;

/// How often a change is stored at most, when others change the account at the same moment.
const STORE_ATTEMPTS_MAX: u32 = 5;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "crm-opt-out",
    purpose: "Lets the caller out of the CRM, or back in.",
    triggers: &[Trigger::Http(Route { method: Method::Put, path: "/users/me/crm-sync" })],
    grants: &[ConsentWriter::GRANTS, PendingMarker::GRANTS, &[Grant::send(Queue::CrmDrain)]],
    operation: Operation {
        request: Some(schema::<Choice>),
        success_status: 200,
        response: Some(schema::<Choice>),
        problems: &[&UNAUTHENTICATED, &CRM_CLOSED, &CONFLICT, &INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

/// Who was erased from the CRM does not come back.
static CRM_CLOSED: ProblemKind = ProblemKind {
    code: "crm-closed",
    status: 409,
    title: "You were erased from the CRM for good.",
    advice: "Nothing has to be done: the CRM hears nothing of you any more.",
};

struct Ports {
    consent: ConsentWriter,
    waiting: Waiting,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<PendingMarker>()?.table();
        Ok(Self {
            consent: startup.capability()?,
            waiting: Waiting::new(startup, table)?,
            random: startup.random(),
        })
    }
}

/// Whether the CRM hears of the user.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CrmSync")]
struct Choice {
    /// Whether it does.
    enabled: bool,
}

impl FromRequest for Choice {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        if request.has_body() {
            request.json()
        } else {
            Err(Problem::invalid("/enabled", "missing", &"must be true or false"))
        }
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    choice: Choice,
) -> Result<Response, CrmOptOutError> {
    for _attempt in 0..STORE_ATTEMPTS_MAX {
        let user = ports.consent.find(&caller.user).await?.ok_or(CrmOptOutError::Gone)?;
        let Some(user) = user.set_crm_sync(choice.enabled) else {
            return Ok(Response::json(200, &choice));
        };
        match store(ports, &user, context).await {
            Ok(OptIn::Stored) => {
                if let Err(error) = ports.waiting.wake().await {
                    let error = chain(&error);
                    tracing::warn!(error, "the drain will only look at its next minute");
                }
                return Ok(Response::json(200, &choice));
            }
            Ok(OptIn::Closed) => return Err(CrmOptOutError::Closed),
            Err(error) if error.class == PortErrorClass::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CrmOptOutError::Contended)
}

async fn store(ports: &Ports, user: &User, context: &Context) -> Result<OptIn, PortError> {
    let random = ports.random.as_ref();
    let action = Action::CrmSyncSet { enabled: user.crm_sync };
    let told = (Actor::User(user.id.clone()), action, Subject::User(user.id.clone()));
    let entry = Entry::new(told, &context.trace_id, context.now, random);
    if user.crm_sync {
        let dirty = Facet::ALL.map(|facet| Dirty {
            user: user.id.clone(),
            facet,
            trace_id: Some(context.trace_id.clone()),
        });
        let marks = dirty.map(|dirty| ports.waiting.mark(dirty, Reason::Drift));
        return ports.consent.opt_in(user, &marks, &entry).await;
    }
    let kind = RemovalKind::Archive;
    let removal = Removal::new(token(random), kind, user.email.clone(), context.now);
    ports.consent.opt_out(user, &removal, &entry).await?;
    Ok(OptIn::Stored)
}

#[derive(Debug, thiserror::Error)]
enum CrmOptOutError {
    #[error("the account is gone")]
    Gone,
    #[error("the CRM is closed to the user")]
    Closed,
    #[error("others changed the account again and again")]
    Contended,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CrmOptOutError> for Problem {
    fn from(error: CrmOptOutError) -> Self {
        match error {
            CrmOptOutError::Gone => Self::new(&UNAUTHENTICATED),
            CrmOptOutError::Closed => Self::new(&CRM_CLOSED),
            CrmOptOutError::Contended => Self::new(&CONFLICT),
            CrmOptOutError::Port(error) => Self::port(&error),
        }
    }
}
