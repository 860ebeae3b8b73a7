//! Lists what operators did, the newest first: to one subject, by one actor, or on one day.
//!
//! Each of the three is a key of the table, so a page is full unless it is the last one. A cursor
//! belongs to its filter.

use rollcall_domain::audit::{Details, Filter, Record};
use rollcall_domain::role::Role;
use rollcall_domain::time::{day, is_day};
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Caller, Context, Cursors, FromRequest, HttpRequest, Page, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, Parameter};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::audit::AuditReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "audit-list",
    purpose: "Lists what operators did, the newest first.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/audit" })],
    access: Access::Role(Role::Admin),
    grants: &[AuditReader::GRANTS, Cursors::GRANTS],
    operation: Operation {
        query: PARAMETERS,
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "subject", description: "What was done to this one, by its id." },
    Parameter {
        name: "actor",
        description: "What this one did: a user's id, or `client:` and a client's.",
    },
    Parameter {
        name: "day",
        description: "What was done on this day in UTC, `YYYY-MM-DD`; today by default.",
    },
    Parameter { name: "limit", description: "How many to list: 1 to 100, 20 by default." },
    Parameter { name: "cursor", description: "Where to go on: `cursor` of the page before." },
];

/// Characters of a subject or an actor.
const NAME_CHARACTERS_MAX: usize = 200;

struct Ports {
    audit: AuditReader,
    cursors: Cursors,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { audit: startup.capability()?, cursors: Cursors::new(startup)? })
    }
}

#[derive(Debug)]
struct Input {
    /// None: today.
    filter: Option<Filter>,
    page: Page,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let page = Page::from_request(request)?;
        let named = |name: &'static str| match request.query_parameter(name) {
            Some(text) if text.is_empty() || text.chars().count() > NAME_CHARACTERS_MAX => {
                let detail = format!("must be 1 to {NAME_CHARACTERS_MAX} characters");
                Err(Problem::invalid(format!("query:{name}"), "invalid-text", &detail))
            }
            given => Ok(given),
        };
        let filter = match (named("subject")?, named("actor")?, named("day")?) {
            (None, None, None) => None,
            (Some(subject), None, None) => Some(Filter::Subject(subject)),
            (None, Some(actor), None) => Some(Filter::Actor(actor)),
            (None, None, Some(day)) if is_day(&day) => Some(Filter::Day(day)),
            (None, None, Some(_)) => {
                let detail = "must be a day such as 2026-11-21";
                return Err(Problem::invalid("query:day", "invalid-day", &detail));
            }
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                let detail = "only one of subject, actor and day can be asked for";
                return Err(Problem::invalid("query:subject", "ambiguous", &detail));
            }
        };
        Ok(Self { filter, page })
    }
}

/// A page of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The newest first.
    entries: Vec<EntryView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

/// Something that was done.
#[derive(Debug, Serialize, JsonSchema)]
struct EntryView {
    /// The id.
    id: String,
    /// When (RFC 3339, UTC).
    at: String,
    /// Who: a user's id, or `client:` and a client's.
    actor: String,
    /// What, by a stable name such as `dead-letter-replayed`.
    action: String,
    /// To whom or what.
    subject: String,
    /// More about it, by action.
    details: Details,
    /// The request that did it.
    trace_id: String,
}

impl From<Record> for EntryView {
    fn from(record: Record) -> Self {
        Self {
            id: record.id.into(),
            at: record.at.to_string(),
            actor: record.actor,
            action: record.action,
            subject: record.subject,
            details: record.details,
            trace_id: record.trace_id,
        }
    }
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    Input { filter, page }: Input,
) -> Result<Response, AuditListError> {
    let cursors = ports.cursors.filtered(&scope(filter.as_ref()));
    let position = cursors.open(page.cursor.as_deref(), caller, context).await?;
    // A list of today that goes on after midnight stays with the day it began on.
    let (today, position) = match position.as_deref().and_then(|text| text.split_once(' ')) {
        Some((begun, position)) => (begun.to_owned(), Some(position)),
        None => (day(context.now), None),
    };
    let filter = filter.unwrap_or_else(|| Filter::Day(today.clone()));
    let page = ports.audit.list(&filter, position, page.limit).await?;
    let position = page.position.map(|position| format!("{today} {position}"));
    let cursor = cursors.seal(position.as_deref(), caller, context).await?;
    let entries = page.entries.into_iter().map(EntryView::from).collect();
    Ok(Response::json(200, &Output { entries, cursor }))
}

/// What tells the cursors of one filter from those of another.
fn scope(filter: Option<&Filter>) -> String {
    match filter {
        None => "today".to_owned(),
        Some(Filter::Subject(subject)) => format!("subject={subject}"),
        Some(Filter::Actor(actor)) => format!("actor={actor}"),
        Some(Filter::Day(day)) => format!("day={day}"),
    }
}

#[derive(Debug)]
enum AuditListError {
    Cursor(Problem),
    Port(PortError),
}

impl From<Problem> for AuditListError {
    fn from(problem: Problem) -> Self {
        Self::Cursor(problem)
    }
}

impl From<PortError> for AuditListError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<AuditListError> for Problem {
    fn from(error: AuditListError) -> Self {
        match error {
            AuditListError::Cursor(problem) => problem,
            AuditListError::Port(error) => Self::port(&error),
        }
    }
}
