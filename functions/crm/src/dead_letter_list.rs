//! Lists open dead letters for an operator, the last refused first. What they show of a request is
//! property names and hashes, since more people read it than may read the contact.

use std::collections::BTreeMap;
use std::sync::Arc;

use rollcall_crm::dead_letter::DeadLetter;
use rollcall_crm::limits::DEAD_LETTERS_PAGE_MAX;
use rollcall_crm::port::DeadLetterStore;
use rollcall_domain::role::Role;
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Caller, Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, Parameter};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::crm::{CrmTable, DeadLetterCursor, DeadLetterLister};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "dead-letter-list",
    purpose: "Lists changes that the CRM refused and a person has to look at.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/dead-letters" })],
    access: Access::Role(Role::Admin),
    grants: &[DeadLetterLister::GRANTS],
    operation: Operation {
        query: &[
            Parameter { name: "limit", description: "How many to list: 1 to 100, 50 by default." },
            Parameter {
                name: "cursor",
                description: "Where to go on: `cursor` of the page before.",
            },
        ],
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

/// Dead letters on a page whose caller does not say.
const LIMIT_DEFAULT: usize = 50;

struct Ports {
    table: Arc<CrmTable>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { table: startup.capability::<DeadLetterLister>()?.table() })
    }
}

#[derive(Debug)]
struct Input {
    limit: usize,
    cursor: Option<DeadLetterCursor>,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let limit = match request.query_parameter("limit") {
            None => LIMIT_DEFAULT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=DEAD_LETTERS_PAGE_MAX).contains(limit))
                .ok_or_else(|| {
                    let detail = format!("must be a number from 1 to {DEAD_LETTERS_PAGE_MAX}");
                    Problem::invalid("query:limit", "out-of-range", &detail)
                })?,
        };
        let cursor = request.query_parameter("cursor").map(|text| text.parse()).transpose();
        let cursor =
            cursor.map_err(|error| Problem::invalid("query:cursor", "invalid-cursor", &error))?;
        Ok(Self { limit, cursor })
    }
}

/// A page of open dead letters.
#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The last refused first.
    dead_letters: Vec<DeadLetterView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

/// A change that the CRM refused.
#[derive(Debug, Serialize, JsonSchema)]
struct DeadLetterView {
    /// The id.
    id: String,
    /// Whose change.
    user_id: String,
    /// Of which facet: `identity` or `learning`.
    facet: &'static str,
    /// `open`.
    status: &'static str,
    /// The CRM's category.
    category: String,
    /// The CRM's message, without personal data.
    message: String,
    /// The same for refusals with the same cause.
    fingerprint: String,
    /// What was sent: of each property the length of its value and the start of its hash.
    request: BTreeMap<String, String>,
    /// When it was first refused (RFC 3339, UTC).
    first_seen_at: String,
    /// When it was last refused (RFC 3339, UTC).
    last_seen_at: String,
    /// How often it was refused.
    tries: u32,
    /// The version of the program that sent it last.
    function_version: String,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id.into(),
            user_id: letter.user.into(),
            facet: letter.facet.as_str(),
            status: letter.status.as_str(),
            category: letter.cause.category,
            message: letter.cause.message,
            fingerprint: letter.cause.fingerprint,
            request: letter.cause.request,
            first_seen_at: letter.first_seen_at.to_string(),
            last_seen_at: letter.last_seen_at.to_string(),
            tries: letter.tries,
            function_version: letter.function_version,
        }
    }
}

async fn handle(
    ports: &Ports,
    _caller: &Caller,
    _context: &Context,
    input: Input,
) -> Result<Response, DeadLetterListError> {
    let cursor = input.cursor.map(|cursor| cursor.to_string());
    let page = ports.table.open(input.limit, cursor.as_deref()).await?;
    let dead_letters = page.dead_letters.into_iter().map(DeadLetterView::from).collect();
    Ok(Response::json(200, &Output { dead_letters, cursor: page.cursor }))
}

#[derive(Debug, thiserror::Error)]
enum DeadLetterListError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<DeadLetterListError> for Problem {
    fn from(error: DeadLetterListError) -> Self {
        match error {
            DeadLetterListError::Port(error) => Self::port(&error),
        }
    }
}
