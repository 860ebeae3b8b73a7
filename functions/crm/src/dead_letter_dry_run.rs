//! Shows what replaying a dead letter would send now, without sending it: the user's state may have
//! changed since the refusal, and replaying sends the newest.

use std::sync::Arc;

use rollcall_crm::desk::{About, Filed, QueueMessage};
use rollcall_crm::ledger::Ledger;
use rollcall_crm::milestone::Milestone;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::{Context, Operator, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, DeadLetterPreviewer};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::STATES;
use crate::letters::Input;
use crate::outlook::{Outlook, RequestView};
use crate::settings;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-dry-run",
    purpose: "Shows what replaying a dead letter would send.",
    triggers: &[Trigger::Http(Route {
        method: Method::Get,
        path: "/admin/dead-letters/{id}/dry-run",
    })],
    grants: &[DeadLetterPreviewer::GRANTS, STATES[0], STATES[1], STATES[2], STATES[3], STATES[4]],
    settings: settings::ALL,
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&NOT_FOUND],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::operated(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPERATED_READ
};

struct Ports {
    table: Arc<CrmTable>,
    outlook: Outlook,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let table = startup.capability::<DeadLetterPreviewer>()?.table();
        Ok(Self { table, outlook: Outlook::new(startup)? })
    }
}

/// What replaying would do.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DryRun")]
struct Output {
    /// Which letter.
    id: String,
    /// `send`, `tell` (a milestone), `return` (a message to its queue) or `nothing`.
    would: &'static str,
    /// Why nothing: `acknowledged` when the CRM holds the newest state, `leaving` when the contact
    /// has left the CRM or has to, `no_user` when there is no such user any more, `blocked` when
    /// identity has to reach the CRM first.
    because: Option<&'static str>,
    /// What would be sent.
    requests: Vec<RequestView>,
    /// The event that would be told, if it is a milestone.
    event: Option<EventView>,
    /// The queue that the message would go back to.
    queue: Option<String>,
}

/// An event that would be told.
#[derive(Debug, Serialize, JsonSchema)]
struct EventView {
    /// Its name, without the portal's prefix.
    name: &'static str,
    /// Its id, by which the CRM rejects repetitions.
    id: String,
    /// When it happened (RFC 3339, UTC).
    occurred_at: String,
    /// The contact; none: it waits until there is one.
    contact_id: Option<String>,
}

async fn handle(
    ports: &Ports,
    _operator: &Operator,
    _context: &Context,
    Input(id): Input,
) -> Result<Response, DeadLetterDryRunError> {
    let letter = ports.table.letter(&id).await?.ok_or(DeadLetterDryRunError::NotFound)?;
    let Filed { id, about, .. } = letter;
    let output = match about {
        About::Message(QueueMessage { queue, body, .. }) => {
            let (would, because) = match body {
                Some(_) => ("return", None),
                None => ("nothing", Some("returned")),
            };
            Output { would, because, queue: Some(queue), ..nothing(id) }
        }
        About::Change { user, milestone: Some(milestone), .. } => {
            let ledger = ports.table.sync_of(&user).await?.ledger.unwrap_or_default();
            event(id, milestone, ledger)
        }
        About::Change { user, facet, milestone: None } => {
            request(ports, id, (&user, facet)).await?
        }
    };
    Ok(Response::json(200, &output))
}

fn nothing(id: DeadLetterId) -> Output {
    Output {
        id: id.into(),
        would: "nothing",
        because: None,
        requests: Vec::new(),
        event: None,
        queue: None,
    }
}

fn event(id: DeadLetterId, milestone: Milestone, ledger: Ledger) -> Output {
    if ledger.removal.is_some() {
        return Output { because: Some("leaving"), ..nothing(id) };
    }
    let event = EventView {
        name: milestone.kind.event(),
        id: milestone.id,
        occurred_at: milestone.at.to_string(),
        contact_id: ledger.contact_id,
    };
    Output { would: "tell", event: Some(event), ..nothing(id) }
}

async fn request(
    ports: &Ports,
    id: DeadLetterId,
    (user, facet): (&UserId, Facet),
) -> Result<Output, PortError> {
    let ledger = ports.table.sync_of(user).await?.ledger.unwrap_or_default();
    // A replay sends what was refused; of what was accepted meanwhile there is nothing left to send.
    let refused = ledger.facet(facet).refused.is_some();
    let seen = ports.outlook.look(user, &[facet], &ledger, refused).await?;
    if !seen.requests.is_empty() {
        return Ok(Output { would: "send", requests: seen.requests, ..nothing(id) });
    }
    let because = match (ledger.removal, seen.user_exists) {
        (Some(_), _) => "leaving",
        (None, false) => "no_user",
        (None, true) if ledger.contact_id.is_none() && refused => "blocked",
        (None, true) => "acknowledged",
    };
    Ok(Output { because: Some(because), ..nothing(id) })
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterDryRunError {
    #[error("no such dead letter")]
    NotFound,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterDryRunError> for Problem {
    fn from(error: DeadLetterDryRunError) -> Self {
        match error {
            DeadLetterDryRunError::NotFound => Self::new(&NOT_FOUND),
            DeadLetterDryRunError::Port(error) => Self::port(&error),
        }
    }
}
