//! Finds users for an administrator: one by e-mail address, username or identity, or all of them,
//! who joined last first.
//!
//! One is found by a key of the table, strongly consistent; the list of all follows the table within
//! moments.

use rollcall_domain::id::UserId;
use rollcall_domain::role::Role;
use rollcall_domain::text;
use rollcall_domain::username::Username;
use rollcall_edge::problem::INVALID;
use rollcall_edge::{Caller, Context, Cursors, FromRequest, HttpRequest, Page, Problem, Response};
use rollcall_runtime::declaration::{Access, Operation, Parameter};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::users::{UserLister, UserReader};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin_user_view::ListedView;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "admin-user-list",
    purpose: "Finds users for an administrator.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/admin/users" })],
    access: Access::Role(Role::Admin),
    grants: &[UserReader::GRANTS, UserLister::GRANTS, Cursors::GRANTS],
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
    Parameter { name: "email", description: "The user with this verified e-mail address." },
    Parameter { name: "username", description: "The user who goes by this name." },
    Parameter { name: "issuer", description: "The user of an identity: its provider." },
    Parameter { name: "subject", description: "The user of an identity: the person there." },
    Parameter { name: "limit", description: "How many to list: 1 to 100, 20 by default." },
    Parameter { name: "cursor", description: "Where to go on: `cursor` of the page before." },
];

/// Characters of an issuer or a subject (OpenID Connect Core §2 allows a subject 255).
const IDENTITY_CHARACTERS_MAX: usize = 255;

struct Ports {
    users: UserReader,
    list: UserLister,
    cursors: Cursors,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            users: startup.capability()?,
            list: startup.capability()?,
            cursors: Cursors::new(startup)?,
        })
    }
}

enum Input {
    Email(String),
    Username(Username),
    Identity { issuer: String, subject: String },
    All(Page),
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let named = |name| request.query_parameter(name);
        let asked = (named("email"), named("username"), named("issuer"), named("subject"));
        match asked {
            (None, None, None, None) => Ok(Self::All(Page::from_request(request)?)),
            (Some(email), None, None, None) => match text::email(&email) {
                Ok(email) => Ok(Self::Email(email)),
                Err(error) => Err(Problem::invalid("query:email", "invalid-text", &error)),
            },
            (None, Some(username), None, None) => match username.parse() {
                Ok(username) => Ok(Self::Username(username)),
                Err(error) => Err(Problem::invalid("query:username", "invalid-username", &error)),
            },
            (None, None, Some(issuer), Some(subject)) => {
                let (issuer, subject) = (
                    identity_part("query:issuer", &issuer)?,
                    identity_part("query:subject", &subject)?,
                );
                Ok(Self::Identity { issuer, subject })
            }
            (None, None, Some(_), None) | (None, None, None, Some(_)) => {
                let detail = "issuer and subject name an identity together";
                Err(Problem::invalid("query:issuer", "incomplete", &detail))
            }
            (Some(_), _, _, _) | (None, Some(_), _, _) => {
                let detail = "only one of email, username and identity can be asked for";
                Err(Problem::invalid("query:email", "ambiguous", &detail))
            }
        }
    }
}

fn identity_part(pointer: &'static str, part: &str) -> Result<String, Problem> {
    text::normalize_required(part, IDENTITY_CHARACTERS_MAX)
        .map_err(|error| Problem::invalid(pointer, "invalid-text", &error))
}

/// A page of users.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Users")]
struct Output {
    /// Who joined last comes first.
    users: Vec<ListedView>,
    /// Where the next page begins; none on the last page.
    cursor: Option<String>,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    input: Input,
) -> Result<Response, AdminUserListError> {
    let found = match input {
        Input::Email(email) => ports.users.find_by_email(&email).await?,
        Input::Username(username) => ports.users.find_by_username(&username).await?,
        Input::Identity { issuer, subject } => {
            ports.users.find_by_identity(&issuer, &subject).await?
        }
        Input::All(page) => return all(ports, caller, context, page).await,
    };
    let users = found.iter().map(ListedView::from).collect();
    Ok(Response::json(200, &Output { users, cursor: None }))
}

async fn all(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    page: Page,
) -> Result<Response, AdminUserListError> {
    let position = ports.cursors.open(page.cursor.as_deref(), caller, context).await?;
    // What was signed is a position of ours; anything else begins at the beginning.
    let position: Option<UserId> = position.and_then(|position| position.parse().ok());
    let page = ports.list.list(position.as_ref(), page.limit).await?;
    let position = page.position.as_ref().map(UserId::as_str);
    let cursor = ports.cursors.seal(position, caller, context).await?;
    let users = page.users.iter().map(ListedView::from).collect();
    Ok(Response::json(200, &Output { users, cursor }))
}

#[derive(Debug)]
enum AdminUserListError {
    Cursor(Problem),
    Port(PortError),
}

impl From<Problem> for AdminUserListError {
    fn from(problem: Problem) -> Self {
        Self::Cursor(problem)
    }
}

impl From<PortError> for AdminUserListError {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<AdminUserListError> for Problem {
    fn from(error: AdminUserListError) -> Self {
        match error {
            AdminUserListError::Cursor(problem) => problem,
            AdminUserListError::Port(error) => Self::port(&error),
        }
    }
}
